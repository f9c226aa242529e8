"""Accuracy without labels: how often a model is right, by the scores that it gives and by how often it was right at
such scores when the reference was made (confidence-based performance estimation).

Each cell of the reference's score has the share of its rows that were right. The estimate of a window is the mean of
these shares, weighted by the window's rows in each cell; so estimates of several pods, weighted by their rows, are
that of all of them. The shares are made to rise with the score (isotonic regression, pool adjacent violators), so that
cells of few rows borrow from those beside them; cells without any row take the share of the next one that has some.

It sees what moves the inputs to where the model is less sure. It does not see that the truth has changed for the same
inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sidecar.decode.api import F64
from sidecar.derive.drift.reference import NumberColumn
from sidecar.derive.series import I64

MIN_ROWS = 10
"""Of a window; with fewer there is no figure."""
MIN_LABELLED = 100
"""Rows of a reference with a score, a prediction and a label; with fewer it says nothing of scores."""
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Estimate:
    """Share of a window's rows that are right, and where it lies in 95 of 100 windows."""

    accuracy: float
    lower: float
    upper: float
    rows: int


class Calibration:
    """How often predictions were right, by cell of their score. Immutable."""

    def __init__(self, labelled: I64, correct: I64) -> None:
        """Rows of each cell whose truth is known, and those of them that were right. One cell has rows."""
        present = np.flatnonzero(labelled)
        shares, rows = _rising(correct[present] / labelled[present], labelled[present].astype(np.float64))
        middles = np.arange(len(labelled), dtype=np.float64)
        nearest = np.abs(middles[:, None] - present[None, :]).argmin(axis=1)
        self._shares, self._rows = shares[nearest], rows[nearest]
        self._pools = np.cumsum(np.diff(shares, prepend=shares[:1]) != 0)[nearest]

    def estimate(self, live: I64) -> Estimate | None:
        """Of rows by cell. None for fewer than MIN_ROWS."""
        rows = int(live.sum())
        if rows < MIN_ROWS:
            return None
        accuracy = float((live * self._shares).sum() / rows)
        # Of the rows themselves, and of the shares, which the same rows of the reference gave to all cells of a pool.
        own = float((live * self._shares * (1 - self._shares)).sum()) / rows**2
        weights = np.bincount(self._pools, live) / rows
        firsts = np.unique(self._pools, return_index=True)[1]
        smoothed = (self._shares[firsts] * self._rows[firsts] + 0.5) / (self._rows[firsts] + 1)
        shares = float((weights**2 * smoothed * (1 - smoothed) / self._rows[firsts]).sum())
        half = _Z * math.sqrt(own + shares)
        return Estimate(accuracy, max(0.0, accuracy - half), min(1.0, accuracy + half), rows)


def calibration_of(column: NumberColumn | None) -> Calibration | None:
    """That of the reference's score; None where it has none, or too few rows with a label."""
    if column is None or column.labelled is None or column.correct is None or sum(column.labelled) < MIN_LABELLED:
        return None
    return Calibration(np.array(column.labelled, np.int64), np.array(column.correct, np.int64))


def _rising(shares: F64, weights: F64) -> tuple[F64, F64]:
    """(the rising shares that are nearest by weighted squares, weight of the pool that each is of)."""
    pools: list[tuple[float, float, int]] = []
    for share, weight in zip(shares.tolist(), weights.tolist(), strict=True):
        size = 1
        while pools and pools[-1][0] >= share:
            other, more, cells = pools.pop()
            share = (share * weight + other * more) / (weight + more)
            weight, size = weight + more, size + cells
        pools.append((share, weight, size))
    sizes = [size for _, _, size in pools]
    return np.repeat([share for share, _, _ in pools], sizes), np.repeat([weight for _, weight, _ in pools], sizes)
