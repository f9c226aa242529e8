"""Great Expectations suites as rules of a sidecar that only environment variables set up: exact through kill -9, and
suites that change while it runs."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.drift_data import event_request
from support.engines import SidecarProcess, sidecar_process, wait_for
from support.load import figures, status, total
from support.page_data import post
from support.quality_data import suite

KILLS = 3
BETWEEN = "expect_column_values_to_be_between"
IN = "expect_column_values_to_be_in_set"
SUM = "expect_column_sum_to_be_between"
ROWS = "expect_table_row_count_to_be_between"
DISTINCT = "expect_column_unique_value_count_to_be_between"
MEDIAN = "expect_column_median_to_be_between"


def environ(path: Path) -> dict[str, str]:
    return {"SIDECAR_DERIVE__DRIFT__SUITES": str(path), "SIDECAR_DERIVE__DRIFT__CHECK_INTERVAL": "1s"}


def send(sidecar: SidecarProcess, columns: Mapping[str, Any]) -> None:
    post(sidecar, "/v1/logs", event_request(columns))


def observed(values: Mapping[str, float], expectation: str) -> float:
    return total(values, "data_quality_expectation_observed_value", f'expectation="{expectation}"')


def failures(values: Mapping[str, float], rule: str) -> float:
    return total(values, "data_quality_failures_total", f'rule="{rule}"')


@pytest.mark.slow
def test_exact_through_kill_9(tmp_path: Path) -> None:
    file = tmp_path / "suite.json"
    entries: list[tuple[str, dict[str, Any]]] = [
        (BETWEEN, {"column": "age", "min_value": 0, "max_value": 120}),
        (IN, {"column": "plan", "value_set": ["a", "b"], "mostly": 0.01}),
        (SUM, {"column": "visits", "max_value": 0}),
        (DISTINCT, {"column": "visits", "max_value": 1000}),
        (MEDIAN, {"column": "visits", "min_value": 0}),
        (ROWS, {"min_value": 1}),
    ]
    file.write_text(suite(entries))
    moments = random.Random(3)
    ages: list[float] = []
    plans: list[str] = []
    visits: list[int] = []
    with sidecar_process(environ(file)) as sidecar:
        for _ in range(KILLS):
            for _ in range(12):
                rows = moments.randrange(1, 60)
                more = [moments.gauss(60, 40) for _ in range(rows)], moments.choices("abc", k=rows)
                whole = [moments.randrange(90) for _ in range(rows)]
                send(sidecar, {"age": more[0], "plan": more[1], "visits": whole})
                ages, plans, visits = ages + more[0], plans + more[1], visits + whole
            time.sleep(moments.choice([0.0, 0.5, 2.5]))
            sidecar.kill9()
            sidecar.start()
        time.sleep(1.1)  # So that the next row comes after a check's time, and the check is of all before it.
        send(sidecar, {"age": [5.0], "plan": ["a"], "visits": [0]})
        values = figures(sidecar.serve_url)
        said = status(sidecar.serve_url)["derive"]["suites"]
    assert failures(values, BETWEEN) == sum(not 0 <= age <= 120 for age in ages)
    share = total(values, "data_quality_expectation_unexpected_ratio", f'expectation="{IN}"')
    assert share == plans.count("c") / len(plans)
    assert observed(values, ROWS) == len(ages)
    assert observed(values, SUM) == sum(visits)
    assert observed(values, DISTINCT) == len(set(visits))
    assert observed(values, MEDIAN) == statistics.median(visits)
    met = {name: total(values, "data_quality_expectation_met", f'expectation="{name}"') for name, _ in entries}
    assert met == {BETWEEN: 0, IN: 1, SUM: 0, DISTINCT: 1, MEDIAN: 1, ROWS: 1}
    (model,) = said["models"]
    assert model["expectations"] == {"met": 4, "unmet": 2, "undecided": 0, "left_out": 0}
    assert model["unmet"] == [{"feature": "age", "expectation": BETWEEN}, {"feature": "visits", "expectation": SUM}]


def test_suites_that_are_wrong_are_named_and_stop_nothing(tmp_path: Path) -> None:
    file = tmp_path / "suite.json"
    good = suite([(BETWEEN, {"column": "age", "max_value": 120}), ("expect_x", {"column": "age"})], "ages")
    file.write_text(good[:60])
    with sidecar_process(environ(file)) as sidecar:

        def shown(name: str, *labels: str) -> float:
            return total(figures(sidecar.serve_url), name, *labels)

        def replaced(content: str) -> None:
            """As a mounted file is: by another one in its place."""
            (tmp_path / "new").write_text(content)
            os.replace(tmp_path / "new", file)
            os.kill(sidecar.pid, signal.SIGHUP)

        send(sidecar, {"age": [500.0]})
        assert shown("sidecar_suites", 'state="invalid"') == 1
        (fault,) = status(sidecar.serve_url)["derive"]["suites"]["invalid"]
        assert fault["file"] == str(file)
        assert "cut off" in fault["error"]
        assert shown("model_predictions_total") == 1
        assert failures(figures(sidecar.serve_url), BETWEEN) == 0

        replaced(good)
        wait_for(lambda: shown("sidecar_suites", 'state="loaded"') == 1, 30, "the suite to be read")
        assert shown("sidecar_expectations", 'expectation="expect_x"', 'state="not_evaluated"') == 1
        send(sidecar, {"age": [500.0, 5.0, 600.0]})
        assert failures(figures(sidecar.serve_url), BETWEEN) == 2

        many = [(BETWEEN, {"column": f"c{n}", "max_value": n}) for n in range(10_000)]
        replaced(suite([(BETWEEN, {"column": "age", "max_value": 120}), *many], "many"))
        wait_for(lambda: shown("sidecar_expectations", 'suite="many"', 'state="evaluated"') == 2000, 60, "the suite")
        assert shown("sidecar_expectations", 'suite="many"', 'state="not_evaluated"') == 8001
        send(sidecar, {"age": [500.0]})
        assert failures(figures(sidecar.serve_url), BETWEEN) == 3

        replaced("[]")
        wait_for(lambda: shown("sidecar_suites", 'state="invalid"') == 1, 30, "the fault to be noticed")
        send(sidecar, {"age": [500.0]})  # The former suite stays in force.
        assert failures(figures(sidecar.serve_url), BETWEEN) == 4
        assert shown("model_predictions_total") == 6
