"""What one group commit writes, and the interface of the place that it is written to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.errors import SidecarError
from sidecar.journal.codec import Row
from sidecar.journal.index import Kept
from sidecar.journal.ledger import IntakeBook
from sidecar.pipeline import DeadLetter


class StoreError(SidecarError):
    """A transaction was not acknowledged by the disk. What was committed before it is untouched.

    `landed`: it is in the file all the same (whole), so the figures in memory must follow it.
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

    mark: int
    registration: Registration | None = None
    counts: dict[tuple[str, str, str], int] = field(default_factory=dict)
    passed: dict[str, int] = field(default_factory=dict)
    """Ledger line -> items of the entries that the mark passes."""
    state: dict[bytes, bytes | None] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)

    def merge(self, later: Delta) -> None:
        """Become this one followed by `later`."""
        self.mark = max(self.mark, later.mark)
        self.registration = later.registration or self.registration
        add_counts(self.counts, later.counts)
        for signal, items in later.passed.items():
            self.passed[signal] = self.passed.get(signal, 0) + items
        self.state.update(later.state)
        self.dead += later.dead


RECEIVERS = ""
"""Whose state the receivers' marks are, in the place where consumers have their names."""


def put_marks(into: dict[bytes, bytes], marks: Mapping[bytes, bytes | None]) -> None:
    for key, value in marks.items():
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
    """One more than that of the last commit, to tell afterwards whether it landed."""
    order: int
    """Counts every attempt, failed ones too."""
    head: int
    rows: list[Row] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    digests: list[tuple[int, int, bytes]] = field(default_factory=list)
    """(sequence number, time, digest)"""
    intake: IntakeBook = field(default_factory=IntakeBook)
    deltas: dict[str, Delta] = field(default_factory=dict)
    marks: dict[bytes, bytes | None] = field(default_factory=dict)
    """Of the payloads in it, later ones over earlier ones; None deletes."""
    trim: tuple[int, int] | None = None
    """Lowest and highest number of the entries to delete."""
    trim_bytes: int = 0
    expire_digests: int = 0
    """Forget the digests of entries up to this number."""
    acknowledged: tuple[int, ...] = ()
    """Forget the digests of these entries."""
    forget: tuple[str, ...] = ()
    """Consumers to strike out."""


@dataclass(slots=True)
class LoadedConsumer:
    """A consumer as committed."""

    mark: int
    signals: tuple[str, ...]
    base: dict[str, int] = field(default_factory=dict)
    counts: dict[tuple[str, str, str], int] = field(default_factory=dict)


@dataclass(slots=True)
class Loaded:
    """Everything but the payloads, as committed."""

    id: str
    number: int = 0
    head: int = 0
    intake: IntakeBook = field(default_factory=IntakeBook)
    consumers: dict[str, LoadedConsumer] = field(default_factory=dict)
    digests: list[tuple[int, int, bytes]] = field(default_factory=list)
    marks: dict[bytes, bytes] = field(default_factory=dict)
    dead_letter_bytes: int = 0


class Reader(Protocol):
    """A way to read what is committed, of its own; for one thread at a time."""

    def rows(self, seqs: Sequence[int]) -> dict[int, Row]:
        """Rows by number; those that are not there or cannot be read are left out."""
        ...

    def state(self, consumer: str) -> Iterator[tuple[bytes, bytes]]: ...

    def close(self) -> None: ...


class Store(Protocol):
    """Where the journal is kept."""

    def load(self) -> Loaded: ...

    def kept(self) -> Iterator[Kept]:
        """Figures of all kept entries in order."""
        ...

    def commit(self, tx: Transaction) -> None:
        """Durable when it returns; raises `StoreError`."""
        ...

    def reader(self) -> Reader: ...

    def dead_letters(self) -> dict[str, int]:
        """consumer -> letters kept."""
        ...

    def expire_dead_letters(self, before_ns: int, most: int) -> tuple[int, int]:
        """Delete those from before that time, and the oldest past `most`: (how many are gone, bytes of the rest).
        Raises `StoreError`."""
        ...

    def bytes_on_disk(self) -> int: ...

    def tidy(self) -> bool:
        """Give some space back to the file system; True if there may be more to give."""
        ...

    def close(self) -> None: ...
