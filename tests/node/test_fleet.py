"""Five hundred injected pods on fake nodes (KWOK): what the webhook takes, and what the API server saw of it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from support.engines import wait_for
from support.kubernetes import programs
from support.kubernetes.installation import NAMESPACE, Installation, create
from support.kubernetes.node import Node
from support.load import samples, total

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3600)]

NODES, PODS, SPACE = 20, 500, "fleet"
_STAGES = ("node/fast", "node/heartbeat", "pod/fast")


def fake_node(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": f"fake-{number}",
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {"type": "fake", "kubernetes.io/os": "linux"},
        },
        "spec": {"taints": [{"key": "fake", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"cpu": "64", "memory": "256Gi", "pods": "110"}},
    }


def fleet() -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "model"},
        "spec": {
            "replicas": PODS,
            "selector": {"matchLabels": {"app": "model"}},
            "template": {
                "metadata": {"labels": {"app": "model"}, "annotations": {"model-sidecar/inject": "true"}},
                "spec": {
                    "nodeSelector": {"type": "fake"},
                    "tolerations": [{"key": "fake", "operator": "Exists"}],
                    "containers": [{"name": "model", "image": "localhost/model:1"}],
                },
            },
        },
    }


@pytest.fixture
def fakes(cluster: Node) -> Iterator[None]:
    """Nodes that there are not, whose pods are said to be Ready."""
    paths = [path for part in _STAGES for path in sorted((programs.kwok_stages() / part).rglob("*.yaml"))]
    configuration = cluster.home / "stages.yaml"
    found = [d for path in paths for d in yaml.safe_load_all(path.read_text("utf-8")) if d]
    configuration.write_text(yaml.safe_dump_all([d for d in found if d["kind"] == "Stage"]))
    cluster.start_beside(
        "kwok",
        "kwok",
        f"--kubeconfig={cluster.kubeconfig}",
        f"--config={configuration}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
    )
    cluster.apply(yaml.safe_dump_all([fake_node(number) for number in range(NODES)]))
    yield
    cluster.kubectl("delete", "namespace", SPACE, "--wait=false")
    cluster.kubectl("delete", "node", "--selector=type=fake", "--wait=false")


def admission(cluster: Node) -> dict[float, float]:
    """How many calls of the webhook took at most so many seconds, as the API server saw them."""
    text = cluster.kubectl("get", "--raw", "/metrics")
    prefix = 'apiserver_admission_webhook_admission_duration_seconds_bucket{name="annotation.model-sidecar.internal"'
    found: dict[float, float] = {}
    for name, value in samples(text).items():
        if name.startswith(prefix) and 'type="admit"' in name:
            bound = re.search(r'le="([^"]+)"', name)
            assert bound is not None
            found[float(bound[1])] = found.get(float(bound[1]), 0) + value
    return found


def percentile(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """The upper bound of the bucket that holds it, in seconds."""
    counts = {bound: after[bound] - before.get(bound, 0) for bound in sorted(after)}
    return next(bound for bound, count in counts.items() if count >= share * counts[float("inf")])


def decided(cluster: Node, outcome: str) -> float:
    """Requests of an outcome that all replicas of the webhook have counted."""
    found = 0.0
    for pod in cluster.pods(NAMESPACE, "app.kubernetes.io/component=webhook"):
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/https:{pod['metadata']['name']}:8443/proxy/metrics"
        body = cluster.kubectl("get", "--raw", path)
        found += total(samples(body), "sidecar_injection_requests_total", f'outcome="{outcome}"')
    return found


def test_five_hundred_pods_are_injected(cluster: Node, installed: Installation, fakes: None) -> None:
    before, counted = admission(cluster), decided(cluster, "injected")
    begin = time.monotonic()
    create(cluster, SPACE, fleet())

    def ready() -> bool:
        made = cluster.get("deployment", "model", f"--namespace={SPACE}")
        return made["status"].get("readyReplicas", 0) == PODS

    wait_for(ready, 600, f"{PODS} Ready pods", interval=1)
    seconds = time.monotonic() - begin
    after = admission(cluster)
    pods = cluster.pods(SPACE)
    injected = [p for p in pods if "model-sidecar" in [c["name"] for c in p["spec"].get("initContainers", ())]]
    assert len(injected) == len(pods) == PODS, "not one was made without"
    assert decided(cluster, "injected") - counted >= PODS
    latencies = {share: percentile(before, after, share) for share in (0.5, 0.99, 1.0)}
    print(f"{PODS} pods Ready in {seconds:.0f} s; the API server waited for the webhook at most, s: {latencies}")
    assert _rejected(cluster) == 0


def _rejected(cluster: Node) -> float:
    """Calls that failed, after which the pod was made without the sidecar."""
    text = cluster.kubectl("get", "--raw", "/metrics")
    return total(
        samples(text), "apiserver_admission_webhook_fail_open_count", 'name="annotation.model-sidecar.internal"'
    )
