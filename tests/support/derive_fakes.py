"""A log in memory, a decoder of JSON payloads and ready batches for tests of the derivers."""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sidecar.decode.api import LogBatch, Resource, SpanBatch
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.series import Arrival
from sidecar.errors import DecodeError, Unavailable
from sidecar.serve.exposition import render

SECOND = 10**9


@dataclass(frozen=True)
class Span:
    """One span as a test writes it; `duration` in nanoseconds."""

    name: str = "GET /"
    service: str = "shop"
    kind: str = "SPAN_KIND_SERVER"
    status: str = "STATUS_CODE_UNSET"
    dimensions: tuple[str, ...] = ()
    start: int = 1_700_000_000 * SECOND
    duration: int = 3_000_000
    weight: float = 1.0
    number: int = 1
    parent: int = 0


def span_batch(spans: Sequence[Span], resources: Sequence[Resource] = ((("service.name", "shop"),),)) -> SpanBatch:
    """The columns of these spans; all belong to the first resource."""
    groups: dict[tuple[str, ...], int] = {}
    codes = [groups.setdefault((s.service, s.name, s.kind, s.status, *s.dimensions), len(groups)) for s in spans]
    return SpanBatch(
        start=np.array([s.start for s in spans], np.uint64),
        duration=np.array([s.duration for s in spans], np.uint64),
        adjusted_count=np.array([s.weight for s in spans], np.float64),
        trace_ids=b"".join(s.number.to_bytes(16, "big") for s in spans),
        span_ids=b"".join(s.number.to_bytes(8, "big") for s in spans),
        parent_ids=b"".join(s.parent.to_bytes(8, "big") for s in spans),
        group=np.array(codes, np.uint32),
        groups=list(groups),
        resource=np.zeros(len(spans), np.uint32),
        resources=list(resources),
    )


def log_batch(records: Sequence[tuple[str, str, str]]) -> LogBatch:
    """Records as (service, severity, exception type)."""
    groups: dict[tuple[str, ...], int] = {}
    codes = [groups.setdefault(record, len(groups)) for record in records]
    n = len(records)
    return LogBatch(
        time=np.full(n, SECOND, np.uint64),
        trace_ids=bytes(16 * n),
        span_ids=bytes(8 * n),
        group=np.array(codes, np.uint32),
        groups=list(groups),
        resource=np.zeros(n, np.uint32),
        resources=[(("service.name", "shop"),)],
    )


def arrival(records: int, time_ns: int = SECOND) -> Arrival:
    """One payload of this many records."""
    return Arrival(np.array([records], np.int64), np.array([time_ns], np.int64), time_ns)


class JsonDecoder:
    """Payloads are JSON: a list of `Span` fields, or of log triples. `broken` payloads cannot be decoded."""

    name = "json"

    def spans(self, payloads: Sequence[bytes], dimensions: Sequence[str]) -> SpanBatch:
        rows = [row for payload in payloads for row in _rows(payload)]
        return span_batch([Span(**{**row, "dimensions": ("",) * len(dimensions)}) for row in rows])

    def contains_any(self, payload: bytes, needles: tuple[bytes, ...], fold: bool = False) -> bool:
        return False

    def logs(self, payloads: Sequence[bytes], dimensions: Sequence[str]) -> LogBatch:
        return log_batch([(r[0], r[1], r[2]) for payload in payloads for r in _rows(payload)])


def _rows(payload: bytes) -> list[Any]:
    if payload == b"broken":
        raise DecodeError("not JSON", 0)
    rows: list[Any] = json.loads(payload)
    return rows


@dataclass(frozen=True)
class FakeEntry:
    seq: int
    time_ns: int
    signal: Any
    items: int
    payload: bytes
    events: int = 0


@dataclass
class FakeLog:
    """Entries, the committed cursor and the committed state: what survives a crash."""

    entries: list[FakeEntry] = field(default_factory=list)
    cursor: int = 0
    kept: dict[bytes, bytes] = field(default_factory=dict)
    counts: dict[tuple[str, str, str], int] = field(default_factory=dict)
    fail_writes: bool = False
    """A commit fails; what was to be committed goes with the next one, as the journal does it."""
    closed: bool = False

    def append(self, signal: str, rows: Sequence[Any] | bytes, time_ns: int = SECOND) -> None:
        payload = rows if isinstance(rows, bytes) else json.dumps(rows).encode()
        items = 1 if isinstance(rows, bytes) else len(rows)
        self.entries.append(FakeEntry(len(self.entries) + 1, time_ns, signal, items, payload))

    def consumer(self, at_once: Iterator[int] | None = None) -> FakeConsumer:
        """A reader that begins at the committed cursor; `at_once` says how many entries each pull gives."""
        return FakeConsumer(self, self.cursor, at_once)


class FakeConsumer:
    name = "derive"

    def __init__(self, log: FakeLog, position: int, at_once: Iterator[int] | None) -> None:
        self.log, self.position, self.at_once = log, position, at_once
        self.handed = position
        self.pending: list[tuple[Sequence[Any], Mapping[bytes, bytes | None]]] = []

    def wait(self, timeout: float, gather: float, max_bytes: int, max_entries: int) -> None:
        """Entries are there before the engine is."""

    def wake(self) -> None:
        """Nobody waits."""

    def head(self) -> int:
        return len(self.log.entries)

    def next(self, max_bytes: int, max_entries: int, timeout: float) -> list[FakeEntry]:
        n = min(max_entries, next(self.at_once)) if self.at_once else max_entries
        found = self.log.entries[self.position : self.position + n]
        self.position += len(found)
        return found

    def done(
        self, entries: Sequence[Any], state: Mapping[bytes, bytes | None] | None = None
    ) -> concurrent.futures.Future[None]:
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        if self.log.closed:
            raise Unavailable("the log is closed")
        for entry in entries:
            assert entry.seq == self.handed + 1, "an entry was skipped or finished twice"
            self.handed = entry.seq
        self.pending.append((entries, state or {}))
        if self.log.fail_writes:
            future.set_exception(Unavailable("disk full"))
            return future
        for finished, changed in self.pending:
            self._commit(finished, changed)
        self.pending.clear()
        future.set_result(None)
        return future

    def _commit(self, entries: Sequence[Any], state: Mapping[bytes, bytes | None]) -> None:
        for entry in entries:
            self.log.cursor = entry.seq
            for key, n in entry.counts.items():
                self.log.counts[key] = self.log.counts.get(key, 0) + n
        for key, value in state.items():
            if value is None:
                self.log.kept.pop(key, None)
            else:
                self.log.kept[key] = bytes(value)

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(list(self.log.kept.items()))

    def waiting(self) -> dict[str, int]:
        out: dict[str, int] = {}
        for entry in self.log.entries[self.log.cursor :]:
            out[entry.signal] = out.get(entry.signal, 0) + entry.items
        return out


def lines(families: Sequence[FamilySnapshot], openmetrics: bool = False) -> dict[str, str]:
    """Series as written -> value as written."""
    text = render(families, openmetrics).decode()
    return {
        line.split(" # ")[0].rsplit(" ", 1)[0]: line.split(" # ")[0].rsplit(" ", 1)[1]
        for line in text.splitlines()
        if not line.startswith("#")
    }
