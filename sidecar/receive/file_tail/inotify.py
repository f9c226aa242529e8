"""Notices of changes in directories from the kernel: inotify(7), through the C library.

Only a hint: files are also polled. So whatever is missed (a queue that overflows, a network file
system, too many watches) costs time, not lines.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog

_MODIFY, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _OVERFLOW, _IGNORED = 0x2, 0x40, 0x80, 0x100, 0x200, 0x4000, 0x8000
_STRUCTURE = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_ONLY_DIRECTORY = 0x01000000
_EVENT = struct.Struct("iIII")
_READ_BYTES = 64 << 10

log = structlog.get_logger("sidecar.receive")


@dataclass(slots=True)
class Changes:
    """What the kernel reported since the last time."""

    paths: set[str] = field(default_factory=set)
    """Files that were written to."""
    structure: bool = False
    """Files came, went or were renamed (or something was missed)."""


class Waker:
    """Wakes a thread that waits for changes: a time, `wake` from another thread, or the kernel."""

    def __init__(self, use_inotify: bool) -> None:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        self._libc = _libc() if use_inotify else None
        self._fd = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK) if self._libc is not None else -1
        self._poll = select.poll()
        self._poll.register(self._read_fd, select.POLLIN)
        if self._fd >= 0:
            self._poll.register(self._fd, select.POLLIN)
        self._watches: dict[int, str] = {}
        self._refused: set[str] = set()

    @property
    def notified(self) -> bool:
        """Whether the kernel reports changes at all."""
        return self._fd >= 0

    def watch(self, directories: Iterable[str]) -> None:
        """Have changes in these directories reported, and in no others."""
        if self._libc is None or self._fd < 0:
            return
        wanted = set(directories)
        for number, directory in list(self._watches.items()):
            if directory not in wanted:
                self._libc.inotify_rm_watch(self._fd, number)
                del self._watches[number]
        for directory in wanted - set(self._watches.values()) - self._refused:
            mask = _MODIFY | _STRUCTURE | _ONLY_DIRECTORY
            number = self._libc.inotify_add_watch(self._fd, os.fsencode(directory), mask)
            if number >= 0:
                self._watches[number] = directory
                continue
            if not self._refused:
                error = os.strerror(ctypes.get_errno())
                log.warning("file_tail_directory_polled", path=directory, error=error)
            self._refused.add(directory)
        self._refused &= wanted

    def wake(self) -> None:
        """From any thread."""
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._write_fd, b"x")

    def wait(self, seconds: float) -> Changes:
        """Until something changes, `wake` is called, or the time is up."""
        changes = Changes()
        for fd, _ in self._poll.poll(max(0, int(seconds * 1000))):
            if fd == self._fd:
                self._drain(changes)
            else:
                os.read(self._read_fd, 4096)
        return changes

    def pause(self, seconds: float) -> None:
        """Until `wake` is called or the time is up; what the kernel reports is left for later."""
        if select.select([self._read_fd], [], [], seconds)[0]:
            os.read(self._read_fd, 4096)

    def _drain(self, changes: Changes) -> None:
        while True:
            try:
                data = os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                return
            place = 0
            while place < len(data):
                number, mask, _, size = _EVENT.unpack_from(data, place)
                name = data[place + _EVENT.size : place + _EVENT.size + size].rstrip(b"\0")
                place += _EVENT.size + size
                self._note(changes, number, mask, name)

    def _note(self, changes: Changes, number: int, mask: int, name: bytes) -> None:
        if mask & (_STRUCTURE | _OVERFLOW):
            changes.structure = True
        if mask & _IGNORED:
            self._watches.pop(number, None)
            changes.structure = True
        directory = self._watches.get(number)
        if directory is not None and name:
            changes.paths.add(os.path.join(directory, os.fsdecode(name)))

    def close(self) -> None:
        for fd in (self._read_fd, self._write_fd, self._fd):
            if fd >= 0:
                os.close(fd)


def _libc() -> ctypes.CDLL | None:
    """The C library, if it has inotify."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        _ = libc.inotify_init1, libc.inotify_add_watch, libc.inotify_rm_watch
    except (OSError, AttributeError):
        return None
    return libc
