"""Shares of rows, and how far chance may have moved them."""

from __future__ import annotations

import math
from dataclasses import dataclass

MIN_ROWS = 10
"""Rows below which a share is not shown."""
_Z = 1.959963984540054
"""Of a normal distribution 95 % are within so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of rows, with its interval of 95 % by Wilson (1927)."""

    value: float
    lower: float
    upper: float
    rows: int


def share(hits: int, rows: int) -> Share:
    """Wilson's interval: (p + z²/2n ± z √(p(1 - p)/n + z²/4n²)) / (1 + z²/n)."""
    p = hits / rows
    middle = p + _Z * _Z / (2 * rows)
    half = _Z * math.sqrt(p * (1 - p) / rows + _Z * _Z / (4 * rows * rows))
    scale = 1 + _Z * _Z / rows
    # Without a hit the lower end is 0, with nothing else the upper one 1: rounding leaves them a little beside.
    return Share(p, (middle - half) / scale if hits else 0.0, (middle + half) / scale if hits < rows else 1.0, rows)
