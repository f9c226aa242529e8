"""A stretch of the rows of predictions that wait for labels, as columns with an index by key."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator

import numpy as np

ROWS = 1 << 17
"""Of one generation: it is freed as a whole."""
ROW_BYTES = 48
"""What a row takes, about: columns with what they grow ahead, and its part of the index."""
START, JOINED = 1, 2
"""Flags of a row: the first one of a record's rows; one that has its label."""

_COLUMNS = (("keys", "<u8"), ("times", "<u4"), ("received", "<u4"), ("codes", "<u4"), ("rows", "<u4"))
_HEAD = 4
_ROW = 8 + 4 * 4 + 8 + 1


class Generation:
    """Columns of equal length, in order of arrival. Not thread-safe."""

    def __init__(self, base: int) -> None:
        """`base`: number of the first row."""
        self.base = base
        self.keys = array("Q")
        self.times = array("I")
        """When each row was predicted, Unix seconds."""
        self.received = array("I")
        self.codes = array("I")
        """Kind of each row."""
        self.rows = array("I")
        """Place of each row in the call of the model."""
        self.numbers = array("d")
        """The predicted number, or the probability of the predicted class; NaN where it is not known."""
        self.flags = bytearray()
        self._slots = array("I", bytes(4 * 256))
        """Place + 1 of the rows that have START, at the place that their key says or the next free one behind it."""
        self._starts = 0

    def __len__(self) -> int:
        return len(self.keys)

    def append(self, key: int, time: int, received: int, code: int, row: int, number: float, start: bool) -> None:
        """One row. Rows of one record follow each other; the first one has `start`."""
        self.keys.append(key)
        self.times.append(time)
        self.received.append(received)
        self.codes.append(code)
        self.rows.append(row)
        self.numbers.append(number)
        start = start or len(self.keys) == 1
        self.flags.append(START if start else 0)
        if start:
            self._starts += 1
            if 2 * self._starts > len(self._slots):
                self._grow()
            self._insert(len(self.keys) - 1)

    def starts(self, key: int) -> Iterator[int]:
        """Places of the first rows of the records with this key, in no order."""
        slots, keys = self._slots, self.keys
        mask = len(slots) - 1
        at = key & mask
        while slots[at]:
            place = slots[at] - 1
            if keys[place] == key:
                yield place
            at = (at + 1) & mask

    def run(self, start: int) -> range:
        """Places of the rows of the record that begins at `start`."""
        end = start + 1
        while end < len(self.flags) and not self.flags[end] & START:
            end += 1
        return range(start, end)

    def place_of(self, start: int, row: int) -> int:
        """Place of this row of the record that begins at `start`, whose rows are evenly spaced; -1 without one."""
        offset = row - self.rows[start]
        following = start + 1 < len(self.flags) and not self.flags[start + 1] & START
        step = self.rows[start + 1] - self.rows[start] if following else 1
        place = start + offset // step
        if offset < 0 or place >= len(self.keys) or self.rows[place] != row:
            return -1
        # It is the same record's only if no other one begins on the way.
        begins = any(self.flags.find(flag, start + 1, place + 1) >= 0 for flag in (START, START | JOINED))
        return -1 if begins else place

    def pack(self, begin: int, end: int) -> bytes:
        """The rows of these places, but for what is known of labels."""
        n = end - begin
        columns = [np.array(getattr(self, name)[begin:end], code).tobytes() for name, code in _COLUMNS]
        starts = bytes(flag & START for flag in self.flags[begin:end])
        numbers = np.array(self.numbers[begin:end], "<f8").tobytes()
        return n.to_bytes(_HEAD, "little") + zlib.compress(b"".join([*columns, numbers, starts]), 1)

    def extend(self, packed: bytes, most: int) -> bool:
        """Add what `pack` gave; False where it is not from there, or has more than `most` rows."""
        n = int.from_bytes(packed[:_HEAD], "little")
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(packed[_HEAD:], n * _ROW + 1) if 0 < n <= most else b""
        except zlib.error:
            return False
        if not unpacker.eof or len(data) != n * _ROW:
            return False
        at, columns = 0, []
        for code in (*(code for _, code in _COLUMNS), "<f8", "|u1"):
            size = n * np.dtype(code).itemsize
            columns.append(np.frombuffer(data, code, n, at).tolist())
            at += size
        for key, time, received, kind, row, number, start in zip(*columns, strict=True):
            self.append(key, time, received, kind, row, number, bool(start))
        return True

    def _grow(self) -> None:
        self._slots = array("I", bytes(8 * len(self._slots)))
        for place, flag in enumerate(self.flags):
            if flag & START and place < len(self.keys) - 1:
                self._insert(place)

    def _insert(self, place: int) -> None:
        slots = self._slots
        mask = len(slots) - 1
        at = self.keys[place] & mask
        while slots[at]:
            at = (at + 1) & mask
        slots[at] = place + 1
