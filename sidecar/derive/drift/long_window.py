"""What one column's values were over many windows: counts of its bins, of the last windows one by one, of older ones
together, the more the longer ago: an exponential histogram (Datar, Gionis, Indyk and Motwani 2002), as ADWIN keeps the
past in (Bifet and Gavaldà 2007)."""

from __future__ import annotations

import json
import zlib

import numpy as np

from sidecar.derive.drift.counts import small
from sidecar.derive.series import I64

EACH = 2
"""Blocks of one length, at most."""
LONGEST = 16
"""Windows of the longest blocks. The oldest of them is forgotten."""
BLOCKS = EACH * LONGEST.bit_length()
SPAN = EACH * (2 * LONGEST - 1)
"""Windows that are kept, at most."""
_HEAD = 2


class LongWindow:
    """Windows do not overlap, and each is whole, so that a cycle of its length is no change. Not thread-safe."""

    __slots__ = ("_counts", "_dirty", "lengths")

    def __init__(self) -> None:
        self.lengths: list[int] = []
        """Windows of each block, newest first."""
        self._counts: I64 = np.zeros(0, np.int64)
        """Of each block, along the first axis."""
        self._dirty = False

    def push(self, counts: I64) -> None:
        """One more window. `counts`: of bins, along the last axis; of as many columns as there always are."""
        self.lengths.insert(0, 1)
        blocks = [counts, *self._counts.astype(np.int64)]
        place, length = 0, 1
        while self.lengths[place : place + EACH + 1] == [length] * (EACH + 1):
            oldest, counts_of_oldest = self.lengths.pop(place + EACH), blocks.pop(place + EACH)
            if length == LONGEST:
                break
            place, length = place + EACH - 1, 2 * length
            self.lengths[place] += oldest
            blocks[place] = blocks[place] + counts_of_oldest
        self._counts = small(np.array(blocks))
        self._dirty = True

    def recent(self) -> list[tuple[int, I64]]:
        """(how many windows, their counts together) of the newest one, the newest two and so on, as far as they are
        told apart."""
        summed = np.cumsum(self._counts, axis=0, dtype=np.int64)
        return list(zip(np.cumsum(self.lengths).tolist(), summed, strict=True))

    def memory_bytes(self) -> int:
        """What it takes now, about."""
        return self._counts.nbytes + 8 * len(self.lengths) + 300

    def checkpoint(self) -> bytes | None:
        """What there is, where it has changed since the last call."""
        if not self._dirty:
            return None
        self._dirty = False
        return zlib.compress(json.dumps([self.lengths, self._counts.tolist()]).encode(), 1)

    def restore(self, kept: bytes, bins: int) -> None:
        """Take over what `checkpoint` gave. Raises ValueError for what is not from here."""
        try:
            lengths, blocks = json.loads(zlib.decompress(kept))
            counts = np.array(blocks, np.int64)
        except (zlib.error, TypeError, OverflowError) as error:
            raise ValueError("not a long window") from error
        if len(lengths) > BLOCKS or counts.shape != (len(lengths), bins):
            raise ValueError("not a long window of this column")
        self.lengths, self._counts = lengths, small(counts)
