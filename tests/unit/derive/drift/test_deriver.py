"""Live values beside a reference: counters, checks, rules of quality, references that change, crashes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from support.crashes import derived
from support.derive_fakes import lines
from support.drift_data import HOUR, START, at, event_request, events_request, reference
from support.drift_model import DECODER, DriftedModel
from support.quality_data import suite

from sidecar.derive.drift.deriver import MAX_UNEXPECTED, DriftDeriver
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.registry import DeriveOptions
from sidecar.derive.scrapes import Scrapes, View
from sidecar.derive.series import Budget


def test_every_value_is_in_a_bin_of_the_reference(model: DriftedModel) -> None:
    model.feed(0, model.rows(300, age=[*np.linspace(0, 90, 296), None, float("inf"), "old", -500.0]))
    observations = model.shown("model_feature_observations_total{")
    of_age = {key.split('bin="')[1].split('"')[0]: n for key, n in observations.items() if 'feature="age"' in key}
    flags = {name: of_age.pop(name) for name in ("missing", "invalid", "below", "above", "unseen")}
    assert sum(of_age.values()) == 297
    assert (flags["missing"], flags["invalid"]) == (1, 2)
    assert flags["below"] >= 1
    assert flags["above"] > 0
    of_plan = {key: n for key, n in observations.items() if 'feature="plan"' in key}
    assert sum(of_plan.values()) == 300
    ratios = model.shown('model_feature_reference_ratio{model="churn",version="7",feature="age"')
    assert sum(ratios.values()) == pytest.approx(1)
    assert model.value("model_feature_reference_rows", feature="age") == 5000
    sums = model.shown('model_feature_value_sum_total{model="churn"')
    assert sums == {}  # The reference has ages below 0.


def test_the_window_of_the_last_check_is_what_its_scores_are_of(model: DriftedModel) -> None:
    model.feed(0, model.rows(300))
    assert model.shown("model_feature_window_rows") == {}  # No check yet.
    model.feed(1, model.rows(200))
    rows = model.shown("model_feature_window_rows{")
    assert sum(n for key, n in rows.items() if 'feature="age"' in key) == 300
    assert sum(n for key, n in rows.items() if 'feature="plan"' in key) == 300
    assert rows.keys() == {
        key.replace("reference_ratio", "window_rows") for key in model.shown("model_feature_reference_ratio")
    }
    assert model.value("data_drift_ready") == 1
    bins = sum(1 for key in rows if 'feature="age"' in key)
    quantile = model.value("data_drift_chi_squared_quantile", freedom=str(bins - 1))
    assert quantile == pytest.approx(stats.chi2.isf(1 / (365.25 * 24 * 2), bins - 1))


def test_window_rows_can_be_left_out(tmp_path: Path) -> None:
    model = DriftedModel(tmp_path, window_rows=False)
    model.feed(0, model.rows())
    model.feed(1, model.rows())
    assert model.value("data_drift_samples", feature="age") == 500
    assert not model.shown("model_feature_window_rows")
    assert not model.shown("data_drift_chi_squared_quantile")


def test_sums_of_bins_that_cannot_fall(tmp_path: Path) -> None:
    amounts = np.random.default_rng(1).exponential(50, 4000)
    (tmp_path / "reference.json").write_text(reference({"amount": amounts}).dump())
    model = DriftedModel(tmp_path)
    model.feed(0, {"amount": [1.5, 20.0, 2000.0, -7.0]})
    assert sum(model.shown("model_feature_value_sum_total").values()) == pytest.approx(2021.5, rel=1e-5)


def test_drift_is_detected_where_it_is(model: DriftedModel) -> None:
    for hour in range(3):
        model.feed(hour, model.rows(shift=6))
    assert model.value("data_drift_samples", feature="age") == 1000
    assert model.value("data_drift_detected", feature="age", method="psi") == 1
    assert model.value("data_drift_detected", feature="plan", method="psi") == 0
    assert model.value("data_drift_insufficient_data", feature="plan") == 0
    assert model.value("data_drift_share") == 0.5
    for method in ("psi", "ks", "wasserstein", "jensen_shannon", "chi_squared"):
        score, threshold, critical = (
            model.value(f"data_drift_{name}", feature="age", method=method)
            for name in ("score", "threshold", "critical_value")
        )
        assert None not in (score, threshold, critical)
        assert score > max(threshold, critical)  # type: ignore[operator,type-var]
    assert model.value("data_drift_score", feature="plan", method="ks") is None


def test_few_rows_give_no_decision(model: DriftedModel) -> None:
    model.feed(0, model.rows(100))
    model.feed(1, model.rows(100))
    assert model.value("data_drift_detected", feature="age") == 0
    assert model.value("data_drift_insufficient_data", feature="age") == 1


def test_until_the_window_is_covered_there_is_no_decision(tmp_path: Path) -> None:
    model = DriftedModel(tmp_path, warm_up=None)
    for hour in range(24):
        model.feed(hour, model.rows(200, shift=6))
    assert model.value("data_drift_detected", feature="age") == 0
    assert model.value("data_drift_insufficient_data", feature="age") == 1
    model.feed(24, model.rows(200, shift=6))
    assert model.value("data_drift_detected", feature="age") == 1


def test_the_window_forgets(model: DriftedModel) -> None:
    for hour in range(24):
        model.feed(hour, model.rows(200, shift=6))
    for hour in range(24, 49):
        model.feed(hour, model.rows(200))
    assert model.value("data_drift_samples", feature="age") == 24 * 200
    assert model.value("data_drift_detected", feature="age") == 0
    model.feed(200, model.rows(10))
    model.feed(201, model.rows(10))
    assert model.value("data_drift_samples", feature="age") == 10


def test_methods_and_thresholds(tmp_path: Path) -> None:
    model = DriftedModel(
        tmp_path,
        methods=("wasserstein",),
        thresholds={"psi": 5.0},
        features={"age": {"method": "ks", "threshold": 0.15}, "plan": {"method": "ks"}},
    )
    for hour in range(2):
        model.feed(hour, model.rows(shift=6))
    assert model.value("data_drift_threshold", feature="age", method="ks") == 0.15
    assert model.value("data_drift_detected", feature="age", method="ks") == 1
    # Categories have no order: psi decides.
    assert model.value("data_drift_threshold", feature="plan", method="psi") == 5
    methods = {key.split('method="')[1] for key in model.shown("data_drift_score")}
    assert methods == {'ks"}', 'wasserstein"}', 'psi"}'}


def test_predictions_and_scores_drift_too(tmp_path: Path) -> None:
    made = reference({"outcome": ["yes"] * 300 + ["no"] * 700, "p": np.random.default_rng(2).beta(8, 2, 1000)})
    roles = dict(zip(("outcome", "p"), ("prediction", "score"), strict=True))
    columns = tuple(column.model_copy(update={"role": roles[column.name]}) for column in made.columns)
    (tmp_path / "reference.json").write_text(made.model_copy(update={"columns": columns}).dump())
    model = DriftedModel(tmp_path)
    for hour in range(2):
        model.feed(
            hour, {"x": [0.0] * 900}, class_counts={"yes": 810, "no": 90}, score=model.rng.beta(2, 2, 900).tolist()
        )
    assert model.value("data_drift_detected", feature="prediction") == 1
    assert model.value("data_drift_detected", feature="score") == 1
    assert model.value("data_drift_share") is None  # It is that of the features.


def test_classes_where_the_reference_has_numbers_are_of_another_type(tmp_path: Path) -> None:
    """A reference of 0 and 1 that says of them that they are numbers: nothing would be compared, in silence."""
    made = reference({"outcome": np.array([0.0, 1.0] * 500)})
    columns = (made.columns[0].model_copy(update={"role": "prediction"}),)
    (tmp_path / "reference.json").write_text(made.model_copy(update={"columns": columns}).dump())
    model = DriftedModel(tmp_path)
    model.feed(0, {"x": [0.0] * 9}, class_counts={"0": 5, "1": 4})
    assert model.value("data_quality_failures_total", feature="prediction", rule="type_change") == 9
    assert model.value("model_feature_observations_total", feature="prediction", bin="invalid") == 9


def test_a_repeated_call_counts_for_its_answers_only(model: DriftedModel) -> None:
    model.feed(0, model.rows(50))
    model.feed(0, model.rows(50), counted=False)
    total = model.shown('model_feature_observations_total{model="churn",version="7",feature="plan"')
    assert sum(total.values()) == 50


def test_rules_of_quality(model: DriftedModel) -> None:
    for hour in range(3):
        model.feed(
            hour,
            {"age": [1000.0, None, "x", *[40.0] * 97], "plan": ["basic", "enterprise"], "new": [1.0, 2.0]},
        )
    model.feed(3, {"age": [40.0]})
    model.feed(4, {"age": [40.0]})
    rules = {
        tuple(key.split('"')[5::2]): n for key, n in model.shown('data_quality_failures_total{model="churn"').items()
    }
    assert rules == {
        ("age", "out_of_range"): 3,
        ("age", "missing"): 3,
        ("age", "type_change"): 3,
        ("plan", "unseen_category"): 3,
        ("new", "unexpected"): 6,
        ("plan", "absent"): 1,
    }


def test_a_feature_that_became_constant(model: DriftedModel) -> None:
    for hour in range(2):
        model.feed(hour, model.rows(50, age=[40.0] * 50))
    assert model.value("data_quality_failures_total", feature="age", rule="constant") == 1


def test_values_that_no_reference_has_are_not_constant(model: DriftedModel) -> None:
    """They are in one cell, however different they are."""
    for hour in range(2):
        model.feed(hour, {"age": [1000.0 + n for n in range(50)], "plan": [f"plan {n}" for n in range(50)]})
    rules = {key.split('rule="')[1].split('"')[0] for key in model.shown("data_quality_failures_total{")}
    assert rules == {"out_of_range", "unseen_category"}


def test_how_many_values_fail_where_nothing_has_changed(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    columns = {"age": [None, *random.normal(40, 10, 999)], "income": random.normal(5, 1, 2000)}
    (tmp_path / "reference.json").write_text(reference(columns).dump())
    model = DriftedModel(tmp_path)
    model.feed(0, {"age": [40.0], "income": [5.0]})
    assert model.shown("data_quality_usual_ratio") == {}  # Shown for what has failed.
    model.feed(0, {"age": [None, 400.0], "income": [None]})
    usual = {tuple(key.split('"')[5::2]): n for key, n in model.shown("data_quality_usual_ratio").items()}
    assert usual == {("age", "missing"): 0.001, ("age", "out_of_range"): 12 / 999}


def test_too_few_rows(tmp_path: Path) -> None:
    model = DriftedModel(tmp_path, min_rows=100)
    for hour, rows in ((0, 150), (1, 20), (2, 150), (6, 1)):
        model.feed(hour, model.rows(rows))
    # 20 rows in the second hour, and none in the three before the last one.
    assert model.value("data_quality_failures_total", rule="volume") == 4


def test_new_counters_are_shown_at_zero_first(model: DriftedModel) -> None:
    model.feed(0, model.rows(50))
    first, second = (sum(model.shown("model_feature_observations", View(n, n - 1, 0)).values()) for n in (1, 2))
    assert (first, second) == (0, 100)


def test_without_a_reference_for_the_model_nothing_is_counted(model: DriftedModel) -> None:
    model.feed(0, model.rows(50), model="other")
    assert model.shown() == {}


def test_the_closest_reference_counts(tmp_path: Path) -> None:
    folder = tmp_path / "references"
    folder.mkdir()
    labels = {}
    for name, (of, version) in {"any": ("", ""), "churn": ("churn", ""), "churn-8": ("churn", "8")}.items():
        made = reference({"age": np.arange(100.0) + len(name)}, of, version)
        (folder / f"{name}.json").write_text(made.dump())
        labels[name] = made.digest()
    deriver = DriftDeriver(DriftOptions(reference=folder), Budget())
    for model, version in (("churn", "8"), ("churn", "7"), ("fraud", "1")):
        payload = event_request({"age": [1.0]}, model, version)
        deriver.apply(deriver.decode(DECODER, [payload]), at(START))
    found = {model: state.reference.label for model, state in deriver.models.items()}
    assert found == {("churn", "8"): labels["churn-8"], ("churn", "7"): labels["churn"], ("fraud", "1"): labels["any"]}


def test_a_reference_that_changes_begins_at_0(model: DriftedModel) -> None:
    model.feed(0, model.rows(50))
    before = model.shown("model_feature_observations")
    model.path.write_text(reference({"age": np.arange(1000.0)}, "churn").dump())
    model.deriver.expire(START + HOUR, HOUR)
    assert model.shown("model_feature_observations") == {}
    model.feed(0.5, model.rows(10))
    after = model.shown("model_feature_observations")
    assert not before.keys() & after.keys()
    assert sum(after.values()) == 10


def test_a_reference_that_becomes_invalid_stays_in_force(model: DriftedModel) -> None:
    model.feed(0, model.rows(50))
    before = model.shown("model_feature_observations")
    model.path.write_text(model.path.read_text()[:500])
    model.deriver.expire(START + HOUR, HOUR)
    assert model.shown("model_feature_observations") == before
    assert [str(path) for path in model.deriver.library.invalid] == [str(model.path)]


def test_sighup_reads_a_file_that_looks_the_same(model: DriftedModel) -> None:
    model.feed(0, model.rows(50))
    model.deriver.reload()
    assert model.shown("model_feature_observations")


def test_a_missing_reference_may_come_later(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    folder.mkdir()
    model = DriftedModel(tmp_path, reference=folder)
    model.feed(0, model.rows(50))
    assert model.shown() == {}
    (folder / "churn.json").write_text(model.path.read_text())
    model.deriver.expire(START, HOUR)
    model.feed(0, model.rows(50))
    assert model.shown("model_feature_observations")


def test_columns_beyond_the_bound_are_left_out(tmp_path: Path) -> None:
    columns = {f"f{n:03d}": np.arange(10.0) for n in range(50)}
    (tmp_path / "reference.json").write_text(reference(columns).dump())
    model = DriftedModel(tmp_path, max_features=20)
    model.feed(0, {name: [1.0] for name in columns}, features_left_out=3)
    (state,) = model.deriver.models.values()
    assert len(state.windows) == 20
    assert model.value("model_features_left_out_total", model="churn") == 3


def test_names_that_no_reference_has_leave_room_for_others(model: DriftedModel) -> None:
    for part in range(3):
        model.feed(0, {"age": [40.0], **{f"f{part}{n:03d}": [1.0] for n in range(400)}})
    model.feed(0, {"age": [None], "f0000": [1.0], "f0399": [1.0]})
    unexpected = model.shown('data_quality_failures_total{model="churn",version="7",feature="f')
    assert len(unexpected) == MAX_UNEXPECTED
    assert model.value("data_quality_failures_total", feature="f0000", rule="unexpected") == 2
    others = model.value("data_quality_failures_total", feature="__other__", rule="unexpected")
    assert others == 3 * 400 - MAX_UNEXPECTED + 1
    assert model.value("data_quality_failures_total", feature="age", rule="missing") == 1


def test_failures_are_shown_at_0_to_a_scraper_only_once(model: DriftedModel) -> None:
    scrapes = Scrapes()
    for n in range(3):
        model.feed(0, {"age": [None], f"new{n}": [1.0]})
        found = lines(list(model.deriver.collect(scrapes.view("prometheus", START))))
        missing = found['data_quality_failures_total{model="churn",version="7",feature="age",rule="missing"}']
        assert float(missing) == (n + 1 if n else 0)


def test_a_column_takes_ten_kilobytes_at_most(model: DriftedModel) -> None:
    for hour in range(30):
        model.feed(hour, model.rows(2000))
    (state,) = model.deriver.models.values()
    taken = state.memory_bytes()
    assert len(taken) == 2
    assert max(taken) <= 10_000


def test_a_batch_is_checked_when_its_hour_is_over_though_nothing_follows(model: DriftedModel) -> None:
    model.feed(0, model.rows(1000, shift=6))
    model.deriver.advance(START + HOUR - 1)
    assert model.shown("data_drift_detected{") == {}
    model.deriver.advance(START + HOUR)
    assert model.value("data_drift_detected", feature="age", method="psi") == 1
    assert model.value("data_drift_samples", feature="age") == 1000
    model.deriver.advance(START + 24 * HOUR)
    assert model.value("data_drift_detected", feature="age", method="psi") == 1
    model.deriver.advance(START + 26 * HOUR)  # There are no rows in the window any more.
    assert model.shown("data_drift_detected{") == {}


def test_hours_without_rows_are_too_few_though_nothing_follows(tmp_path: Path) -> None:
    model = DriftedModel(tmp_path, min_rows=100)
    model.feed(0, model.rows(1000))
    model.deriver.advance(START + HOUR)
    model.deriver.advance(START + 3 * HOUR)
    assert model.value("data_quality_failures_total", rule="volume") == 2


def test_an_idle_model_goes(model: DriftedModel) -> None:
    model.feed(0, model.rows(50))
    model.deriver.expire(START + 23 * HOUR, HOUR)
    assert model.deriver.models
    model.deriver.expire(START + 25 * HOUR, HOUR)
    assert not model.deriver.models
    assert all(value is None for _, value in model.deriver.checkpoint())


def test_groups_of_features(tmp_path: Path) -> None:
    model = DriftedModel(tmp_path, features={"age": {"group": "person"}})
    for hour in range(3):
        model.feed(hour, model.rows(shift=6))
    assert model.value("data_drift_score", feature="age", feature_group="person", method="psi") is not None
    assert model.value("data_drift_detected", feature_group="person") == 1
    assert [key for key in model.shown("data_drift_score") if "plan" in key and "feature_group" in key] == []
    assert [key for key in model.shown("model_feature") if "feature_group" in key] == []


def test_sub_windows_of_another_length_begin_from_zero(tmp_path: Path) -> None:
    def after(**options: Any) -> DriftedModel:
        before = DriftedModel(tmp_path)
        for hour in range(4):
            before.feed(hour, before.rows())
        kept = {key: value for key, value in before.deriver.checkpoint() if value is not None}
        found = DriftedModel(tmp_path, **options)
        found.deriver.restore(kept)
        return found

    same, checks, other = after(), after(check_interval=7200), after(sub_windows=12)
    assert same.deriver.models.keys() == checks.deriver.models.keys()
    assert not other.deriver.models
    for found in (same, checks):
        observations = found.shown("model_feature_observations_total")
        assert sum(n for key, n in observations.items() if 'feature="plan"' in key) == 4 * 500
        found.feed(8, found.rows())
        assert found.value("data_drift_samples", feature="age") == 2000


EXPECTATIONS = (
    ("expect_column_values_to_be_between", {"column": "age", "min_value": 20, "max_value": 60}),
    ("expect_column_values_to_not_be_null", {"column": "age", "mostly": 0.95}),
    ("expect_column_values_to_match_regex", {"column": "plan", "regex": "^[a-z]{3,}$"}),
    ("expect_column_stdev_to_be_between", {"column": "age", "max_value": 9.9}),
    ("expect_column_median_to_be_between", {"column": "age", "min_value": 45}),
    ("expect_column_most_common_value_to_be_in_set", {"column": "plan", "value_set": ["pro"]}),
    ("expect_column_to_exist", {"column": "plan"}),
)


def entries(seed: int, learn: bool) -> list[tuple[bytes, int]]:
    """Payloads over three days, with the hours at which they came."""
    rng = random.Random(seed)
    values = np.random.default_rng(seed)
    found = []
    hour = 0.0
    for _ in range(60):
        hour += rng.choice([0.001, 0.2, 1.0, 3.0])
        rows = rng.choice([1, 7, 60])
        ages = [None if rng.random() < 0.1 else float(age) for age in values.normal(45, 10, rows)]
        events = [({"age": ages, "plan": rng.choices(["basic", "pro", "x"], k=rows)}, {"score": [0.5] * rows})] * 2
        found.append((events_request(events, rng.choice(["churn", "fraud"])), START + int(hour * HOUR)))
    return found


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_any_split_and_any_crash_give_the_same(tmp_path: Path, seed: int, learn: bool) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "suite.json").write_text(suite(EXPECTATIONS))
    given: dict[str, Any] = {"learn": 100} if learn else {"reference": DriftedModel(tmp_path).path}
    given["suites"] = tmp_path / "suite"
    options = DeriveOptions.model_validate({"drift": {**given, "warm_up": 0, "methods": ["psi"]}, "series_ttl": "30d"})
    payloads = entries(seed, learn)
    expected = {
        key: value
        for key, value in derived(options, payloads, START, None).items()
        if "drift" in key or "feature" in key
    }
    assert len(expected) > 50
    assert len([key for key in expected if key.startswith("data_quality_expectation_met")]) == 2 * len(EXPECTATIONS)
    for attempt in range(2):
        found = derived(options, payloads, START, random.Random(seed * 100 + attempt))
        assert {key: found.get(key) for key in expected} == expected


def test_nothing_is_done_where_nothing_is_to_be_compared() -> None:
    assert not DriftOptions().active
    assert not DriftOptions(enabled=False, learn=5).active


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "pso"}, "invalid method: 'pso'; expected one of psi, ks"),
        ({"methods": ["psi", "x"]}, "invalid method: 'x'"),
        ({"thresholds": {"ks": -1}}, "invalid threshold of ks"),
        ({"features": {"age": {"method": "x"}}}, "invalid method: 'x'"),
        ({"check_interval": "2d"}, "check_interval must be at most window"),
        ({"compare_with": "yesterday"}, "reference"),
        ({"compare_with": "same_window_last_week", "window": "8d"}, "expected at most a week"),
        ({"compare_with": "same_window_last_week", "sub_windows": 288}, "at most 1000"),
        ({"compare_with": "same_window_last_week", "window": "5d"}, "expected a whole number of steps"),
    ],
)
def test_options_that_are_invalid(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DriftOptions(**given)
