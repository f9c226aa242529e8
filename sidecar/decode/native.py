"""The native core (`native/`, module `sidecar_native`) behind the `Decoder` contract; the reference is beside it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sidecar.decode.api import U32, Check, FeatureColumns, Lines, LogBatch, PredictionBatch, SpanBatch, Transcoded
from sidecar.decode.documents import logstash_events as events
from sidecar.decode.predictions.names import EVENT, LOADED
from sidecar.decode.redaction.prefilter import gate
from sidecar.decode.redaction.rules import SAMPLING_SEED, Rules, Shaped, Shaper, ValueRule
from sidecar.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

ABI_VERSION = 11
"""Shape of the core's functions that this adapter knows; a core of another version is not used."""


class NativeDecoder:
    """The `Decoder` that runs on the native core. Arrays are read-only views of the core's buffers. Thread-safe:
    the core keeps no state of payloads between calls and releases the interpreter lock while it works."""

    name = "native"

    def __init__(self, core: Any) -> None:
        self._core = core
        self._finders: dict[tuple[tuple[bytes, ...], bool], Any] = {}
        """Of the few sets of needles that the program looks for."""

    def check_spans(self, payload: bytes) -> Check:
        with _errors(self._core):
            return _check(self._core.check_spans(payload))

    def check_logs(self, payload: bytes) -> Check:
        with _errors(self._core):
            return _check(self._core.check_logs(payload))

    def json_lines(self, body: bytes, observed: int, anonymous: bytes = b"") -> Transcoded:
        with _errors(self._core):
            payload, check = self._core.json_lines(body, observed, anonymous)
        return Transcoded(payload, _check(check))

    def spans(
        self,
        payloads: Sequence[bytes],
        dimensions: Sequence[str],
        numbers: Sequence[str] = (),
        measures: Sequence[str] = (),
    ) -> SpanBatch:
        with _errors(self._core):
            columns = self._core.spans(payloads, dimensions, numbers, measures)
        start, duration, weight, trace_ids, span_ids, group, groups, resource, resources, repaired, figures = columns
        return SpanBatch(
            start=np.frombuffer(start, np.uint64),
            duration=np.frombuffer(duration, np.uint64),
            weight=np.frombuffer(weight, np.float64),
            trace_ids=trace_ids,
            span_ids=span_ids,
            group=np.frombuffer(group, np.uint32),
            groups=groups,
            resource=np.frombuffer(resource, np.uint32),
            resources=resources,
            repaired=repaired,
            numbers=tuple(np.frombuffer(column, np.float64) for column in figures),
        )

    def logs(
        self,
        payloads: Sequence[bytes],
        dimensions: Sequence[str],
        numbers: Sequence[str] = (),
        measures: Sequence[str] = (),
    ) -> LogBatch:
        with _errors(self._core):
            columns = self._core.logs(payloads, dimensions, numbers, measures)
        time, trace_ids, span_ids, group, groups, resource, resources, repaired, figures = columns
        return LogBatch(
            time=np.frombuffer(time, np.uint64),
            trace_ids=trace_ids,
            span_ids=span_ids,
            group=np.frombuffer(group, np.uint32),
            groups=groups,
            resource=np.frombuffer(resource, np.uint32),
            resources=resources,
            repaired=repaired,
            numbers=tuple(np.frombuffer(column, np.float64) for column in figures),
        )

    def predictions(self, payloads: Sequence[bytes], features: bool = False) -> PredictionBatch:
        with _errors(self._core):
            found = self._core.predictions(payloads, (EVENT.encode(), LOADED.encode()), features)
        payload, record, time, group, groups, *calls, classes, names, score, value, columns = found
        count, rows, one_in, counted, seconds = calls
        return PredictionBatch(
            payload=np.frombuffer(payload, np.uint32),
            record=np.frombuffer(record, np.uint32),
            time=np.frombuffer(time, np.uint64),
            group=np.frombuffer(group, np.uint32),
            groups=groups,
            count=np.frombuffer(count, np.uint64),
            rows=np.frombuffer(rows, np.uint64),
            one_in=np.frombuffer(one_in, np.uint64),
            counted=np.frombuffer(counted, np.uint8),
            seconds=np.frombuffer(seconds, np.float64),
            class_event=np.frombuffer(classes[0], np.uint32),
            class_name=np.frombuffer(classes[1], np.uint32),
            class_names=names,
            class_rows=np.frombuffer(classes[2], np.uint64),
            score_event=np.frombuffer(score[0], np.uint32),
            score=np.frombuffer(score[1], np.float64),
            value_event=np.frombuffer(value[0], np.uint32),
            value=np.frombuffer(value[1], np.float64),
            features=None if columns is None else _features(columns),
        )

    def span_lines(self, payloads: Sequence[bytes]) -> Lines:
        with _errors(self._core):
            return _lines(self._core.span_lines(payloads))

    def log_lines(
        self, payloads: Sequence[bytes], id_prefixes: Sequence[str], ordinals: Sequence[U32 | None] = ()
    ) -> Lines:
        given = [None if numbers is None else numbers.astype(np.uint32, copy=False).tobytes() for numbers in ordinals]
        with _errors(self._core):
            return _lines(self._core.log_lines(payloads, id_prefixes, given))

    def data_frames(self, body: bytes, ends: U32) -> bytes:
        return self._events(body, ends, True)

    def event_array(self, body: bytes, ends: U32) -> bytes:
        return self._events(body, ends, False)

    def _events(self, body: bytes, ends: U32, framed: bool) -> bytes:
        offsets = ends.astype(np.uint32, copy=False).tobytes()
        found: bytes = self._core.events(body, offsets, framed, events.BEGIN, events.MIDDLE)
        return found

    def shaper(self, rules: Rules) -> Shaper:
        return NativeShaper(self._core, rules)

    def mentions(self, payload: bytes, needles: tuple[bytes, ...], fold: bool = False) -> bool:
        finder = self._finders.get((needles, fold))
        if finder is None:
            finder = self._finders[needles, fold] = self._core.Finder(needles, fold)
        found: bool = finder.found(payload)
        return found

    def digest(self, payload: bytes, seed: int) -> bytes:
        digest: bytes = self._core.digest(payload, seed)
        return digest


class NativeShaper:
    """See `shaping.Shaper`."""

    def __init__(self, core: Any, rules: Rules) -> None:
        wanted = rules.filter
        self._core = core
        self._shaper = core.Shaper(
            [(rule.keys, rule.action, rule.events, rule.nested, rule.beside) for rule in rules.keys],
            [_value_rule(rule) for rule in rules.values],
            rules.hash_key,
            rules.add,
            rules.max_field_bytes,
            (
                wanted.services,
                wanted.exclude_services,
                wanted.min_severity,
                wanted.event_names,
                wanted.keep_below,
                wanted.keep_errors,
                wanted.min_duration_ns,
                wanted.keep_attributes,
            ),
            SAMPLING_SEED,
        )

    def spans(self, payload: bytes) -> Shaped:
        with _errors(self._core):
            return _shaped(payload, self._shaper.spans(payload))

    def logs(self, payload: bytes) -> Shaped:
        with _errors(self._core):
            return _shaped(payload, self._shaper.logs(payload))


@contextmanager
def _errors(core: Any) -> Iterator[None]:
    try:
        yield
    except core.Malformed as error:
        message, offset = error.args
        raise DecodeError(message, offset) from None


def native_decoder() -> NativeDecoder | None:
    """The decoder on the native core; None where the core is not installed or is not of this program's version."""
    try:
        core = importlib.import_module("sidecar_native")
    except ImportError:
        return None
    if getattr(core, "ABI_VERSION", None) != ABI_VERSION:
        return None
    return NativeDecoder(core)


def _check(verdict: tuple[int, int, int, list[str], bool, bool]) -> Check:
    items, events, rejected, errors, timed, suspect = verdict
    return Check(items, events, rejected, tuple(errors), timed, suspect)


def _lines(lines: tuple[bytes, bytes, bytes, list[int]]) -> Lines:
    body, ends, event, docs = lines
    return Lines(body, np.frombuffer(ends, np.uint32), np.frombuffer(event, np.uint8), docs)


def _features(columns: tuple[Any, ...]) -> FeatureColumns:
    event, name, names, ends, kind, number, texts, left_out, left_out_names = columns
    return FeatureColumns(
        event=np.frombuffer(event, np.uint32),
        name=np.frombuffer(name, np.uint32),
        names=names,
        ends=np.frombuffer(ends, np.uint32),
        kind=np.frombuffer(kind, np.uint8),
        number=np.frombuffer(number, np.float64),
        texts=texts,
        left_out=np.frombuffer(left_out, np.uint32),
        left_out_names=left_out_names,
    )


def _value_rule(rule: ValueRule) -> tuple[str, str, str, tuple[bytes, ...], bytes, int, str, bool]:
    pattern = rule.compiled()
    need = gate(pattern.tree)
    return rule.name, pattern.native, pattern.loose, need.literals, need.run, need.length, rule.action, rule.luhn


def _shaped(payload: bytes, found: tuple[bytes | None, int, int, bytes | None, int]) -> Shaped:
    changed_payload, items, events, ordinals, changed = found
    left = None if ordinals is None else np.frombuffer(ordinals, np.uint32)
    return Shaped(payload if changed_payload is None else changed_payload, items, events, left, changed)
