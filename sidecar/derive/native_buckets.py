"""Buckets of native histograms: exponential ones of Prometheus' standard schemas, as many as a series needs.

Bucket i of schema s holds values above 2^((i-1)/2^s), up to and with 2^(i/2^s). A series begins with SCHEMA; where it
has more than MAX_BUCKETS that are not empty, pairs of them become one (schema s-1), until they fit. What it ends with
depends on the values alone, not on their order, so that a replay after a crash gives the same.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidecar.derive.families import NativeHistogram

SCHEMA = 3
"""Eight buckets for each doubling: bounds are 9 % apart, so that a quantile is off by 4.5 % at most."""
MAX_BUCKETS = 160
ROW_BYTES = 300 + 12 * MAX_BUCKETS
"""What the buckets of a series take in memory at most, about."""
ZERO_THRESHOLD = 2.0**-128
"""Values up to it are in the zero bucket."""

I64 = npt.NDArray[np.int64]
_LIMIT = (1 << 62) - 1
_HALF, _FRACTION_BITS = 1 << 19, 20
"""Counts are fixed point, as in `series`."""
_BOUNDS = np.exp2(np.arange(1 << SCHEMA) / (1 << SCHEMA) - 1)
"""Upper bounds of the buckets in [0.5, 1), less the last one: `frexp` gives fractions of this range exactly."""
_ZERO = -(1 << 14)
"""Stands for the zero bucket among indexes, which are all above it."""
_SPAN = 1 << 15
_HEAD = struct.Struct("<bqi")


@dataclass(slots=True)
class _Row:
    schema: int
    zero: int
    indexes: npt.NDArray[np.int32]
    """Ascending."""
    counts: I64


class NativeRows:
    """The buckets of a table's rows. Not thread-safe."""

    def __init__(self) -> None:
        self._rows: dict[int, _Row] = {}

    def add(self, rows: npt.NDArray[np.intp], values: npt.NDArray[np.float64], weights: I64) -> None:
        """Add finite values, at least 0, each to its row. `weights`: fixed point, how many each stands for."""
        if not len(rows):
            return
        keys, of = np.unique(rows * _SPAN + (indexes_of(values) - _ZERO), return_inverse=True)
        sums = np.zeros(len(keys), np.int64)
        np.add.at(sums, of, weights)
        row_of, index_of = keys // _SPAN, keys % _SPAN + _ZERO
        ends = np.flatnonzero(np.diff(row_of, append=-1)) + 1
        begin = 0
        for end in ends.tolist():
            self._merge(int(row_of[begin]), index_of[begin:end], sums[begin:end])
            begin = end

    def forget(self, row: int) -> None:
        """This row belongs to nobody any more."""
        self._rows.pop(row, None)

    def snapshot(self, row: int, empty: bool) -> NativeHistogram:
        """What a row holds; as if it held nothing where it is shown at 0."""
        found = self._rows.get(row)
        if empty or found is None:
            return NativeHistogram(SCHEMA, 0, (), ())
        # Rounded as running totals, so that the sum is that of the classic buckets.
        totals = (np.cumsum([found.zero, *found.counts.tolist()]) + _HALF) >> _FRACTION_BITS
        counts = np.diff(totals)
        there = counts > 0
        return NativeHistogram(
            found.schema, int(totals[0]), found.indexes[there].tolist(), counts[there].tolist(), ZERO_THRESHOLD
        )

    def pack(self, row: int) -> bytes | None:
        """A row as bytes; None where it holds nothing."""
        found = self._rows.get(row)
        if found is None:
            return None
        head = _HEAD.pack(found.schema, found.zero, len(found.indexes))
        return head + found.indexes.astype("<i4").tobytes() + found.counts.astype("<i8").tobytes()

    def unpack(self, row: int, kept: bytes) -> bool:
        """Take over what `pack` gave; whether it is from there."""
        if len(kept) < _HEAD.size:
            return False
        schema, zero, n = _HEAD.unpack_from(kept)
        if n < 0 or len(kept) != _HEAD.size + 12 * n:
            return False
        indexes = np.frombuffer(kept, "<i4", n, _HEAD.size).astype(np.int32)
        counts = np.frombuffer(kept, "<i8", n, _HEAD.size + 4 * n).astype(np.int64)
        self._rows[row] = _Row(schema, zero, indexes, counts)
        return True

    def _merge(self, row: int, indexes: I64, counts: I64) -> None:
        """`indexes` of SCHEMA, ascending, the zero bucket first if there is one."""
        found = self._rows.get(row)
        if found is None:
            found = self._rows[row] = _Row(SCHEMA, 0, np.empty(0, np.int32), np.empty(0, np.int64))
        if indexes[0] == _ZERO:
            found.zero = min(found.zero + int(counts[0]), _LIMIT)
            indexes, counts = indexes[1:], counts[1:]
        coarser = _coarser(indexes, SCHEMA - found.schema)
        all_indexes = np.concatenate([found.indexes, coarser])
        merged, sums = _summed(all_indexes, np.concatenate([found.counts, counts]))
        while len(merged) > MAX_BUCKETS:
            found.schema -= 1
            merged, sums = _summed(_coarser(merged, 1), sums)
        found.indexes, found.counts = merged.astype(np.int32), sums


def indexes_of(values: npt.NDArray[np.float64]) -> I64:
    """Bucket of each value, of SCHEMA."""
    fraction, exponent = np.frexp(values)
    found = np.searchsorted(_BOUNDS, fraction) + (exponent.astype(np.int64) - 1) * (1 << SCHEMA)
    return np.where(values <= ZERO_THRESHOLD, _ZERO, found).astype(np.int64)


def _coarser(indexes: npt.NDArray[np.signedinteger], shift: int) -> npt.NDArray[np.signedinteger]:
    """The buckets of a schema that is `shift` lower."""
    return (indexes + ((1 << shift) - 1)) >> shift


def _summed(indexes: npt.NDArray[np.signedinteger], counts: I64) -> tuple[npt.NDArray[np.signedinteger], I64]:
    merged, of = np.unique(indexes, return_inverse=True)
    sums = np.zeros(len(merged), np.int64)
    np.add.at(sums, of, counts)
    return merged, np.minimum(sums, _LIMIT)


def spans(indexes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending indexes as runs, (gap to the run before, the first one's index; length), as Prometheus writes them."""
    end = 0
    begin = 0
    for at in range(1, len(indexes) + 1):
        if at == len(indexes) or indexes[at] != indexes[at - 1] + 1:
            yield indexes[begin] - end, at - begin
            end = indexes[at - 1] + 1
            begin = at
