"""How often a model is right, from families as `derive/outcomes` makes them."""

from __future__ import annotations

from sidecar.derive.families import FamilySnapshot, Points, label_text
from sidecar.serve.pages.metric_families import Metrics
from sidecar.serve.pages.models import models
from sidecar.serve.pages.quality import ClassQuality, Estimated, Share, Window, quality

CHURN = {"model": "churn", "version": "7"}


def gauge(name: str, value: float, **labels: str) -> FamilySnapshot:
    given = {**CHURN, **labels}
    text = label_text(tuple(given), tuple(given.values()))
    return FamilySnapshot(name, "gauge", "", "", (Points([text], [value]),))


def share(name: str, value: float, **labels: str) -> list[FamilySnapshot]:
    edges = (("", value), ("_lower", value - 0.1), ("_upper", value + 0.1))
    return [gauge(name + end, edge, **labels) for end, edge in edges]


def test_windows_have_their_samples_intervals_and_classes() -> None:
    found = quality(
        Metrics.of([
            gauge("model_outcome_samples", 60, window="1h"),
            gauge("model_outcome_samples", 0, window="24h"),
            gauge("model_outcome_samples", 9, window="7d"),
            *share("model_accuracy", 0.7, window="1h"),
            gauge("model_f1", 0.65, window="1h"),
            *share("model_class_precision", 0.5, window="1h", **{"class": "leaves"}),
            gauge("model_class_f1", 0.4, window="1h", **{"class": "leaves"}),
            gauge("model_labels", 60, result="joined"),
            gauge("model_labels", 0, result="orphan"),
        ]),
        CHURN,
    )  # fmt: skip
    leaves = ClassQuality("leaves", Share(0.5, 0.4, 0.6), None, 0.4)
    whole = Window("1h", 60, Share(0.7, 0.6, 0.7 + 0.1), [("F1", 0.65)], [leaves])
    # A window with nothing in it is left out; one with too few rows is there, without a figure.
    assert found.windows == [whole, Window("7d", 9, None, [], [])]
    assert found.labels == [("joined", 60)]


def test_what_an_app_reports_itself_is_a_window_without_a_name() -> None:
    found = quality(Metrics.of([gauge("model_accuracy", 0.9), gauge("model_brier", 0.2)]), CHURN)
    assert found.windows == [Window("", None, Share(0.9, None, None), [("Brier score", 0.2)], [])]
    assert not quality(Metrics.of([gauge("model_accuracy", 0.9)]), {"model": "churn", "version": "8"}).windows


def test_a_version_in_two_services_has_its_quality_once() -> None:
    counted = [gauge("model_predictions", n, service=name, status="ok") for n, name in ((3, "a"), (5, "b"))]
    shown = models(Metrics.of([*counted, gauge("model_accuracy", 0.9)])).models
    assert [(m.service, bool(m.quality and m.quality.windows)) for m in shown] == [("b", True), ("a", False)]


def test_outliers_of_a_model_are_those_of_its_version() -> None:
    counted = [gauge("model_predictions", 5, service="a", status="ok")]
    (found,) = models(
        Metrics.of([*counted, gauge("model_outliers", 3), gauge("model_outliers", 9, version="8")])
    ).models
    assert found.outliers == 3
    (without,) = models(Metrics.of(counted)).models
    assert without.outliers is None


def test_an_estimate_without_labels_stands_by_itself() -> None:
    estimated = share("model_accuracy_estimated", 0.8, window="24h")
    found = quality(Metrics.of([*estimated, gauge("model_accuracy_estimated_samples", 900, window="24h")]), CHURN)
    assert found.windows == []
    assert found.estimated == Estimated("24h", Share(0.8, 0.8 - 0.1, 0.8 + 0.1), 900)
    assert quality(Metrics.of([gauge("model_accuracy", 0.9)]), CHURN).estimated is None
    # One that an app reports itself has neither a window nor rows.
    own = quality(Metrics.of([gauge("model_accuracy_estimated", 0.7)]), CHURN).estimated
    assert own == Estimated("", Share(0.7, None, None), None)
