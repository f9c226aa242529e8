"""The native core (`native/`, module `sidecar_native`) behind the `Decoder` contract; the reference is in `python`.

Only `select` imports this, where the core is installed and of the right version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sidecar_native as core

from sidecar.decode.api import (
    F64,
    U8,
    U32,
    U64,
    Check,
    FarValues,
    FeatureColumns,
    Lines,
    LogBatch,
    PredictionBatch,
    SpanBatch,
    Transcoded,
)
from sidecar.decode.documents import logstash_events as events
from sidecar.decode.predictions.attribute_names import EVENT, LOADED
from sidecar.decode.predictions.feature_counter import CategoryCells, FeatureCounter, FeatureCounts, NumberCells
from sidecar.decode.redaction.prefilter import prefilter
from sidecar.decode.redaction.rules import SAMPLING_SEED, Redacted, Redactor, Rules, ValueRule
from sidecar.errors import DecodeError

_EVENTS = (EVENT.encode(), LOADED.encode())


class NativeDecoder:
    """The `Decoder` that runs on the native core. Arrays are read-only views of the core's buffers. Thread-safe:
    the core keeps no state of payloads between calls and releases the interpreter lock while it works."""

    name = "native"

    def __init__(self) -> None:
        self._literals: dict[tuple[tuple[bytes, ...], bool], core.Literals] = {}
        """The few sets that the program looks for."""

    def check_spans(self, payload: bytes) -> Check:
        with _errors():
            return _check(core.check_spans(payload))

    def check_logs(self, payload: bytes) -> Check:
        with _errors():
            return _check(core.check_logs(payload))

    def json_lines(self, body: bytes, observed: int, anonymous: bytes = b"") -> Transcoded:
        with _errors():
            found = core.json_lines(body, observed, anonymous)
        return Transcoded(found.payload, _check(found.check), rows=tuple(found.rows))

    def spans(
        self,
        payloads: Sequence[bytes],
        dimensions: Sequence[str],
        numbers: Sequence[str] = (),
        measures: Sequence[str] = (),
    ) -> SpanBatch:
        with _errors():
            found = core.spans(payloads, dimensions, numbers, measures)
        return SpanBatch(
            start=np.frombuffer(found.start, np.uint64),
            duration=np.frombuffer(found.duration, np.uint64),
            adjusted_count=np.frombuffer(found.adjusted_count, np.float64),
            trace_ids=found.trace_ids,
            span_ids=found.span_ids,
            parent_ids=found.parent_ids,
            group=np.frombuffer(found.group, np.uint32),
            groups=found.groups,
            resource=np.frombuffer(found.resource, np.uint32),
            resources=found.resources,
            repaired=found.repaired,
            numbers=tuple(np.frombuffer(column, np.float64) for column in found.numbers),
        )

    def logs(
        self,
        payloads: Sequence[bytes],
        dimensions: Sequence[str],
        numbers: Sequence[str] = (),
        measures: Sequence[str] = (),
    ) -> LogBatch:
        with _errors():
            return _log_batch(core.logs(payloads, dimensions, numbers, measures))

    def predictions(self, payloads: Sequence[bytes], features: bool = False) -> PredictionBatch:
        with _errors():
            return _prediction_batch(core.predictions(payloads, _EVENTS, features))

    def logs_and_predictions(
        self, payloads: Sequence[bytes], features: bool = False
    ) -> tuple[LogBatch, PredictionBatch]:
        with _errors():
            records, events = core.logs_and_predictions(payloads, _EVENTS, features)
        return _log_batch(records), _prediction_batch(events)

    def feature_counter(self, columns: Sequence[NumberCells | CategoryCells]) -> FeatureCounter:
        return NativeFeatureCounter(columns)

    def span_lines(self, payloads: Sequence[bytes], traces: bytes = b"") -> Lines:
        with _errors():
            return _lines(core.span_lines(payloads, traces))

    def log_lines(
        self,
        payloads: Sequence[bytes],
        id_prefixes: Sequence[str],
        ordinals: Sequence[U32 | None] = (),
        traces: bytes = b"",
    ) -> Lines:
        given = [None if numbers is None else numbers.astype(np.uint32, copy=False).tobytes() for numbers in ordinals]
        with _errors():
            return _lines(core.log_lines(payloads, id_prefixes, given, traces))

    def data_frames(self, body: bytes, ends: U32) -> bytes:
        return self._events(body, ends, True)

    def event_array(self, body: bytes, ends: U32) -> bytes:
        return self._events(body, ends, False)

    def _events(self, body: bytes, ends: U32, framed: bool) -> bytes:
        offsets = ends.astype(np.uint32, copy=False).tobytes()
        return core.events(body, offsets, framed, events.BEGIN, events.MIDDLE)

    def redactor(self, rules: Rules) -> Redactor:
        return NativeRedactor(rules)

    def contains_any(self, payload: bytes, literals: tuple[bytes, ...], fold: bool = False) -> bool:
        known = self._literals.get((literals, fold))
        if known is None:
            known = self._literals[literals, fold] = core.Literals(literals, fold)
        return known.any_in(payload)

    def span_terms(self, payload: bytes) -> U64:
        with _errors():
            return np.frombuffer(core.span_terms(payload), np.uint64)

    def digest(self, payload: bytes, seed: int) -> bytes:
        return core.digest(payload, seed)


class NativeFeatureColumns(FeatureColumns):
    """Columns that stay in the core until somebody looks at them: mostly they are only counted."""

    def __init__(self, columns: core.FeatureColumns, first: int, last: int) -> None:
        """Those of the events from `first` to before `last`."""
        for name, value in (("inner", columns), ("first", first), ("last", last)):
            object.__setattr__(self, name, value)

    inner: core.FeatureColumns
    first: int
    last: int

    @cached_property
    def _columns(self) -> tuple[U32, U32, U32]:
        event, name, ends = self.inner.columns(self.first, self.last)
        return np.frombuffer(event, np.uint32), np.frombuffer(name, np.uint32), np.frombuffer(ends, np.uint32)

    @property
    def event(self) -> U32:
        return self._columns[0]

    @property
    def name(self) -> U32:
        return self._columns[1]

    @cached_property
    def names(self) -> list[str]:
        return self.inner.names

    @property
    def ends(self) -> U32:
        return self._columns[2]

    @cached_property
    def kind(self) -> U8:
        return np.frombuffer(self.inner.kind(self.first, self.last), np.uint8)

    @cached_property
    def number(self) -> F64:
        return np.frombuffer(self.inner.number(self.first, self.last), np.float64)

    @cached_property
    def texts(self) -> list[str]:
        return self.inner.texts

    @cached_property
    def left_out(self) -> U32:
        return np.frombuffer(self.inner.left_out(self.first, self.last), np.uint32)

    @cached_property
    def left_out_names(self) -> list[str]:
        return self.inner.left_out_names

    def beyond(self, group: U32, least: F64, greatest: F64, magnitude: float) -> FarValues:
        found = self.inner.beyond(self.first, group, least, greatest, magnitude)
        return FarValues(*(np.frombuffer(column, np.uint32) for column in (found.event, found.name, found.row)))

    def between(self, first: int, last: int) -> FeatureColumns:
        return NativeFeatureColumns(self.inner, self.first + first, self.first + last)


class NativeFeatureCounter:
    """See `feature_counter.FeatureCounter`."""

    def __init__(self, columns: Sequence[NumberCells | CategoryCells]) -> None:
        self._counter = core.FeatureCounter(columns)

    def edges(self, place: int) -> F64:
        return np.frombuffer(self._counter.edges(place), np.float64)

    def count(self, columns: FeatureColumns, wanted: U8) -> FeatureCounts:
        if isinstance(columns, NativeFeatureColumns):
            found = self._counter.count_decoded(columns.inner, columns.first, columns.last, wanted)
        else:
            found = self._counter.count(columns, wanted)
        return FeatureCounts(
            counts=np.frombuffer(found.counts, np.int64),
            values=np.frombuffer(found.values, np.uint64),
            last=np.frombuffer(found.last, np.int64),
            others=np.frombuffer(found.others, np.uint64),
        )


@dataclass(frozen=True, slots=True)
class CompiledValueRule:
    """A value rule as the core takes it."""

    name: str
    pattern: str
    """In the syntax of Rust's `regex`."""
    loose_pattern: str
    """Without assertions: it matches wherever `pattern` does."""
    literals: tuple[bytes, ...]
    """See `Prefilter`, as for `run` and `run_length`."""
    run: bytes
    run_length: int
    action: str
    luhn: bool


class NativeRedactor:
    """See `rules.Redactor`."""

    def __init__(self, rules: Rules) -> None:
        self._redactor = core.Redactor(
            rules.keys,
            [_compiled(rule) for rule in rules.values],
            hash_key=rules.hash_key,
            add=rules.add,
            max_field_bytes=rules.max_field_bytes,
            filter=rules.filter,
            sampling_seed=SAMPLING_SEED,
        )

    def spans(self, payload: bytes) -> Redacted:
        with _errors():
            return _redacted(payload, self._redactor.spans(payload))

    def logs(self, payload: bytes) -> Redacted:
        with _errors():
            return _redacted(payload, self._redactor.logs(payload))


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except core.Malformed as error:
        message, offset = error.args
        raise DecodeError(message, offset) from None


def _check(check: core.Check) -> Check:
    return Check(check.items, check.events, check.rejected, tuple(check.errors), check.timed, check.suspect)


def _lines(lines: core.DocumentLines) -> Lines:
    return Lines(lines.body, np.frombuffer(lines.ends, np.uint32), np.frombuffer(lines.event, np.uint8), lines.docs)


def _compiled(rule: ValueRule) -> CompiledValueRule:
    pattern = rule.compiled()
    need = prefilter(pattern.tree)
    return CompiledValueRule(
        rule.name, pattern.native, pattern.loose, need.literals, need.run, need.length, rule.action, rule.luhn
    )


def _redacted(payload: bytes, found: core.Redacted) -> Redacted:
    return Redacted(
        payload=payload if found.payload is None else found.payload,
        items=found.items,
        events=found.events,
        ordinals=None if found.ordinals is None else np.frombuffer(found.ordinals, np.uint32),
        changed=found.changed,
    )


def _log_batch(found: core.LogColumns) -> LogBatch:
    return LogBatch(
        time=np.frombuffer(found.time, np.uint64),
        trace_ids=found.trace_ids,
        span_ids=found.span_ids,
        group=np.frombuffer(found.group, np.uint32),
        groups=found.groups,
        resource=np.frombuffer(found.resource, np.uint32),
        resources=found.resources,
        repaired=found.repaired,
        numbers=tuple(np.frombuffer(column, np.float64) for column in found.numbers),
    )


def _prediction_batch(found: core.PredictionColumns) -> PredictionBatch:
    return PredictionBatch(
        payload=np.frombuffer(found.payload, np.uint32),
        record=np.frombuffer(found.record, np.uint32),
        ends=np.frombuffer(found.ends, np.uint32),
        time=np.frombuffer(found.time, np.uint64),
        group=np.frombuffer(found.group, np.uint32),
        groups=found.groups,
        count=np.frombuffer(found.count, np.uint64),
        rows=np.frombuffer(found.rows, np.uint64),
        one_in=np.frombuffer(found.one_in, np.uint64),
        counted=np.frombuffer(found.counted, np.uint8),
        seconds=np.frombuffer(found.seconds, np.float64),
        class_event=np.frombuffer(found.class_event, np.uint32),
        class_name=np.frombuffer(found.class_name, np.uint32),
        class_names=found.class_names,
        class_rows=np.frombuffer(found.class_rows, np.uint64),
        score_event=np.frombuffer(found.score_event, np.uint32),
        score=np.frombuffer(found.score, np.float64),
        value_event=np.frombuffer(found.value_event, np.uint32),
        value=np.frombuffer(found.value, np.float64),
        features=None if found.features is None else NativeFeatureColumns(found.features, 0, found.features.events),
    )
