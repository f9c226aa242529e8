"""Population stability index: sum of (p - q) ln(p / q) over the bins.

Half a row is added to each bin of both sides, so that an empty one is no infinity. For small changes it is the
likelihood-ratio statistic times (1/n + 1/m) (Yurdakul 2018); for others it grows faster, for which `likelihood_ratio`
allows.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sidecar.decode.api import F64
from sidecar.derive.drift.methods import likelihood_ratio
from sidecar.derive.drift.methods.method import Comparison
from sidecar.derive.series import I64


class Psi:
    """See the module."""

    name = "psi"
    threshold = 0.1
    categories = True

    def score(self, found: Comparison) -> float:
        return _score(found)

    def critical(self, found: Comparison, alpha: float) -> float:
        return likelihood_ratio.critical(found, alpha, self.score(found), found.noise)


@lru_cache(maxsize=1)
def _score(found: Comparison) -> float:
    """It is asked for twice, by itself and for its critical value."""
    reference, live = found.bins
    p, q = smoothed(live), smoothed(reference)
    return float(((p - q) * np.log(p / q)).sum())


def smoothed(counts: I64) -> F64:
    """Shares of the bins, with half a row more in each."""
    shares: F64 = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares
