"""Jensen-Shannon distance: the square root of the divergence to base 2, between 0 and 1, over the bins.

For small changes the divergence is the sum of (p - q)^2 / ((p + q) / 2), divided by 8 ln 2: the likelihood-ratio
statistic times (1/n + 1/m) / (8 ln 2).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from sidecar.decode.api import F64
from sidecar.derive.drift.methods import likelihood_ratio
from sidecar.derive.drift.methods.method import Comparison


class JensenShannon:
    """See the module."""

    name = "jensen_shannon"
    threshold = 0.1
    categories = True

    def score(self, found: Comparison) -> float:
        return _score(found)

    def critical(self, found: Comparison, alpha: float) -> float:
        by_chance = found.noise / (8 * math.log(2))
        return min(1.0, math.sqrt(likelihood_ratio.critical(found, alpha, self.score(found) ** 2, by_chance)))


@lru_cache(maxsize=1)
def _score(found: Comparison) -> float:
    """It is asked for twice, by itself and for its critical value."""
    reference, live = found.bins
    p, q = live / live.sum(), reference / reference.sum()
    middle = (p + q) / 2
    return math.sqrt(max(0.0, (_divergence(p, middle) + _divergence(q, middle)) / 2))


def _divergence(p: F64, middle: F64) -> float:
    there = p > 0
    return float((p[there] * np.log2(p[there] / middle[there])).sum())
