"""Tables of counters and histograms: how records are added to them, and how they are shown.

Counts are fixed point, sums are exact (`series`), so that what they hold does not depend on the order of records.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64
from sidecar.derive.families import FamilySnapshot, Histograms, Points
from sidecar.derive.fixed_point import accumulate
from sidecar.derive.scrapes import View
from sidecar.derive.series import SCALE, Arrival, Budget, Labels, SeriesTable, whole

_LARGEST = float(np.finfo(np.float64).max)


class CounterTable(SeriesTable):
    """A count for each series."""

    def __init__(self, name: str, labels: Sequence[str], budget: Budget, shape: str = "") -> None:
        """`name` ends in `_total`."""
        super().__init__(name, labels, 1, budget, shape)

    def count(
        self, keys: Sequence[Labels], codes: npt.NDArray[Any], arrival: Arrival, weights: F64 | None = None
    ) -> None:
        """Count records. `codes`: index of each one's key; `weights`: how many each stands for, one where not given."""
        if weights is not None:
            rows = self.assign(keys, codes, arrival)  # May grow the values.
            accumulate(self.values, rows, 0, np.rint(weights * SCALE))
            return
        rows = self.rows(keys, codes, arrival)
        counts = np.bincount(codes, minlength=len(keys))
        counted = np.flatnonzero(counts)
        accumulate(self.values, rows[counted], 0, counts[counted].astype(np.float64) * SCALE)
        self.touch(rows[counted], arrival.now)

    def snapshot(self, view: View | None, about: str) -> FamilySnapshot:
        """The family."""
        keys, _, values, created = self.show(view)
        points = Points(self.label_texts(keys), whole(values[:, 0]), created)
        return FamilySnapshot(self.name.removesuffix("_total"), "counter", about, "", (points,))


class HistogramTable(SeriesTable):
    """A count for each bucket and an exact sum for each series; without bounds a count and a sum."""

    def __init__(
        self, name: str, labels: Sequence[str], bounds: Sequence[float], budget: Budget, shape: str | None = None
    ) -> None:
        """`bounds`: upper ones, ascending, without the infinite one. `shape`: that of the bounds where not given."""
        shape = ",".join(map(str, bounds)) if shape is None else shape
        super().__init__(
            name, labels, 1 + len(bounds), budget, shape, native=bool(bounds) and min(bounds, default=0.0) >= 0
        )
        self.bounds = tuple(bounds)

    def observe(
        self, keys: Sequence[Labels], codes: npt.NDArray[Any], arrival: Arrival, values: F64, weights: F64
    ) -> None:
        """Add finite values. `codes`: index of each one's key; `weights`: how many values each stands for."""
        rows = self.assign(keys, codes, arrival)
        fixed = np.rint(weights * SCALE)
        accumulate(self.values, rows, np.searchsorted(self.bounds, values), fixed)
        if self.native is not None:
            self.native.add(rows, np.maximum(values, 0.0), fixed.astype(np.int64))
        with np.errstate(over="ignore"):  # What a sampled value stands for may be more than a double holds.
            amounts = np.clip(values * weights, -_LARGEST, _LARGEST)
        self.add_up(rows, amounts)

    def snapshot(self, view: View | None, about: str, unit: str = "") -> FamilySnapshot:
        """The family. There is no sum where values may be below 0, which would take it for a counter's reset."""
        keys, rows, values, created, sums = self.show_sums(view)
        counts = whole(np.cumsum(values, axis=1))
        given = sums if min(self.bounds) >= 0 else [None] * len(keys)
        natives = self.natives(rows, [row[-1] for row in counts])
        block = Histograms(self.label_texts(keys), self.bounds, counts, given, created, natives=natives)
        return FamilySnapshot(self.name, "histogram", about, unit, (block,))
