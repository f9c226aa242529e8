"""Drift beside a mounted reference, from environment variables: exact through kill -9, and a reference that changes."""

from __future__ import annotations

import os
import random
import re
import signal
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from support.drift_data import event_request, reference
from support.engines import SidecarProcess, sidecar_process, wait_for
from support.load import figures, total

KILLS = 3
RNG = np.random.default_rng(12)


def send(sidecar: SidecarProcess, payload: bytes) -> None:
    """Until it is acknowledged, in spite of kills."""
    request = urllib.request.Request(
        f"{sidecar.otlp_url}/v1/logs", payload, {"Content-Type": "application/x-protobuf"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def environ(path: Path, **options: str) -> dict[str, str]:
    given = {"reference": str(path), "window": "1d", "check_interval": "1s", "warm_up": "0", **options}
    return {f"SIDECAR_DERIVE__DRIFT__{name.upper()}": value for name, value in given.items()}


def bins(values: dict[str, float], feature: str) -> dict[str, int]:
    found = {}
    for series, value in values.items():
        if series.startswith("model_feature_observations_total{") and f'feature="{feature}"' in series:
            found[re.findall(r'bin="([^"]*)"', series)[0]] = int(value)
    return found


@pytest.mark.slow
def test_exact_through_kill_9(tmp_path: Path) -> None:
    """A model with a reference, and one that learns its own."""
    file = tmp_path / "reference.json"
    made = reference({"age": RNG.normal(40, 10, 5000), "plan": RNG.choice(["a", "b"], 5000).tolist()}, "churn")
    file.write_text(made.dump())
    moments, sent = random.Random(3), 0
    with sidecar_process(environ(file, learn="300")) as sidecar:
        for _ in range(KILLS):
            for _ in range(12):
                rows = moments.randrange(1, 60)
                columns = {"age": RNG.normal(40, 10, rows).tolist(), "plan": RNG.choice(["a", "b"], rows).tolist()}
                for model in ("churn", "fraud"):
                    send(sidecar, event_request(columns, model))
                sent += rows
            time.sleep(moments.choice([0.0, 0.5, 2.5]))
            sidecar.kill9()
            sidecar.start()
        values = figures(sidecar.serve_url)
    churn, fraud = (
        {series: value for series, value in values.items() if f'model="{name}"' in series}
        for name in ("churn", "fraud")
    )
    assert set(re.findall(r'reference="([^"]*)"', "".join(churn))) == {made.digest()}
    assert sum(bins(churn, "plan").values()) == sent
    of_age = bins(churn, "age")
    assert sum(of_age.values()) == sent + of_age["below"] + of_age["above"]
    assert {label[:8] for label in re.findall(r'reference="([^"]*)"', "".join(fraud))} == {"learned-"}
    assert total(fraud, "model_feature_reference_rows", 'feature="age"') == 300
    # The payload that completes the rows of the reference counts as a whole for it.
    assert sent - 300 - 60 < sum(bins(fraud, "plan").values()) <= sent - 300


@pytest.mark.slow
def test_windows_that_are_added_up_are_exact_through_kill_9(tmp_path: Path) -> None:
    """A change of half a deviation in windows of two seconds, of which no single one is certain."""
    file = tmp_path / "reference.json"
    file.write_text(reference({"age": RNG.normal(40, 10, 5000)}, "churn").dump())
    options = environ(file, window="2s", sub_windows="2")
    with sidecar_process(options) as sidecar:

        def slow() -> dict[str, float]:
            return {s: v for s, v in figures(sidecar.serve_url).items() if s.startswith("data_drift_slow_")}

        def found_in_windows() -> float:
            send(sidecar, event_request({"age": RNG.normal(45, 10, 25).tolist()}))
            time.sleep(0.4)
            found = slow()
            detected = total(found, "data_drift_slow_detected", 'feature="age"')
            return total(found, "data_drift_slow_windows", 'feature="age"') if detected else 0

        for windows in (2, 4, 6):
            wait_for(lambda windows=windows: found_in_windows() >= windows, 60, f"a change in {windows} windows")
            before = slow()
            for _ in range(2):
                sidecar.kill9()
                sidecar.start()
                wait_for(slow, 30, "the state of before")
                assert slow() == before


def test_the_moved_feature_is_detected_and_a_new_reference_begins_at_0(tmp_path: Path) -> None:
    file = tmp_path / "reference.json"
    columns = {"age": RNG.normal(40, 10, 5000), "income": RNG.lognormal(10, 1, 5000)}
    file.write_text(reference(columns, "churn", "7").dump())

    def rows(shift: float) -> bytes:
        return event_request(
            {"age": RNG.normal(40 + shift, 10, 400).tolist(), "income": RNG.lognormal(10, 1, 400).tolist()}
        )

    with sidecar_process(environ(file)) as sidecar:

        def detected() -> dict[str, float]:
            values = figures(sidecar.serve_url)
            return {
                name: total(values, "data_drift_detected", f'feature="{name}"')
                for name in columns
                if any(f'feature="{name}"' in series and "data_drift_samples" in series for series in values)
            }

        def after_a_check(shift: float) -> dict[str, float]:
            send(sidecar, rows(shift))
            time.sleep(1.1)
            send(sidecar, rows(shift))
            return detected()

        wait_for(lambda: len(after_a_check(0)) == 2, 30, "a check")
        assert detected() == {"age": 0, "income": 0}
        wait_for(lambda: after_a_check(8) == {"age": 1, "income": 0}, 30, "the moved feature to be detected")

        file.write_text(reference({"age": RNG.normal(48, 10, 5000)}, "churn", "7").dump())
        os.kill(sidecar.pid, signal.SIGHUP)
        wait_for(lambda: not bins(figures(sidecar.serve_url), "age"), 20, "the counters of before to go")
        wait_for(lambda: after_a_check(8) == {"age": 0}, 30, "a check with the new reference")

        file.write_text("{")
        os.kill(sidecar.pid, signal.SIGHUP)
        wait_for(
            lambda: total(figures(sidecar.serve_url), "sidecar_references", 'state="invalid"') == 1, 20, "the fault"
        )
        assert bins(figures(sidecar.serve_url), "age")
