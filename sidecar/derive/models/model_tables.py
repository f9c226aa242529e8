"""Metrics of models: bounded tables, and what they show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64
from sidecar.derive.families import FamilySnapshot, Points, Summaries
from sidecar.derive.models.prediction_columns import PredictionColumns, PredictionRecord, columns_of
from sidecar.derive.scrapes import View
from sidecar.derive.series import I64, LIMIT, Arrival, Budget, Labels, SeriesTable, whole
from sidecar.derive.tables import CounterTable, HistogramTable

MODEL = ("service", "model", "version")
CONFIDENCE = tuple(n / 20 for n in range(1, 20))
"""Twenty bins of 0.05; the last one reaches to 1 and beyond."""
TABLES = 7
"""Tables that `ModelTables` has."""
BATCH = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)


class ModelTables:
    """Adds up what records say. Not thread-safe: the engine's lock guards it."""

    def __init__(self, latency_buckets: tuple[float, ...], budget: Budget) -> None:
        self.predictions = CounterTable("model_predictions_total", (*MODEL, "status"), budget)
        self.classes = CounterTable("model_predictions_by_class_total", (*MODEL, "class"), budget)
        self.latency = HistogramTable("model_inference_latency_seconds", (*MODEL, "stage"), latency_buckets, budget)
        self.batch = HistogramTable("model_batch_size", MODEL, BATCH, budget)
        self.confidence = HistogramTable("model_confidence_score", MODEL, CONFIDENCE, budget)
        self.value = HistogramTable("model_prediction_value", MODEL, (), budget)
        self.models = SeriesTable("model_info", MODEL, 2, budget)
        """Columns: 1 if a record says that it is loaded; time of the last prediction in ns."""
        self.kept = (
            self.predictions,
            self.classes,
            self.latency,
            self.batch,
            self.confidence,
            self.value,
            self.models,
        )

    def add(self, records: Sequence[PredictionRecord], time: int, now: int) -> None:
        """Add what the records of one payload say. `time`: when it was received, Unix ns."""
        if records:
            self.add_columns(columns_of(records, [0] * len(records)), np.array([time], np.int64), now)

    def add_columns(self, found: PredictionColumns, received: I64, now: int) -> None:
        """Add what records say. `received`: when each payload was received, Unix ns."""
        if not len(found):
            return
        adding = _Adding(found, received[found.payload], now)
        adding.count(self.predictions, [(*model, status) for *model, status, _ in found.groups])
        adding.classes(self.classes)
        timed = np.flatnonzero(np.isfinite(found.seconds))
        stages = [(*model, stage) for *model, _, stage in found.groups]
        adding.observe(self.latency, stages, timed, found.seconds[timed], found.weight[timed])
        models = [group[:3] for group in found.groups]
        calls = np.flatnonzero(found.batch > 0)
        adding.observe(self.batch, models, calls, found.batch[calls], found.weight[calls])
        for table, column in ((self.confidence, found.scores), (self.value, found.values)):
            adding.observe(table, models, column.of, column.number, column.weight)
        adding.see(self.models, models)

    def expire(self, now: int, ttl: int) -> None:
        """Take away series idle for longer than `ttl` ns at `now` (Unix ns)."""
        for table in self.kept:
            table.expire(now, ttl)

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        """The families, all of one moment."""
        yield self.predictions.snapshot(view, "Predictions by status (ok, error).")
        yield self.classes.snapshot(view, "Predictions by predicted class.")
        yield self.latency.snapshot(view, "Seconds that a model took, by stage.", "seconds")
        yield self.batch.snapshot(view, "Rows of one call of a model.")
        yield self.confidence.snapshot(view, "Probability of the predicted class.")
        yield self._values(view)
        yield from self._models(view)

    def _values(self, view: View | None) -> FamilySnapshot:
        keys, _, values, created, sums = self.value.show_sums(view)
        block = Summaries(self.value.label_texts(keys), [()] * len(keys), whole(values[:, 0]), sums, created)
        return FamilySnapshot("model_prediction_value", "summary", "Predicted numbers: count and sum.", "", (block,))

    def _models(self, view: View | None) -> Iterable[FamilySnapshot]:
        self.models.mark_exported()  # Gauges do not begin at 0.
        keys, _, values, _ = self.models.show(view)
        labels = self.models.label_texts(keys)
        yield FamilySnapshot("model", "info", "Models that records name.", "", (Points(labels, [1] * len(keys)),))
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

    found: PredictionColumns
    received: I64
    """When each record was received."""
    now: int

    def count(self, table: CounterTable, keys: Sequence[Labels]) -> None:
        """`rows` of the records that have some. `keys`: of each group."""
        counted = np.flatnonzero(self.found.rows > 0)
        table.count(keys, self.found.group[counted], self._arrival(counted), self.found.rows[counted])

    def classes(self, table: CounterTable) -> None:
        """Rows of each class."""
        classes = self.found.classes
        width = max(len(classes.names), 1)
        pairs, codes = np.unique(
            self.found.group[classes.of].astype(np.int64) * width + classes.name, return_inverse=True
        )
        keys = [(*self.found.groups[pair // width][:3], classes.names[pair % width]) for pair in pairs.tolist()]
        table.count(keys, codes, self._arrival(classes.of), classes.rows)

    def observe(
        self, table: HistogramTable, keys: Sequence[Labels], of: npt.NDArray[Any], numbers: F64, weights: F64
    ) -> None:
        """`of`: the record that holds each number."""
        table.observe(keys, self.found.group[of], self._arrival(of), numbers, weights)

    def see(self, table: SeriesTable, keys: Sequence[Labels]) -> None:
        """Column 0: 1 for what is loaded. Column 1: the latest time of a prediction."""
        found = self.found
        rows = table.assign(keys, found.group, self._arrival(np.arange(len(found))))
        table.values[rows[found.loaded], 0] = 1
        used = np.flatnonzero((found.rows > 0) & ~found.loaded)
        time = np.minimum(found.time[used], np.uint64(LIMIT)).astype(np.int64)
        # No prediction is made after it was received: of a clock that is ahead the gauge would never come back.
        latest = np.where(time > 0, np.minimum(time, self.received[used]), self.received[used])
        np.maximum.at(table.values[:, 1], rows[used], latest)

    def _arrival(self, of: npt.NDArray[Any]) -> Arrival:
        """Of some items, each from one of the records."""
        return Arrival(np.arange(1, len(of) + 1), self.received[of], self.now)
