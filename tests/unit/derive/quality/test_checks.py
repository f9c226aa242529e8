"""Expectations of live values: counters and gauges, windows, suites that change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.quality_data import Held, suite

from sidecar.telemetry import Telemetry

BETWEEN = "expect_column_values_to_be_between"
NOT_NULL = "expect_column_values_to_not_be_null"
IN = "expect_column_values_to_be_in_set"
REGEX = "expect_column_values_to_match_regex"
MEAN = "expect_column_mean_to_be_between"
UNIQUE = "expect_column_values_to_be_unique"
EXISTS = "expect_column_to_exist"
ROWS = "expect_table_row_count_to_be_between"


def held(folder: Path, *expectations: tuple[str, dict[str, Any]], **options: Any) -> Held:
    (folder / "suite.json").write_text(suite(expectations))
    return Held(folder / "suite.json", **options)


def failures(found: Held) -> dict[tuple[str, ...], float]:
    return found.of("data_quality_failures_total", "feature", "rule")


def met(found: Held) -> dict[tuple[str, ...], float]:
    return found.of("data_quality_expectation_met", "feature", "expectation")


def test_each_unexpected_value_is_counted_at_once(tmp_path: Path) -> None:
    found = held(
        tmp_path, (BETWEEN, {"column": "age", "min_value": 0, "max_value": 120}), (NOT_NULL, {"column": "age"})
    )
    found.feed(0, {"age": [1.0, None, 130.0, -1.0, "x"]})
    assert failures(found) == {("age", BETWEEN): 3, ("age", NOT_NULL): 1}
    assert met(found) == {}  # No check yet.
    found.feed(1, {"age": [2.0]})
    assert failures(found) == {("age", BETWEEN): 3, ("age", NOT_NULL): 1}
    assert met(found) == {("age", BETWEEN): 0, ("age", NOT_NULL): 0}
    ratios = found.of("data_quality_expectation_unexpected_ratio", "expectation")
    assert ratios == {(BETWEEN,): 0.75, (NOT_NULL,): 0.2}


def test_with_mostly_a_check_that_is_not_met_is_counted(tmp_path: Path) -> None:
    found = held(tmp_path, (BETWEEN, {"column": "age", "min_value": 0, "mostly": 0.9}))
    found.feed(0, {"age": [*range(9), -1]})
    found.feed(1, {"age": [-1.0]})
    assert failures(found) == {}
    assert met(found) == {("age", BETWEEN): 1}
    found.feed(2, {"age": [-1.0]})
    assert failures(found) == {("age", BETWEEN): 1}
    assert met(found) == {("age", BETWEEN): 0}


def test_the_window_forgets(tmp_path: Path) -> None:
    found = held(tmp_path, (MEAN, {"column": "age", "max_value": 10}), window=7200, sub_windows=2)
    found.feed(0, {"age": [100.0]})
    found.feed(1, {"age": [1.0]})
    assert found.of("data_quality_expectation_observed_value", "feature") == {("age",): 100}
    found.feed(2, {"age": [3.0]})
    assert found.of("data_quality_expectation_observed_value", "feature") == {("age",): 50.5}
    assert failures(found) == {("age", MEAN): 2}
    found.feed(3, {"age": [3.0]})
    assert found.of("data_quality_expectation_observed_value", "feature") == {("age",): 2}
    assert met(found) == {("age", MEAN): 1}
    assert failures(found) == {("age", MEAN): 2}


def test_a_record_without_a_feature_has_it_missing(tmp_path: Path) -> None:
    found = held(tmp_path, (NOT_NULL, {"column": "age"}), (EXISTS, {"column": "gone"}), (ROWS, {"min_value": 6}))
    found.feed(0, {"age": [1.0, 2.0], "plan": ["a", "b"]}, {"plan": ["a", "b", "c"]}, {"age": [3.0]})
    assert failures(found) == {("age", NOT_NULL): 3}
    found.feed(1, {"age": [1.0]})
    assert met(found) == {("age", NOT_NULL): 0, ("gone", EXISTS): 0, ("", ROWS): 1}
    assert found.of("data_quality_expectation_unexpected_ratio", "feature") == {("age",): 0.5}


def test_features_that_were_left_out_are_not_missing(tmp_path: Path) -> None:
    found = held(tmp_path, (NOT_NULL, {"column": "age"}))
    found.feed(0, {"plan": ["a"]}, features_left_out=1)
    assert failures(found) == {}
    assert found.shown("model_features_left_out_total")


def test_predictions_and_scores_are_columns(tmp_path: Path) -> None:
    found = held(
        tmp_path,
        (IN, {"column": "prediction", "value_set": ["yes", "no"]}),
        (MEAN, {"column": "score", "min_value": 0.5}),
        (BETWEEN, {"column": "score (feature)", "max_value": 1}),
    )
    found.feed(0, {"score": [7.0, 8.0, 9.0]}, class_counts={"yes": 2, "perhaps": 1}, score=[0.1, 0.2, 0.3])
    found.feed(1, {})
    assert failures(found) == {("prediction", IN): 1, ("score", MEAN): 1, ("score (feature)", BETWEEN): 3}
    assert found.of("data_quality_expectation_observed_value", "feature")[("score",)] == pytest.approx(0.2)


def test_texts_that_were_cut_decide_nothing(tmp_path: Path) -> None:
    found = held(tmp_path, (REGEX, {"column": "name", "regex": "z$"}))
    found.feed(0, {"name": ["x" * 64, "x" * 70 + "z", "z", "x"]})
    found.feed(1, {})
    assert failures(found) == {("name", REGEX): 1}
    assert found.of("data_quality_expectation_undecided_values", "feature") == {("name",): 2}
    assert found.of("data_quality_expectation_unexpected_ratio", "feature") == {("name",): 0.5}


def test_more_values_than_are_counted_decide_nothing(tmp_path: Path) -> None:
    found = held(tmp_path, (UNIQUE, {"column": "id"}))
    found.feed(0, {"id": [f"id-{n}" for n in range(600)]})
    found.feed(1, {})
    assert met(found) == {}
    states = found.of("data_quality_expectations", "state")
    assert states == {("met",): 0, ("unmet",): 0, ("undecided",): 1, ("left_out",): 0}


def test_two_of_a_kind_have_two_names(tmp_path: Path) -> None:
    found = held(tmp_path, (BETWEEN, {"column": "a", "min_value": 0}), (BETWEEN, {"column": "a", "max_value": 5}))
    found.feed(0, {"a": [7.0]})
    assert failures(found) == {("a", f"{BETWEEN} 2"): 1}


def test_a_suite_is_for_its_model(tmp_path: Path) -> None:
    for name, meta in {"any": {}, "churn": {"model": "churn"}, "old": {"model": "churn", "model_version": "6"}}.items():
        (tmp_path / f"{name}.json").write_text(suite([(BETWEEN, {"column": "a", "min_value": len(name)})], **meta))
    found = Held(tmp_path)
    found.feed(0, {"a": [0.0]})
    found.feed(0, {"a": [0.0]}, model="fraud")
    shown = found.of("data_quality_failures_total", "model", "rule")
    assert shown == {("churn", BETWEEN): 1, ("churn", f"{BETWEEN} 2"): 1, ("fraud", BETWEEN): 1}


def test_another_models_suite_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(suite([(BETWEEN, {"column": "a", "min_value": 9})], model="fraud"))
    found = Held(tmp_path)
    found.feed(0, {"a": [0.0]})
    assert found.shown() == {}


def test_expectations_beyond_the_bound_are_left_out(tmp_path: Path) -> None:
    many = [(BETWEEN, {"column": f"c{n}", "min_value": 1}) for n in range(8)]
    found = held(tmp_path, *many, max_expectations=5)
    found.feed(0, {f"c{n}": [0.0] for n in range(8)})
    assert len(failures(found)) == 5
    found.feed(1, {})
    assert found.of("data_quality_expectations", "state")[("left_out",)] == 3
    found.feed(1, {"c0": [0.0]}, model="fraud")  # There is no room for a second model.
    assert ("fraud",) not in found.of("data_quality_failures_total", "model")


def test_a_changed_suite_begins_again(tmp_path: Path) -> None:
    found = held(tmp_path, (MEAN, {"column": "a", "min_value": 5}))
    found.feed(0, {"a": [1.0]})
    found.feed(1, {"a": [1.0]})
    assert met(found) == {("a", MEAN): 0}
    (tmp_path / "suite.json").write_text(suite([(MEAN, {"column": "a", "min_value": 0, "max_value": 3})]))
    found.deriver.reload()
    assert met(found) == {}
    found.feed(2, {"a": [2.0]})
    found.feed(3, {"a": [2.0]})
    assert found.of("data_quality_expectation_observed_value", "feature") == {("a",): 2}


def test_a_suite_that_becomes_invalid_stays_in_force(tmp_path: Path) -> None:
    telemetry = Telemetry()
    (tmp_path / "suite.json").write_text(suite([(BETWEEN, {"column": "a", "min_value": 5}), ("expect_x", {})]))
    found = Held(tmp_path / "suite.json", telemetry)
    (tmp_path / "suite.json").write_text("{")
    found.deriver.reload()
    found.feed(0, {"a": [1.0]})
    assert failures(found) == {("a", BETWEEN): 1}
    library = found.deriver.checks.library
    assert library.states() == [(1.0, {"state": "loaded"}), (1.0, {"state": "invalid"})]
    assert library.expectations() == [
        (1.0, {"suite": "s", "expectation": BETWEEN, "state": "evaluated"}),
        (1.0, {"suite": "s", "expectation": "expect_x", "state": "not_evaluated"}),
    ]


def test_odd_values_stop_nothing(tmp_path: Path) -> None:
    every = [
        (BETWEEN, {"column": "a", "min_value": 0}),
        (IN, {"column": "a", "value_set": [1, "x", True]}),
        (REGEX, {"column": "a", "regex": "^x"}),
        (MEAN, {"column": "a", "min_value": 0}),
        ("expect_column_values_to_be_of_type", {"column": "a", "type_": "int"}),
        ("expect_column_stdev_to_be_between", {"column": "a", "min_value": 0}),
        ("expect_column_value_lengths_to_equal", {"column": "a", "value": 3}),
    ]
    found = held(tmp_path, *every)
    found.feed(0, {"a": [float("inf"), -float("inf"), 1e308, "x", None, True, [1], {"b": 1}, float("nan"), ""]})
    found.feed(0, {"a": []})
    found.feed(1, {"b": [1.0]})
    assert len(met(found)) == len(every)


def test_an_idle_model_goes(tmp_path: Path) -> None:
    found = held(tmp_path, (MEAN, {"column": "a", "min_value": 5}))
    found.feed(0, {"a": [1.0]})
    found.deriver.expire(2**62, 1)
    assert not found.deriver.checks.models
    assert all(value is None for _, value in found.deriver.checks.checkpoint())


def test_state_that_is_not_from_here_is_not_taken(tmp_path: Path) -> None:
    found = held(tmp_path, (MEAN, {"column": "a", "min_value": 5}))
    found.feed(0, {"a": [1.0]})
    state = {key: value for key, value in found.deriver.checks.checkpoint() if value is not None}
    again = held(tmp_path, (MEAN, {"column": "a", "min_value": 5}))
    assert again.deriver.checks.restore(state) == set(state)
    for damage in (b"", b"xx", b"\x02\x00[]", b"\xff" * 40):
        other = held(tmp_path, (MEAN, {"column": "a", "min_value": 5}))
        assert other.deriver.checks.restore(dict.fromkeys(state, damage)) == set()
        assert not other.deriver.checks.models
    other = held(tmp_path, (MEAN, {"column": "a", "min_value": 6}))
    assert other.deriver.checks.restore(state) == set()
