"""`sidecar outcomes` on real engines: what sidecars have delivered, joined by the installed program, beside the join in
the pod, a join by brute force and scikit-learn."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.engines import sidecar_command, sidecar_process, wait_for
from support.load import Samples, figures, samples, waiting
from support.outcome_traffic import Traffic, by_labels, check_figures, send
from support.search_client import ask, documents

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@dataclass
class Delivered:
    """What a sidecar has delivered to an engine, and what it says of it itself."""

    url: str
    traffic: Traffic
    live: Samples
    at: int
    """Unix seconds."""
    folder: Path

    @property
    def name(self) -> str:
        return "joined"

    def join(self, *arguments: str | Path, code: int = 0, **env: str) -> tuple[Samples, str]:
        """(metrics of a run, what it printed)."""
        text = self.folder / "outcomes.prom"
        given = {
            "PATH": "/usr/bin:/bin",
            "SIDECAR_OUTCOMES__ELASTICSEARCH__LOGS": f"{self.name}-logs-*",
            "SIDECAR_OUTCOMES__ELASTICSEARCH__INDEX": f"{self.name}-figures",
            **env,
        }
        command = [sidecar_command(), "outcomes", "--elasticsearch", self.url, "--at", str(self.at)]
        done = subprocess.run(
            [*map(str, command), "--textfile", str(text), *map(str, arguments)],
            env=given,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return samples(text.read_text("utf-8")) if text.exists() else {}, done.stdout + done.stderr

    def stored(self) -> list[dict[str, Any]]:
        """The documents of figures."""
        return documents(self.url, f"{self.name}-figures", ["*"])


@pytest.fixture(scope="module", params=["opensearch_url", "elasticsearch_url"])
def delivered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    url = request.getfixturevalue(request.param)
    traffic = Traffic(rng=random.Random(31))
    traffic.make()
    environ = {
        "SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": url,
        "SIDECAR_DELIVER__ELASTICSEARCH__INDEX": "joined-{type}-%Y",
        "SIDECAR_DELIVER__STORE__ENABLED": "false",
        "SIDECAR_DERIVE__OUTCOMES__ENABLED": "true",
    }
    with sidecar_process(environ) as running:
        send(running, traffic.requests)
        wait_for(lambda: not waiting(running.serve_url), 120, "everything to be delivered")
        live = figures(running.serve_url)
    ask(f"{url}/_refresh")
    return Delivered(url, traffic, live, int(time.time()), tmp_path_factory.mktemp("join"))


def gauges(values: Samples) -> dict[str, float]:
    """The figures, which a join in the pod has by the same names."""
    beginnings = ("model_", "model_outcome_samples")
    left_out = ("model_outcome_open", "model_outcome_waiting", "model_last", "model_loaded", "model_batch")
    return {
        series: value
        for series, value in values.items()
        if series.startswith(beginnings) and 'window="' in series and not series.startswith(left_out)
    }


def test_figures_are_those_of_the_pod_and_of_scikit_learn_in_every_run(delivered: Delivered) -> None:
    values, printed = delivered.join()
    assert gauges(values) == pytest.approx(gauges(delivered.live), rel=1e-12)
    assert len(gauges(values)) > 100
    check_figures(values, delivered.traffic)
    results = by_labels(values, "model_outcome_join_labels", "model", "result")
    assert results == delivered.traffic.results
    rows = Counter((row.model, "read") for row in delivered.traffic.rows)
    found = by_labels(values, "model_outcome_join_predictions", "model", "result")
    assert {key: n for key, n in found.items() if key[1] == "read"} == rows
    assert "100 orphan" in printed
    before = delivered.stored()
    again, _ = delivered.join()
    assert again == values
    assert sorted(delivered.stored(), key=str) == sorted(before, key=str)
    assert len(before) == 9  # Three models by three windows.
    check_documents(delivered, before)


def check_documents(delivered: Delivered, stored: list[dict[str, Any]]) -> None:
    rows = delivered.traffic.of("churn")
    churn = next(d for d in stored if d["model"] == "churn" and d["window"] == "24h")
    assert churn["metrics"]["model_outcome_samples"] == len(rows)
    pairs = Counter((row.predicted, row.truth) for row in rows)
    assert {(c["predicted"], c["actual"]): c["rows"] for c in churn["confusion"]} == pairs
    wanted = [{"term": {"model": "churn"}}, {"range": {"metrics.model_accuracy": {"gt": 0}}}]
    hits = ask(f"{delivered.url}/{delivered.name}-figures/_search", {"query": {"bool": {"filter": wanted}}})
    assert hits["hits"]["total"]["value"] == 3


def test_labels_of_a_file_that_come_later(delivered: Delivered, tmp_path: Path) -> None:
    """In the engine are predictions only, as it were: the labels of the file are the ones that count."""
    rows = [row for row in delivered.traffic.rows if row.model == "churn"]
    truth = {row.id: random.Random(row.id).choice(["stays", "leaves"]) for row in rows[::2]}
    lines = [f"{id_},{name},churn" for id_, name in truth.items()]
    lines += [f"{next(iter(truth))},other,churn", "nobody,stays,churn", "broken", lines[5]]
    file = tmp_path / "labels.csv"
    file.write_text("order,outcome,model\n" + "\n".join(lines) + "\n")
    arguments = ["--labels", file, "--id-field", "order", "--truth-field", "outcome"]
    values, printed = delivered.join(*arguments, code=1, SIDECAR_OUTCOMES__ELASTICSEARCH__DOCUMENTS="false")
    results = by_labels(values, "model_outcome_join_labels", "model", "result")
    assert results == {("churn", "joined"): len(truth), ("churn", "duplicate"): 2, ("churn", "orphan"): 1}
    right = sum(truth[row.id] == row.predicted for row in rows if row.id in truth) / len(truth)
    day = {key: value for key, value in gauges(values).items() if 'window="24h"' in key}
    (accuracy,) = (value for key, value in day.items() if key.startswith("model_accuracy{"))
    assert accuracy == pytest.approx(right)
    assert "1 columns, the header has 3" in printed
    assert "documents in joined" not in printed


def test_no_index_is_no_figure(delivered: Delivered) -> None:
    values, printed = delivered.join(SIDECAR_OUTCOMES__ELASTICSEARCH__LOGS="none-*")
    assert "no index matches none-*" in printed
    assert gauges(values) == {}
