"""Wasserstein distance: the area between the two distribution functions, in standard deviations of the reference.

Between the ends of a cell both are taken for straight lines; beyond the outermost the sums of the values say how far
they reach. Without a change, sqrt(nm / (n + m)) times it is the area below |B(F(x))|, B being a Brownian bridge: its
mean is sqrt(2 / pi) times the integral of sqrt(F (1 - F)), and its deviation from the mean is at most that of a normal
variable with the standard deviation of the values (Borell and Tsirelson-Ibragimov-Sudakov), which bounds the tail.
"""

from __future__ import annotations

import math

import numpy as np

from sidecar.decode.api import F64
from sidecar.derive.drift.methods.method import Comparison
from sidecar.derive.series import I64


class Wasserstein:
    """See the module."""

    name = "wasserstein"
    threshold = 0.2
    categories = False

    def score(self, found: Comparison) -> float:
        area = _inside(found) + _outside(found)
        return area / found.std if found.std > 0 else (math.inf if area > 0 else 0.0)

    def critical(self, found: Comparison, alpha: float) -> float:
        if not len(found.edges) or found.std <= 0:
            return 0.0
        share = np.cumsum(found.reference_cells)[:-1] / found.m
        spread = np.sqrt(share * (1 - share))
        inside = float((np.diff(found.edges) * (spread[1:] + spread[:-1]) / 2).sum())
        # Beyond the outermost ends F is small: sqrt(F (1 - F)) falls about as it does within the reach of the sums.
        left, right = _reach(found.reference_cells, found.reference_tails, found.edges)
        outside = 2 * (left * spread[0] + right * spread[-1])
        mean = math.sqrt(2 / math.pi) * (inside + outside) / found.std
        return float(math.sqrt(found.noise) * (mean + math.sqrt(2 * math.log(1 / alpha))))


def _inside(found: Comparison) -> float:
    """Between the outermost ends of cells: the area below the absolute value of a line through the ends."""
    if len(found.edges) < 2:
        return 0.0
    live = np.cumsum(found.live_cells)[:-1] / found.n
    apart = live - np.cumsum(found.reference_cells)[:-1] / found.m
    a, b = np.abs(apart[:-1]), np.abs(apart[1:])
    crossing = np.sign(apart[:-1]) * np.sign(apart[1:]) < 0
    safe = np.where(a + b > 0, a + b, 1.0)
    heights = np.where(crossing, (a * a + b * b) / (2 * safe), (a + b) / 2)
    return float((np.diff(found.edges) * heights).sum())


def _outside(found: Comparison) -> float:
    """Beyond them: how much further the tails of one side reach than those of the other."""
    if not len(found.edges):
        return abs(found.live_tails[0] / found.n - found.reference_tails[0] / found.m)
    live = _areas(found.live_cells, found.live_tails, found.edges, found.n)
    reference = _areas(found.reference_cells, found.reference_tails, found.edges, found.m)
    return sum(abs(a - b) for a, b in zip(live, reference, strict=True))


def _areas(cells: I64, tails: tuple[float, float], edges: F64, size: int) -> tuple[float, float]:
    """The areas below F left of the first end, and above it right of the last."""
    left = max(0.0, float(cells[0] * edges[0] - tails[0])) / size
    right = max(0.0, float(tails[1] - cells[-1] * edges[-1])) / size
    return left, right


def _reach(cells: I64, tails: tuple[float, float], edges: F64) -> tuple[float, float]:
    """Mean distance of the values beyond the outermost ends from them."""
    left, right = _areas(cells, tails, edges, 1)
    return left / max(1, int(cells[0])), right / max(1, int(cells[-1]))
