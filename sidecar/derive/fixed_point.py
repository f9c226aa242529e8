"""Numbers from text, and counts into fixed point columns (20 fractional bits, see `series`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64
from sidecar.derive.series import I64, LIMIT
from sidecar.derive.sums import cells

NOT_NUMBER = math.nan
_EXACT = float(1 << 53)
"""Whole numbers below it are exact as doubles."""
MAX_VALUE = float(1 << 100)
"""A value beyond this is no measurement: in a sum with it no other would be seen any more."""


def number(text: str) -> float:
    """An attribute's text as a number; a bool as 0 or 1; NaN where it is none."""
    if text in ("true", "false"):
        return float(text == "true")
    try:
        value = float(text)
    except ValueError:
        return NOT_NUMBER
    return value if math.isfinite(value) else NOT_NUMBER


def accumulate(table: I64, rows: npt.NDArray[np.intp], columns: Any, amounts: F64) -> None:
    """table[rows, columns] += amounts (whole numbers), stopping at the limits."""
    if not len(rows):
        return
    found, at = cells(rows * table.shape[1] + columns)
    size = float(np.abs(amounts).sum())
    delta = np.zeros(len(found), np.int64)
    if size < _EXACT:
        delta[:] = np.bincount(at, amounts, len(found))
    elif size < LIMIT:
        np.add.at(delta, at, amounts.astype(np.int64))
    else:  # More than 64 bits hold: figures beyond reason, added as Python's integers.
        sums = [0] * len(found)
        for cell, amount in zip(at.tolist(), amounts.tolist(), strict=True):
            sums[cell] += int(amount)
        delta[:] = [max(-LIMIT, min(LIMIT, total)) for total in sums]
    flat = table.reshape(-1)
    flat[found] = np.clip(flat[found] + delta, -LIMIT, LIMIT)
