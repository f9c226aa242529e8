"""Payloads to OTLP requests: joined, taken apart, and cut at the borders of records. No I/O.

A request holds the bytes of its payloads one after the other. That is a valid request, and means what the payloads
mean together: an `Export*ServiceRequest` has only the repeated field 1, and the elements of a repeated field are what
stands on the wire in its order (protobuf encoding documentation, "Last One Wins" and repeated fields). Nothing is
encoded again but the lengths around the records of a payload that had to be cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from sidecar.decode.api import Check
from sidecar.deliver.common.otlp_records import assemble, records_of, without_rejected
from sidecar.errors import DecodeError
from sidecar.pipeline import DeadLetter, Entry, Signal

_ANY_NUMBER = 1 << 40
"""Records of the payload of a dead letter: it does not hold their number, and nothing counts them."""

Checker = Callable[[bytes], Check]
"""The check of a payload of one signal: `Decoder.check_spans` and the like."""


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
    """Records that had been refused at ingest were taken out of it."""


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
    """The request of one part without the records that were refused at ingest, on account of which a stricter
    receiver may refuse them all; None where there are none (or where it is metrics, whose points stand deeper)."""
    part = request.parts[0]
    if part.purged or not check(request.body).rejected:
        return None
    body = without_rejected(request.signal, request.body)
    return None if body is None else Request(request.signal, body, (replace(part, end=len(body), purged=True),))


def rejected_on_receipt(request: Request, check: Checker) -> int:
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
        records = list(records_of(request.body))
    except DecodeError:
        return []
    if len(records) < 2:
        return []
    size, middle = 0, 0
    total = sum(len(r.field) for r in records)
    while middle < len(records) - 1 and (middle == 0 or size + len(records[middle].field) <= total // 2):
        size += len(records[middle].field)
        middle += 1
    first, second = assemble(records[:middle]), assemble(records[middle:])
    checked = check(first)
    items, events = min(checked.items, part.items), min(checked.events, part.events)
    head = replace(part, end=len(first), items=items, events=events, piece=part.piece + "0")
    tail = replace(part, end=len(second), items=part.items - items, events=part.events - events, piece=part.piece + "1")
    return [Request(request.signal, first, (head,)), Request(request.signal, second, (tail,))]


def from_dead_letters(dead_letters: Sequence[DeadLetter]) -> list[Request]:
    """Dead letters that are OTLP payloads, each as a request of its own; see `ReplayableSink`."""
    signals: dict[str, Signal] = {"spans": "spans", "logs": "logs", "metrics": "metrics"}
    return [
        Request(
            signals[dead_letter.signal], dead_letter.document, (Part(row, len(dead_letter.document), _ANY_NUMBER, 0),)
        )
        for row, dead_letter in enumerate(dead_letters)
    ]
