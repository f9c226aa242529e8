"""Documents ready to be sent: one buffer of `_bulk` line pairs, and columns alongside it. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sidecar.decode.api import U8, U32, Lines
from sidecar.deliver.sink import ItemResult
from sidecar.pipeline import DeadLetter, Entry, Signal

Buffer = bytes | memoryview


@dataclass(frozen=True, slots=True)
class EntryRef:
    """The entry that documents came from."""

    seq: int
    signal: Signal


@dataclass(frozen=True, slots=True)
class Documents:
    """A run of documents, ready to be sent as one request."""

    body: Buffer
    """`_bulk` line pairs."""
    ends: U32
    """End offset in `body` of each document."""
    entry: U32
    """Row of `entries` for each document."""
    event: U8
    """1 where the document is a span event."""
    entries: tuple[EntryRef, ...]
    before: Mapping[str, bytes] = field(default_factory=dict)
    """`_id` -> the line pair as it was, of documents with a field moved to text; where it is not empty, all are."""

    def __len__(self) -> int:
        return len(self.ends)

    def document(self, index: int) -> bytes:
        """The line pair of one document."""
        begin = int(self.ends[index - 1]) if index else 0
        return bytes(self.body[begin : int(self.ends[index])])

    def signal(self, index: int) -> str:
        """Ledger signal of one document."""
        return "span_events" if self.event[index] else self.entries[int(self.entry[index])].signal


def collect(lines: Lines, entries: Sequence[Entry]) -> Documents:
    """The documents of `entries`, rendered as `lines` in the same order."""
    return Documents(
        body=lines.body,
        ends=lines.ends,
        entry=np.repeat(np.arange(len(entries), dtype=np.uint32), lines.docs),
        event=lines.event,
        entries=tuple(EntryRef(e.seq, e.signal) for e in entries),
    )


def split(documents: Documents, max_bytes: int, max_documents: int) -> list[Documents]:
    """Runs of at most `max_bytes` and `max_documents` each, without copying; one document may be larger alone."""
    count = len(documents)
    if count == 0:
        return []
    if count <= max_documents and int(documents.ends[-1]) <= max_bytes:
        return [documents]
    parts, first, begin = [], 0, 0
    while first < count:
        last = int(np.searchsorted(documents.ends, begin + max_bytes, side="right"))
        last = min(max(last, first + 1), first + max_documents, count)
        parts.append(_run(documents, first, last))
        begin, first = int(documents.ends[last - 1]), last
    return parts


def _run(documents: Documents, first: int, last: int) -> Documents:
    begin = int(documents.ends[first - 1]) if first else 0
    return Documents(
        body=memoryview(documents.body)[begin : int(documents.ends[last - 1])],
        ends=documents.ends[first:last] - np.uint32(begin),
        entry=documents.entry[first:last],
        event=documents.event[first:last],
        entries=documents.entries,
        before=documents.before,
    )


def split_in_half(documents: Documents) -> list[Documents]:
    """Two runs of as many documents each, without copying. There must be two documents at least."""
    half = len(documents) // 2
    return [_run(documents, 0, half), _run(documents, half, len(documents))]


def pick(documents: Documents, indices: Sequence[int]) -> Documents:
    """Some of the documents as a request of their own (copied: what surrounded them can be let go)."""
    chosen = np.asarray(indices, dtype=np.intp)
    parts = [documents.document(i) for i in indices]
    return Documents(
        body=b"".join(parts),
        ends=np.cumsum([len(p) for p in parts], dtype=np.uint32),
        entry=documents.entry[chosen],
        event=documents.event[chosen],
        entries=documents.entries,
        before=documents.before,
    )


def results_for_all(documents: Documents, outcome: str, reason: str = "") -> list[ItemResult]:
    """Every document came to the same end."""
    rows = documents.entry.astype(np.int64) * 2 + documents.event
    counts = np.bincount(rows, minlength=2 * len(documents.entries)).tolist()
    settled = []
    for row, origin in enumerate(documents.entries):
        own: dict[tuple[str, str, str], int] = {}
        if counts[2 * row]:
            own[(origin.signal, outcome, reason)] = counts[2 * row]
        if counts[2 * row + 1]:
            own[("span_events", outcome, reason)] = counts[2 * row + 1]
        if own:
            settled.append(ItemResult(origin.seq, own))
    return settled


def pick_rows(documents: Documents, indices: Sequence[int]) -> Documents:
    """The columns of some of the documents without their bytes: enough for counting."""
    chosen = np.asarray(indices, dtype=np.intp)
    return Documents(b"", documents.ends[chosen], documents.entry[chosen], documents.event[chosen], documents.entries)


def address(line_pair: bytes) -> tuple[str, str]:
    """(`_index`, `_id`) of a `_bulk` line pair."""
    action = json.loads(line_pair[: line_pair.index(b"\n")])
    target = action["create"]
    return str(target["_index"]), str(target["_id"])


def from_dead_letters(dead_letters: Sequence[DeadLetter]) -> list[Documents]:
    """Dead letters that are line pairs as one request; see `ReplayableSink`."""
    signals: dict[str, Signal] = {"spans": "spans", "span_events": "spans", "logs": "logs"}
    return [
        Documents(
            body=b"".join(dead_letter.document for dead_letter in dead_letters),
            ends=np.cumsum([len(dead_letter.document) for dead_letter in dead_letters], dtype=np.uint32),
            entry=np.arange(len(dead_letters), dtype=np.uint32),
            event=np.array([dead_letter.signal == "span_events" for dead_letter in dead_letters], dtype=np.uint8),
            entries=tuple(EntryRef(row, signals[dead_letter.signal]) for row, dead_letter in enumerate(dead_letters)),
        )
    ]
