"""How much each feature counts in a model, as the model itself says: a gauge beside drift, to rank what moved by.

The zero-code instrumentation reports it with `ml.model.loaded`, when a model is loaded and every quarter of an hour
while it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from sidecar.decode.api import Decoder, FeatureKind, PredictionBatch
from sidecar.decode.predictions.attribute_names import LOADED
from sidecar.derive.deriver import Deriver, DeriverContext, table_bytes
from sidecar.derive.families import FamilySnapshot, Points
from sidecar.derive.models.model_tables import MODEL
from sidecar.derive.models.prediction_columns import known_service
from sidecar.derive.prediction_events import PredictionEvents
from sidecar.derive.scrapes import View
from sidecar.derive.series import OTHER, OVERFLOW, Arrival, Budget, SeriesTable
from sidecar.options import Section
from sidecar.pipeline import Signal

_SCALE = 1 << 30
"""Of a share in the table, which holds whole numbers."""


class ImportanceOptions(Section):
    """How much each feature counts in a model."""

    enabled: bool = Field(
        default=True, description="Show model_feature_importance for models that the zero-code instrumentation sees."
    )


@dataclass(frozen=True, slots=True)
class Share:
    """One feature of one event."""

    payload: int
    labels: tuple[str, ...]
    """service, model, version, feature."""
    share: float
    """0-1."""


class ImportanceDeriver:
    """Events `ml.model.loaded` in, one gauge out. The caller guards it with a lock."""

    signal: Signal = "logs"

    def __init__(self, budget: Budget, events: PredictionEvents | None = None) -> None:
        self._events = (events or PredictionEvents()).join()
        self._table = SeriesTable("model_feature_importance", (*MODEL, "feature"), 1, budget)
        self.kept = (self._table,)

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> list[Share]:
        """What the payloads say. Raises DecodeError."""
        found = self._events.read(decoder, payloads)
        if found is None or all(group[0] != LOADED for group in found.groups):
            return []
        return list(_shares(found if found.features is not None else decoder.predictions(payloads, True)))

    def apply(self, batch: list[Share], arrival: Arrival) -> None:
        """A newer value of a feature replaces the older one."""
        for one in batch:
            row = self._table.admit(one.labels, int(arrival.times[one.payload]), 1)
            self._table.values[row, 0] = round(one.share * _SCALE)
            self._table.touch(np.array([row]), arrival.now)

    def expire(self, now: int, ttl: int) -> None:
        """Take away series idle for longer than `ttl` ns at `now` (Unix ns)."""
        self._table.expire(now, ttl)

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        """The family. A share of several features together says nothing: series past the budget are counted only."""
        self._table.mark_exported()  # Gauges do not begin at 0.
        keys, _, values, _ = self._table.show(view)
        own = [n for n, key in enumerate(keys) if key != OVERFLOW and OTHER not in key]
        labels = self._table.label_texts([keys[n] for n in own])
        points = Points(labels, (values[own, 0] / _SCALE).tolist() if own else [])
        yield FamilySnapshot(
            "model_feature_importance",
            "gauge",
            "How much a feature counts by the model's own account, as a share of all its features.",
            "",
            (points,),
        )


def _shares(batch: PredictionBatch) -> Iterator[Share]:
    features = batch.features
    assert features is not None
    begin = 0
    for column, event in enumerate(features.event.tolist()):
        end = int(features.ends[column])
        name, model, version, _, _, service = batch.groups[batch.group[event]]
        if name == LOADED and end == begin + 1 and features.kind[begin] == FeatureKind.NUMBER:
            share = float(features.number[begin])
            if 0 <= share <= 1:
                feature = features.names[features.name[column]]
                labels = (known_service(service), model or "unknown", version, feature)
                yield Share(int(batch.payload[event]), labels, share)
        begin = end


def build(options: ImportanceOptions, context: DeriverContext) -> Sequence[Deriver[list[Share]]]:
    """The deriver, unless it is off."""
    return [ImportanceDeriver(context.budget, context.events)] if options.enabled else []


def memory(options: ImportanceOptions, budget: Budget) -> int:
    """Bytes of its table, at most, about."""
    return table_bytes(budget, 1)
