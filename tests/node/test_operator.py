"""Monitors and rules of the chart, taken by the real Prometheus Operator, and what its Prometheus makes of them."""

from __future__ import annotations

import json

import pytest
import yaml
from support import monitoring_source as source
from support.engines import wait_for
from support.kubernetes.installation import NAMESPACE, Installation, create, example, ready_pod, tell
from support.kubernetes.node import Node
from support.kubernetes.prometheus import Prometheus

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3600)]

SPACE = "watched"


@pytest.fixture(scope="module")
def wine(cluster: Node, installed: Installation) -> str:
    """Name of the example's pod, whose sidecar keeps documents that the engine refuses as they are."""
    deliver = {"deliver": {"elasticsearch": {"on_conflict": "dead_letter"}}}
    configuration = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "conflicts"},
        "data": {"sidecar.yaml": yaml.safe_dump(deliver)},
    }
    create(cluster, SPACE, configuration, *example(**{"model-sidecar/config": "conflicts"}))
    return str(ready_pod(cluster, SPACE, "app=wine")["metadata"]["name"])


def test_it_has_all_rules(prometheus: Prometheus) -> None:
    wanted = {alert.name for alert in source.alerts()}

    def loaded() -> bool:
        groups = prometheus.api("rules?type=alert").get("groups", ())
        return {rule["name"] for group in groups for rule in group["rules"]} == wanted

    wait_for(loaded, 120, "the rules", interval=1)
    groups = prometheus.api("rules")["groups"]
    assert [r["lastError"] for g in groups for r in g["rules"] if r.get("lastError")] == []


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


def test_an_alert_fires(cluster: Node, prometheus: Prometheus, wine: str) -> None:
    """A field that is a number first and a text then is refused by the engine: a dead letter, and its alert."""
    for value in (1, "not a number"):
        tell(cluster, SPACE, wine, json.dumps({"message": "conflict", "conflicting_field_of_a_test": value}))
        # The first has to be indexed for the second to be refused.
        counted = f'sidecar_finished_items_total{{pod="{wine}",consumer="elasticsearch",signal="logs"}} > 0'
        wait_for(lambda counted=counted: prometheus.query(counted), 120, "the delivery", interval=1)

    def firing() -> bool:
        alerts = prometheus.api("alerts").get("alerts", ())
        return any(
            a["labels"]["alertname"] == "DeadLetters" and a["labels"]["pod"] == wine and a["state"] == "firing"
            for a in alerts
        )

    wait_for(firing, 180, "the alert DeadLetters", interval=1)
