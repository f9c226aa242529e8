"""Content that files had before they were cut or replaced: a copy of it is read on, and without one it is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sidecar.receive.file_tail.checkpoint import TAIL_BYTES, Checkpoint, Key, digest
from sidecar.receive.file_tail.copies import Deferred, begins_alike
from sidecar.receive.file_tail.discovery import Candidate
from sidecar.receive.file_tail.source import Source
from sidecar.receive.file_tail.tailed_file import TailedFile

Reason = Literal["truncated", "deleted", "bad_gzip", "maybe_copy"]
"""`maybe_copy`: removed before it was known whether it is a copy of a file that is read."""


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


def deleted(file: TailedFile) -> Loss | None:
    """What was not read of a file that is gone and not open."""
    if lag := file.lag():
        return Loss("deleted", file.path, lag, file.estimated_records(lag))
    if file.compressed and not file.done:
        return Loss("deleted", file.path, max(1, file.size), 1, at_least=True)
    return None


def undecided(known: Deferred, origin: TailedFile | None) -> Loss | None:
    """What a file had that was removed while it waited; None for what is a copy of `origin`."""
    if not known.is_undecided:
        return None
    size = known.state[0]
    records = origin.estimated_records(size) if origin is not None and not known.compressed else 1
    return Loss("maybe_copy", known.path, size, records, at_least=known.compressed)


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
