"""Metric families of outcomes, from the windows of all models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sidecar.derive.families import FamilySnapshot, label_text, window_text
from sidecar.derive.gauges import Gauges
from sidecar.derive.outcomes.figures import (
    ClassFigures,
    SetFigures,
    brier,
    by_class,
    calibration_error,
    log_loss,
    of_numbers,
    of_sets,
    positive_code,
    roc_auc,
    weighted,
)
from sidecar.derive.outcomes.model_outcomes import Model, ModelOutcomes
from sidecar.derive.outcomes.options import OutcomeOptions
from sidecar.derive.outcomes.tally import MAX_CODE, Tally
from sidecar.derive.shares import share

_BY_CLASS = "of a class against all others"
_ABOUT = {
    "model_outcome_samples": "Rows joined with their label, by the window in which they were predicted.",
    "model_accuracy": "Share of joined rows whose predicted class is the actual one.",
    "model_accuracy_lower": "Lower end of the accuracy's interval of 95 % (Wilson).",
    "model_accuracy_upper": "Upper end of the accuracy's interval of 95 % (Wilson).",
    "model_precision": "Precision, weighted by the rows that are of each class.",
    "model_recall": "Recall, weighted by the rows that are of each class.",
    "model_f1": "F1, weighted by the rows that are of each class.",
    "model_class_precision": f"Precision {_BY_CLASS}.",
    "model_class_precision_lower": f"Lower end of the interval of 95 % of the precision {_BY_CLASS}.",
    "model_class_precision_upper": f"Upper end of the interval of 95 % of the precision {_BY_CLASS}.",
    "model_class_recall": f"Recall {_BY_CLASS}.",
    "model_class_recall_lower": f"Lower end of the interval of 95 % of the recall {_BY_CLASS}.",
    "model_class_recall_upper": f"Upper end of the interval of 95 % of the recall {_BY_CLASS}.",
    "model_class_f1": f"F1 {_BY_CLASS}.",
    "model_subset_accuracy": "Share of joined rows whose predicted set of classes is the actual one.",
    "model_subset_accuracy_lower": "Lower end of its interval of 95 % (Wilson).",
    "model_subset_accuracy_upper": "Upper end of its interval of 95 % (Wilson).",
    "model_precision_micro": "Precision of sets of classes, over all classes of all rows.",
    "model_recall_micro": "Recall of sets of classes, over all classes of all rows.",
    "model_f1_micro": "F1 of sets of classes, over all classes of all rows.",
    "model_precision_macro": "Precision of sets of classes, mean of the classes.",
    "model_recall_macro": "Recall of sets of classes, mean of the classes.",
    "model_f1_macro": "F1 of sets of classes, mean of the classes.",
    "model_roc_auc": "Area under the ROC curve of two classes, from 200 bins of scores.",
    "model_log_loss": "Log loss of two classes.",
    "model_brier": "Brier score of two classes.",
    "model_calibration_error": "Expected calibration error of the probability of the predicted class, in 10 bins.",
    "model_calibration_error_expected": "What a model that is calibrated perfectly would show for as many rows.",
    "model_mean_absolute_error": "Mean absolute error of predicted numbers.",
    "model_root_mean_squared_error": "Root of the mean squared error of predicted numbers.",
    "model_mean_absolute_percentage_error": "Mean of |error / actual number| where that is not 0, as a share.",
    "model_r2": "Coefficient of determination of predicted numbers.",
    "model_mean_error": "Mean of predicted - actual number: the bias.",
}


def families(models: Mapping[Model, ModelOutcomes], options: OutcomeOptions, now: int) -> Iterator[FamilySnapshot]:
    """The families at `now` (Unix seconds)."""
    found = Gauges(_ABOUT)
    for model, state in models.items():
        for window in options.windows:
            labels = label_text(("model", "version", "window"), (*model, window_text(window)))
            tally = state.window(window, now)
            _window(found, labels, tally, state.names, options)
            sets = of_sets(tally.sets, state.labels) if tally.sets.rows >= options.min_rows else None
            if sets is not None:
                _sets(found, labels, sets, options)
    yield from found.families()


def _window(found: Gauges, labels: str, tally: Tally, names: Sequence[str], options: OutcomeOptions) -> None:
    rows = tally.classified
    found.add("model_outcome_samples", labels, tally.rows)
    if rows >= options.min_rows:
        found.add_interval("model_accuracy", labels, share(tally.correct, rows))
        _classes(found, labels, tally, names, options)
    if tally.scored >= options.min_rows:
        _scores(found, labels, tally, names, options)
    if tally.numbers >= options.min_rows:
        numbers = of_numbers(tally)
        found.add("model_mean_absolute_error", labels, numbers.mae)
        found.add("model_root_mean_squared_error", labels, numbers.rmse)
        found.add("model_mean_absolute_percentage_error", labels, numbers.mape)
        found.add("model_r2", labels, numbers.r2)
        found.add("model_mean_error", labels, numbers.bias)


def _classes(found: Gauges, labels: str, tally: Tally, names: Sequence[str], options: OutcomeOptions) -> None:
    classes = by_class(tally, names)
    averages = weighted(classes)
    found.add("model_precision", labels, averages.precision)
    found.add("model_recall", labels, averages.recall)
    found.add("model_f1", labels, averages.f1)
    _by_class(found, labels, classes, options)


def _sets(found: Gauges, labels: str, sets: SetFigures, options: OutcomeOptions) -> None:
    found.add_interval("model_subset_accuracy", labels, sets.subset)
    for average, of in (("micro", sets.micro), ("macro", sets.macro)):
        if of is not None:
            found.add(f"model_precision_{average}", labels, of.precision)
            found.add(f"model_recall_{average}", labels, of.recall)
            found.add(f"model_f1_{average}", labels, of.f1)
    _by_class(found, labels, sets.classes[:MAX_CODE], options)


def _by_class(found: Gauges, labels: str, classes: Sequence[ClassFigures], options: OutcomeOptions) -> None:
    for one in classes:
        own = f"{labels},{label_text(('class',), (one.name,))}"
        if one.predicted >= options.min_rows:
            found.add_interval("model_class_precision", own, share(one.hits, one.predicted))
        if one.actual >= options.min_rows:
            found.add_interval("model_class_recall", own, share(one.hits, one.actual))
        if min(one.predicted, one.actual) >= options.min_rows:
            found.add("model_class_f1", own, one.f1)


def _scores(found: Gauges, labels: str, tally: Tally, names: Sequence[str], options: OutcomeOptions) -> None:
    error, expected = calibration_error(tally)
    found.add("model_calibration_error", labels, error)
    found.add("model_calibration_error_expected", labels, expected)
    classes = by_class(tally, names)
    if len(classes) > 2:
        return
    found.add("model_log_loss", labels, log_loss(tally))
    found.add("model_brier", labels, brier(tally))
    positive = positive_code(classes, names, options.positive_class)
    if positive is not None:
        (negative,) = (code for one in classes if (code := names.index(one.name)) != positive)
        found.add("model_roc_auc", labels, roc_auc(tally, positive, negative))
