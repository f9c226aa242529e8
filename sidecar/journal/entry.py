"""What goes into the journal and what comes out. See `journal.Journal` for the one that is on disk."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.pipeline import Consumer, Signal


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
