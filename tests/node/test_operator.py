"""Monitors of the chart, taken by the real Prometheus Operator, and what its Prometheus scrapes by them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support.engines import http_get, wait_for
from support.kubernetes.installation import NAMESPACE, Installation, create, example, ready_pod
from support.kubernetes.node import Node

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3600)]

SPACE = "watched"


class Prometheus:
    """The one that the Operator has made, asked by its API."""

    def __init__(self, node: Node, address: str) -> None:
        self._node, self._address = node, address

    def api(self, path: str) -> Any:
        status, body = self._node.inside(lambda: http_get(f"{self._address}/api/v1/{path}"))
        return json.loads(body)["data"] if status == 200 else {}

    def query(self, expression: str) -> list[dict[str, str]]:
        """Labels of what an expression gives now."""
        return [dict(r["metric"]) for r in self.api(f"query?query={quote(expression)}").get("result", ())]


@pytest.fixture(scope="module")
def prometheus(cluster: Node, installed: Installation) -> Prometheus:
    create(cluster, "monitoring")
    cluster.apply(Path(__file__).with_name("operator.yaml").read_text("utf-8"))
    pod = ready_pod(cluster, "monitoring", "app.kubernetes.io/name=prometheus", 300)
    return Prometheus(cluster, f"http://{pod['status']['podIP']}:9090")


@pytest.fixture(scope="module")
def wine(cluster: Node, installed: Installation) -> str:
    """Name of the example's pod."""
    create(cluster, SPACE, *example())
    return str(ready_pod(cluster, SPACE, "app=wine")["metadata"]["name"])


def test_it_scrapes_injected_pods_and_the_webhook(prometheus: Prometheus, wine: str) -> None:
    series = wait_for(
        lambda: prometheus.query(f'up{{job="model-sidecar",namespace="{SPACE}",pod="{wine}"}} == 1'), 120, "the scrape"
    )
    assert len(series) == 1
    assert series[0]["container"] == "model-sidecar"
    wait_for(
        lambda: len(prometheus.query(f'up{{job="model-sidecar-webhook",namespace="{NAMESPACE}"}} == 1')) == 2,
        120,
        "the scrape of the webhook over TLS",
    )
