"""Where the cells of a numeric column end, from a sample of its values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64
from sidecar.derive.drift.reference import MAX_EDGES

LEVELS = (100, 50, 25)
"""Cells that are tried, until their edges are few enough: each value that fills a cell has two."""
ENDS = (0.001, 0.005, 0.995, 0.999)
"""Shares at which there are ends too: in a long tail the outermost hundredth is wide."""
BINS = 20
_RELATIVE = 1e-6
"""Half the width of the cell of a frequent value: what was 0.1 in the training data may come as a float32."""
_NOTHING = 1e-9
"""The same for 0, times the spread of the values."""
_SLACK = 0.02
"""How far an edge may move for the sake of fewer digits, in widths of its cell."""


def edges_of(sample: F64) -> F64:
    """Upper bounds of the cells, ascending, for finite values: of cells of equal share, of smaller ones at both ends,
    and of a grid where cells would be wide. The first is just below the least value, the last just above the
    greatest."""
    if not len(sample):
        return np.zeros(0)
    values, counts = np.unique(sample, return_counts=True)
    edges = np.zeros(0)
    for levels in LEVELS:
        edges = _with_grid(_edges(values, counts, levels))
        if len(edges) <= MAX_EDGES:
            return edges
    return edges[:: len(edges) // MAX_EDGES + 1]


def _with_grid(edges: F64) -> F64:
    """With more edges where two are further apart than a twentieth of the whole range."""
    step = (edges[-1] / 2 - edges[0] / 2) / (BINS / 2)
    if not 0 < step < np.inf or len(edges) == 2:  # Two: a constant.
        return edges
    pieces = np.floor(np.diff(edges) / step).astype(int)
    between = [
        short(float(edges[at] + (edges[at + 1] - edges[at]) * part / (pieces[at] + 1)), step / 10)
        for at in np.flatnonzero(pieces).tolist()
        for part in range(1, int(pieces[at]) + 1)
    ]
    return np.unique(np.concatenate([edges, np.array(between, np.float64)]))


def _edges(values: F64, counts: npt.NDArray[np.int64], levels: int) -> F64:
    reached = np.cumsum(counts)
    size = int(reached[-1])
    shares = np.union1d(np.arange(1, levels) / levels, ENDS)
    ends = np.searchsorted(reached, size * shares)
    frequent = np.flatnonzero((counts >= 2) & (counts * levels >= size))
    picked = np.union1d(ends, frequent)
    alone = np.isin(picked, frequent)
    last = len(values) - 1
    found: list[float] = [_around(values, 0)[0], _around(values, last)[1]]
    for n, (at, own) in enumerate(zip(picked.tolist(), alone.tolist(), strict=True)):
        if own:
            found += _around(values, at)
        elif at < last:
            a, b = float(values[at]), float(values[at + 1])
            before = float(values[picked[n - 1]]) if n else a
            after = float(values[picked[n + 1]]) if n + 1 < len(picked) else b
            found.append(short(a / 2 + b / 2, max((b - a) / 4, _SLACK * min(a - before, after - a))))
    return np.unique(np.array(found, np.float64))


def _around(values: F64, at: int) -> tuple[float, float]:
    """The bounds of the cell of one value."""
    value = float(values[at])
    spread = float(values[-1]) / 2 - float(values[0]) / 2
    width = abs(value) * _RELATIVE or _NOTHING * (spread or 1.0)
    below = min(width, (value - float(values[at - 1])) / 4) if at else width
    above = min(width, (float(values[at + 1]) - value) / 4) if at + 1 < len(values) else width
    return short(value - below, below / 4), short(value + above, above / 4)


def short(value: float, slack: float) -> float:
    """The number of fewest digits within `slack` of `value`."""
    for digits in range(1, 17):
        found = float(f"{value:.{digits}g}")
        if abs(found - value) <= slack:
            return found
    return value


def bins_of(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Which edges end a bin, from the counts of the cells: those next to twentieths of all."""
    if len(counts) < 2:
        return np.zeros(0, np.intp)
    reached = np.cumsum(counts)[:-1]
    targets = int(counts.sum()) * np.arange(1, BINS) / BINS
    return np.unique(np.abs(reached[None, :] - targets[:, None]).argmin(axis=1))
