"""Where lines are written to: a file that is rotated, or standard output.

Entries are written in the order of their numbers, and what is written for one is always the same. So after a crash it
is enough to know the number of the last entry and where its lines end, which a small file beside the data says
(`.NAME.position`, written after each append). What stands behind that place is the beginning of what comes next: it is
compared with it, not written again, and a line that was cut off is completed. A reader never sees the file shrink.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from sidecar.deliver.file.rotation import Rotation
from sidecar.pipeline import Clock

MAX_TAIL_BYTES = 64 << 20
"""More than this behind the known place was not written by us."""
_RECORD_BYTES = 256

log = structlog.get_logger("deliver.file")


@dataclass(frozen=True, slots=True)
class Block:
    """The lines of one entry."""

    seq: int
    lines: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """How far the file is known to be written."""

    journal_id: str
    """Of the journal that the numbers are from."""
    seq: int = 0
    inode: int = 0
    offset: int = 0
    born: float = 0.0
    """Unix seconds at which the file was begun."""


class Locked(OSError):
    """Another sink, or another program, writes to the same file."""


class FileWriter:
    """A file that lines are appended to. Used from one thread at a time. `OSError` from any method leaves it as far as
    it came; the same call again goes on from there."""

    def __init__(self, path: Path, journal_id: str, rotation: Rotation, clock: Clock, fsync: bool) -> None:
        """Opens nothing."""
        self._path, self._rotation, self._clock, self._fsync = path, rotation, clock, fsync
        self._position = Position(journal_id)
        self._tail = b""
        """What stands in the file behind the known place."""
        self._file = -1
        self._record = -1

    @property
    def size(self) -> int:
        """Bytes known to be written to the present file."""
        return self._position.offset

    def append(self, blocks: Sequence[Block]) -> frozenset[int]:
        """Write what is not there yet; gives the numbers of the entries that were. Blocks come in ascending order."""
        self._open()
        there = {b.seq for b in blocks if b.seq <= self._position.seq}
        todo = [b for b in blocks if b.seq not in there]
        for block in list(todo):
            if not (self._tail and self._tail.startswith(block.lines)):
                break
            self._advance(block.seq, len(block.lines))
            there.add(todo.pop(0).seq)
        if todo:
            self._write(todo[-1].seq, b"".join(b.lines for b in todo))
        elif there:
            if self._fsync:
                os.fsync(self._file)
            self._note()
        return frozenset(there)

    def close(self) -> None:
        for descriptor in (self._file, self._record):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._record = -1

    def _now(self) -> float:
        return self._clock() / 1e9

    def _write(self, seq: int, data: bytes) -> None:
        if not data.startswith(self._tail):
            self._repair()
        if not self._tail and self._rotation.due(self._position.offset, len(data), self._position.born, self._now()):
            self._rotate()
        while len(self._tail) < len(data):
            begin = len(self._tail)
            written = os.write(self._file, memoryview(data)[begin:])
            self._tail = data[: begin + written]
        if self._fsync:
            os.fsync(self._file)
        self._advance(seq, len(data))
        self._note()

    def _advance(self, seq: int, size: int) -> None:
        known = self._position
        self._tail = self._tail[size:]
        self._position = Position(known.journal_id, seq, known.inode, known.offset + size, known.born)

    def _repair(self) -> None:
        """What stands behind the known place is not what comes next: it stays, but for a line that was cut off."""
        whole = self._tail.rfind(b"\n") + 1
        offset = self._position.offset + whole
        if whole < len(self._tail):
            os.ftruncate(self._file, offset)
        self._tail = b""
        self._move_to(offset)

    def _move_to(self, offset: int) -> None:
        known = self._position
        self._position = Position(known.journal_id, known.seq, known.inode, offset, known.born)

    def _open(self) -> None:
        """The file at the path, as it is now: it may have been moved, cut or removed by others."""
        if self._record < 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._record = self._lock()
            self._recall()
        if self._file >= 0 and not self._still_there():
            os.close(self._file)
            self._file = -1
        if self._file < 0:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self._begin()
        elif os.fstat(self._file).st_size != self._position.offset + len(self._tail):
            self._begin()

    def _still_there(self) -> bool:
        try:
            return os.stat(self._path).st_ino == os.fstat(self._file).st_ino
        except FileNotFoundError:
            return False

    def _begin(self) -> None:
        """Find the place from which to go on."""
        known, found = self._position, os.fstat(self._file)
        self._tail = b""
        if found.st_ino == known.inode and 0 <= found.st_size - known.offset <= MAX_TAIL_BYTES:
            self._tail = _read(self._file, known.offset, found.st_size - known.offset)
            return
        born, seq = self._now(), known.seq
        if found.st_ino == known.inode:
            born = known.born
            if found.st_size < known.offset:  # By somebody, or with a power cut: what is not committed comes again.
                seq = 0
                log.warning("file_truncated", path=str(self._path), bytes=known.offset - found.st_size)
        self._position = Position(known.journal_id, seq, found.st_ino, found.st_size, born)
        self._drop_torn_line(found.st_size)
        self._note()
        if self._fsync and not found.st_size:
            _sync_directory(self._path.parent)

    def _drop_torn_line(self, size: int) -> None:
        if not size or _read(self._file, size - 1, 1) == b"\n":
            return
        last = _read(self._file, max(0, size - MAX_TAIL_BYTES), min(size, MAX_TAIL_BYTES))
        whole = last.rfind(b"\n") + 1
        os.ftruncate(self._file, size - len(last) + whole)
        self._move_to(size - len(last) + whole)

    def _rotate(self) -> None:
        self._rotation.move_away(self._path, self._now())
        os.close(self._file)
        self._file = -1
        self._open()
        self._rotation.tidy(self._path)

    def _lock(self) -> int:
        record = os.open(
            self._path.with_name(f".{self._path.name}.position"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        try:
            fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(record)
            raise Locked(error.errno, f"{self._path}: something else writes to this file") from error
        return record

    def _recall(self) -> None:
        """The position of another journal, or one that cannot be read, is as none: then only a line that was cut off is
        seen to, and entries that are not committed yet come once more."""
        record = _read(self._record, 0, _RECORD_BYTES)
        try:
            checksum, _, text = record.partition(b" ")
            if int(checksum, 16) != zlib.crc32(text.rstrip(b" \n")):
                return
            fields = json.loads(text)
            fields["journal_id"] = fields.pop("log_id", None) or fields["journal_id"]  # the name in earlier records
            position = Position(**fields)
        except (ValueError, TypeError, KeyError):
            return
        if position.journal_id == self._position.journal_id:
            self._position = position

    def _note(self) -> None:
        text = json.dumps(asdict(self._position), separators=(",", ":")).encode()
        record = b"%08x %s" % (zlib.crc32(text), text)
        os.pwrite(self._record, record.ljust(_RECORD_BYTES - 1) + b"\n", 0)


class StreamWriter:
    """Standard output. What was written before a crash cannot be known: then it comes once more."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._first = 0
        self._written = 0
        """Bytes written of what begins with entry `_first`, where writing it failed."""
        self.size = 0
        """Bytes written."""

    def append(self, blocks: Sequence[Block]) -> frozenset[int]:
        """Write the blocks; the same call again after an `OSError` goes on where it stopped."""
        data = memoryview(b"".join(b.lines for b in blocks))
        if blocks[0].seq != self._first:
            self._first, self._written = blocks[0].seq, 0
        while self._written < len(data):
            count = os.write(self._descriptor, data[self._written :])
            self._written += count
            self.size += count
        self._first = self._written = 0
        return frozenset()

    def close(self) -> None:
        """Standard output stays open for others."""


def _read(descriptor: int, offset: int, size: int) -> bytes:
    parts = []
    while size > 0 and (part := os.pread(descriptor, size, offset)):
        parts.append(part)
        offset, size = offset + len(part), size - len(part)
    return b"".join(parts)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
