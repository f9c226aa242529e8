"""Amounts that are added up: from text, into fixed point columns (20 fractional bits, see `series`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.decode.batch import F64
from sidecar.derive.series import I64, LIMIT

NOT_NUMBER = math.nan
MAX_VALUE = float(1 << 40)
"""A value beyond this is no measurement: fixed point could not hold many of them."""


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
    cells, at = np.unique(rows * table.shape[1] + columns, return_inverse=True)
    delta = np.zeros(len(cells), np.int64)
    if float(np.abs(amounts).sum()) < LIMIT:
        np.add.at(delta, at, amounts.astype(np.int64))
    else:  # More than 64 bits hold: figures beyond reason, added as Python's integers.
        sums = [0] * len(cells)
        for cell, amount in zip(at.tolist(), amounts.tolist(), strict=True):
            sums[cell] += int(amount)
        delta[:] = [max(-LIMIT, min(LIMIT, total)) for total in sums]
    flat = table.reshape(-1)
    flat[cells] = np.clip(flat[cells] + delta, -LIMIT, LIMIT)
