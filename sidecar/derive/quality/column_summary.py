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
from sidecar.derive.quality.distinct import Distinct
from sidecar.derive.quality.size_buckets import SizeBuckets
from sidecar.derive.quality.values import Values
from sidecar.derive.sums import FRACTION, add_up, pack_total, rounded, unpack_total

_SPLIT = 134217729.0
"""2^27 + 1: splits a double in two halves whose products are exact."""
_SQUARED = 1e150
"""Numbers beyond it have no square that is a double."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Which parts of a summary are of use."""

    ends: bool = False
    """The least and the greatest number."""
    sums: bool = False
    squares: bool = False
    distinct: int = 0
    """How many distinct values are counted one by one at most."""
    buckets: bool = False

    def __or__(self, other: Needs) -> Needs:
        return Needs(
            self.ends or other.ends,
            self.sums or other.sums,
            self.squares or other.squares,
            max(self.distinct, other.distinct),
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
        self.distinct = Distinct() if needs.distinct else None
        """None where there are more values than `Needs.distinct`."""
        self._buckets = SizeBuckets() if needs.buckets else None

    def add(self, values: Values, absent: int = 0) -> None:
        """Rows of the column, and rows that have no such column."""
        self.elements += values.elements + absent
        self.missing += values.rows_of(values.missing) + absent
        self.absent += absent
        needs = self._needs
        if needs.ends or needs.sums or needs.buckets:
            self._add_numbers(values.number[values.numeric])
        if self.distinct is not None:
            self.distinct.add(*values.distinct)
            self._bound_distinct()

    def merge(self, other: Summary) -> None:
        """Add the rows of another one of the same column."""
        for name in ("elements", "missing", "absent", "numbers", "below", "above", "_sum", "_squares"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self._oversized |= other._oversized
        if self.distinct is not None and other.distinct is not None:
            self.distinct.add(other.distinct.keys, other.distinct.rows)
            self._bound_distinct()
        else:
            self.distinct = None
        if self._buckets is not None and other._buckets is not None:
            self._buckets.merge(other._buckets)

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
        one by one, else each value that it is made of is off by at most RELATIVE_ERROR of it (from 1e-12 to 1e12, of
        either sign). None where there is no number."""
        counted = self.distinct or self._buckets
        if counted is None:
            return None
        numbers, rows = counted.numbers()
        if not len(numbers):
            return None
        numbers = np.clip(numbers, self.low, self.high)
        reached = np.cumsum(rows)
        last = int(reached[-1]) - 1

        def value(rank: int) -> float:
            if rank in (0, last):
                return self.low if rank == 0 else self.high
            return float(numbers[np.searchsorted(reached, rank, side="right")])

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
        return {
            "rows": [self.elements, self.missing, self.absent],
            "numbers": [self.numbers, self.below, self.above],
            "ends": [self.low.hex(), self.high.hex()],
            "sums": [pack_total(self._sum).hex(), pack_total(self._squares).hex(), self._oversized],
            "distinct": None if self.distinct is None else self.distinct.packed(),
            "buckets": None if self._buckets is None else self._buckets.packed(),
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
        summary.distinct = None if distinct is None else Distinct.unpacked(distinct)
        if summary._buckets is not None:
            summary._buckets.restore(found["buckets"])
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
        if self._buckets is not None:
            self._buckets.add(numbers)

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
        if self.distinct is not None and len(self.distinct.keys) > self._needs.distinct:
            self.distinct = None


def _sum(numbers: F64) -> int:
    totals = [0]
    if len(numbers):
        add_up(totals, np.zeros(len(numbers), np.intp), numbers)
    return totals[0]
