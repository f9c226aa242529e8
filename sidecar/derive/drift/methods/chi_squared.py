"""Chi-squared test of homogeneity on the bins, as an effect: the square root of the sum of (p - q)^2 / r, r being the
share of both sides together. It does not grow with the rows; the statistic is its square divided by (1/n + 1/m).
"""

from __future__ import annotations

import math
from functools import lru_cache

from sidecar.derive.drift.methods import likelihood_ratio
from sidecar.derive.drift.methods.method import Comparison


class ChiSquared:
    """See the module."""

    name = "chi_squared"
    threshold = 0.3
    categories = True

    def score(self, found: Comparison) -> float:
        return _score(found)

    def critical(self, found: Comparison, alpha: float) -> float:
        return math.sqrt(likelihood_ratio.critical(found, alpha, self.score(found) ** 2, found.noise))


@lru_cache(maxsize=1)
def _score(found: Comparison) -> float:
    """It is asked for twice, by itself and for its critical value."""
    reference, live = found.bins
    p, q = live / live.sum(), reference / reference.sum()
    together = (live + reference) / (live.sum() + reference.sum())
    return math.sqrt(float(((p - q) ** 2 / together).sum()))
