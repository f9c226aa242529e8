"""Numbers counted by their size: quantiles of any number of rows, in memory that depends on the range only.

The sketch is DDSketch (Masson, Rim and Lee 2019, doi 10.14778/3352063.3352135): buckets whose upper bound is GROWTH
times the lower one. A number is known to (GROWTH - 1) / (GROWTH + 1) of its size, wherever it is in the distribution,
and sketches add up exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sidecar.decode.api import F64
from sidecar.derive.series import I64

GROWTH = 1.02
RELATIVE_ERROR = (GROWTH - 1) / (GROWTH + 1)
_FINEST, _WIDEST = 1e-12, 1e12
"""Numbers beyond go to the outermost buckets."""
_BUCKETS = math.ceil(math.log(_WIDEST / _FINEST) / math.log(GROWTH)) + 1


class _Side:
    """Numbers of one sign: rows of each bucket from `first` on."""

    def __init__(self) -> None:
        self.first = 0
        self.rows: I64 = np.zeros(0, np.int64)

    def add(self, buckets: I64) -> None:
        if len(buckets):
            self._cover(int(buckets.min()), int(buckets.max()) + 1)
            np.add.at(self.rows, buckets - self.first, 1)

    def merge(self, other: _Side) -> None:
        if len(other.rows):
            self._cover(other.first, other.first + len(other.rows))
            self.rows[other.first - self.first :][: len(other.rows)] += other.rows

    def _cover(self, first: int, end: int) -> None:
        if not len(self.rows):
            self.first, self.rows = first, np.zeros(end - first, np.int64)
            return
        before, after = max(0, self.first - first), max(0, end - self.first - len(self.rows))
        if before or after:
            self.rows = np.pad(self.rows, (before, after))
            self.first -= before

    def sizes(self) -> tuple[F64, I64]:
        """Size in the middle of each bucket that has rows, ascending, and the rows."""
        there = np.flatnonzero(self.rows)
        sizes = _FINEST * GROWTH ** (there + float(self.first)) * (2 / (1 + GROWTH))
        return np.asarray(sizes, np.float64), self.rows[there]

    def packed(self) -> list[Any]:
        return [self.first, self.rows.tolist()]

    def restore(self, packed: list[Any]) -> None:
        first, rows = packed
        self.first, self.rows = int(first), np.array(rows, np.int64)
        if not (self.rows.ndim == 1 and 0 <= self.first <= self.first + len(self.rows) <= _BUCKETS + 1):
            raise ValueError("not buckets of sizes")


class SizeBuckets:
    """Not thread-safe."""

    def __init__(self) -> None:
        self._negative, self._zero, self._positive = _Side(), 0, _Side()

    def add(self, numbers: F64) -> None:
        """Count numbers, which may be infinite."""
        sizes = np.clip(np.abs(numbers), _FINEST, _WIDEST)
        buckets = np.ceil(np.log(sizes / _FINEST) / math.log(GROWTH)).astype(np.int64)
        positive, negative = numbers > 0, numbers < 0
        self._positive.add(buckets[positive])
        self._negative.add(buckets[negative])
        self._zero += len(numbers) - int(np.count_nonzero(positive)) - int(np.count_nonzero(negative))

    def merge(self, other: SizeBuckets) -> None:
        """Add the numbers of another one."""
        self._zero += other._zero
        self._negative.merge(other._negative)
        self._positive.merge(other._positive)

    def numbers(self) -> tuple[F64, I64]:
        """A number for each bucket that has rows, ascending, and the rows."""
        negative, of_negative = self._negative.sizes()
        positive, of_positive = self._positive.sizes()
        zero = np.zeros(min(self._zero, 1))
        of_zero = np.full(len(zero), self._zero, np.int64)
        return (
            np.concatenate([-negative[::-1], zero, positive]),
            np.concatenate([of_negative[::-1], of_zero, of_positive]),
        )

    def packed(self) -> dict[str, Any]:
        """As JSON."""
        return {"negative": self._negative.packed(), "zero": self._zero, "positive": self._positive.packed()}

    def restore(self, found: Mapping[str, Any]) -> None:
        """Take over what `packed` gave. Raises KeyError, TypeError or ValueError for what is not from there."""
        self._negative.restore(found["negative"])
        self._positive.restore(found["positive"])
        self._zero = int(found["zero"])
