"""Outcomes through the installed program: what is joined beside a join by brute force, figures beside scikit-learn's,
through kills while predictions and labels come in any order."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.engines import SidecarProcess, sidecar_process, wait_for
from support.load import Samples, figures, samples, scrape, total
from support.outcome_traffic import Request, Traffic, by_labels, check_figures, send

KILLS = 3
OPTIONS = {
    "SIDECAR_DERIVE__OUTCOMES__ENABLED": "true",
    "SIDECAR_DERIVE__CHECKPOINT_INTERVAL": "300ms",
    "SIDECAR_DELIVER__STORE__ENABLED": "false",
}


def send_through_kills(sidecar: SidecarProcess, requests: Sequence[Request], moments: random.Random) -> None:
    """Send all; the sidecar is killed while requests are under way."""
    sent = [0]

    def run() -> None:
        for request in requests:
            send(sidecar, [request])
            sent[0] += 1

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    for kill in range(1, KILLS + 1):
        due = len(requests) * kill // (KILLS + 1)
        wait_for(lambda due=due: sent[0] >= due or not thread.is_alive(), 120, "requests", 0.002)  # type: ignore[misc]
        assert thread.is_alive(), "everything was sent before the kill: the test proved nothing"
        time.sleep(moments.random() * 0.02)
        sidecar.kill9()
        sidecar.start()
    thread.join(240)
    assert sent[0] == len(requests)


@pytest.mark.slow
def test_exact_through_kills_and_as_scikit_learn_has_it(tmp_path: Path) -> None:
    traffic = Traffic()
    traffic.make()
    assert min(traffic.results.values()) >= 10  # Of each kind there is something to be wrong about.
    with sidecar_process(OPTIONS, tmp_path) as sidecar:
        send_through_kills(sidecar, traffic.requests, random.Random(5))
        values = figures(sidecar.serve_url)
        check_join(values, traffic)
        check_figures(values, traffic)

        sidecar.child.env["SIDECAR_DERIVE__OUTCOMES__PREDICTION_TTL"] = "1ms"
        sidecar.restart()
        again = figures(sidecar.serve_url)
        gauges = [series for series in values if series.startswith("model_") and "_total" not in series]
        assert {series: again[series] for series in gauges} == {series: values[series] for series in gauges}
        late = json.dumps({"prediction_id": "one more", "label": "a", "time": time.time_ns() // 1_000_000})
        send(sidecar, [("/v1/labels", "application/x-ndjson", late.encode())])
        wait_for(
            lambda: total(samples(scrape(sidecar.serve_url) or ""), "model_labels_total", 'result="orphan"') == 100,
            60,
            "labels of nobody's to be orphans",
        )


def check_join(values: Samples, traffic: Traffic) -> None:
    expected = {key: n for key, n in traffic.results.items() if key[1] != "orphan"}
    assert by_labels(values, "model_labels_total", "model", "result") == expected
    assert values["model_outcome_waiting_labels"] == traffic.results["", "orphan"]
    kept = Counter((row.model, "kept") for row in traffic.rows)
    assert by_labels(values, "model_outcome_predictions_total", "model", "result") == kept
    pairs = Counter((row.model, row.predicted, row.truth) for row in traffic.of("churn") + traffic.of("digits"))
    assert by_labels(values, "model_outcomes_total", "model", "predicted", "actual") == pairs
