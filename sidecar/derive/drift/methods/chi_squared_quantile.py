"""Upper quantiles of the chi-squared distribution, into the far tail.

Q(a, x), the regularised upper incomplete gamma function, by its series and its continued fraction (Abramowitz and
Stegun 6.5.29 and 6.5.31); the quantile by bisection.
"""

from __future__ import annotations

import math
from functools import lru_cache

_STEPS = 400
_PRECISION = 1e-15
_TINY = 1e-300
_HALVINGS = 80


def upper_tail(x: float, freedom: int) -> float:
    """The probability that a chi-squared variable of so many degrees of freedom is above `x`."""
    a, half = freedom / 2, x / 2
    if half <= 0:
        return 1.0
    factor = math.exp(a * math.log(half) - half - math.lgamma(a))
    return 1 - factor * _series(a, half) if half < a + 1 else factor * _fraction(a, half)


def _series(a: float, x: float) -> float:
    term = total = 1 / a
    for step in range(1, _STEPS * 10):
        term *= x / (a + step)
        total += term
        if term < total * _PRECISION:
            break
    return total


def _fraction(a: float, x: float) -> float:
    """Lentz's way to evaluate the continued fraction."""
    b = x + 1 - a
    c, d = 1 / _TINY, 1 / b
    found = d
    for step in range(1, _STEPS):
        above = -step * (step - a)
        b += 2
        d = 1 / (above * d + b or _TINY)
        c = b + above / c or _TINY
        found *= d * c
        if abs(d * c - 1) < _PRECISION:
            break
    return found


@lru_cache(maxsize=4096)
def chi_squared_quantile(alpha: float, freedom: int) -> float:
    """What a chi-squared variable of so many degrees of freedom exceeds with probability `alpha`."""
    low, high = 0.0, 2.0 * freedom + 10
    while upper_tail(high, freedom) > alpha:
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if upper_tail(middle, freedom) > alpha else (low, middle)
    return high
