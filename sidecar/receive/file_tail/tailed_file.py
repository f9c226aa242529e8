"""One file that is being read, and where we are in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.decode.logs.containers import Format
from sidecar.receive.file_tail.checkpoint import HEAD_BYTES, TAIL_BYTES, Checkpoint, Key, digest
from sidecar.receive.file_tail.discovery import Candidate, attributes
from sidecar.receive.file_tail.source import Source


@dataclass(slots=True)
class TailedFile:
    """State of one file; everything up to `done` is as committed."""

    key: Key
    path: str
    base: str
    rotated: bool
    offset: int = 0
    start: bytes = b""
    """The first up to 1024 bytes of the content."""
    recent: bytes = b""
    """The up to 256 bytes before the offset."""
    skipping: bool = False
    blank_to: int = 0
    """There are only NULs between the offset and here."""
    foreign: bool = False
    """It is in UTF-16, and that was logged."""
    done: bool = False
    size: int = 0
    """As last seen."""
    grown_at: float = 0.0
    """When it was seen to have grown, or first seen."""
    held_since: float | None = None
    """Since when lines are left because they may go on."""
    known_since: float = 0.0
    """When it was seen first; 0 for one that was known when the program was started."""
    seen_at: float = 0.0
    """When a scan found it last."""
    modified: float = 0.0
    """Its time of change then, in Unix seconds."""
    birth: int = 0
    """As in `Checkpoint`."""
    written: int = 0
    """As in `Checkpoint`, of the content that was read last."""
    waits_for: tuple[int, float] | None = None
    """(offset of the file before it, since when it is there)"""
    gone_since: float | None = None
    """Since when there is no path to it."""
    records: int = 0
    """Taken in this run, from `bytes_read` bytes."""
    bytes_read: int = 0
    kind: Format | None = None
    source: Source | None = None
    compressed: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Candidate, now: float, checkpoint: Checkpoint | None = None) -> TailedFile:
        """At the checkpoint's offset, or at the beginning."""
        file = cls(found.key, found.path, found.base, found.rotated, size=found.size, grown_at=now)
        file.attributes = attributes(found.base, found.path)
        file.known_since, file.seen_at, file.modified = now, now, found.modified
        if checkpoint is not None:
            file.offset, file.skipping, file.done = checkpoint.offset, checkpoint.skipping, checkpoint.done
        return file

    def found(self, candidate: Candidate, now: float) -> None:
        """It is there, maybe under another name. What its records say of their origin stays."""
        self.path, self.rotated, self.gone_since = candidate.path, candidate.rotated, None
        self.seen_at, self.modified = now, candidate.modified

    @property
    def former(self) -> bool:
        """Others are written to now."""
        return self.rotated or self.gone_since is not None

    def checkpoint(self) -> Checkpoint:
        return self.checkpoint_at(self.offset, self.recent, self.skipping, self.done)

    def checkpoint_at(self, offset: int, recent: bytes, skipping: bool, done: bool) -> Checkpoint:
        """The checkpoint of a later position."""
        head, tail = (digest(part) if part else "" for part in (self.start, recent))
        return Checkpoint(
            self.path,
            self.base,
            offset,
            len(self.start),
            head,
            tail,
            skipping,
            done,
            self.birth,
            written=self.written,
        )

    def restart(self, now: float) -> None:
        """Its content is another one."""
        self.offset = self.size = self.blank_to = 0
        self.start, self.recent, self.skipping, self.done = b"", b"", False, False
        self.held_since, self.kind, self.grown_at, self.foreign = None, None, now, False

    def pass_over(self, source: Source) -> None:
        """What is there now is not to be read."""
        if source.compressed:
            self.done = True
        else:
            self.offset = self.size = source.size()
            self.skipping = bool(self.offset) and source.pread(self.offset - 1, 1) != b"\n"

    def read_start(self, source: Source) -> None:
        """Know the beginning, as far as it is there. NULs that were not passed yet may be written over. Of a file that
        was cut the old one stays known: it is what a copy is recognised by."""
        if len(self.start) < HEAD_BYTES:
            start = source.pread(0, HEAD_BYTES)
            start = start[: self.offset] + start[self.offset :].rstrip(b"\0")
            if start.startswith(self.start):
                self.start = start

    def read_recent(self, source: Source) -> None:
        """Know what is before the offset."""
        size = min(self.offset, TAIL_BYTES)
        self.recent = source.pread(self.offset - size, size) if size else b""

    def unchanged(self, source: Source) -> bool:
        """Whether what was read is still there, at the beginning and before the offset."""
        if source.pread(0, len(self.start)) != self.start:
            return False
        size = len(self.recent)
        return source.pread(self.offset - size, size) == self.recent

    def is_another(self, source: Source) -> bool:
        """Whether the inode was given to another file since it was open last. Then that one is meant from now on."""
        known, self.birth = self.birth, source.birth
        return 0 not in (known, source.birth) and known != source.birth

    def lag(self) -> int:
        """Bytes that are there and were not taken."""
        return 0 if self.done or self.compressed else max(0, self.size - self.offset)

    def estimated_records(self, size: int) -> int:
        """How many records that many bytes may have been."""
        mean = self.bytes_read / self.records if self.records else 0
        return max(1, round(size / mean)) if mean else 1

    def close(self) -> None:
        if self.source is not None:
            self.source.close()
            self.source = None
