"""What one group commit writes, and the interface of the place that it is written to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.errors import SidecarError
from sidecar.journal.ledger import IngestTotals
from sidecar.journal.rows import IndexRow, StoredRow
from sidecar.pipeline import DeadLetter


class StoreError(SidecarError):
    """A transaction was not acknowledged by the disk. What was committed before it is untouched.

    `landed`: it is in the file all the same (whole), so the state in memory must follow it.
    `corrupt`: the file itself is damaged.
    """

    def __init__(self, message: str, landed: bool = False, corrupt: bool = False) -> None:
        super().__init__(message)
        self.landed = landed
        self.corrupt = corrupt


@dataclass(frozen=True, slots=True)
class Registration:
    """A consumer's first line in the ledger, or its new one when its signals changed."""

    signals: tuple[str, ...]
    base: Mapping[str, int]


@dataclass(slots=True)
class Delta:
    """What one consumer adds in one commit."""

    low_water_mark: int
    registration: Registration | None = None
    counts: dict[tuple[str, str, str], int] = field(default_factory=dict)
    passed: dict[str, int] = field(default_factory=dict)
    """Ledger line -> items of the entries that the low-water mark passes."""
    state: dict[bytes, bytes | None] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)

    def merge(self, later: Delta) -> None:
        """Become this one followed by `later`."""
        self.low_water_mark = max(self.low_water_mark, later.low_water_mark)
        self.registration = later.registration or self.registration
        add_counts(self.counts, later.counts)
        for signal, items in later.passed.items():
            self.passed[signal] = self.passed.get(signal, 0) + items
        self.state.update(later.state)
        self.dead += later.dead


RECEIVERS = ""
"""The name under which the checkpoints of receivers are stored as state."""


def put_checkpoints(into: dict[bytes, bytes], checkpoints: Mapping[bytes, bytes | None]) -> None:
    for key, value in checkpoints.items():
        if value is None:
            into.pop(key, None)
        else:
            into[key] = value


def add_counts(into: dict[tuple[str, str, str], int], more: Mapping[tuple[str, str, str], int]) -> None:
    for key, items in more.items():
        into[key] = into.get(key, 0) + items


@dataclass(slots=True)
class Transaction:
    """One group commit: all of it, or nothing."""

    number: int
    """One more than that of the last commit, to know afterwards whether it landed."""
    order: int
    """Counts every attempt, failed ones too."""
    head: int
    rows: list[StoredRow] = field(default_factory=list)
    digests: list[tuple[int, int, bytes]] = field(default_factory=list)
    """(sequence number, time, digest)"""
    ingest: IngestTotals = field(default_factory=IngestTotals)
    deltas: dict[str, Delta] = field(default_factory=dict)
    checkpoints: dict[bytes, bytes | None] = field(default_factory=dict)
    """Of the payloads in it, later ones over earlier ones; None deletes."""
    trim: tuple[int, int] | None = None
    """Lowest and highest number of the entries to delete."""
    trim_bytes: int = 0
    expire_digests: int = 0
    """Forget the digests of entries up to this number."""
    acknowledged: tuple[int, ...] = ()
    """Forget the digests of these entries."""
    prune: tuple[str, ...] = ()
    """Consumers to delete, with their state."""


@dataclass(slots=True)
class LoadedConsumer:
    """A consumer as committed."""

    low_water_mark: int
    signals: tuple[str, ...]
    base: dict[str, int] = field(default_factory=dict)
    counts: dict[tuple[str, str, str], int] = field(default_factory=dict)


@dataclass(slots=True)
class Loaded:
    """Everything but the payloads, as committed."""

    id: str
    number: int = 0
    head: int = 0
    ingest: IngestTotals = field(default_factory=IngestTotals)
    consumers: dict[str, LoadedConsumer] = field(default_factory=dict)
    digests: list[tuple[int, int, bytes]] = field(default_factory=list)
    checkpoints: dict[bytes, bytes] = field(default_factory=dict)
    dead_letter_bytes: int = 0


class Reader(Protocol):
    """A way to read what is committed, of its own; for one thread at a time."""

    def rows(self, seqs: Sequence[int]) -> dict[int, StoredRow]:
        """Rows by number; those that are not there or cannot be read are left out."""
        ...

    def state(self, consumer: str) -> Iterator[tuple[bytes, bytes]]: ...

    def close(self) -> None: ...


class Store(Protocol):
    """Where the journal is stored."""

    def load(self) -> Loaded: ...

    def index_rows(self) -> Iterator[IndexRow]:
        """Figures of all stored entries in order."""
        ...

    def commit(self, tx: Transaction) -> None:
        """Durable when it returns; raises `StoreError`."""
        ...

    def checkpoint_wal(self) -> None:
        """Copy what commits have logged to its place, where there is enough of it. Raises `StoreError`."""
        ...

    def reader(self) -> Reader: ...

    def dead_letters(self) -> dict[str, int]:
        """consumer -> dead letters stored."""
        ...

    def expire_dead_letters(self, before_ns: int, most: int) -> tuple[int, int]:
        """Delete those from before that time, and the oldest past `most`: (how many are gone, bytes of the rest).
        Raises `StoreError`."""
        ...

    def bytes_on_disk(self) -> int: ...

    def vacuum(self) -> bool:
        """Give some space back to the file system; True if there may be more to give."""
        ...

    def close(self) -> None: ...
