"""The chart in a real cluster, and an example's Deployment through its webhook: as docs/how-to/kubernetes.md begins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sklearn.datasets import load_wine
from support.engines import SearchEngine, http_get, wait_for
from support.kubernetes.installation import (
    CHART,
    NAMESPACE,
    RELEASE,
    Installation,
    condition,
    create,
    example,
    metrics,
    predict,
    ready_pod,
    state,
)
from support.kubernetes.node import Node
from support.load import total
from support.search_client import documents

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3600)]

SHOP = "shop"
ROWS = load_wine().data[:40].tolist()


class TestRelease:
    def test_the_setup_job_has_put_its_templates(
        self, cluster: Node, engine: SearchEngine, installed: Installation
    ) -> None:
        for name in ("sidecar-traces-otel", "sidecar-logs-otel"):
            assert cluster.inside(lambda name=name: http_get(f"{engine.url}/_index_template/{name}"))[0] == 200

    def test_the_chart_tests_itself(self, installed: Installation) -> None:
        said = installed.helm("test", RELEASE, "--logs")
        assert "model-sidecar-bundle, model-sidecar" in said

    def test_an_upgrade_keeps_the_certificate(self, cluster: Node, installed: Installation) -> None:
        def certificate() -> str:
            found = cluster.get("secret", f"--namespace={NAMESPACE}", f"{RELEASE}-webhook")
            return str(found["data"]["tls.crt"])

        before = certificate()
        installed.helm("upgrade", RELEASE, str(CHART), "--reuse-values", "--wait")
        assert certificate() == before

    def test_its_pods_have_no_token_and_may_not_write(self, cluster: Node, installed: Installation) -> None:
        pods = cluster.pods(NAMESPACE, "app.kubernetes.io/component=webhook")
        assert len(pods) == 2
        for pod in pods:
            assert pod["spec"]["automountServiceAccountToken"] is False
            assert not [v for v in pod["spec"]["volumes"] if "projected" in v]


@pytest.fixture(scope="module")
def wine(cluster: Node, installed: Installation) -> Iterator[dict[str, Any]]:
    """The pod of the example, once it is Ready."""
    create(cluster, SHOP, *example())
    yield ready_pod(cluster, SHOP, "app=wine")
    cluster.kubectl("delete", "namespace", SHOP, "--wait=false")


class TestExample:
    def test_it_comes_out_injected_and_ready(self, wine: dict[str, Any]) -> None:
        assert wine["metadata"]["labels"]["model-sidecar/injected"] == "true"
        assert [c["name"] for c in wine["spec"]["initContainers"]] == ["model-sidecar-bundle", "model-sidecar"]
        assert condition(wine, "Ready")
        sidecar = state(wine, "model-sidecar")
        assert sidecar["started"]
        assert sidecar["restartCount"] == 0

    def test_the_sidecar_started_before_the_model(self, wine: dict[str, Any]) -> None:
        begun = [state(wine, name)["state"]["running"]["startedAt"] for name in ("model-sidecar", "wine")]
        assert begun[0] <= begun[1]

    def test_predictions_are_metrics_and_documents(
        self, cluster: Node, engine: SearchEngine, wine: dict[str, Any]
    ) -> None:
        cluster.inside(lambda: predict(f"http://{wine['status']['podIP']}:8000", ROWS, 25))

        def counted() -> bool:
            values = metrics(cluster, wine)
            return total(values, "model_predictions_total", 'status="ok"') >= 25 * len(ROWS)

        wait_for(counted, 60, "predictions in /metrics", interval=0.5)
        requests = total(metrics(cluster, wine), "traces_span_metrics_calls_total", 'http_route="/predict"')
        assert requests >= 25
        fields = ["resource.attributes", "name", "body"]
        pod = wine["metadata"]["name"]

        def delivered(index: str) -> list[dict[str, Any]]:
            found = cluster.inside(lambda: documents(engine.url, index, fields))
            return [d for d in found if d["resource"]["attributes"].get("k8s.pod.name") == pod]

        spans = wait_for(lambda: _at_least(delivered("traces-*"), 25), 90, "spans in the engine", interval=1)
        identity = spans[0]["resource"]["attributes"]
        assert identity["service.name"] == "wine"
        assert identity["k8s.namespace.name"] == SHOP
        assert identity["k8s.deployment.name"] == "wine"
        assert identity["k8s.container.name"] == "wine"
        assert identity["k8s.node.name"] == cluster.name
        wait_for(lambda: _at_least(delivered("logs-*"), 25), 90, "log records in the engine", interval=1)

    def test_the_ledger_balances(self, cluster: Node, wine: dict[str, Any]) -> None:
        def balanced() -> bool:
            values = metrics(cluster, wine)
            received = total(values, "sidecar_received_items_total", 'signal="spans"')
            delivered = total(
                values,
                "sidecar_finished_items_total",
                *('consumer="elasticsearch"', 'signal="spans"', 'outcome="delivered"'),
            )
            return 0 < received == delivered

        wait_for(balanced, 60, "all spans delivered", interval=0.5)


def _at_least(found: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return found if len(found) >= count else []


class TestOtherPods:
    def test_a_pod_that_does_not_ask_is_left(self, cluster: Node, installed: Installation) -> None:
        pod = self._made(cluster, "plain", {})
        assert [c["name"] for c in pod["spec"]["containers"]] == ["model"]
        assert "initContainers" not in pod["spec"]

    def test_a_labelled_namespace_has_all_its_pods_injected(self, cluster: Node, installed: Installation) -> None:
        pod = self._made(cluster, "all", {"model-sidecar/inject": "true"})
        assert "model-sidecar" in [c["name"] for c in pod["spec"]["initContainers"]]

    def test_one_that_cannot_be_injected_is_made_with_a_warning(self, cluster: Node, installed: Installation) -> None:
        create(cluster, "host")
        pod = _pod({"model-sidecar/inject": "true"})
        pod["spec"]["hostNetwork"] = True
        arguments = ("create", "--namespace=host", "--filename=-")
        done = cluster.run("kubectl", "--kubeconfig", cluster.kubeconfig, *arguments, text=json.dumps(pod))
        assert done.returncode == 0, done.stderr
        assert "model-sidecar: not injected: the pod uses the host's network" in done.stderr

    def _made(self, cluster: Node, namespace: str, labels: dict[str, str]) -> dict[str, Any]:
        create(cluster, namespace)
        for name, value in labels.items():
            cluster.kubectl("label", "namespace", namespace, f"{name}={value}", "--overwrite")
        create(cluster, namespace, _pod({}))
        return cluster.get("pod", "lonely", f"--namespace={namespace}")


def _pod(annotations: dict[str, str]) -> dict[str, Any]:
    """Need not run: what the API server has made of it is looked at."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lonely", "annotations": annotations},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "model", "image": "localhost/wine:1", "command": ["sleep", "1"]}],
        },
    }
