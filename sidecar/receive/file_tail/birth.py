"""When a file was made: statx(2) through the C library, which Python does not give on Linux."""

from __future__ import annotations

import ctypes
import struct
from functools import cache

_EMPTY_PATH, _BTIME = 0x1000, 0x800
_SIZE = 256
_MASK, _BORN = struct.Struct("@I"), struct.Struct("@qI")
_BORN_AT = 80


def birth_of(fd: int) -> int:
    """Unix ns; 0 where the file system or the C library does not know."""
    libc = _libc()
    if libc is None:
        return 0
    buffer = ctypes.create_string_buffer(_SIZE)
    if libc.statx(fd, b"", _EMPTY_PATH, _BTIME, buffer) != 0 or not _MASK.unpack_from(buffer)[0] & _BTIME:
        return 0
    seconds, nanoseconds = _BORN.unpack_from(buffer, _BORN_AT)
    return max(0, int(seconds) * 1_000_000_000 + int(nanoseconds))


@cache
def _libc() -> ctypes.CDLL | None:
    """The C library, if it has statx."""
    try:
        libc = ctypes.CDLL(None)
        _ = libc.statx
    except (OSError, AttributeError):
        return None
    return libc
