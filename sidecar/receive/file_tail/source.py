"""An open file, plain or gzip, read by offsets of its content."""

from __future__ import annotations

import errno
import gzip
import os
import stat
import zlib
from pathlib import Path
from typing import Protocol

from sidecar.receive.file_tail.birth import birth_of
from sidecar.receive.file_tail.checkpoint import Key

_GZIP = b"\x1f\x8b"
_SKIP = 1 << 20


class Broken(Exception):
    """A compressed file that cannot be read on; it may be incomplete yet. Never leaves the package."""


class Source(Protocol):
    """`size` is that of the file; `pread` may be asked for any place of the content. `data_from`: the place itself, or
    where the hole that it is in ends. `birth`, `modified` and `removed`: Unix ns; a birth of 0 is not known. `removed`:
    when a file that has no name any more lost it, or was written to last if that was later; 0 while it has a name."""

    key: Key
    compressed: bool
    birth: int

    def size(self) -> int: ...

    def modified(self) -> int: ...

    def removed(self) -> int: ...

    def pread(self, offset: int, size: int) -> bytes: ...

    def data_from(self, place: int) -> int: ...

    def close(self) -> None: ...


class PlainSource:
    """A regular file."""

    compressed = False

    def __init__(self, fd: int, key: Key) -> None:
        self._fd = fd
        self.key = key
        self.birth = birth_of(fd)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def modified(self) -> int:
        return os.fstat(self._fd).st_mtime_ns

    def removed(self) -> int:
        return _removed(self._fd)

    def pread(self, offset: int, size: int) -> bytes:
        """Short only at the end of the file."""
        return os.pread(self._fd, size, offset)

    def data_from(self, place: int) -> int:
        try:
            return os.lseek(self._fd, place, os.SEEK_DATA)
        except OSError as error:
            # There is no data any more, or the file system knows of no holes.
            return max(place, self.size()) if error.errno == errno.ENXIO else place

    def close(self) -> None:
        os.close(self._fd)


class GzipSource:
    """A compressed file; going back in it means to unpack it again. Raises `Broken`."""

    compressed = True

    def __init__(self, fd: int, key: Key) -> None:
        self._raw = os.fdopen(fd, "rb")
        self.key = key
        self.birth = birth_of(fd)
        self._begin()

    def _begin(self) -> None:
        self._raw.seek(0)
        self._file = gzip.GzipFile(fileobj=self._raw, mode="rb")
        self._place = 0
        self._last = b""

    def size(self) -> int:
        """Bytes of the compressed file."""
        return os.fstat(self._raw.fileno()).st_size

    def modified(self) -> int:
        return os.fstat(self._raw.fileno()).st_mtime_ns

    def removed(self) -> int:
        return _removed(self._raw.fileno())

    def pread(self, offset: int, size: int) -> bytes:
        """Short only at the end of the content."""
        start = self._place - len(self._last)
        if offset < start:
            self._begin()
            start = 0
        while self._place < offset:
            self._last = self._read(min(offset - self._place, _SKIP))
            if not self._last:
                return b""
            start = self._place - len(self._last)
        # Reading begins again behind the last whole line, mostly a little before the end of what was read.
        data = self._last[offset - start :]
        if len(data) < size:
            data += self._read(size - len(data))
            self._last = data
        return data[:size]

    def data_from(self, place: int) -> int:
        return place

    def _read(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except (OSError, EOFError, zlib.error) as error:
            self._begin()
            raise Broken(str(error)) from error
        self._place += len(data)
        return data

    def close(self) -> None:
        self._file.close()
        self._raw.close()


def _removed(fd: int) -> int:
    status = os.fstat(fd)
    return 0 if status.st_nlink else status.st_ctime_ns


def open_source(path: str | Path) -> Source | None:
    """The regular file at this path; None if it is something else. OSError if it cannot be opened."""
    # A FIFO without a writer would hold the open up.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            return None
        key = status.st_dev, status.st_ino
        return GzipSource(fd, key) if os.pread(fd, 2, 0) == _GZIP else PlainSource(fd, key)
    except BaseException:
        os.close(fd)
        raise
