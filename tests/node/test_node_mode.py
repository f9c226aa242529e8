"""Node mode of the chart: one process for the pods of a node, and look-ups of what it delivered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from support.engines import SearchEngine, http_get, wait_for
from support.kubernetes.images import SIDECAR, WINE
from support.kubernetes.installation import CHART, DELIVERY, Installation, create, metrics, ready_pod
from support.kubernetes.node import Node
from support.load import total
from support.search_client import documents

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3600)]

SPACE, RELEASE, PODS = "node-mode", "node", "unchanged"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
LINES = 20
TALKER = """
import json, os, sys, time, urllib.request
for number in range(int(sys.argv[1])):
    print(json.dumps({"level": "warning", "message": f"said {number}"}), flush=True)
now = time.time_ns()
span = {"traceId": sys.argv[2], "spanId": "00f067aa0ba902b7", "name": "GET /talk", "kind": 2,
        "startTimeUnixNano": str(now - 10**7), "endTimeUnixNano": str(now)}
name = {"key": "service.name", "value": {"stringValue": "talker"}}
body = {"resourceSpans": [{"resource": {"attributes": [name]}, "scopeSpans": [{"spans": [span]}]}]}
address = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces"
request = urllib.request.Request(address, json.dumps(body).encode(), {"content-type": "application/json"})
print("answer", urllib.request.urlopen(request, timeout=60).status, flush=True)
time.sleep(10**6)
"""


@pytest.fixture(scope="module")
def daemon(cluster: Node, engine: SearchEngine, installed: Installation) -> Iterator[dict[str, Any]]:
    """The DaemonSet's pod on the node that is real."""
    hosts = [
        {"name": f"{DELIVERY}HOSTS", "value": engine.url},
        {"name": f"{DELIVERY}BATCH_TIMEOUT", "value": "100ms"},
    ]
    values = {
        "mode": "node",
        "image": {"repository": SIDECAR.rpartition(":")[0]},
        "node": {"logs": True, "env": hosts, "nodeSelector": {"kubernetes.io/hostname": cluster.name}},
        "lookup": {"enabled": True, "url": engine.url, "replicas": 1},
    }
    path = cluster.home / "node-mode.yaml"
    path.write_text(yaml.safe_dump(values))
    installed.helm("install", RELEASE, str(CHART), "--create-namespace", f"--values={path}", "--wait", namespace=SPACE)
    yield ready_pod(cluster, SPACE, "app.kubernetes.io/component=node")
    installed.helm("uninstall", RELEASE, "--wait", namespace=SPACE)


@pytest.fixture(scope="module")
def talker(cluster: Node, daemon: dict[str, Any]) -> Iterator[str]:
    """Name of a pod that knows the address of the node's sidecar, and nothing else of it."""
    address = f"http://{RELEASE}-model-sidecar-node.{SPACE}.svc:4318"
    container = {
        "name": "talker",
        "image": WINE,
        "command": ["python", "-c", TALKER, str(LINES), TRACE],
        "env": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": address}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "talker", "labels": {"app": "talker"}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        },
    }
    create(cluster, PODS, pod)
    made = ready_pod(cluster, PODS, "app=talker")
    assert "initContainers" not in made["spec"]
    yield made["metadata"]["name"]
    cluster.kubectl("delete", "namespace", PODS, "--wait=false")


def test_logs_of_a_pod_have_its_identity(cluster: Node, engine: SearchEngine, talker: str) -> None:
    def said() -> list[dict[str, Any]]:
        found = cluster.inside(
            lambda: documents(engine.url, "logs-*", ["resource.attributes", "body", "severity_text"])
        )
        of_pod = [d for d in found if d["resource"]["attributes"].get("k8s.pod.name") == talker]
        return [d for d in of_pod if d["body"]["text"].startswith("said ")]

    found = wait_for(lambda: made if len(made := said()) >= LINES else [], 180, "the pod's lines", interval=1)
    assert sorted(d["body"]["text"] for d in found) == sorted(f"said {number}" for number in range(LINES))
    identity = found[0]["resource"]["attributes"]
    assert identity["k8s.namespace.name"] == PODS
    assert identity["k8s.container.name"] == "talker"
    assert {d["severity_text"] for d in found} == {"WARN"}


def test_spans_reach_it_by_one_name_and_are_metrics(cluster: Node, daemon: dict[str, Any], talker: str) -> None:
    counted = lambda: total(metrics(cluster, daemon), "traces_span_metrics_calls_total", 'service_name="talker"')  # noqa: E731
    assert wait_for(counted, 180, "the span in the metrics", interval=1) == 1


def test_a_look_up_finds_the_trace(cluster: Node, engine: SearchEngine, talker: str) -> None:
    pod = ready_pod(cluster, SPACE, "app.kubernetes.io/component=lookup")

    def found() -> list[dict[str, Any]]:
        status, body = cluster.inside(lambda: http_get(f"http://{pod['status']['podIP']}:9464/api/traces/{TRACE}"))
        return list(json.loads(body)["data"]) if status == 200 else []

    (trace,) = wait_for(found, 180, "the trace", interval=1)
    assert [span["operationName"] for span in trace["spans"]] == ["GET /talk"]
