"""What the stages hand to each other: journal entries on their way to a consumer, and its acknowledgements back.

receive ─► journal ─► Consumer.next ─► Entry ─► derive, deliver
              ▲                                   │
              └──────── Consumer.done ◄── Ack ◄───┘
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Signal = Literal["spans", "logs", "metrics"]

Outcome = Literal["delivered", "already_there", "dead_lettered", "filtered", "dropped"]
"""What became of an item at a consumer; `delivered`, `already_there` and `dead_lettered` are stored somewhere."""

Counts = Mapping[tuple[str, str, str], int]
"""(signal, outcome, reason) -> items. signal may also be `SPAN_EVENTS`; reason may be ''."""

SPAN_EVENTS = "span_events"
"""Counted alongside the signals: events of spans become documents of their own."""

Clock = Callable[[], int]
"""Unix time in nanoseconds; tests pass their own."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One payload in the journal."""

    seq: int
    time_ns: int
    """Unix ns at which it was received."""
    signal: Signal
    items: int
    events: int
    payload: bytes
    """OTLP protobuf, not compressed."""
    ordinals: npt.NDArray[np.uint32] | None = None
    """Of each record, its ordinal among the accepted records of the payload as received; None where all are there.
    Set by a sink's filter, so that ids made of ordinals stay what they were."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One document that a destination refused for good."""

    consumer: str
    doc_id: str
    """Unique per consumer: a second dead letter with the same id is not added."""
    signal: str
    index: str
    reason: str
    """As the destination gave it (`type: reason`)."""
    document: bytes
    """What was refused: a `_bulk` line pair, or an OTLP payload."""
    seq: int
    time_ns: int
    items: int = 1
    """Items of its signal that it stands for in the counts. Not stored with it."""
    events: int = 0
    """Span events in addition to them."""


@dataclass(frozen=True, slots=True)
class Ack:
    """A consumer's acknowledgement that it has finished one entry."""

    seq: int
    counts: Counts = field(default_factory=dict)
    dead: Sequence[DeadLetter] = ()


class Consumer(Protocol):
    """One reader's position in the journal. One thread calls `next`; `done` may come from others, out of order.

    The cursor is a low-water mark: it moves to N when every entry <= N of this consumer's signals is done. Counts
    and dead letters of an entry are committed in the same transaction that moves the cursor past it, so that a crash
    can neither lose nor double them.
    """

    name: str

    def next(self, max_bytes: int, max_entries: int, timeout: float) -> list[Entry]:
        """The next committed entries of this consumer's signals, in order; [] after `timeout` seconds without any.
        At least one entry if there is one, even if it is over max_bytes. Waits for no more once it has some."""
        ...

    def wait(self, timeout: float, gather: float, max_bytes: int, max_entries: int) -> None:
        """Wait at most `timeout` seconds until there is an entry to be had; then at most `gather` seconds more, until
        there are `max_bytes` of payloads or `max_entries`. For who wants to be woken once a batch rather than once a
        commit: follow it with `next` and a timeout of 0. Ends at once when woken, or when the journal is closed."""
        ...

    def wake(self) -> None:
        """End the `wait` that is under way, or else the next one. From any thread."""
        ...

    def head(self) -> int:
        """Highest committed sequence number."""
        ...

    def done(
        self, entries: Sequence[Ack], state: Mapping[bytes, bytes | None] | None = None
    ) -> concurrent.futures.Future[None]:
        """Acknowledge entries; `state` (key -> value, None deletes) is committed in the same transaction.
        `state` must only be given by a consumer that works strictly in order."""
        ...

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        """What was committed by `done(state=...)`, as of start."""
        ...

    def waiting(self) -> dict[str, int]:
        """signal -> items in the journal that this consumer has not finished (cheap, from memory)."""
        ...

    def lag_seconds(self) -> float:
        """Age of the oldest entry not yet finished; 0 if there is none."""
        ...


def item_counts(signal: str, items: int, events: int, outcome: Outcome, reason: str) -> dict[tuple[str, str, str], int]:
    """The counts of so many items and span events with one outcome."""
    counts: dict[tuple[str, str, str], int] = {(signal, outcome, reason): items} if items else {}
    if events:
        counts[(SPAN_EVENTS, outcome, reason)] = events
    return counts


def entry_counts(entry: Entry, outcome: Outcome, reason: str = "") -> dict[tuple[str, str, str], int]:
    """Counts that give every item and span event of an entry the same outcome."""
    return item_counts(entry.signal, entry.items, entry.events, outcome, reason)
