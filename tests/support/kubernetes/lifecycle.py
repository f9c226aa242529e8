"""Pods that run the stand-in (`stand_in.py`) beside an injected sidecar, how they end, what the engine has of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.engines import SearchEngine, wait_for
from support.kubernetes.images import WINE
from support.kubernetes.installation import create, state
from support.kubernetes.node import Node
from support.kubernetes.settings import POD_NETWORK
from support.search_client import documents

SIDECAR = "model-sidecar"
_KEPT = "tests/kept"
"""A finalizer: the pod's object stays, with its last status, until the test has read it."""


def lines(count: int) -> set[str]:
    """What the stand-in says where it has to say so many lines."""
    return {f"line {number}" for number in range(count)}


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A namespace in which such pods can be made."""

    node: Node
    engine: SearchEngine
    space: str = "lifecycle"

    def prepare(self) -> None:
        """The namespace, and in it the program that the pods run."""
        script = Path(__file__).with_name("stand_in.py").read_text("utf-8")
        code = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": {"stand_in.py": script}}
        create(self.node, self.space, code)

    @contextmanager
    def pod(self, name: str, *arguments: str, **options: Any) -> Iterator[str]:
        """A pod of that name; its object is there until the end, whatever becomes of the pod."""
        made = {"apiVersion": "v1", "kind": "Pod", **template(*arguments, **options)}
        made["metadata"] |= {"name": name, "finalizers": [_KEPT]}
        self.node.kubectl("create", f"--namespace={self.space}", "--filename=-", text=json.dumps(made))
        try:
            yield name
        finally:
            patch = json.dumps({"metadata": {"finalizers": None}})
            self.node.kubectl("patch", f"--namespace={self.space}", "pod", name, "--type=merge", f"--patch={patch}")
            gone = ("--ignore-not-found", "--grace-period=1", "--wait=false")
            self.node.kubectl("delete", f"--namespace={self.space}", "pod", name, *gone)

    def delete(self, name: str) -> None:
        """As a user does it: the grace period begins."""
        self.node.kubectl("delete", f"--namespace={self.space}", "pod", name, "--wait=false")

    def get(self, name: str) -> dict[str, Any]:
        return self.node.get("pod", name, f"--namespace={self.space}")

    def events(self, name: str, reason: str) -> list[dict[str, Any]]:
        """What the cluster says of a pod, of one reason."""
        chosen = f"--field-selector=involvedObject.name={name},reason={reason}"
        return list(self.node.get("events", f"--namespace={self.space}", chosen)["items"])

    def ended(self, name: str, timeout: float = 180) -> dict[str, dict[str, Any]]:
        """How each container ended, once all have: exit code, reason, times."""

        def last() -> dict[str, dict[str, Any]]:
            found = self.get(name)
            states = {c: state(found, c).get("state", {}).get("terminated") for c in ("model", SIDECAR)}
            return {c: dict(value) for c, value in states.items() if value} if all(states.values()) else {}

        return wait_for(last, timeout, f"the end of {name}", interval=0.5)

    def says(self, name: str, text: str, timeout: float = 180) -> None:
        """Wait until the model's container has written a text."""
        logs = ("logs", f"--namespace={self.space}", name, "--container=model")

        def written() -> bool:
            done = self.node.run("kubectl", "--kubeconfig", self.node.kubeconfig, *logs)
            return done.returncode == 0 and text in done.stdout

        wait_for(written, timeout, f"{name} says {text!r}", interval=0.5)

    def delivered(self, name: str) -> list[str]:
        """Texts of the log records of a pod, as often as each is in the engine."""
        fields = ["resource.attributes", "body"]
        found = self.node.inside(lambda: documents(self.engine.url, "logs-*", fields))
        return [d["body"]["text"] for d in found if d["resource"]["attributes"].get("k8s.pod.name") == name]

    def all_there(self, name: str, wanted: set[str], timeout: float = 180) -> list[str]:
        """The texts of a pod, once all wanted ones are among them."""

        def found() -> list[str]:
            texts = self.delivered(name)
            return texts if wanted <= set(texts) else []

        return wait_for(found, timeout, f"{len(wanted)} lines of {name} in the engine", interval=1)

    @contextmanager
    def away(self) -> Iterator[Callable[[], None]]:
        """The engine refuses connections of pods, until the function is called, or to the end."""
        rule = f"INPUT -p tcp -s {POD_NETWORK} --dport {self.engine.port} -j REJECT --reject-with tcp-reset".split()
        self.node.must("iptables", "--insert", *rule)
        refused = [True]

        def back() -> None:
            if refused:
                self.node.must("iptables", "--delete", *rule)
                refused.clear()

        try:
            yield back
        finally:
            back()


def template(
    *arguments: str, grace: int = 30, memory: str = "96Mi", logs: bool = False, config: str = ""
) -> dict[str, Any]:
    """Metadata and specification of a pod that runs the stand-in. `config`: ConfigMap with its `sidecar.yaml`."""
    annotations = {"model-sidecar/inject": "true", "model-sidecar/instrument": "false"}
    if logs:
        annotations["model-sidecar/logs"] = "/logs"
    if config:
        annotations["model-sidecar/config"] = config
    model = {
        "name": "model",
        "image": WINE,
        "command": ["python", "-u", "/code/stand_in.py", *arguments],
        "resources": {"limits": {"memory": memory}},
        "volumeMounts": [{"name": "code", "mountPath": "/code"}, {"name": "cache", "mountPath": "/cache"}],
    }
    volumes = [{"name": "code", "configMap": {"name": "code"}}, {"name": "cache", "emptyDir": {"sizeLimit": "16Mi"}}]
    specification = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": grace,
        "restartPolicy": "Never",
        "securityContext": {"fsGroup": 10001},
        "containers": [model],
        "volumes": volumes,
    }
    return {"metadata": {"annotations": annotations}, "spec": specification}
