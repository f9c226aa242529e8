"""Packed counts of one column's sub-windows."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_HEAD = struct.Struct("<qI")
"""Number of a sub-window, and how many bytes its counts take."""


class SubWindows:
    """Each by its number, oldest first. All in one piece: as objects of their own they take twice as much memory."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = b""

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        data, place = self._data, 0
        while place < len(data):
            number, size = _HEAD.unpack_from(data, place)
            begin = place + _HEAD.size
            place = begin + size
            yield number, data[begin:place]

    def push(self, number: int, counts: bytes) -> None:
        """One more; its number is above those before."""
        self._data += _HEAD.pack(number, len(counts)) + counts

    def pop_before(self, number: int) -> list[tuple[int, bytes]]:
        """Those before this number, which are forgotten."""
        popped = []
        for found in self:
            if found[0] >= number:
                break
            popped.append(found)
        self._data = self._data[sum(_HEAD.size + len(counts) for _, counts in popped) :]
        return popped

    def memory_bytes(self) -> int:
        """What it takes, about."""
        return len(self._data) + 90
