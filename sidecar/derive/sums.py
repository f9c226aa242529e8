"""Sums of doubles that are exact: whole numbers of 2^-FRACTION, the same in whatever order values come.

Every finite double is such a whole number, and Python's integers have no end. So nothing is rounded before a sum is
shown, a replay after a crash gives the same bits, and 1e300 and 1e-300 add up as they should. NaN and the infinities
have no place in it: who adds sorts them out first.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FRACTION = 1127
"""Bits behind the point: the mantissa of the smallest double, 53 bits long, ends there."""

MAX_TOTAL_BYTES = 300
"""A total as bytes: 2,175 bits hold the largest double, and some more as many of them as there may ever be."""

_BIAS = 1074
"""Makes the place of a mantissa's last bit, counted from 2^-FRACTION, out of an exponent of `frexp`."""
_STEP = 8
"""Exponents that share a cell: a mantissa moved by fewer bits still fits in 64."""
_GROUPS = (1024 + _BIAS) // _STEP + 1
_LOW = (1 << 32) - 1
_MOST = 1 << 20
"""Values in one go: the low halves of so many, 32 bits each, add up exactly in a double."""
_DENSE = 4
"""Cells for each value up to which all are counted, instead of looking for those that are there."""


def exact(value: int | float) -> int:
    """A finite double or whole number in units of 2^-FRACTION."""
    top, bottom = value.as_integer_ratio()
    return top * ((1 << FRACTION) // bottom)


def rounded(total: int) -> float:
    """The nearest double; infinite where it is beyond all of them."""
    try:
        return total / (1 << FRACTION)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def plus(total: int | float, amount: int | float) -> int | float:
    """A total and one more amount: exact as long as all are finite, then what floating point makes of them."""
    if isinstance(total, int) and math.isfinite(amount):
        return total + exact(amount)
    return (rounded(total) if isinstance(total, int) else total) + amount


def add_up(totals: list[int], rows: npt.NDArray[np.intp], values: npt.NDArray[np.float64]) -> None:
    """totals[row] += value for each pair; values are finite."""
    for at in range(0, len(rows), _MOST):
        _add(totals, rows[at : at + _MOST], values[at : at + _MOST])


def cells(codes: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """(distinct codes or all between the smallest and the largest, index into them for each code)."""
    low, high = int(codes.min()), int(codes.max())
    if high - low < _DENSE * len(codes) + 64:
        return np.arange(low, high + 1), codes - low
    return np.unique(codes, return_inverse=True)


def pack_total(total: int) -> bytes:
    """A total as bytes, without the zero bytes at its end."""
    zeros = ((total & -total).bit_length() - 1) // 8 if total else 0
    left = total >> (8 * zeros)
    return zeros.to_bytes(2, "little") + left.to_bytes(left.bit_length() // 8 + 1, "little", signed=True)


def unpack_total(packed: bytes) -> int:
    """What `pack_total` was given."""
    return int.from_bytes(packed[2:], "little", signed=True) << (8 * int.from_bytes(packed[:2], "little"))


def _add(totals: list[int], rows: npt.NDArray[np.intp], values: npt.NDArray[np.float64]) -> None:
    mantissa, exponent = np.frexp(values)
    place = exponent + _BIAS
    moved = (mantissa * 2.0**53).astype(np.int64) << (place % _STEP)
    found, at = cells(rows * _GROUPS + place // _STEP)
    low = np.bincount(at, moved & _LOW, len(found))
    high = np.bincount(at, moved >> 32, len(found))
    there = np.flatnonzero((low != 0) | (high != 0))
    row, group = np.divmod(found[there], _GROUPS)
    halves = high[there].astype(np.int64).tolist(), low[there].astype(np.int64).tolist()
    for of, shift, h, lo in zip(row.tolist(), (group * _STEP).tolist(), *halves, strict=True):
        totals[of] += ((h << 32) + lo) << shift
