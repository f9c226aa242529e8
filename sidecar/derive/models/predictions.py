"""Metrics of models, from predictions in log records and spans.

Three ways in: the event `ml.prediction` of the zero-code instrumentation (columns of many rows), attributes of a log
record (JSON lines too), attributes of a span. A span of the instrumentation is left out, since its event says the same.
What records say becomes `PredictionColumns`, and is added up as whole numbers of fixed point: exact, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import Field

from sidecar.decode.api import Decoder, LogBatch, PredictionBatch, SpanBatch
from sidecar.decode.predictions.attribute_names import ALIASES, FRAMEWORK, LOADED, STAGES, marks, span_marks
from sidecar.decode.predictions.attribute_names import aliases as all_aliases
from sidecar.decode.predictions.label_event import label_indices
from sidecar.decode.predictions.label_names import MARK as LABEL_MARK
from sidecar.derive.deriver import Deriver, DeriverContext, table_bytes
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.models.alias_options import DESCRIPTION, AdditionalNames
from sidecar.derive.models.model_tables import TABLES, ModelTables
from sidecar.derive.models.prediction_attributes import (
    Aliases,
    Group,
    NumericAttributes,
    measure_names,
    number_names,
    of_attributes,
    text_names,
)
from sidecar.derive.models.prediction_columns import Classes, NumericColumn, PredictionColumns, known_service
from sidecar.derive.models.servings import MAX_BYTES as SERVING_BYTES
from sidecar.derive.models.servings import ServingDeriver
from sidecar.derive.prediction_events import PredictionEvents
from sidecar.derive.scrapes import View
from sidecar.derive.series import MAX_WEIGHT, Arrival, Budget
from sidecar.options import Duration, Section
from sidecar.pipeline import Signal

_ERRORS = frozenset({"ERROR", "FATAL"})


class PredictionOptions(Section):
    """Metrics of models."""

    enabled: bool = Field(default=True, description="Derive model_* metrics from predictions in logs and spans.")
    attributes: bool = Field(
        default=False,
        description="Look for predictions in the attributes of log records and spans too, not only in the events of "
        "the zero-code instrumentation. A program that is instrumented and also writes its predictions itself would "
        "have them counted twice. Costs 1.3 s of CPU for a million records that tell of one.",
    )
    payloads: bool = Field(
        default=True,
        description="Look for payloads of serving protocols in log records (Open Inference, MLflow, TensorFlow "
        "Serving, KServe's CloudEvents, BentoML's monitors); see docs/how-to/serving-payloads.md.",
    )
    response_timeout: Duration = Field(
        default=60,
        gt=0,
        le=86_400,
        description="Time after which a request in KServe's log counts as unanswered.",
    )
    aliases: AdditionalNames = Field(default_factory=dict, description=DESCRIPTION)
    latency_buckets: tuple[float, ...] = Field(
        default=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        min_length=1,
        max_length=100,
        description="Upper bounds of model_inference_latency_seconds, ascending.",
    )


@dataclass(frozen=True, slots=True)
class Read:
    """What some payloads say."""

    events: PredictionColumns | None
    attributes: PredictionColumns | None
    """Its `payload` is not set yet: it stands for the record's place among all records of the payloads."""


class _Names:
    """A table of names, made ready."""

    def __init__(self, aliases: Aliases) -> None:
        self.aliases = aliases
        self.marks, self.span_marks = marks(aliases), span_marks(aliases)
        self.wanted = text_names(aliases), number_names(aliases), measure_names(aliases)

    def group(
        self, service: str, dimensions: Sequence[str], failed: bool, stage: str = "", stages: bool = False
    ) -> Group | None:
        """None for what the instrumentation sent: its event says the same."""
        texts = dict(zip(self.wanted[0], dimensions, strict=True))
        return None if texts[FRAMEWORK] else Group(texts, self.aliases, failed, stage, stages, known_service(service))


class PredictionDeriver:
    """One signal's predictions into the tables. The deriver of the logs keeps the tables, that of the spans adds to
    them. The caller guards both with one lock."""

    def __init__(
        self,
        signal: Signal,
        tables: ModelTables,
        aliases: Aliases | None = ALIASES,
        events: PredictionEvents | None = None,
    ) -> None:
        """`aliases`: the attributes that are read of all records; None to read only the events."""
        self.signal: Signal = signal
        self._events = events or PredictionEvents()
        if signal == "logs":
            self._events.join()
        self._names = None if aliases is None else _Names(aliases)
        self._tables = tables
        self.kept = tables.kept if signal == "logs" else ()

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> Read:
        """What the payloads say. Raises DecodeError."""
        names, events, attributes = self._names, None, None
        if self.signal == "spans":
            if names is not None and any(decoder.contains_any(p, names.span_marks) for p in payloads):
                attributes = _of_spans(names, decoder.spans(payloads, *names.wanted))
            return Read(None, attributes)
        counted: list[int] = []
        found = self._events.read(decoder, payloads)
        if found is not None:
            events = of_events(found)
            counted = found.record[events.rows > 0].tolist()
        if names is not None and any(decoder.contains_any(p, names.marks) for p in payloads):
            batch = decoder.logs(payloads, *names.wanted)
            attributes = _of_logs(names, batch, counted + _labels(decoder, payloads))
        return Read(events, attributes)

    def apply(self, batch: Read, arrival: Arrival) -> None:
        """Add what payloads say."""
        if batch.events is not None:
            self._tables.add_columns(batch.events, arrival.times, arrival.now)
        if batch.attributes is not None:
            payload = np.searchsorted(arrival.ends, batch.attributes.payload, side="right")
            placed = np.minimum(payload, len(arrival.times) - 1).astype(np.uint32)
            self._tables.add_columns(replace(batch.attributes, payload=placed), arrival.times, arrival.now)

    def expire(self, now: int, ttl: int) -> None:
        """Take away series idle for longer than `ttl` ns at `now` (Unix ns)."""
        if self.kept:
            self._tables.expire(now, ttl)

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        return self._tables.collect(view) if self.kept else ()


def build(options: PredictionOptions, context: DeriverContext) -> Sequence[Deriver[Any]]:
    """The derivers of events, attributes and payloads, which share tables; none where they are off."""
    if not options.enabled:
        return []
    tables = ModelTables(options.latency_buckets, context.budget)
    names = all_aliases(options.aliases) if options.attributes else None
    derivers: list[Deriver[Any]] = [PredictionDeriver("logs", tables, names, context.events)]
    if names is not None:
        derivers.append(PredictionDeriver("spans", tables, names))
    if options.payloads:
        timeout = options.response_timeout
        derivers.append(ServingDeriver(tables, context.budget, timeout, names, context.events))
    return derivers


def memory(options: PredictionOptions, budget: Budget) -> int:
    """Bytes of the tables and of what waits for its response, at most, about."""
    return table_bytes(budget, TABLES + 1) + SERVING_BYTES


def of_events(batch: PredictionBatch) -> PredictionColumns:
    """What events say."""
    loaded = np.array([group[0] == LOADED for group in batch.groups], np.bool_)[batch.group]
    failed = np.array([bool(group[3]) for group in batch.groups], np.bool_)[batch.group] & ~loaded
    counts = ~loaded & ((batch.counted == 1) | failed)
    rows = np.where(failed, np.maximum(batch.rows, 1), batch.count)
    one_in = batch.one_in.astype(np.float64)
    return PredictionColumns(
        payload=batch.payload,
        time=batch.time,
        group=batch.group,
        groups=[
            _key(service, model, version, bool(error), stage)
            for _, model, version, error, stage, service in batch.groups
        ],
        rows=np.where(counts, rows, 0).astype(np.float64),
        weight=np.ones(len(batch)),
        seconds=np.where(loaded, np.nan, batch.seconds),
        batch=np.where(counts & ~failed, batch.rows, 0).astype(np.float64),
        loaded=loaded,
        classes=_classes(batch),
        scores=NumericColumn(batch.score_event, batch.score, one_in[batch.score_event]),
        values=NumericColumn(batch.value_event, batch.value, one_in[batch.value_event]),
    )


def _key(service: str, model: str, version: str, failed: bool, stage: str) -> tuple[str, ...]:
    return known_service(service), model or "unknown", version, "error" if failed else "ok", stage or "inference"


def _classes(batch: PredictionBatch) -> Classes:
    """The classes of each event; rows of classes that it does not name go to the class without a name."""
    named = np.bincount(batch.class_event, batch.class_rows.astype(np.float64), len(batch))
    rest = batch.count.astype(np.float64) - named
    unnamed = np.flatnonzero((np.bincount(batch.class_event, minlength=len(batch)) > 0) & (rest > 0)).astype(np.uint32)
    names = np.full(len(unnamed), len(batch.class_names), np.uint32)
    return Classes(
        np.concatenate([batch.class_event, unnamed]),
        np.concatenate([batch.class_name, names]),
        [*batch.class_names, ""],
        np.concatenate([batch.class_rows.astype(np.float64), rest[unnamed]]),
    )


def _labels(decoder: Decoder, payloads: Sequence[bytes]) -> list[int]:
    """Which of all records of the payloads are labels: they name a model and a class as a prediction does, but tell the
    truth of one that was counted when it was made."""
    found: list[int] = []
    if any(decoder.contains_any(payload, LABEL_MARK) for payload in payloads):
        before = 0
        for payload in payloads:
            accepted = decoder.check_logs(payload).items
            if decoder.contains_any(payload, LABEL_MARK):
                found += [before + index for index in label_indices(payload, accepted)]
            before += accepted
    return found


def _of_logs(names: _Names, batch: LogBatch, others: Sequence[int]) -> PredictionColumns:
    """`others`: records that are left out: events that were counted, and labels."""
    groups = [names.group(group[0], group[3:], group[1] in _ERRORS or bool(group[2])) for group in batch.groups]
    numbers = NumericAttributes.of(names.aliases, batch.numbers)
    group = batch.group
    if others:
        group = group.copy()
        group[others] = len(groups)
        groups.append(None)
    return of_attributes(group, groups, numbers, batch.time, np.ones(len(batch)))


def _of_spans(names: _Names, batch: SpanBatch) -> PredictionColumns:
    """A stage of a named model counts even if its span says nothing of a prediction."""
    groups = [
        names.group(service, dimensions, status == "STATUS_CODE_ERROR", name if name in STAGES else "", True)
        for service, name, _, status, *dimensions in batch.groups
    ]
    numbers = NumericAttributes.of(names.aliases, batch.numbers)
    own = np.where(batch.start > 0, batch.duration / 1e9, np.nan)
    numbers = replace(numbers, seconds=np.where(np.isfinite(numbers.seconds), numbers.seconds, own))
    weight = np.clip(batch.adjusted_count, 0, MAX_WEIGHT)
    return of_attributes(batch.group, groups, numbers, batch.start + batch.duration, weight)
