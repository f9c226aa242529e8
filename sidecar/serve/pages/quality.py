"""How often a model is right, by the windows of `derive/outcomes`, or as an app reports it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.derive.families import Number
from sidecar.serve.pages.metric_families import Metrics

FIGURES = {
    "model_precision": "precision",
    "model_recall": "recall",
    "model_f1": "F1",
    "model_roc_auc": "ROC AUC",
    "model_log_loss": "log loss",
    "model_brier": "Brier score",
    "model_calibration_error": "calibration error",
    "model_calibration_error_expected": "of perfect calibration",
    "model_subset_accuracy": "subset accuracy",
    "model_precision_micro": "micro precision",
    "model_recall_micro": "micro recall",
    "model_f1_micro": "micro F1",
    "model_precision_macro": "macro precision",
    "model_recall_macro": "macro recall",
    "model_f1_macro": "macro F1",
    "model_mean_absolute_error": "MAE",
    "model_root_mean_squared_error": "RMSE",
    "model_mean_absolute_percentage_error": "MAPE",
    "model_r2": "R²",
    "model_mean_error": "mean error",
}
"""Gauge -> what it is called in a table."""
ESTIMATED = "model_accuracy_estimated"
MAX_CLASSES = 30


@dataclass(frozen=True, slots=True)
class Share:
    """A share and its interval of 95 %, where it has one."""

    value: Number
    lower: Number | None
    upper: Number | None


@dataclass(frozen=True, slots=True)
class ClassQuality:
    """How often one class is right."""

    name: str
    precision: Share | None
    recall: Share | None
    f1: Number | None


@dataclass(frozen=True, slots=True)
class Window:
    """Figures of one window, of which there is something."""

    name: str
    """`24h`; empty for what an app reports itself."""
    samples: Number | None
    """Predictions that were joined with their label."""
    accuracy: Share | None
    figures: list[tuple[str, Number]]
    classes: list[ClassQuality]


@dataclass(frozen=True, slots=True)
class Estimated:
    """Accuracy by the scores of a window, without labels."""

    window: str
    """As of `Window`."""
    accuracy: Share
    rows: Number | None


@dataclass(frozen=True, slots=True)
class Quality:
    """Of one version of a model."""

    windows: list[Window]
    labels: list[tuple[str, Number]]
    """What became of labels -> how many."""
    estimated: Estimated | None = None


def quality(metrics: Metrics, of_model: Mapping[str, str]) -> Quality:
    """`of_model`: the labels `model` and `version`."""
    names: dict[str, None] = {}
    for family in ("model_outcome_samples", "model_accuracy", *FIGURES):
        names |= dict.fromkeys(series.labels.get("window", "") for series in metrics.select(family, **of_model))
    found = [_window(metrics, name, {**of_model, "window": name}) for name in names]
    labels = [(s.labels.get("result", ""), s.value) for s in metrics.select("model_labels", **of_model) if s.value]
    shown = [window for window in found if window.samples or window.accuracy or window.figures]
    return Quality(shown, labels, _estimated(metrics, of_model))


def _estimated(metrics: Metrics, of_model: Mapping[str, str]) -> Estimated | None:
    windows = [series.labels.get("window", "") for series in metrics.select(ESTIMATED, **of_model)]
    labels = {**of_model, "window": windows[0] if windows else ""}
    accuracy = share_of(metrics, ESTIMATED, labels)
    if accuracy is None:
        return None
    return Estimated(labels["window"], accuracy, metrics.value(f"{ESTIMATED}_samples", **labels))


def _window(metrics: Metrics, name: str, labels: Mapping[str, str]) -> Window:
    figures = [(title, v) for n, title in FIGURES.items() if (v := metrics.value(n, **labels)) is not None]
    classes = dict.fromkeys(
        series.labels.get("class", "")
        for family in ("model_class_precision", "model_class_recall")
        for series in metrics.select(family, **labels)
    )
    return Window(
        name,
        metrics.value("model_outcome_samples", **labels),
        share_of(metrics, "model_accuracy", labels),
        figures,
        [_of_class(metrics, one, {**labels, "class": one}) for one in list(classes)[:MAX_CLASSES]],
    )


def _of_class(metrics: Metrics, name: str, labels: Mapping[str, str]) -> ClassQuality:
    precision, recall = (share_of(metrics, f"model_class_{what}", labels) for what in ("precision", "recall"))
    return ClassQuality(name, precision, recall, metrics.value("model_class_f1", **labels))


def share_of(metrics: Metrics, name: str, labels: Mapping[str, str]) -> Share | None:
    """A gauge with its `_lower` and `_upper`; None where it is not there."""
    value = metrics.value(name, **labels)
    if value is None:
        return None
    return Share(value, metrics.value(f"{name}_lower", **labels), metrics.value(f"{name}_upper", **labels))
