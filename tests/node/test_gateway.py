"""The gateway of the chart: what a pod could not deliver while it ended waits on the gateway's volume."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from support.engines import SearchEngine
from support.kubernetes.images import SIDECAR
from support.kubernetes.installation import CHART, DELIVERY, Installation, create, ready_pod
from support.kubernetes.lifecycle import SIDECAR as CONTAINER
from support.kubernetes.lifecycle import Lifecycle, lines
from support.kubernetes.node import Node
from support.kubernetes.volumes import volume

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3600)]

SPACE, RELEASE, CLASS = "gateway", "gateway", "by-hand"


@pytest.fixture(scope="module")
def gateway(cluster: Node, engine: SearchEngine, installed: Installation) -> Iterator[dict[str, Any]]:
    """Its pod. The release is one of node mode, so that there is one webhook in the cluster."""
    cluster.apply(yaml.safe_dump(volume(cluster, CLASS)[1]))
    values = {
        "mode": "node",
        # Not on the fake nodes of another test.
        "node": {"nodeSelector": {"kubernetes.io/hostname": cluster.name}},
        "image": {"repository": SIDECAR.rpartition(":")[0]},
        "gateway": {
            "enabled": True,
            "replicas": 1,
            "dataSize": "1Gi",
            "storageClassName": CLASS,
            "env": [{"name": f"{DELIVERY}HOSTS", "value": engine.url}],
        },
    }
    path = cluster.home / "gateway.yaml"
    path.write_text(yaml.safe_dump(values))
    installed.helm("install", RELEASE, str(CHART), "--create-namespace", f"--values={path}", "--wait", namespace=SPACE)
    yield ready_pod(cluster, SPACE, "app.kubernetes.io/component=gateway")
    installed.helm("uninstall", RELEASE, "--wait", namespace=SPACE)


def test_what_a_pod_left_behind_survives_it_and_the_gateways_restart(
    cluster: Node, engine: SearchEngine, lifecycle: Lifecycle, gateway: dict[str, Any]
) -> None:
    address = f"http://{RELEASE}-model-sidecar-gateway.{SPACE}.svc:4317"
    deliver = {"otlp": {"endpoint": address}, "elasticsearch": {"enabled": False}}
    configuration = {"sidecar.yaml": yaml.safe_dump({"deliver": deliver})}
    named = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "to-gateway"}, "data": configuration}
    create(cluster, lifecycle.space, named)
    with lifecycle.away(), lifecycle.pod("ended", "lines", "20", "0", config="to-gateway") as name:
        lifecycle.says(name, "sent 20")
        lifecycle.delete(name)
        assert lifecycle.ended(name)[CONTAINER]["exitCode"] == 0
        cluster.kubectl("delete", f"--namespace={SPACE}", "pod", gateway["metadata"]["name"], "--timeout=20m")
        again = ready_pod(cluster, SPACE, "app.kubernetes.io/component=gateway")
        assert again["metadata"]["uid"] != gateway["metadata"]["uid"]
        assert lifecycle.delivered(name) == []
    assert sorted(lifecycle.all_there(name, lines(20))) == sorted(lines(20))
