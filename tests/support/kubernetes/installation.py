"""The chart installed in a node as a user would: by `helm install`, with values of a file."""

from __future__ import annotations

import json
import re
import urllib.request
from dataclasses import dataclass
from typing import Any

import yaml

from support.engines import http_get, wait_for
from support.engines.cache import ROOT
from support.engines.charts import helm, operator_definitions
from support.kubernetes.images import BUNDLE, SIDECAR, WINE
from support.kubernetes.node import Node
from support.load import Samples, samples

NAMESPACE, RELEASE = "observability", "model-sidecar"
CHART = ROOT / "helm" / "model-sidecar"
EXAMPLE = ROOT / "examples" / "kubernetes" / "wine.yaml"
DELIVERY = "SIDECAR_DELIVER__ELASTICSEARCH__"
PROMETHEUS = "http://prometheus-operated.monitoring.svc:9090"
REPORTS, REPORTED = "reports", "reported"
"""The claim that reports are put on, and the model that they are about."""
NEVER = "0 0 29 2 *"
"""When CronJobs run by themselves: tests start them."""


@dataclass(frozen=True, slots=True)
class Installation:
    """A release of the chart in a node."""

    node: Node
    engine: str
    """Address of the search engine, as pods reach it."""

    def helm(self, *arguments: str, namespace: str = NAMESPACE) -> str:
        """Its output. Where it waits, it is given as long as `wait_for` gives a slow machine."""
        folders = [f"HELM_{name}_HOME={self.node.home}/helm" for name in ("CACHE", "CONFIG", "DATA")]
        command = ["env", *folders, str(helm()), "--kubeconfig", str(self.node.kubeconfig), "--namespace", namespace]
        return self.node.must(*command, *arguments, "--timeout=40m", timeout=600)


def install(node: Node, engine: str) -> Installation:
    """The chart with everything that one node can hold: monitors and rules too, whose definitions are put first."""
    node.kubectl("create", f"--filename={operator_definitions()}")
    node.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=10m")
    path = node.home / "values.yaml"
    path.write_text(yaml.safe_dump(values(engine)))
    made = Installation(node, engine)
    made.helm("install", RELEASE, str(CHART), "--create-namespace", f"--values={path}", "--wait")
    return made


def values(engine: str) -> dict[str, Any]:
    return {
        "image": {"repository": SIDECAR.rpartition(":")[0]},
        "bundleImage": {"repository": BUNDLE.rpartition(":")[0]},
        "injection": {
            "env": [
                {"name": f"{DELIVERY}HOSTS", "value": engine},
                # So that a test need not wait for what comes within a minute.
                {"name": f"{DELIVERY}BATCH_TIMEOUT", "value": "100ms"},
            ]
        },
        "setup": {"enabled": True, "url": engine},
        "podMonitor": {"enabled": True, "interval": "2s", "labels": {"scraped-by": "tests"}},
        "serviceMonitor": {"enabled": True, "interval": "2s", "labels": {"scraped-by": "tests"}},
        "prometheusRule": {"enabled": True, "labels": {"scraped-by": "tests"}},
        "report": {
            **{"enabled": True, "schedule": NEVER, "claim": REPORTS, "period": "20m"},
            "args": [f"--model={REPORTED}"],
        },
        "outcomes": {
            **{"enabled": True, "schedule": NEVER, "url": engine},
            "env": [{"name": "SIDECAR_PUSH__REMOTE_WRITE__ENDPOINT", "value": f"{PROMETHEUS}/api/v1/write"}],
        },
    }


def example(**annotations: str) -> list[dict[str, Any]]:
    """The example's objects with the image of this node, and further annotations of its pods."""
    text = re.sub(r"image: wine:1", f"image: {WINE}", EXAMPLE.read_text("utf-8"))
    objects = list(yaml.safe_load_all(text))
    objects[0]["spec"]["template"]["metadata"]["annotations"].update(annotations)
    return objects


def create(node: Node, namespace: str, *objects: dict[str, Any]) -> None:
    """A namespace, where it is not there, with objects."""
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    node.kubectl("apply", "--filename=-", text=yaml.safe_dump(made))
    if objects:
        node.kubectl("apply", f"--namespace={namespace}", "--filename=-", text=yaml.safe_dump_all(objects))


def metrics(node: Node, pod: dict[str, Any]) -> Samples:
    """What the sidecar of a pod shows; empty where it does not answer."""
    address = f"http://{pod['status']['podIP']}:9464/metrics"
    status, body = node.inside(lambda: http_get(address))
    return samples(body.decode()) if status == 200 else {}


def predict(address: str, rows: list[list[float]], count: int = 1) -> None:
    """Ask the example's model, in the node's network."""
    body = json.dumps({"rows": rows}).encode()
    for _ in range(count):
        request = urllib.request.Request(f"{address}/predict", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert answer.status == 200


_SEND = """
import sys, urllib.request
headers = {"content-type": "application/x-ndjson"}
request = urllib.request.Request("http://127.0.0.1:4318/v1/json", sys.stdin.buffer.read(), headers)
print(urllib.request.urlopen(request, timeout=20).status)
"""


def tell(node: Node, namespace: str, pod: str, *lines: str) -> None:
    """Send JSON lines to the sidecar of the example's pod, from its model's container."""
    arguments = [f"--namespace={namespace}", pod, "--container=wine", "--stdin", "--", "python", "-c", _SEND]
    assert node.kubectl("exec", *arguments, text="\n".join([*lines, ""])).strip() == "200"


def ready_pod(node: Node, namespace: str, selector: str, timeout: float = 180) -> dict[str, Any]:
    """The one pod that the selector finds, once it is Ready."""

    def found() -> dict[str, Any] | None:
        pods = [p for p in node.pods(namespace, selector) if "deletionTimestamp" not in p["metadata"]]
        ready = [p for p in pods if condition(p, "Ready")]
        return ready[0] if len(pods) == 1 and ready else None

    pod = wait_for(found, timeout, f"a Ready pod {selector} in {namespace}", interval=0.5)
    assert pod is not None
    return pod


def condition(pod: dict[str, Any], name: str) -> bool:
    """Whether a condition of a pod is true."""
    return any(c["type"] == name and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def state(pod: dict[str, Any], container: str) -> dict[str, Any]:
    """The status of a container, of the beginning ones too; empty where there is none yet."""
    every = [*pod["status"].get("initContainerStatuses", ()), *pod["status"].get("containerStatuses", ())]
    return next((dict(status) for status in every if status["name"] == container), {})
