"""The figures of models: bounded tables, and what they show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64
from sidecar.derive.families import FamilySnapshot, Histograms, Points, Summaries
from sidecar.derive.fixed_point import accumulate
from sidecar.derive.models.prediction_columns import Said, Told, told
from sidecar.derive.scrapes import View
from sidecar.derive.series import I64, LIMIT, SCALE, Arrival, Budget, Labels, SeriesTable, whole

MODEL = ("service", "model", "version")
CONFIDENCE = tuple(n / 20 for n in range(1, 20))
"""Twenty bins of 0.05; the last one reaches to 1 and beyond."""
_LARGEST = float(np.finfo(np.float64).max)
TABLES = 7
"""Tables that `ModelTables` has."""
BATCH = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)


class ModelTables:
    """Adds up what records say. Not thread-safe: the engine's lock guards it."""

    def __init__(self, latency_buckets: tuple[float, ...], budget: Budget) -> None:
        self._latency_buckets = latency_buckets
        self.predictions = SeriesTable("model_predictions_total", (*MODEL, "status"), 1, budget)
        self.classes = SeriesTable("model_predictions_by_class_total", (*MODEL, "class"), 1, budget)
        self.latency = _histogram("model_inference_latency_seconds", (*MODEL, "stage"), latency_buckets, budget)
        self.batch = _histogram("model_batch_size", MODEL, BATCH, budget)
        self.confidence = _histogram("model_confidence_score", MODEL, CONFIDENCE, budget)
        self.value = SeriesTable("model_prediction_value", MODEL, 1, budget)
        self.models = SeriesTable("model_info", MODEL, 2, budget)
        """Columns: 1 if it was told that it is loaded; time of the last prediction in ns."""
        self.kept = (
            self.predictions,
            self.classes,
            self.latency,
            self.batch,
            self.confidence,
            self.value,
            self.models,
        )

    def add(self, said: Sequence[Said], time: int, now: int) -> None:
        """Add what the records of one payload say. `time`: when it was received, Unix ns."""
        if said:
            self.add_columns(told(said, [0] * len(said)), np.array([time], np.int64), now)

    def add_columns(self, found: Told, received: I64, now: int) -> None:
        """Add what records say. `received`: when each payload was received, Unix ns."""
        if not len(found):
            return
        adding = _Adding(found, received[found.payload], now)
        adding.count(self.predictions, [(*model, status) for *model, status, _ in found.groups])
        adding.classes(self.classes)
        timed = np.flatnonzero(np.isfinite(found.seconds))
        stages = [(*model, stage) for *model, _, stage in found.groups]
        adding.observe(self.latency, stages, timed, found.seconds[timed], found.weight[timed], self._latency_buckets)
        models = [group[:3] for group in found.groups]
        calls = np.flatnonzero(found.batch > 0)
        adding.observe(self.batch, models, calls, found.batch[calls], found.weight[calls], BATCH)
        for table, figures, bounds in ((self.confidence, found.scores, CONFIDENCE), (self.value, found.values, ())):
            adding.observe(table, models, figures.of, figures.number, figures.weight, bounds)
        adding.see(self.models, models)

    def expire(self, before: int) -> None:
        """Take away series idle since before this time (Unix ns)."""
        for table in self.kept:
            table.expire(before)

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        """The families, all of one moment."""
        yield _counter(self.predictions, view, "model_predictions", "Predictions by status (ok, error).")
        yield _counter(self.classes, view, "model_predictions_by_class", "Predictions by predicted class.")
        yield _shown(self.latency, view, "Seconds that a model took, by stage.", "seconds", self._latency_buckets)
        yield _shown(self.batch, view, "Rows of one call of a model.", "", BATCH)
        yield _shown(self.confidence, view, "Probability of the predicted class.", "", CONFIDENCE)
        yield self._values(view)
        yield from self._models(view)

    def _values(self, view: View | None) -> FamilySnapshot:
        keys, _, values, created, sums = self.value.show_sums(view)
        block = Summaries(_labels(self.value, keys), [()] * len(keys), whole(values[:, 0]), sums, created)
        return FamilySnapshot("model_prediction_value", "summary", "Predicted numbers: count and sum.", "", (block,))

    def _models(self, view: View | None) -> Iterable[FamilySnapshot]:
        self.models.mark_exported()  # Gauges do not begin at 0.
        keys, _, values, _ = self.models.show(view)
        labels = _labels(self.models, keys)
        yield FamilySnapshot("model", "info", "Models that were told of.", "", (Points(labels, [1] * len(keys)),))
        loaded = [n for n, value in enumerate(values[:, 0].tolist()) if value]
        points = Points([labels[n] for n in loaded], [1] * len(loaded))
        yield FamilySnapshot("model_loaded", "gauge", "1 for a model that a process has loaded.", "", (points,))
        used = [n for n, value in enumerate(values[:, 1].tolist()) if value]
        points = Points([labels[n] for n in used], (values[used, 1] / 1e9).tolist())
        yield FamilySnapshot(
            "model_last_prediction_timestamp_seconds", "gauge", "Time of the last prediction.", "seconds", (points,)
        )


@dataclass(frozen=True, slots=True)
class _Adding:
    """Adds what records say to tables."""

    found: Told
    received: I64
    """When each record was received."""
    now: int

    def count(self, table: SeriesTable, keys: Sequence[Labels]) -> None:
        """`rows` of the records that have some. `keys`: of each group."""
        counted = np.flatnonzero(self.found.rows > 0)
        rows = self._rows(table, keys, self.found.group[counted], counted)
        accumulate(table.values, rows, 0, np.rint(self.found.rows[counted] * SCALE))

    def classes(self, table: SeriesTable) -> None:
        classes = self.found.classes
        width = max(len(classes.names), 1)
        pairs, codes = np.unique(
            self.found.group[classes.of].astype(np.int64) * width + classes.name, return_inverse=True
        )
        keys = [(*self.found.groups[pair // width][:3], classes.names[pair % width]) for pair in pairs.tolist()]
        rows = self._rows(table, keys, codes, classes.of)
        accumulate(table.values, rows, 0, np.rint(classes.rows * SCALE))

    def observe(
        self,
        table: SeriesTable,
        keys: Sequence[Labels],
        of: npt.NDArray[Any],
        numbers: F64,
        weights: F64,
        bounds: Sequence[float],
    ) -> None:
        """Columns of the table: a count for each bucket (one bucket where there are no bounds), beside the sum. `of`:
        the record that tells each number."""
        rows = self._rows(table, keys, self.found.group[of], of)
        accumulate(table.values, rows, np.searchsorted(bounds, numbers), np.rint(weights * SCALE))
        with np.errstate(over="ignore"):  # What a sampled number stands for may be more than a double holds.
            amounts = np.clip(numbers * weights, -_LARGEST, _LARGEST)
        table.add_up(rows, amounts)

    def see(self, table: SeriesTable, keys: Sequence[Labels]) -> None:
        """Column 0: 1 for what is loaded. Column 1: the latest time of a prediction."""
        found = self.found
        rows = self._rows(table, keys, found.group, np.arange(len(found)))
        table.values[rows[found.loaded], 0] = 1
        used = np.flatnonzero((found.rows > 0) & ~found.loaded)
        time = np.minimum(found.time[used], np.uint64(LIMIT)).astype(np.int64)
        # No prediction is made after it was received: of a clock that is ahead the gauge would never come back.
        latest = np.where(time > 0, np.minimum(time, self.received[used]), self.received[used])
        np.maximum.at(table.values[:, 1], rows[used], latest)

    def _rows(
        self, table: SeriesTable, keys: Sequence[Labels], codes: npt.NDArray[Any], of: npt.NDArray[Any]
    ) -> npt.NDArray[np.intp]:
        """The row of each of some items, which have these keys and come from these records."""
        if not len(codes):
            return np.zeros(0, np.intp)
        arrival = Arrival(np.arange(1, len(codes) + 1), self.received[of], self.now)
        rows: npt.NDArray[np.intp] = table.rows(keys, codes.astype(np.uint32, copy=False), arrival)[codes]
        table.touch(np.unique(rows), self.now)
        return rows


def _histogram(name: str, labels: tuple[str, ...], bounds: Sequence[float], budget: Budget) -> SeriesTable:
    """Columns: a count for each bucket."""
    return SeriesTable(name, labels, 1 + len(bounds), budget, ",".join(map(str, bounds)))


def _labels(table: SeriesTable, keys: Sequence[Labels]) -> list[str]:
    texts = table.texts(table.labels)
    return [texts[key] for key in keys]


def _counter(table: SeriesTable, view: View | None, name: str, text: str) -> FamilySnapshot:
    keys, _, values, created = table.show(view)
    return FamilySnapshot(name, "counter", text, "", (Points(_labels(table, keys), whole(values[:, 0]), created),))


def _shown(table: SeriesTable, view: View | None, text: str, unit: str, bounds: Sequence[float]) -> FamilySnapshot:
    keys, _, values, created, sums = table.show_sums(view)
    block = Histograms(_labels(table, keys), tuple(bounds), whole(np.cumsum(values, axis=1)), sums, created)
    return FamilySnapshot(table.name, "histogram", text, unit, (block,))
