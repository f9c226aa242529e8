"""Kolmogorov-Smirnov: the greatest distance D between the two distribution functions, at the ends of the cells.

Alarms go by D. Its p-value rejects everything once there are rows enough; what it is good for, certainty, is the
critical value: sqrt(ln(2 / alpha) / 2 * (1/n + 1/m)).
"""

from __future__ import annotations

import math

import numpy as np

from sidecar.derive.drift.methods.method import Comparison


class KolmogorovSmirnov:
    """See the module."""

    name = "ks"
    threshold = 0.1
    categories = False

    def score(self, found: Comparison) -> float:
        live = np.cumsum(found.live_cells) / found.n
        reference = np.cumsum(found.reference_cells) / found.m
        return float(np.abs(live - reference).max())

    def critical(self, found: Comparison, alpha: float) -> float:
        return min(1.0, math.sqrt(math.log(2 / alpha) / 2 * found.noise))
