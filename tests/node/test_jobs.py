"""The CronJobs of the chart, each run once: the report beside the Operator's Prometheus, onto a volume; the join of
labels beside the engine, pushed to that Prometheus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.datasets import load_wine
from support.engines import SearchEngine, wait_for
from support.kubernetes.installation import (
    NAMESPACE,
    RELEASE,
    REPORTED,
    REPORTS,
    Installation,
    create,
    example,
    predict,
    ready_pod,
    tell,
)
from support.kubernetes.node import Node
from support.kubernetes.prometheus import Prometheus
from support.kubernetes.volumes import volume
from support.search_client import documents

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(3600)]

SPACE = "jobs"
DATA = load_wine().data.tolist()
ROWS, RIGHT = 40, 30


@pytest.fixture(scope="module")
def wine(cluster: Node, installed: Installation) -> dict[str, Any]:
    create(cluster, SPACE, *example(**{"model-sidecar/model": REPORTED}))
    return ready_pod(cluster, SPACE, "app=wine")


@pytest.fixture(scope="module")
def reports(cluster: Node, installed: Installation) -> Path:
    """The folder of the volume."""
    folder, made = volume(cluster, REPORTS)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": REPORTS, "namespace": NAMESPACE},
        "spec": {
            "storageClassName": REPORTS,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    cluster.apply(yaml.safe_dump_all([made, claim]))
    return folder


def run(cluster: Node, component: str) -> str:
    """One run of a CronJob, as `kubectl create job --from` starts it; what it has said."""
    here = f"--namespace={NAMESPACE}"
    cluster.kubectl("create", "job", here, component, f"--from=cronjob/{RELEASE}-{component}")

    def state() -> dict[str, Any]:
        found = cluster.get("job", here, component)["status"]
        return found if found.get("succeeded") or found.get("failed") else {}

    ended = wait_for(state, 180, f"the end of the job {component}", interval=0.5)
    said = cluster.kubectl("logs", here, f"job/{component}", "--all-containers")
    assert ended.get("succeeded") == 1, said
    return said


def test_the_report_is_on_the_volume(
    cluster: Node, prometheus: Prometheus, wine: dict[str, Any], reports: Path
) -> None:
    cluster.inside(lambda: predict(f"http://{wine['status']['podIP']}:8000", DATA, 5))
    predicted = f'model_predictions_total{{namespace="{SPACE}",model="{REPORTED}"}}'
    wait_for(lambda: sum(prometheus.values(predicted)) == 5 * len(DATA), 120, "the predictions", interval=1)
    run(cluster, "report")
    (page,) = reports.glob("report-*.html")
    text = page.read_text("utf-8")
    assert REPORTED in text
    assert f"{5 * len(DATA)}" in text.replace(",", "")


def test_labels_are_joined_in_the_engine_and_rules_go_on_with_what_was_pushed(
    cluster: Node, engine: SearchEngine, prometheus: Prometheus, wine: dict[str, Any]
) -> None:
    name, lines = wine["metadata"]["name"], []
    for number in range(ROWS):
        known = {"prediction_id": f"job-{number}"}
        said = {"message": "scored", "model": "churn", "model_version": "7", "predicted_class": "stays"}
        lines.append(json.dumps({**said, **known}))
        lines.append(json.dumps({"event": "ml.label", **known, "label": "stays" if number < RIGHT else "leaves"}))
    tell(cluster, SPACE, name, *lines)

    def delivered() -> bool:
        """And visible to the job's search."""
        found = cluster.inside(lambda: documents(engine.url, "logs-*", ["attributes.prediction_id"]))
        return sum("prediction_id" in document.get("attributes", {}) for document in found) == 2 * ROWS

    wait_for(delivered, 120, "the delivery", interval=1)
    assert f"churn 7, 24h: {ROWS} rows, accuracy 0.75" in run(cluster, "outcomes")
    (day,) = [
        found
        for found in cluster.inside(lambda: documents(engine.url, "sidecar-outcomes", ["*"]))
        if found["model"] == "churn" and found["window"] == "24h"
    ]
    assert day["metrics"]["model_outcome_samples"] == ROWS
    pushed = 'last_over_time(model_accuracy{job="model-sidecar-outcomes",model="churn",window="24h"}[2h])'
    assert prometheus.values(pushed) == [RIGHT / ROWS]
    recorded = 'model:accuracy:ratio_latest{model="churn",version="7"}'
    wait_for(lambda: prometheus.values(recorded) == [RIGHT / ROWS], 120, "the rule of accuracy", interval=1)
    pending = 'ALERTS{alertname="AccuracyLow",model="churn"}'
    wait_for(lambda: prometheus.query(pending), 120, "the alert, which waits for its five minutes", interval=1)
