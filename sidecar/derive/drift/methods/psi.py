"""Population stability index: sum of (p - q) ln(p / q) over the bins.

Half a row is added to each bin of both sides, so that an empty one is no infinity. Without a change it is distributed
as chi-squared times (1/n + 1/m), with one degree of freedom less than bins (Yurdakul 2018). That holds for many rows;
with few its tail is longer, for which the critical value is greater by half the ratio of bins to rows (simulated:
`tests/support/drift_simulation.py`).
"""

from __future__ import annotations

import numpy as np

from sidecar.decode.api import F64
from sidecar.derive.drift.methods.chi_squared_quantile import chi_squared_quantile
from sidecar.derive.drift.methods.method import Comparison
from sidecar.derive.series import I64


class Psi:
    """See the module."""

    name = "psi"
    threshold = 0.1
    categories = True

    def score(self, found: Comparison) -> float:
        reference, live = found.bins()
        p, q = smoothed(live), smoothed(reference)
        return float(((p - q) * np.log(p / q)).sum())

    def critical(self, found: Comparison, alpha: float) -> float:
        few = 1 + (found.freedom() + 1) / (2 * found.n)
        return chi_squared_quantile(alpha, found.freedom()) * found.noise * few


def smoothed(counts: I64) -> F64:
    """Shares of the bins, with half a row more in each."""
    shares: F64 = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares
