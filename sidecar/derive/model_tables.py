"""The figures of models: bounded tables, and what they show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from sidecar.decode.batch import F64
from sidecar.derive.amounts import MAX_VALUE, accumulate
from sidecar.derive.families import FamilySnapshot, Histograms, Points, Summaries
from sidecar.derive.series import LIMIT, SCALE, Arrival, Budget, Labels, SeriesTable, whole

MODEL = ("model", "version")
CONFIDENCE = tuple(n / 20 for n in range(1, 20))
"""Twenty bins of 0.05; the last one reaches to 1 and beyond."""
BATCH = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)


@dataclass(slots=True)
class Said:
    """What one record says of one model's predictions."""

    model: str
    version: str
    time: int
    rows: int = 0
    """Rows that are counted."""
    status: str = "ok"
    classes: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None
    stage: str = "inference"
    batch: int = 0
    """Rows of the call; 0 where it is no call of its own."""
    scores: F64 | Sequence[float] = ()
    values: F64 | Sequence[float] = ()
    weight: float = 1.0
    """How many such records it stands for."""
    row_weight: float = 1.0
    """How many rows each score and value stands for."""
    loaded: bool = False


class ModelTables:
    """Adds up what records say. Not thread-safe: the engine's lock guards it."""

    def __init__(self, latency_buckets: tuple[float, ...], budget: Budget) -> None:
        self._latency_buckets = latency_buckets
        self.predictions = SeriesTable("model_predictions_total", (*MODEL, "status"), 1, budget)
        self.classes = SeriesTable("model_predictions_by_class_total", (*MODEL, "class"), 1, budget)
        self.latency = _histogram("model_inference_latency_seconds", (*MODEL, "stage"), latency_buckets, budget)
        self.batch = _histogram("model_batch_size", MODEL, BATCH, budget)
        self.confidence = _histogram("model_confidence_score", MODEL, CONFIDENCE, budget)
        self.value = SeriesTable("model_prediction_value", MODEL, 2, budget)
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
        at = _Adding(time, now)
        for one in said:
            model = (one.model, one.version)
            at.count(self.predictions, (*model, one.status), one.rows * one.weight)
            for name, rows in one.classes.items():
                at.count(self.classes, (*model, name), rows * one.weight)
            if one.seconds is not None:
                at.observe(self.latency, (*model, one.stage), (one.seconds,), one.weight)
            if one.batch:
                at.observe(self.batch, model, (one.batch,), one.weight)
            at.observe(self.confidence, model, one.scores, one.weight * one.row_weight)
            at.observe(self.value, model, one.values, one.weight * one.row_weight)
            at.see(self.models, model, one)
        at.put()
        bounds = ((self.latency, self._latency_buckets), (self.batch, BATCH), (self.confidence, CONFIDENCE))
        for table, buckets in (*bounds, (self.value, ())):
            at.put_observed(table, buckets)

    def expire(self, before: int) -> None:
        """Take away series idle since before this time (Unix ns)."""
        for table in self.kept:
            table.expire(before)

    def collect(self) -> Iterable[FamilySnapshot]:
        """The families, all of one moment."""
        yield _counter(self.predictions, "model_predictions", "Predictions by status (ok, error).")
        yield _counter(self.classes, "model_predictions_by_class", "Predictions by predicted class.")
        yield _shown(self.latency, "Seconds that a model took, by stage.", "seconds", self._latency_buckets)
        yield _shown(self.batch, "Rows of one call of a model.", "", BATCH)
        yield _shown(self.confidence, "Probability of the predicted class.", "", CONFIDENCE)
        yield self._values()
        yield from self._models()

    def _values(self) -> FamilySnapshot:
        keys, _, values, created = self.value.show()
        block = Summaries(
            _labels(self.value, keys), [()] * len(keys), whole(values[:, 1]), (values[:, 0] / SCALE).tolist(), created
        )
        return FamilySnapshot("model_prediction_value", "summary", "Predicted numbers: count and sum.", "", (block,))

    def _models(self) -> Iterable[FamilySnapshot]:
        self.models.all_shown()  # Gauges do not begin at 0.
        keys, _, values, _ = self.models.show()
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


@dataclass(slots=True)
class _Adding:
    """What one payload adds, gathered so that each row is written once."""

    time: int
    now: int
    rows: dict[tuple[str, Labels], int] = field(default_factory=dict)
    counts: dict[tuple[SeriesTable, int], int] = field(default_factory=dict)
    observed: dict[SeriesTable, list[tuple[int, F64 | Sequence[float], float]]] = field(default_factory=dict)
    """Table -> (row, values, weight of each)."""

    def row(self, table: SeriesTable, key: Labels) -> int:
        known = self.rows.get((table.name, key))
        if known is not None:
            return known
        arrival = Arrival(np.array([1]), np.array([self.time]), self.now)
        row = int(table.rows([key], np.zeros(1, np.uint32), arrival)[0])
        self.rows[table.name, key] = row
        table.touch(np.array([row]), self.now)
        return row

    def count(self, table: SeriesTable, key: Labels, amount: float) -> None:
        if amount > 0:
            cell = (table, self.row(table, key))
            self.counts[cell] = self.counts.get(cell, 0) + round(amount * SCALE)

    def observe(self, table: SeriesTable, key: Labels, values: F64 | Sequence[float], weight: float) -> None:
        if len(values):
            self.observed.setdefault(table, []).append((self.row(table, key), values, weight))

    def see(self, table: SeriesTable, key: Labels, one: Said) -> None:
        row = self.row(table, key)
        if one.loaded:
            table.values[row, 0] = 1
        elif one.rows:
            table.values[row, 1] = max(int(table.values[row, 1]), min(one.time or self.time, LIMIT))

    def put(self) -> None:
        for (table, row), amount in self.counts.items():
            table.values[row, 0] = min(int(table.values[row, 0]) + amount, LIMIT)

    def put_observed(self, table: SeriesTable, bounds: Sequence[float]) -> None:
        """Columns of the table: sum, then a count for each bucket (one bucket where there are no bounds)."""
        found = self.observed.get(table, [])
        if not found:
            return
        lengths = [len(values) for _, values, _ in found]
        rows = np.repeat(np.array([row for row, _, _ in found], np.intp), lengths)
        weights = np.repeat(np.array([weight for _, _, weight in found], np.float64), lengths)
        values = np.concatenate([np.asarray(values, np.float64) for _, values, _ in found])
        sane = np.abs(values) <= MAX_VALUE
        rows, weights, values = rows[sane], weights[sane], values[sane]
        accumulate(table.values, rows, 1 + np.searchsorted(bounds, values), np.rint(weights * SCALE))
        accumulate(table.values, rows, 0, np.rint(values * weights * SCALE))


def _histogram(name: str, labels: tuple[str, ...], bounds: Sequence[float], budget: Budget) -> SeriesTable:
    """Columns: the sum, then a count for each bucket."""
    return SeriesTable(name, labels, 2 + len(bounds), budget, ",".join(map(str, bounds)))


def _labels(table: SeriesTable, keys: Sequence[Labels]) -> list[str]:
    texts = table.texts(table.labels)
    return [texts[key] for key in keys]


def _counter(table: SeriesTable, name: str, text: str) -> FamilySnapshot:
    keys, _, values, created = table.show()
    return FamilySnapshot(name, "counter", text, "", (Points(_labels(table, keys), whole(values[:, 0]), created),))


def _shown(table: SeriesTable, text: str, unit: str, bounds: Sequence[float]) -> FamilySnapshot:
    keys, _, values, created = table.show()
    counts = whole(np.cumsum(values[:, 1:], axis=1))
    block = Histograms(_labels(table, keys), tuple(bounds), counts, (values[:, 0] / SCALE).tolist(), created)
    return FamilySnapshot(table.name, "histogram", text, unit, (block,))
