"""Experiments from environment variables alone, by the installed program: exact through kill -9, and a mismatch."""

from __future__ import annotations

import json
import random
import urllib.request
from collections import Counter
from typing import Any

import pytest
from support.engines import SidecarProcess, sidecar_process
from support.experiment_data import Experiments, bought, shown
from support.load import figures
from support.outcome_data import logged

KILLS = 3


def environ(**options: str) -> dict[str, str]:
    return {
        f"SIDECAR_DERIVE__EXPERIMENTS__{name.upper()}": value for name, value in ({"enabled": "true"} | options).items()
    }


def send(sidecar: SidecarProcess, records: list[dict[str, Any]]) -> None:
    """Once; it is acknowledged."""
    request = urllib.request.Request(
        f"{sidecar.otlp_url}/v1/logs", logged(*records), {"Content-Type": "application/x-protobuf"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def of_experiments(sidecar: SidecarProcess) -> dict[str, float]:
    found = figures(sidecar.serve_url)
    return {series: value for series, value in found.items() if series.startswith("ab_test_")}


def story() -> list[list[dict[str, Any]]]:
    """Requests: exposures, conversions, some before their exposure, labels."""
    chosen, requests, ids = random.Random(23), [], 0
    for _ in range(KILLS * 5):
        records: list[dict[str, Any]] = []
        for _ in range(120):
            ids += 1
            variant = chosen.choice("AB")
            records.append(
                shown(variant, f"p-{ids}", predicted_class=chosen.choice(["yes", "no"]), latency_ms=ids % 90)
            )
            if chosen.random() < (0.3 if variant == "B" else 0.1):
                known = ids + 30 if chosen.random() < 0.2 else chosen.randrange(max(1, ids - 200), ids + 1)
                records.append(bought(f"p-{known}", revenue=chosen.random() * 100))
            if chosen.random() < 0.5:
                records.append({"event": "ml.label", "id": f"p-{chosen.randrange(1, ids + 1)}", "label": "yes"})
        requests.append(records)
    return requests


@pytest.mark.slow
def test_exact_through_kill_9() -> None:
    """The same as a deriver in one piece: every counter, interval and p-value."""
    requests = story()
    expected = Experiments()
    chosen = random.Random(5)
    with sidecar_process(environ()) as sidecar:
        for number, records in enumerate(requests):
            send(sidecar, records)
            expected.log(*records)
            if number % 5 == 3:
                if chosen.random() < 0.5:
                    of_experiments(sidecar)  # What was not committed is read again, shown or not.
                sidecar.kill9()
                sidecar.start()
        found = of_experiments(sidecar)
    wanted = {key: value for key, value in expected.shown("ab_test_").items() if "_created" not in key}
    assert {key: found.get(key) for key in wanted} == wanted
    names = {key.partition("{")[0] for key in wanted}
    assert {"ab_test_p_value", "ab_test_lift_lower", "ab_test_value_mean", "ab_test_latency_seconds_bucket"} <= names
    counted = Counter(record["variant"] for records in requests for record in records if "variant" in record)
    assert {
        variant: found[f'ab_test_exposures_total{{experiment="ranking",variant="{variant}"}}'] for variant in "AB"
    } == (counted)


def test_a_mismatch_and_a_difference_are_shown() -> None:
    designs = {"ranking": {"control": "B", "shares": {"A": 1, "B": 1}}}
    with sidecar_process(environ(designs=json.dumps(designs), conversion_events='["purchase"]')) as sidecar:
        for start in range(0, 2_000, 500):
            numbers = range(start, start + 500)
            send(sidecar, [shown("A" if n % 4 else "B", f"p-{n}") for n in numbers])
            send(sidecar, [{"event": "purchase", "prediction_id": f"p-{n}"} for n in numbers if n % 8 in (0, 1, 2, 3)])
        found = of_experiments(sidecar)
    assert found['ab_test_share{experiment="ranking",variant="A"}'] == 0.75
    assert found['ab_test_sample_ratio_p_value{experiment="ranking"}'] < 1e-50
    labels = '{experiment="ranking",variant="A",control="B",outcome="conversion"}'
    assert found[f"ab_test_difference{labels}"] == 0
    assert found[f"ab_test_p_value{labels}"] == 1
