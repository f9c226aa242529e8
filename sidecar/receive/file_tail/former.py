"""Content that files had before they were cut or replaced: a copy of it is read on, and without one it is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sidecar.receive.file_tail.checkpoint import TAIL_BYTES, Checkpoint, Key, digest
from sidecar.receive.file_tail.copies import begins_alike
from sidecar.receive.file_tail.discovery import Candidate
from sidecar.receive.file_tail.source import Source

Reason = Literal["truncated", "deleted", "bad_gzip"]


@dataclass(frozen=True, slots=True)
class Loss:
    """What was there and could not be read any more."""

    reason: Reason
    path: str
    bytes: int
    records: int
    """By estimate, from the mean length of those that were read."""
    at_least: bool = False
    """It may be more: nobody saw how long the file was when it was cut."""


@dataclass(slots=True)
class Replaced:
    """A checkpoint whose file has other content now: a copy of the old content may be found."""

    key: Key
    checkpoint: Checkpoint
    since: float
    loss: Loss | None = None
    """If no copy is found."""
    start: bytes = b""
    """The beginning of the old content, where it is known."""


def unseen(candidate: Candidate, checkpoint: Checkpoint) -> Loss | None:
    """What is lost of a file that was cut while nobody read it, if no copy is found; None for one that moved."""
    if not checkpoint.birth and checkpoint.path != candidate.path:
        return None
    return Loss("truncated", candidate.path, max(1, checkpoint.head_size - checkpoint.offset), 1, at_least=True)


def is_read_on(source: Source, checkpoint: Checkpoint, old: Replaced | None) -> bool:
    """Whether a content is the one that a checkpoint was made of."""
    if old is not None and old.start:
        alike = begins_alike(source, old.start)
    else:
        alike = bool(checkpoint.head_size) and checkpoint.head_matches(source.pread)
    if not alike:
        return False
    size = min(checkpoint.offset, TAIL_BYTES)
    tail = source.pread(checkpoint.offset - size, size) if size else b""
    whole = len(tail) == size and (digest(tail) if tail else "") == checkpoint.tail
    # A copy may have been made before the last lines came that we have read.
    return whole or (old is not None and len(tail) < size)
