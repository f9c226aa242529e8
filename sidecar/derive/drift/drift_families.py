"""Metric families of drift, from the state of all models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sidecar.derive.drift.model_drift import ModelDrift, label_of
from sidecar.derive.drift.value_flags import ABOVE, BELOW, FLAGS, MISSING
from sidecar.derive.drift.window import ColumnWindow
from sidecar.derive.families import FamilySnapshot, Number, Points, label_text, window_text
from sidecar.derive.scrapes import View

_OBSERVATIONS = (
    "Values of a column by bin of its reference; missing and invalid ones are in no bin, those below and "
    "above its range are in the first and last bin too, unseen categories in rest too."
)


_BEYOND = 12
"""Of as many rows as a reference has: a larger share of values lies beyond its range on one side with a probability of
exp(-12), where nothing has changed."""


class _Block:
    """Series of one family, as they are gathered."""

    def __init__(self, name: str, kind: str, about: str) -> None:
        self._name, self._kind, self._about = name, kind, about
        self._labels: list[str] = []
        self._values: list[Number] = []
        self._created: list[float] = []

    def add(self, labels: str, value: Number, created: float = 0.0) -> None:
        """One series."""
        self._labels.append(labels)
        self._values.append(value)
        self._created.append(created)

    def family(self) -> FamilySnapshot:
        """The family."""
        if self._kind == "counter":
            return FamilySnapshot(
                self._name, "counter", self._about, "", (Points(self._labels, self._values, self._created),)
            )
        return FamilySnapshot(self._name, "gauge", self._about, "", (Points(self._labels, self._values),))


class _Families:
    def __init__(self) -> None:
        self.observations = _Block("model_feature_observations", "counter", _OBSERVATIONS)
        self.sums = _Block(
            "model_feature_value_sum",
            "counter",
            "Sum of the values of a bin, of columns whose reference has none below 0; later ones below 0 count as 0.",
        )
        self.ratio = _Block("model_feature_reference_ratio", "gauge", "Share of a bin in the reference.")
        self.rows = _Block(
            "model_feature_reference_rows", "gauge", "Values of a column that the reference was made of."
        )
        self.window = _Block(
            "model_feature_window_rows",
            "gauge",
            "Values of a bin in the window of the last check: add them up over pods.",
        )
        self.before = _Block(
            "model_feature_baseline_rows",
            "gauge",
            "Values of a bin in the window that the last check compared with, where that is not the reference.",
        )
        self.ready = _Block("data_drift_ready", "gauge", "1 where the window of the last check covered warm_up.")
        self.quantile = _Block(
            "data_drift_chi_squared_quantile",
            "gauge",
            "Quantile of chi-squared by degrees of freedom, by false_pages_per_year: critical values are made of it.",
        )
        self.usual = _Block(
            "data_quality_usual_ratio",
            "gauge",
            "Share of values that fail a rule where nothing has changed: of missing ones that of the reference, of "
            "those out of its range what chance gives at most. Shown where values have failed the rule.",
        )
        self.last_value = _Block(
            "model_feature_last_value_timestamp_seconds", "gauge", "When the last value came that is not missing."
        )
        self.score = _Block("data_drift_score", "gauge", "Distance of the window from the reference, by method.")
        self.threshold = _Block("data_drift_threshold", "gauge", "Score above which the distance is an effect.")
        self.critical = _Block(
            "data_drift_critical_value", "gauge", "Score above which the distance is certain, by false_pages_per_year."
        )
        self.samples = _Block("data_drift_samples", "gauge", "Values in the window at the last check.")
        self.detected = _Block("data_drift_detected", "gauge", "1 where drift is an effect and certain.")
        self.insufficient = _Block(
            "data_drift_insufficient_data", "gauge", "1 where the window is too small, or too short, for a decision."
        )
        self.accuracy = _Block(
            "model_accuracy_estimated", "gauge", "Accuracy by the scores of the window alone, without labels."
        )
        self.accuracy_lower = _Block(
            "model_accuracy_estimated_lower", "gauge", "Lower end of the interval of 95 % of the estimated accuracy."
        )
        self.accuracy_upper = _Block(
            "model_accuracy_estimated_upper", "gauge", "Upper end of the interval of 95 % of the estimated accuracy."
        )
        self.accuracy_rows = _Block(
            "model_accuracy_estimated_samples", "gauge", "Rows with a score that the estimated accuracy is of."
        )
        self.slow_score = _Block(
            "data_drift_slow_score",
            "gauge",
            "Size of the most certain change of the window, or of many windows together, in standard deviations or "
            "what is like it.",
        )
        self.slow_limit = _Block(
            "data_drift_slow_limit", "gauge", "Size above which that change is an effect, and certain."
        )
        self.slow_windows = _Block("data_drift_slow_windows", "gauge", "How many windows that change was found in.")
        self.slow_detected = _Block(
            "data_drift_slow_detected",
            "gauge",
            "1 where that change is above its limit: to be known, and no page. Wrong at most twelve times as often as "
            "false_pages_per_year.",
        )
        self.share = _Block("data_drift_share", "gauge", "Share of a model's features that have drifted.")

    def all(self) -> Iterator[FamilySnapshot]:
        for block in vars(self).values():
            yield block.family()


def families(
    models: Sequence[ModelDrift], view: View | None, window: float, window_rows: bool = True
) -> Iterator[FamilySnapshot]:
    """The families; a model that `view` has not been shown is shown at 0 first. `window`: seconds of the window.
    `window_rows`: with what drift of a fleet is computed from."""
    found = _Families()
    for state in models:
        zero = view is not None and view.at_zero(state.born, state.progress.started)
        of_model = label_text(("model", "version"), state.model)
        created = state.progress.started / 1e9
        for column in state.windows.values():
            about = f"{of_model},{label_text(('feature',), (label_of(column.bins),))}"
            _counters(found, about, column, state.reference.label, 0 if zero else 1, created)
            _usual(found, about, column)
            if column.last_value:
                found.last_value.add(about, column.last_value / 1e9)
        _decisions(found, of_model, state)
        _estimated(found, f"{of_model},{label_text(('window',), (window_text(window),))}", state)
        if window_rows:
            _of_fleets(found, of_model, state)
    yield from found.all()


def _counters(found: _Families, about: str, window: ColumnWindow, label: str, factor: int, created: float) -> None:
    bins = window.bins
    reference = label_text(("reference",), (label,))
    summed = bins.numeric and bins.min >= 0
    counters = window.counters()
    sums = bins.value(counters.sums, counters.totals).clip(min=0).tolist() if summed else [None] * bins.bins
    trained = bins.bin_counts
    size = max(1, int(trained.sum()))
    rows = zip(bins.labels, counters.totals.tolist(), trained.tolist(), sums, strict=True)
    for name, total, in_reference, value_sum in rows:
        labels = f"{about},{label_text(('bin',), (name,))},{reference}"
        found.observations.add(labels, total * factor, created)
        found.ratio.add(labels, in_reference / size)
        if value_sum is not None:
            found.sums.add(labels, value_sum * factor, created)
    for name, total in zip(FLAGS, counters.flags.tolist(), strict=True):
        found.observations.add(f'{about},bin="{name}",{reference}', total * factor, created)
    found.rows.add(f"{about},{reference}", int(trained.sum()))


def _usual(found: _Families, about: str, window: ColumnWindow) -> None:
    bins, flags = window.bins, window.counters().flags
    if flags[MISSING] and bins.missing_share:
        found.usual.add(f'{about},rule="missing"', bins.missing_share)
    if flags[BELOW] or flags[ABOVE]:
        found.usual.add(f'{about},rule="out_of_range"', min(1.0, _BEYOND / max(1, int(bins.bin_counts.sum()))))


def _decisions(found: _Families, of_model: str, state: ModelDrift) -> None:
    for key, decision in state.decisions.items():
        window = state.windows.get(key)
        if window is None:
            continue
        about = f"{of_model},{label_text(*state.about(window.bins))}"
        for one in decision.scores:
            labels = f'{about},method="{one.method}"'
            found.score.add(labels, one.score)
            found.threshold.add(labels, one.threshold)
            found.critical.add(labels, one.critical)
        decided = f'{about},method="{decision.method}"'
        found.samples.add(about, decision.scores[0].samples)
        found.detected.add(decided, int(decision.detected))
        found.insufficient.add(decided, int(decision.insufficient))
    for key, slow in state.slow_changes.items():
        about = f"{of_model},{label_text(*state.about(state.windows[key].bins))}"
        found.slow_score.add(about, slow.score)
        found.slow_limit.add(about, slow.limit)
        found.slow_windows.add(about, slow.windows)
        found.slow_detected.add(about, int(slow.detected))
    share = state.share()
    if share is not None:
        found.share.add(of_model, share)


def _estimated(found: _Families, labels: str, state: ModelDrift) -> None:
    estimate = state.estimate
    if estimate is not None:
        found.accuracy.add(labels, estimate.accuracy)
        found.accuracy_lower.add(labels, estimate.lower)
        found.accuracy_upper.add(labels, estimate.upper)
        found.accuracy_rows.add(labels, estimate.rows)


def _of_fleets(found: _Families, of_model: str, state: ModelDrift) -> None:
    """What rules add up over pods; empty before the first check."""
    reference = label_text(("reference",), (state.reference.label,))
    for block, by_column in ((found.window, state.rows_at_check), (found.before, state.rows_before)):
        for key, counts in by_column.items():
            bins = state.windows[key].bins
            about = f"{of_model},{label_text(('feature',), (label_of(bins),))}"
            for name, rows in zip(bins.labels, counts.tolist(), strict=True):
                block.add(f"{about},{label_text(('bin',), (name,))},{reference}", rows)
    if state.rows_at_check:
        found.ready.add(f"{of_model},{reference}", int(state.ready))
        for freedom, quantile in enumerate(state.chi_squared_quantiles(), 1):
            found.quantile.add(f'{of_model},freedom="{freedom}"', quantile)
