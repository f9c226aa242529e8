"""The native core (`native/`, module `sidecar_native`) behind the `Decoder` contract; the reference is beside it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sidecar.decode.batch import U32, Check, Lines, LogBatch, SpanBatch, Transcoded
from sidecar.decode.documents import log_lines
from sidecar.decode.rewrite import ReferenceShaper
from sidecar.decode.shaping import Rules, Shaper
from sidecar.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

ABI_VERSION = 1
"""Shape of the core's functions that this adapter knows; a core of another version is not used."""


class NativeDecoder:
    """The `Decoder` that runs on the native core. Arrays are read-only views of the core's buffers. Thread-safe:
    the core keeps no state between calls and releases the interpreter lock while it works."""

    name = "native"

    def __init__(self, core: Any) -> None:
        self._core = core

    def check_spans(self, payload: bytes) -> Check:
        with self._errors():
            return _check(self._core.check_spans(payload))

    def check_logs(self, payload: bytes) -> Check:
        with self._errors():
            return _check(self._core.check_logs(payload))

    def json_lines(self, body: bytes, observed: int) -> Transcoded:
        with self._errors():
            payload, check = self._core.json_lines(body, observed)
        return Transcoded(payload, _check(check))

    def spans(self, payloads: Sequence[bytes], dimensions: Sequence[str]) -> SpanBatch:
        with self._errors():
            columns = self._core.spans(payloads, dimensions)
        start, duration, weight, trace_ids, span_ids, group, groups, resource, resources, repaired = columns
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
        )

    def logs(self, payloads: Sequence[bytes], dimensions: Sequence[str]) -> LogBatch:
        with self._errors():
            columns = self._core.logs(payloads, dimensions)
        time, trace_ids, span_ids, group, groups, resource, resources, repaired = columns
        return LogBatch(
            time=np.frombuffer(time, np.uint64),
            trace_ids=trace_ids,
            span_ids=span_ids,
            group=np.frombuffer(group, np.uint32),
            groups=groups,
            resource=np.frombuffer(resource, np.uint32),
            resources=resources,
            repaired=repaired,
        )

    def span_lines(self, payloads: Sequence[bytes]) -> Lines:
        with self._errors():
            return _lines(self._core.span_lines(payloads))

    def log_lines(
        self, payloads: Sequence[bytes], id_prefixes: Sequence[str], ordinals: Sequence[U32 | None] = ()
    ) -> Lines:
        if any(given is not None for given in ordinals):
            return log_lines(payloads, id_prefixes, ordinals)
        with self._errors():
            return _lines(self._core.log_lines(payloads, id_prefixes))

    def shaper(self, rules: Rules) -> Shaper:
        return ReferenceShaper(rules)

    def digest(self, payload: bytes, seed: int) -> bytes:
        digest: bytes = self._core.digest(payload, seed)
        return digest

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._core.Malformed as error:
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


def _check(verdict: tuple[int, int, int, list[str], bool]) -> Check:
    items, events, rejected, errors, timed = verdict
    return Check(items, events, rejected, tuple(errors), timed)


def _lines(lines: tuple[bytes, bytes, bytes, list[int]]) -> Lines:
    body, ends, event, docs = lines
    return Lines(body, np.frombuffer(ends, np.uint32), np.frombuffer(event, np.uint8), docs)
