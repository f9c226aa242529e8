"""A stretch of the rows of predictions that wait for labels, as columns with an index by key."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

ROWS = 1 << 17
"""Of one generation: it is freed as a whole."""
ROW_BYTES = 48
"""What a row takes, about: columns with what they grow ahead, and its part of the index."""
START, JOINED = 1, 2
"""Flags of a row: the first one of a record's rows; one that has its label."""

_COLUMNS = (
    ("keys", "<u8"), ("times", "<u4"), ("received", "<u4"), ("codes", "<u4"), ("rows", "<u4"), ("numbers", "<f8"),
)  # fmt: skip
_FEWEST_SLOTS = 256
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
        self._slots = array("I", bytes(4 * _FEWEST_SLOTS))
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
                self.index()
            else:
                self._insert(len(self.keys) - 1)

    def starts(self, key: int) -> Sequence[int]:
        """Places of the first rows of the records with this key, in no order."""
        slots, keys = self._slots, self.keys
        mask = len(slots) - 1
        at = key & mask
        if not slots[at]:  # Most generations do not have it.
            return ()
        found = []
        while slots[at]:
            place = slots[at] - 1
            if keys[place] == key:
                found.append(place)
            at = (at + 1) & mask
        return found

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
        columns = [np.array(getattr(self, name)[begin:end], code).tobytes() for name, code in _COLUMNS]
        starts = bytes(flag & START for flag in self.flags[begin:end])
        return (end - begin).to_bytes(_HEAD, "little") + zlib.compress(b"".join([*columns, starts]), 1)

    def extend(self, packed: bytes, most: int) -> bool:
        """Add what `pack` gave; False where it is not from there, or has more than `most` rows. The rows are found by
        their keys after `index`."""
        n = int.from_bytes(packed[:_HEAD], "little")
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(packed[_HEAD:], n * _ROW + 1) if 0 < n <= most else b""
        except zlib.error:
            return False
        if not unpacker.eof or len(data) != n * _ROW:
            return False
        at = 0
        for name, code in _COLUMNS:
            own: array[Any] = getattr(self, name)
            column = np.frombuffer(data, code, n, at)
            own.frombytes(column.astype(own.typecode).tobytes())
            at += column.nbytes
        self.flags += bytes(flag & START for flag in data[at:])
        self.flags[0] |= START
        return True

    def index(self) -> None:
        """Find all rows by their keys, each at the slot that its key says or the next free one: in the order of these
        slots none is before its own, nor before the one behind its predecessor's."""
        places = np.flatnonzero(np.frombuffer(self.flags, np.uint8) & START)
        self._starts = len(places)
        size = max(_FEWEST_SLOTS, 1 << (2 * self._starts - 1).bit_length())
        home = (np.frombuffer(self.keys, np.uint64)[places] & np.uint64(size - 1)).astype(np.int64)
        order = np.argsort(home, kind="stable")
        n = np.arange(len(order))
        at = np.maximum.accumulate(home[order] - n) + n
        inside = at < size
        slots = np.zeros(size, np.uint32)
        slots[at[inside]] = places[order[inside]] + 1
        self._slots = array("I", slots.tobytes())
        for place in places[order[~inside]].tolist():
            self._insert(place)

    def _insert(self, place: int) -> None:
        slots = self._slots
        mask = len(slots) - 1
        at = self.keys[place] & mask
        while slots[at]:
            at = (at + 1) & mask
        slots[at] = place + 1
