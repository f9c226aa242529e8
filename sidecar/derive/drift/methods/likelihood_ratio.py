"""How certain it is that the bins of both sides are not of one distribution: the likelihood-ratio statistic G² of the
two rows of counts, beside the quantile of chi-squared.

G² = 2 (n KL(p | r) + m KL(q | r)), r being the share of both sides together: Jensen-Shannon's divergence with the sides
weighted by their rows. The probability of a count far from what is expected falls with just that divergence (Sanov), so
G² keeps to chi-squared in the far tail where rows are few and bins rare; Pearson's statistic, PSI and the unweighted
Jensen-Shannon divergence do not. What remains is a little more spread where a handful of rows is expected in a bin:
Williams' correction divides it out with a factor of 1/6 (Biometrika 63, 1976), which is that of the mean; 1/3 holds in
the tail too (simulated: `tests/support/drift_simulation.py`).
"""

from __future__ import annotations

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


def statistic(found: Comparison) -> float:
    """G² of the bins; distributed about as chi-squared with `found.freedom()` degrees where nothing has changed."""
    reference, live = found.bins()
    together = (live + reference) / (live.sum() + reference.sum())
    return 2 * (_divergence(live, together) + _divergence(reference, together))


def limit(found: Comparison, alpha: float) -> float:
    """What `statistic` exceeds with probability `alpha`, at most about, where nothing has changed."""
    reference, live = found.bins()
    expected = (live + reference) * (min(live.sum(), reference.sum()) / (live.sum() + reference.sum()))
    few = float((1 / np.maximum(expected, LEAST)).sum()) / found.freedom()
    return chi_squared_quantile(alpha, found.freedom()) * (1 + CORRECTION * few)


def critical(found: Comparison, alpha: float, squared: float, by_chance: float) -> float:
    """The certainty of G² on the scale of another measure of distance: what that would be, were the difference of the
    two sides just so large that it is certain. `squared`: the measure, of the order of squared differences;
    `by_chance`: what it is where G² is 1, for small differences."""
    ratio = statistic(found)
    return limit(found, alpha) * (squared / ratio if ratio > _NOTHING else by_chance)


def _divergence(counts: I64, together: F64) -> float:
    there = counts > 0
    own = counts[there]
    return float((own * np.log(own / (own.sum() * together[there]))).sum())
