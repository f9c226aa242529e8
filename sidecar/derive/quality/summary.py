"""What the window rules of one column are computed from: counts and exact sums of some rows, which add up.

Whatever the order and the batches in which rows come, the same rows give the same summary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sidecar.decode.api import F64
from sidecar.derive.quality.values import Value, Values
from sidecar.derive.sums import FRACTION, add_up, pack_total, rounded, unpack_total

MAX_DISTINCT = 500
"""Distinct values that are counted one by one; with more of them none is."""
_GROWTH = 1.02
"""Upper bound of a bucket of quantiles by its lower one: a quantile is off by less than 1 %."""
_FINEST, _WIDEST = 1e-12, 1e12
"""Numbers beyond go to the outermost buckets; the least and the greatest value are exact."""
_BUCKETS = math.ceil(math.log(_WIDEST / _FINEST) / math.log(_GROWTH)) + 1
_SPLIT = 134217729.0
"""2^27 + 1: splits a double in two halves whose products are exact."""
_SQUARED = 1e150
"""Numbers beyond it have no square that is a double."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Which parts of a summary are of use."""

    sums: bool = False
    squares: bool = False
    distinct: bool = False
    buckets: bool = False

    def __or__(self, other: Needs) -> Needs:
        return Needs(
            self.sums or other.sums,
            self.squares or other.squares,
            self.distinct or other.distinct,
            self.buckets or other.buckets,
        )


class Summary:
    """Of one column. Not thread-safe."""

    def __init__(self, needs: Needs) -> None:
        self._needs = needs
        self.elements = self.missing = 0
        """Rows in all, and those without a value."""
        self.absent = 0
        """Rows that have no such column; they are without a value, too."""
        self.numbers = 0
        """Rows with a number or bool that is finite."""
        self.below = self.above = 0
        """Rows with -inf and with inf."""
        self.low, self.high = math.inf, -math.inf
        """Least and greatest number; the infinities belong to them."""
        self._sum = self._squares = 0
        """In units of 2^-FRACTION."""
        self._oversized = False
        """A number has no square that is a double."""
        self.distinct: dict[Value, int] | None = {}
        """Rows of each value; None where there are more than MAX_DISTINCT."""
        self._buckets: dict[int, int] = {}

    def add(self, values: Values, absent: int = 0) -> None:
        """Rows of the column, and rows that have no such column."""
        self.elements += values.elements + absent
        self.missing += values.rows_of(values.missing) + absent
        self.absent += absent
        needs = self._needs
        if needs.sums or needs.buckets:
            self._add_numbers(values.number[values.numeric])
        if needs.distinct and self.distinct is not None:
            for value, rows in values.distinct:
                self.distinct[value] = self.distinct.get(value, 0) + rows
            self._bound_distinct()

    def merge(self, other: Summary) -> None:
        """Add the rows of another one of the same column."""
        for name in ("elements", "missing", "absent", "numbers", "below", "above", "_sum", "_squares"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self._oversized |= other._oversized
        if self.distinct is not None and other.distinct is not None:
            for value, rows in other.distinct.items():
                self.distinct[value] = self.distinct.get(value, 0) + rows
            self._bound_distinct()
        else:
            self.distinct = None
        for bucket, rows in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + rows

    @property
    def present(self) -> int:
        return self.elements - self.missing

    @property
    def total(self) -> float | None:
        """Sum of the numbers, 0 where there is none; None where there are infinities of both signs."""
        if self.below or self.above:
            return None if self.below and self.above else math.inf if self.above else -math.inf
        return rounded(self._sum)

    @property
    def mean(self) -> float | None:
        """None where there is none."""
        if self.below or self.above:
            return self.total
        return self._sum / (self.numbers << FRACTION) if self.numbers else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of a sample (divided by n - 1); None where it is not defined."""
        n = self.numbers
        if n < 2 or self.below or self.above or self._oversized:
            return None
        dividend = n * (self._squares << FRACTION) - self._sum * self._sum
        return math.sqrt(dividend / ((n * (n - 1)) << 2 * FRACTION))

    def quantile(self, share: float, method: str) -> float | None:
        """By one of the methods `linear`, `lower`, `higher`, `midpoint`, `nearest`: exact where the values are counted
        one by one, else off by less than 1 % of the value. None where there is no number."""
        counted = self._ordered()
        reached = np.cumsum([rows for _, rows in counted])
        if not counted:
            return None
        last = int(reached[-1]) - 1

        def value(rank: int) -> float:
            if rank in (0, last):
                return self.low if rank == 0 else self.high
            return counted[int(np.searchsorted(reached, rank, side="right"))][0]

        position = share * last
        below, above = math.floor(position), math.ceil(position)
        at_below, at_above = value(below), value(above)
        match method:
            case "lower":
                return at_below
            case "higher":
                return at_above
            case "midpoint":
                return at_below / 2 + at_above / 2
            case "nearest":  # Half way: the even one, as numpy has it.
                return at_below if round(position) == below else at_above
        return at_below + (at_above - at_below) * (position - below) if at_below != at_above else at_below

    def packed(self) -> dict[str, Any]:
        """As JSON."""
        distinct = None if self.distinct is None else list(self.distinct.items())
        return {
            "rows": [self.elements, self.missing, self.absent],
            "numbers": [self.numbers, self.below, self.above],
            "ends": [self.low.hex(), self.high.hex()],
            "sums": [pack_total(self._sum).hex(), pack_total(self._squares).hex(), self._oversized],
            "distinct": distinct,
            "buckets": list(self._buckets.items()),
        }

    @classmethod
    def unpacked(cls, needs: Needs, found: Mapping[str, Any]) -> Summary:
        """What `packed` gave. Raises KeyError, TypeError or ValueError for what is not from there."""
        summary = cls(needs)
        summary.elements, summary.missing, summary.absent = map(int, found["rows"])
        summary.numbers, summary.below, summary.above = map(int, found["numbers"])
        summary.low, summary.high = map(float.fromhex, found["ends"])
        total, squares, summary._oversized = found["sums"]
        summary._sum, summary._squares = unpack_total(bytes.fromhex(total)), unpack_total(bytes.fromhex(squares))
        distinct = found["distinct"]
        summary.distinct = None if distinct is None else {value: int(rows) for value, rows in distinct}
        summary._buckets = {int(bucket): int(rows) for bucket, rows in found["buckets"]}
        return summary

    def _add_numbers(self, numbers: F64) -> None:
        if not len(numbers):
            return
        self.low, self.high = min(self.low, float(numbers.min())), max(self.high, float(numbers.max()))
        finite = numbers
        if math.isinf(self.low) or math.isinf(self.high):
            self.below += int(np.count_nonzero(numbers == -math.inf))
            self.above += int(np.count_nonzero(numbers == math.inf))
            finite = numbers[np.isfinite(numbers)]
        self.numbers += len(finite)
        if self._needs.sums:
            self._sum += _sum(finite)
        if self._needs.squares:
            self._add_squares(finite)
        if self._needs.buckets:
            found, rows = np.unique(_buckets(numbers), return_counts=True)
            for bucket, count in zip(found.tolist(), rows.tolist(), strict=True):
                self._buckets[bucket] = self._buckets.get(bucket, 0) + count

    def _add_squares(self, numbers: F64) -> None:
        """Each square is the sum of two doubles, exactly (Dekker's product)."""
        usable = np.abs(numbers) < _SQUARED
        if not usable.all():
            self._oversized = True
            numbers = numbers[usable]
        big = numbers * _SPLIT
        high = big - (big - numbers)
        low = numbers - high
        square = numbers * numbers
        self._squares += _sum(square) + _sum(((high * high - square) + 2 * high * low) + low * low)

    def _bound_distinct(self) -> None:
        if self.distinct is not None and len(self.distinct) > MAX_DISTINCT:
            self.distinct = None

    def _ordered(self) -> list[tuple[float, int]]:
        """Numbers in ascending order, with the rows of each."""
        if self.distinct is not None:
            return sorted((value, rows) for value, rows in self.distinct.items() if not isinstance(value, str))
        return [(min(max(_middle(bucket), self.low), self.high), n) for bucket, n in sorted(self._buckets.items())]


def _sum(numbers: F64) -> int:
    totals = [0]
    if len(numbers):
        add_up(totals, np.zeros(len(numbers), np.intp), numbers)
    return totals[0]


def _buckets(numbers: F64) -> Any:
    """Bucket of each number: 0 for zero, negative for negative ones; their size grows by _GROWTH."""
    size = np.clip(np.abs(numbers), _FINEST, _WIDEST)
    place = 1 + np.ceil(np.log(size / _FINEST) / math.log(_GROWTH)).astype(np.int64)
    return np.where(numbers == 0, 0, np.where(numbers < 0, -place, place))


def _middle(bucket: int) -> float:
    """The value that is off by the same share from both ends of a bucket."""
    if not bucket:
        return 0.0
    size = _FINEST * _GROWTH ** (abs(bucket) - 1) * 2 / (1 + _GROWTH)
    return size if bucket > 0 else -size
