"""Variants of experiments, from families as `derive/experiments` makes them; importance of features."""

from __future__ import annotations

from math import inf

from sidecar.derive.families import FamilySnapshot, Points, label_text
from sidecar.serve.pages.experiments import Bar, Experiment, Lift, Variant, experiments
from sidecar.serve.pages.metric_families import Metrics
from sidecar.serve.pages.models import SlowChange, models
from sidecar.serve.pages.quality import Share


def gauge(name: str, value: float, **labels: str) -> FamilySnapshot:
    return FamilySnapshot(
        name, "gauge", "", "", (Points([label_text(tuple(labels), tuple(labels.values()))], [value]),)
    )


def share(name: str, value: float, **labels: str) -> list[FamilySnapshot]:
    return [gauge(name + end, value + add, **labels) for end, add in (("", 0), ("_lower", -0.125), ("_upper", 0.125))]


def test_variants_stand_beside_the_control_with_what_they_change() -> None:
    a, b = ({"experiment": "ranking", "variant": name} for name in ("old", "new"))
    compared = {**b, "control": "old", "outcome": "conversion"}
    found = experiments(
        Metrics.of([
            gauge("ab_test_exposures", 90, **b),
            gauge("ab_test_exposures", 110, **a),
            gauge("ab_test_control", 1, **a),
            gauge("ab_test_control", 0, **b),
            gauge("ab_test_share", 0.45, **b),
            *share("ab_test_conversion_rate", 0.25, **b),
            *share("ab_test_lift", 0.5, **compared),
            gauge("ab_test_p_value", 0.01, **compared),
            gauge("ab_test_significant", 1, **compared),
            gauge("ab_test_sample_ratio_p_value", 0.4, experiment="ranking"),
        ])
    )  # fmt: skip
    new = Variant("new", False, 90, 0.45, Share(0.25, 0.125, 0.375), None, [
        Lift("conversion", Share(0.5, 0.375, 0.625), 0.01, True)
    ])  # fmt: skip
    assert found == [Experiment("ranking", [Variant("old", True, 110, None, None, None, []), new], 0.4)]
    assert experiments(Metrics()) == []


def test_intervals_of_variants_are_drawn_to_one_scale() -> None:
    lifts = [
        Lift("conversion", Share(0.5, -0.25, 1.0), 0.01, False),
        Lift("accuracy", Share(0.25, 0.0, inf), 0.5, False),
    ]
    old = Variant("old", True, 1, None, Share(0.25, 0.125, 0.5), None, [])
    one = Experiment("x", [old, Variant("new", False, 1, None, None, None, lifts)], None)
    assert one.rate_bar(old.rate) == Bar(0.25, 1, 0.5)
    assert one.lift_bar(lifts[0].lift) == Bar(0.375, 1, 0.75)
    assert one.lift_bar(lifts[1].lift) == Bar(0.5, 1, 0.625)
    assert one.rate_bar(None) is None
    assert one.rate_bar(Share(0.5, None, None)) is None


def test_of_features_that_have_drifted_those_that_count_most_come_first() -> None:
    names = ("a", "b", "c")
    of_model = {"model": "churn", "version": "7"}
    parts = [gauge("model_predictions", 1, **of_model, status="ok")]
    for name, drifted, importance in zip(names, (1, 1, 0), (0.1, 0.3, 0.6), strict=True):
        of_feature = {**of_model, "feature": name}
        parts += [
            gauge("model_feature_observations", 5, **of_feature, bin="x"),
            gauge("data_drift_detected", drifted, **of_feature),
            gauge("model_feature_importance", importance, service="shop", **of_feature),
        ]
    (model,) = models(Metrics.of(parts)).models
    assert [(f.name, f.importance) for f in model.features] == [("b", 0.3), ("a", 0.1), ("c", 0.6)]


def test_a_slow_change_is_no_drift_and_comes_after_it() -> None:
    of_model = {"model": "churn", "version": "7"}
    parts = [gauge("model_predictions", 1, **of_model, status="ok")]
    for name, drifted, slow in (("a", 0, 0), ("b", 0, 1), ("c", 1, 1)):
        of_feature = {**of_model, "feature": name}
        parts += [
            gauge("model_feature_observations", 5, **of_feature, bin="x"),
            gauge("data_drift_detected", drifted, **of_feature),
            gauge("data_drift_insufficient_data", 1, **of_feature),
            gauge("data_drift_slow_detected", slow, **of_feature),
            gauge("data_drift_slow_score", 0.25, **of_feature),
            gauge("data_drift_slow_limit", 0.2 if slow else 0.3, **of_feature),
            gauge("data_drift_slow_windows", 4, **of_feature),
        ]
    (model,) = models(Metrics.of(parts)).models
    states = [(f.name, f.state) for f in model.features]
    assert states == [("c", "drifted"), ("b", "slow change"), ("a", "too few values")]
    assert model.features[1].slow == SlowChange(0.25, 0.2, 4)
