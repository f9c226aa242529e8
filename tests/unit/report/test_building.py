"""Reports from sources that are values."""

from __future__ import annotations

import pytest
from support.report_sources import PERIOD, FakeSource, histogram, joined, predictions

from sidecar.errors import Permanent
from sidecar.report.building import build
from sidecar.report.contents import Report
from sidecar.report.figure_source import About, Alerts, FiringAlert
from sidecar.serve.pages.metric_families import Metrics, Series
from sidecar.serve.pages.quality import Estimated, Share

OF_MODEL = {"model": "churn", "version": "7"}
INFERENCE = {"service": "shop", **OF_MODEL, "stage": "inference"}
RIGHT = {("yes", "yes"): 90, ("no", "no"): 80, ("yes", "no"): 10, ("no", "yes"): 20}
WRONG = {("yes", "yes"): 60, ("no", "no"): 50, ("yes", "no"): 40, ("no", "yes"): 50}


def made(now: dict[str, list[Series]], before: dict[str, list[Series]] | None = None, **more: object) -> Report:
    return build(FakeSource(Metrics(now), Metrics(before or {}), **more), PERIOD, 1.0)  # type: ignore[arg-type]


def feature(name: str, detected: float) -> dict[str, list[Series]]:
    own = {**OF_MODEL, "feature": name}
    method = {**own, "method": "psi"}
    return {
        "model_feature_observations": [Series({**own, "bin": "00"}, 40), Series({**own, "bin": "unseen"}, 3)],
        "model_feature_reference_ratio": [Series({**own, "bin": "00"}, 1.0)],
        "data_drift_score": [Series(method, 0.3 if detected else 0.01)],
        "data_drift_threshold": [Series(method, 0.1)],
        "data_drift_critical_value": [Series(method, 0.05)],
        "data_drift_detected": [Series(method, detected)],
        "data_drift_insufficient_data": [Series(method, 0)],
        "model_feature_importance": [Series({**own}, 0.4)],
    }


def texts(report: Report) -> list[str]:
    return [f"{change.kind}: {change.text}" for change in report.models[0].changes]


def test_figures_are_compared_with_the_period_before() -> None:
    slow, fast = histogram((10, 50, 1000, 1000)), histogram((900, 1000, 1000, 1000))
    report = made(
        {
            "model_predictions": predictions(1000, 80),
            "model_outcomes": joined(WRONG),
            "model_inference_latency_seconds": [Series(INFERENCE, 1000, slow)],
            **feature("age", 1),
        },
        {
            "model_predictions": predictions(990, 10),
            "model_outcomes": joined(RIGHT),
            "model_inference_latency_seconds": [Series(INFERENCE, 990, fast)],
            **feature("age", 0),
        },
    )
    (one,) = report.models
    assert one.rates.errors is not None
    assert one.outcomes.accuracy is not None
    assert (one.rates.predictions, one.rates.errors.value, one.outcomes.accuracy.value) == (1000, 0.08, 0.55)
    assert (one.drifted, one.features) == (1, 1)
    assert texts(report) == [
        "worse: Errors: 1.01 % → 8 %",
        "worse: Latency p95: 55 ms → 953 ms",
        "worse: Accuracy: 85 % → 55 %",
        "worse: Feature age has drifted (importance 40 %)",
    ]


def test_what_chance_explains_is_no_change() -> None:
    report = made(
        {"model_predictions": predictions(1000, 12), "model_outcomes": joined({("a", "a"): 52, ("a", "b"): 8})},
        {"model_predictions": predictions(900, 9), "model_outcomes": joined({("a", "a"): 55, ("a", "b"): 5})},
    )
    assert report.compared
    assert texts(report) == []


def test_what_is_better_is_said_too() -> None:
    report = made(
        {"model_predictions": predictions(2000, 10), "model_outcomes": joined(RIGHT), **feature("age", 0)},
        {"model_predictions": predictions(900, 90), "model_outcomes": joined(WRONG), **feature("age", 1)},
    )
    assert texts(report) == [
        "better: Errors: 10 % → 0.5 %",
        "better: Accuracy: 55 % → 85 %",
        "better: Feature age has not drifted any more",
        "other: Predictions: 900 → 2\u202f000",
    ]


def test_a_new_version_has_nothing_to_be_compared_with() -> None:
    report = made(
        {"model_predictions": predictions(100, version="8")}, {"model_predictions": predictions(100, version="7")}
    )
    (one,) = report.models
    assert (one.before, texts(report)) == (None, ["other: Not seen in the period before."])


def test_what_is_not_there_is_none_and_never_zero() -> None:
    (one,) = made({"model_predictions": predictions(100)}).models
    assert one.rates.inference is None
    assert one.rates.confidence is None
    assert one.outcomes.accuracy is None
    assert (one.outcomes.rows, one.features, one.auc, one.window) == (0, 0, None, None)


def test_the_window_of_gauges_is_the_longest_that_the_period_holds() -> None:
    gauges = [Series({**OF_MODEL, "window": window}, n) for window, n in (("1h", 0.1), ("7d", 0.7), ("30d", 0.3))]
    (one,) = made({"model_predictions": predictions(100), "model_roc_auc": gauges}).models
    assert one.window is not None
    assert (one.window.name, one.auc) == ("7d", 0.7)
    (one,) = made({"model_predictions": predictions(100), "model_roc_auc": gauges[2:]}).models
    assert one.auc == 0.3


def test_an_estimate_without_labels_is_of_the_version() -> None:
    ends = {"": 0.8, "_lower": 0.7, "_upper": 0.9, "_samples": 400}
    gauges = {
        f"model_accuracy_estimated{end}": [Series({**OF_MODEL, "window": "24h"}, value)] for end, value in ends.items()
    }
    (one,) = made({"model_predictions": predictions(100), **gauges}).models
    assert one.model.quality is not None
    assert one.model.quality.estimated == Estimated("24h", Share(0.8, 0.7, 0.9), 400)
    assert one.window is None


def test_values_beyond_the_reference_are_counted_beside_the_bins() -> None:
    (one,) = made({"model_predictions": predictions(100), **feature("age", 0)}).models
    (shown,) = one.model.features
    assert (shown.observed, shown.flags, [b.live for b in shown.bins]) == (40, {"unseen": 3}, [1.0])


def test_alerts_that_follow_each_other_are_one_incident() -> None:
    end = PERIOD.end
    alerts = Alerts(
        60,
        [
            FiringAlert(
                {"alertname": "Slow", "severity": "warning", "service": "shop"}, [end - 600, end - 540, end - 60]
            ),
            FiringAlert({"alertname": "Down", "severity": "critical", "alertstate": "firing"}, [end - 60, end]),
        ],
    )
    report = made({"model_predictions": predictions(100)}, found=alerts)
    assert report.incidents is not None
    down, slow = report.incidents
    assert (down.name, down.times, down.firing, down.labels) == ("Down", 1, True, {})
    assert (slow.times, slow.seconds, slow.firing, slow.first) == (2, 180, False, end - 660)
    assert slow.labels == {"service": "shop"}


def test_points_without_series_are_not_zero() -> None:
    empty, full = Metrics(), Metrics({"model_predictions": predictions(5, 1)})
    points = [(PERIOD.end - 60, empty), (PERIOD.end, full)]
    (one,) = made({"model_predictions": predictions(5, 1)}, points=points).models
    assert [(point.predictions, point.failed) for point in one.points] == [(None, 0), (5, 1)]


def test_nothing_about_models_is_an_error() -> None:
    with pytest.raises(Permanent, match=r"a test has nothing about models in this time; expected something"):
        made({"model_predictions": predictions(0)})


def test_services_have_error_rates_and_quantiles() -> None:
    own = {"service_name": "shop"}
    calls = [
        Series({**own, "status_code": "STATUS_CODE_UNSET"}, 95),
        Series({**own, "status_code": "STATUS_CODE_ERROR"}, 5),
    ]
    report = made(
        {"calls": calls, "durations": [Series(own, 100, histogram((50, 100, 100, 100)))]}, {"calls": calls[:1]}
    )
    (one,) = report.services
    assert (one.requests, one.errors.value, one.before) == (100, 0.05, 95)
    assert one.p50 == pytest.approx(1e7)


def test_a_source_without_history_is_compared_with_nothing() -> None:
    about = About("a test", "", "", has_history=False)
    report = made({"model_predictions": predictions(9)}, source=about)
    assert (report.period, report.compared, report.incidents) == (None, False, None)
    assert report.models[0].changes == ()


def test_counters_that_only_began_in_the_period_before_are_no_comparison() -> None:
    calls = [Series({"service_name": "shop", "status_code": "x"}, 0)]
    report = made({"model_predictions": predictions(100)}, {"model_predictions": predictions(0), "calls": calls})
    assert (report.compared, report.models[0].before, report.models[0].changes) == (False, None, ())
