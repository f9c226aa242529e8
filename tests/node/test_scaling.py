"""The chart's autoscalers beside a real metrics-server: look-ups and gateway are scaled by the CPU that they use."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from support.engines import SearchEngine, wait_for
from support.kubernetes import programs
from support.kubernetes.images import SIDECAR
from support.kubernetes.installation import CHART, DELIVERY, Installation, create
from support.kubernetes.node import Node
from support.kubernetes.settings import ADDRESS
from support.kubernetes.volumes import volume

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3600)]

SPACE, RELEASE, CLASS, PORT = "scaling", "scaling", "scaled", 4443
NAMES = [f"{RELEASE}-model-sidecar-{component}" for component in ("gateway", "lookup")]
SERVER: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "metrics-server", "namespace": "kube-system"},
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": PORT}]},
    },
    {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "metrics-server", "namespace": "kube-system"},
        "subsets": [{"addresses": [{"ip": ADDRESS}], "ports": [{"name": "https", "port": PORT}]}],
    },
    {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "service": {"name": "metrics-server", "namespace": "kube-system"},
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    },
]


@pytest.fixture(scope="module")
def metered(cluster: Node) -> None:
    """The metrics-server, beside the node's other programs."""
    path = shutil.copy(programs.metrics_server(), cluster.home / "metrics-server")
    client = [f"--{name}kubeconfig={cluster.kubeconfig}" for name in ("", "authentication-", "authorization-")]
    cluster.start_beside(
        "metrics-server",
        path,
        *client,
        f"--secure-port={PORT}",
        f"--cert-dir={cluster.home}/metrics-server-pki",
        f"--kubelet-certificate-authority={cluster.authority}",
        "--kubelet-preferred-address-types=InternalIP",
        "--metric-resolution=15s",
    )
    cluster.apply(yaml.safe_dump_all(SERVER))
    cluster.kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=10m")


@pytest.fixture(scope="module")
def release(cluster: Node, engine: SearchEngine, installed: Installation, metered: None) -> Iterator[None]:
    """One of node mode, so that there is one webhook in the cluster. Its autoscalers want less CPU than an idle process
    uses (1 mCPU, where it serves probes): more replicas, as many as they may."""
    create(cluster, SPACE)
    cluster.apply(yaml.safe_dump_all(volume(cluster, f"{CLASS}-{number}")[1] for number in range(2)))
    scaled = {
        "autoscaling": {"enabled": True, "minReplicas": 1, "maxReplicas": 2, "cpu": 1},
        "resources": {"requests": {"cpu": "10m"}},
    }
    values = {
        "mode": "node",
        "node": {"nodeSelector": {"kubernetes.io/hostname": cluster.name}},
        "image": {"repository": SIDECAR.rpartition(":")[0]},
        "gateway": {
            **{"enabled": True, "dataSize": "1Gi", "storageClassName": CLASS, **scaled},
            "env": [{"name": f"{DELIVERY}HOSTS", "value": engine.url}],
        },
        "lookup": {"enabled": True, "url": engine.url, **scaled},
    }
    path = cluster.home / "scaling.yaml"
    path.write_text(yaml.safe_dump(values))
    installed.helm("install", RELEASE, str(CHART), f"--values={path}", "--wait", namespace=SPACE)
    yield
    installed.helm("uninstall", RELEASE, "--wait", namespace=SPACE)


@pytest.mark.parametrize("name", NAMES)
def test_an_autoscaler_knows_the_cpu_and_scales(cluster: Node, release: None, name: str) -> None:
    here = f"--namespace={SPACE}"

    def status() -> dict[str, Any]:
        return dict(cluster.get("hpa", here, name)["status"])

    def scaled() -> bool:
        return status().get("desiredReplicas") == status().get("currentReplicas") == 2

    wait_for(scaled, 240, f"two replicas of {name}", interval=2)
    found = status()
    (metric,) = found["currentMetrics"]
    assert metric["resource"]["name"] == "cpu"
    assert metric["resource"]["current"]["averageUtilization"] > 0
    conditions = {one["type"]: one["status"] for one in found["conditions"]}
    assert conditions["AbleToScale"] == conditions["ScalingActive"] == "True"
    kind = cluster.get("hpa", here, name)["spec"]["scaleTargetRef"]["kind"].lower()

    def ready() -> bool:
        return bool(cluster.get(kind, here, name)["status"].get("readyReplicas", 0) == 2)

    wait_for(ready, 180, f"two Ready pods of {name}", interval=1)
