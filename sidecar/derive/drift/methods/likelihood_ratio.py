"""How certain it is that the bins of both sides are not of one distribution: the likelihood-ratio statistic G² of the
two rows of counts, beside the quantile of chi-squared.

G² = 2 (n KL(p | r) + m KL(q | r)), r being the share of both sides together: Jensen-Shannon's divergence with the sides
weighted by their rows. The probability of a count far from what is expected falls with just that divergence (Sanov), so
G² keeps to chi-squared in the far tail where rows are few and bins rare; Pearson's statistic, PSI and the unweighted
Jensen-Shannon divergence do not. What remains is a little more spread where a handful of rows is expected in a bin:
Williams' correction for two rows of counts divides it out with a factor of 1/6 (Biometrika 63, 1976), which is that of
the mean; 1/3 holds in the tail too (simulated: `tests/support/drift_simulation.py`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sidecar.decode.api import F64
from sidecar.derive.drift.methods.chi_squared_quantile import chi_squared_quantile
from sidecar.derive.drift.methods.method import Comparison
from sidecar.derive.series import I64

CORRECTION = 1 / 3
LEAST = 1.0
"""Fewer expected rows of a bin count as so many."""
_NOTHING = 1e-3
"""A statistic below it says nothing of how a score compares with it."""


def statistic(live: I64, reference: I64) -> F64:
    """G² of counts of bins along the last axis; distributed about as chi-squared where nothing has changed."""
    together = (live + reference) / (live + reference).sum(-1, keepdims=True)
    found: F64 = 2 * (_divergence(live, together) + _divergence(reference, together))
    return found


def limit(live: I64, reference: I64, alpha: float) -> F64:
    """What `statistic` exceeds with probability `alpha`, at most about, where nothing has changed."""
    both = live + reference
    n, m, rows = (counts.sum(-1, keepdims=True) for counts in (live, reference, both))
    there = both > 0
    freedom = np.maximum(there.sum(-1) - 1, 1)
    expected = np.maximum(both * (np.minimum(n, m) / rows), LEAST)
    few = np.where(there, 1 / expected, 0.0).sum(-1) / freedom
    # Of the other side too, which matters where its rows are as few.
    few = few * (1 + np.minimum(n, m) ** 2 / (np.maximum(n, m) * rows))[..., 0]
    found: F64 = _quantiles(alpha, max(2, both.shape[-1]))[freedom - 1] * (1 + CORRECTION * few)
    return found


@lru_cache(maxsize=64)
def _quantiles(alpha: float, bins: int) -> F64:
    """By degrees of freedom from 1."""
    return np.array([chi_squared_quantile(alpha, one) for one in range(1, bins)])


def critical(found: Comparison, alpha: float, squared: float, by_chance: float) -> float:
    """The certainty of G² on the scale of another measure of distance: what that would be, were the difference of the
    two sides just so large that it is certain. `squared`: the measure, of the order of squared differences;
    `by_chance`: what it is where G² is 1, for small differences."""
    ratio, most = _of(found, alpha)
    return most * (squared / ratio if ratio > _NOTHING else by_chance)


@lru_cache(maxsize=1)
def _of(found: Comparison, alpha: float) -> tuple[float, float]:
    """The statistic and its limit, which several methods ask for one after the other."""
    return (
        float(statistic(found.live_bins, found.reference_bins)),
        float(limit(found.live_bins, found.reference_bins, alpha)),
    )


def _divergence(counts: I64, together: F64) -> F64:
    there = counts > 0
    expected = counts.sum(-1, keepdims=True) * together
    found: F64 = (counts * np.log(np.where(there, counts, 1) / np.where(there, expected, 1))).sum(-1)
    return found
