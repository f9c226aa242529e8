"""What goes into the journal and what comes out. See `journal.Journal` for the one that is on disk."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sidecar.decode.api import U32, Signal

Outcome = Literal["delivered", "already_there", "dead_lettered", "filtered", "dropped"]
"""What became of an item at a consumer. `delivered`, `already_there` and `dead_lettered` are kept somewhere."""

Counts = Mapping[tuple[str, str, str], int]
"""(signal, outcome, reason) -> items. signal also has `span_events` (documents of their own). reason may be ''."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A validated payload that a receiver asks to be kept."""

    signal: Signal
    payload: bytes
    """OTLP protobuf, not compressed."""
    items: int
    events: int = 0
    rejected: int = 0
    """Records of the payload that were refused; counted in the ledger in the same transaction."""
    digest: bytes | None = None
    """Digest of the bytes as the client sent them; None if a resend cannot be told from a new payload."""
    distinct: bool = False
    """Known not to be a resend: to be kept though a payload with this digest is remembered."""
    marks: Mapping[bytes, bytes | None] = field(default_factory=dict)
    """What the receiver wants to find again after a restart (a file's offset, say): key -> value, None deletes.
    Committed in the payload's own transaction, and also where `items` is 0. Not to be given with a digest: a resend
    is not kept, and its marks would not be either."""

    def __post_init__(self) -> None:
        if self.marks and self.digest is not None:
            raise ValueError("a draft has marks or a digest, not both")


@dataclass(frozen=True, slots=True)
class Receipt:
    seq: int
    duplicate: bool = False
    """The payload was already kept; nothing was added."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One kept payload."""

    seq: int
    time_ns: int
    """Unix ns at which it was received."""
    signal: Signal
    items: int
    events: int
    payload: bytes
    ordinals: U32 | None = None
    """Of each record, its ordinal among the accepted records of the payload as received; None where all are there.
    Set by a sink's filter, so that ids made of ordinals stay what they were."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One document that the far side refused for good."""

    consumer: str
    doc_id: str
    """Unique per consumer: a second letter with the same id is not added."""
    signal: str
    index: str
    reason: str
    """The far side's own words (`type: reason`)."""
    document: bytes
    """What was refused: a `_bulk` line pair, or an OTLP payload."""
    seq: int
    time_ns: int
    items: int = 1
    """Items of the letter's signal that it stands for in the counts. Not kept with the letter."""
    events: int = 0
    """Span events beside them."""


@dataclass(frozen=True, slots=True)
class Done:
    """A consumer's word that it has finished with one entry."""

    seq: int
    counts: Counts = field(default_factory=dict)
    dead: Sequence[DeadLetter] = ()


class Consumer(Protocol):
    """One reader's place in the log. One thread calls `next`; `done` may come from others, out of order.

    The cursor is a low-water mark: it moves to N when every entry <= N that concerns this consumer is done. Counts
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
        commit: follow it with `next` and a timeout of 0. Ends at once when woken, or when the log is closed."""
        ...

    def wake(self) -> None:
        """End the `wait` that is under way, or else the next one. From any thread."""
        ...

    def head(self) -> int:
        """Highest committed sequence number."""
        ...

    def done(
        self, entries: Sequence[Done], state: Mapping[bytes, bytes | None] | None = None
    ) -> concurrent.futures.Future[None]:
        """Mark entries as finished; `state` (key -> value, None deletes) is committed in the same transaction.
        `state` must only be given by a consumer that works strictly in order."""
        ...

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        """What was committed by `done(state=...)`, as of start."""
        ...

    def waiting(self) -> dict[str, int]:
        """signal -> items that are kept and not yet finished by this consumer (cheap, from memory)."""
        ...

    def lag_seconds(self) -> float:
        """Age of the oldest entry not yet finished; 0 if there is none."""
        ...


class Log(Protocol):
    """The durable log (`Journal`) and its memory variant (`MemoryJournal`)."""

    id: str
    """Made with the log, 16 hex characters; a log that had to be begun anew has another."""

    def submit(self, draft: Draft) -> asyncio.Future[Receipt]:
        """From a running event loop. Resolves after the commit (fsync). Raises `Overloaded` at once at the quota,
        `Unavailable` if the log cannot write or is closed; the future may raise the same."""
        ...

    def append(self, draft: Draft) -> concurrent.futures.Future[Receipt]:
        """The same for callers without an event loop."""
        ...

    def acknowledged(self, digest: bytes, seqs: Sequence[int]) -> None:
        """The clients have the acknowledgements of these entries, all that had this digest: it is forgotten, so that an
        equal payload is another one."""
        ...

    def marks(self, prefix: bytes) -> dict[bytes, bytes]:
        """The committed marks whose keys begin with `prefix`. After a refusal they tell what is in the log all the
        same: a commit may have landed that was reported as failed."""
        ...

    def consumer(self, name: str, signals: frozenset[Signal]) -> Consumer:
        """The consumer of that name, its cursor as committed; a new one begins at the oldest kept entry."""
        ...

    def head(self) -> int:
        """Highest committed sequence number; 0 if there is none."""
        ...

    def close(self) -> None: ...


Clock = Callable[[], int]
"""Unix time in nanoseconds; tests pass their own."""
