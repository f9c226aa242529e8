"""Payloads to OTLP requests: joined, taken apart, and cut at the borders of records. No I/O.

A request holds the bytes of its payloads one after the other. That is a valid request, and means what the payloads
mean together: an `Export*ServiceRequest` has only the repeated field 1, and the elements of a repeated field are what
stands on the wire in its order (protobuf encoding documentation, "Last One Wins" and repeated fields). Nothing is
encoded anew but the lengths around the records of a payload that had to be cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sidecar.decode.api import Check
from sidecar.decode.otlp.message import read
from sidecar.decode.otlp.records import build_log_record, build_span
from sidecar.decode.otlp.wire import put_bytes, varint
from sidecar.errors import DecodeError
from sidecar.pipeline import Entry, Signal

_LIST = 1 << 3 | 2
"""`resource_spans`, `resource_logs`, `resource_metrics` of a request."""
_INNER_LIST = 2 << 3 | 2
"""`scope_*` of those, and `spans`, `log_records`, `metrics` of those again."""
_FIXED = {1: 8, 5: 4}

Checker = Callable[[bytes], Check]
"""The verdict about a payload of one signal: `Decoder.check_spans` and the like."""


@dataclass(frozen=True, slots=True)
class Part:
    """A payload within a request, or a piece of one."""

    seq: int
    end: int
    """End offset in the request's body."""
    items: int
    events: int
    piece: str = ""
    """Which piece of its payload, as a path of 0 and 1; empty for a whole one."""
    purged: bool = False
    """Records that had been refused at intake were taken out of it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent as one export. Sent again it is the very same bytes under the same name, so that a receiver that
    knows resends by these (such as another sidecar) keeps it once."""

    signal: Signal
    body: bytes
    parts: tuple[Part, ...]

    @property
    def items(self) -> int:
        return sum(part.items for part in self.parts)

    @property
    def name(self) -> str:
        """Of this request alone, in one journal: the first and the last of its payloads, or pieces of such."""
        first, last = self.parts[0], self.parts[-1]
        return f"{self.signal}-{first.seq}.{first.piece}-{last.seq}.{last.piece}"

    def payload(self, index: int) -> bytes:
        """The bytes of one part."""
        begin = self.parts[index - 1].end if index else 0
        end = self.parts[index].end
        return self.body if end - begin == len(self.body) else self.body[begin:end]


def join(entries: Iterable[Entry], max_bytes: int, check: Checker) -> list[Request]:
    """Requests of at most `max_bytes`, in the order of `entries`, which are all of one signal.

    A payload that is larger alone is cut at the borders of its records; what is larger even so is one record (of
    metrics: one metric)."""
    requests: list[Request] = []
    bodies: list[bytes] = []
    parts: list[Part] = []
    signal: Signal = "spans"

    def close() -> None:
        if parts:
            requests.append(Request(signal, b"".join(bodies) if len(bodies) > 1 else bodies[0], tuple(parts)))
        bodies.clear()
        parts.clear()

    for entry in entries:
        signal = entry.signal
        if len(entry.payload) > max_bytes:
            close()
            requests += _cut(_alone(entry), max_bytes, check)
            continue
        end = parts[-1].end if parts else 0
        if end + len(entry.payload) > max_bytes:
            close()
            end = 0
        bodies.append(entry.payload)
        parts.append(Part(entry.seq, end + len(entry.payload), entry.items, entry.events))
    close()
    return requests


def split_in_half(request: Request, check: Checker) -> list[Request]:
    """Two requests in place of one that was refused; [] where it is one record."""
    if len(request.parts) > 1:
        middle = len(request.parts) // 2
        return [_run(request, 0, middle), _run(request, middle, len(request.parts))]
    return _cut_in_two(request, check)


def purge(request: Request, check: Checker) -> Request | None:
    """The request of one part without the records that were refused at intake, on account of which a stricter
    receiver may refuse them all; None where there are none (or where it is metrics, whose points stand deeper)."""
    part = request.parts[0]
    if part.purged or not check(request.body).rejected:
        return None
    body = without_refused(request.signal, request.body)
    return None if body is None else Request(request.signal, body, (replace(part, end=len(body), purged=True),))


def without_refused(signal: Signal, payload: bytes) -> bytes | None:
    """The payload without the records that were refused at intake; None for metrics. Raises DecodeError."""
    build = _BUILD.get(signal)
    if build is None:
        return None
    return _assemble([record for record in _records(payload) if not _refused(record.field, build)])


def refused_at_intake(request: Request, check: Checker) -> int:
    """Records of the request that are no part of its `items`, because they were refused when they came in."""
    return check(request.body).rejected


def _alone(entry: Entry) -> Request:
    part = Part(entry.seq, len(entry.payload), entry.items, entry.events)
    return Request(entry.signal, entry.payload, (part,))


def _run(request: Request, first: int, last: int) -> Request:
    begin = request.parts[first - 1].end if first else 0
    body = request.body[begin : request.parts[last - 1].end]
    return Request(request.signal, body, tuple(replace(p, end=p.end - begin) for p in request.parts[first:last]))


def _cut(request: Request, max_bytes: int, check: Checker) -> list[Request]:
    waiting, done = [request], []
    while waiting:
        candidate = waiting.pop()
        pieces = _cut_in_two(candidate, check) if len(candidate.body) > max_bytes else []
        if pieces:
            waiting += reversed(pieces)
        else:
            done.append(candidate)
    return done


def _cut_in_two(request: Request, check: Checker) -> list[Request]:
    """About as many bytes each; [] where there is one record, or none can be read."""
    part = request.parts[0]
    try:
        records = list(_records(request.body))
    except DecodeError:
        return []
    if len(records) < 2:
        return []
    size, middle = 0, 0
    total = sum(len(r.field) for r in records)
    while middle < len(records) - 1 and (middle == 0 or size + len(records[middle].field) <= total // 2):
        size += len(records[middle].field)
        middle += 1
    first, second = _assemble(records[:middle]), _assemble(records[middle:])
    verdict = check(first)
    items, events = min(verdict.items, part.items), min(verdict.events, part.events)
    head = replace(part, end=len(first), items=items, events=events, piece=part.piece + "0")
    tail = replace(part, end=len(second), items=part.items - items, events=part.events - events, piece=part.piece + "1")
    return [Request(request.signal, first, (head,)), Request(request.signal, second, (tail,))]


@dataclass(frozen=True, slots=True)
class _Record:
    """One record and where it stands."""

    resource: tuple[int, bytes]
    """Ordinal of the element of the outer list, and its fields other than the inner list."""
    scope: tuple[int, bytes]
    """The same one level down."""
    field: bytes
    """The whole field, with tag and length."""


def _records(payload: bytes) -> Iterator[_Record]:
    for outer, (tag, _, a, b) in enumerate(_fields(payload, 0, len(payload))):
        if tag != _LIST:
            continue
        resource = (outer, _rest(payload, a, b))
        for inner, (tag, _, c, d) in enumerate(_fields(payload, a, b)):
            if tag != _INNER_LIST:
                continue
            scope = (inner, _rest(payload, c, d))
            for tag, start, _, f in _fields(payload, c, d):
                if tag == _INNER_LIST:
                    yield _Record(resource, scope, payload[start:f])


def _rest(data: bytes, begin: int, end: int) -> bytes:
    return b"".join(data[start:b] for tag, start, _, b in _fields(data, begin, end) if tag != _INNER_LIST)


def _assemble(records: Sequence[_Record]) -> bytes:
    outer: list[tuple[tuple[int, bytes], list[tuple[tuple[int, bytes], list[bytes]]]]] = []
    for record in records:
        if not outer or outer[-1][0][0] != record.resource[0]:
            outer.append((record.resource, []))
        scopes = outer[-1][1]
        if not scopes or scopes[-1][0][0] != record.scope[0]:
            scopes.append((record.scope, []))
        scopes[-1][1].append(record.field)
    return b"".join(
        put_bytes(1, rest + b"".join(put_bytes(2, inner + b"".join(found)) for (_, inner), found in scopes))
        for (_, rest), scopes in outer
    )


def _fields(data: bytes, pos: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(tag, first byte of the field, first byte of its content, its end)."""
    while pos < end:
        start = pos
        tag, pos = varint(data, pos, end, start)
        kind = tag & 7
        begin = pos
        if kind == 0:
            _, pos = varint(data, pos, end, start)
        elif kind == 2:
            length, begin = varint(data, pos, end, start)
            pos = begin + length
        elif kind in _FIXED:
            pos += _FIXED[kind]
        else:
            raise DecodeError(f"wire type {kind} is not used by OTLP", start)
        if pos > end:
            raise DecodeError("field is cut off", start)
        yield tag, start, begin, pos


_BUILD: dict[str, tuple[str, Callable[[dict[str, Any], str], tuple[Any, str]]]] = {
    "spans": ("Span", build_span),
    "logs": ("LogRecord", build_log_record),
}
"""Signal -> message of a record, and the function that gives the record and why it is refused."""


def _refused(field: bytes, build: tuple[str, Callable[[dict[str, Any], str], tuple[Any, str]]]) -> bool:
    message, make = build
    _, _, begin, end = next(_fields(field, 0, len(field)))
    return bool(make(read(field, begin, end, message), "")[1])
