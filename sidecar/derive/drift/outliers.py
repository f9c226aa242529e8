"""Rows with a feature far outside of the reference: how far is too far, and which rows are.

The distance of a value is how far it lies beyond the least or the greatest value of its column, in widths of what lies
between these two; that of a row is the greatest of its values'. Which distance is too far the reference says itself:
each of its rows has a distance from all others, which is above 0 only for a row that holds the least or the greatest
value of a column. A row that is like those of the reference is as likely as any of them to be among the k of the
greatest distances: so it is farther than the kth greatest with probability k/(n + 1) at most, n being the rows of the
reference, whatever the distributions are and however columns hang together (the rank argument of conformal prediction,
Vovk et al. 2005). Two extremes of one row count as of two rows, which makes the distance greater, not smaller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sidecar.decode.api import U32, FarValues
from sidecar.derive.drift.observations import Observations
from sidecar.derive.drift.reference import NumberColumn
from sidecar.derive.drift.reference_builder import LARGEST

RATE = 0.001
"""Share of rows like those of the reference that are outliers, at most; of fewer than a thousand one in n + 1."""
LEAST_DISTANCE = 0.1
"""What is nearer is not far, however sure."""
_WIDTH = 1e-3
"""Least width of a column, in greatest magnitudes: what differs in the last digits is no distance."""


@dataclass(frozen=True, slots=True)
class RowLimits:
    """Beyond which values a row is an outlier."""

    bounds: Mapping[str, tuple[float, float]]
    """Feature -> (least, greatest) value that is not too far. Features without are not looked at."""


class Extremes(NamedTuple):
    """What the limits of a numeric feature are made of."""

    name: str
    least: float
    greatest: float
    second: tuple[float, float]
    """As `NumberColumn.second`."""


def extremes_of(column: NumberColumn) -> list[Extremes]:
    """None of a column of which all rows but one have the same value: it is not looked at."""
    if column.role != "feature" or column.second is None or column.second[0] >= column.second[1]:
        return []
    return [Extremes(column.name, column.min, column.max, column.second)]


def row_limits(columns: Sequence[Extremes], rows: int) -> RowLimits:
    """The limits of features, of a reference of so many rows. None where the distance would be endless."""
    distances = sorted((distance for column in columns for distance in _own_distances(column)), reverse=True)
    rank = max(1, math.floor(RATE * (rows + 1)))
    too_far = max(LEAST_DISTANCE, distances[rank - 1] if rank <= len(distances) else 0.0)
    bounds = {}
    for column in columns:
        reach = too_far * _width(column.least, column.greatest)
        if math.isfinite(reach):
            bounds[column.name] = (column.least - reach, column.greatest + reach)
    return RowLimits(bounds)


def outliers(found: Observations, limits: Mapping[int, RowLimits]) -> FarValues:
    """Values beyond the limits. `limits`: by row of `found.models`. Infinite ones are no values: they are invalid."""
    columns = found.features
    shape = len(found.models), len(columns.names)
    least, greatest = np.full(shape, -np.inf), np.full(shape, np.inf)
    for code, own in limits.items():
        for place, name in enumerate(columns.names):
            least[code, place], greatest[code, place] = own.bounds.get(name, (-np.inf, np.inf))
    return columns.beyond(found.model, least, greatest, LARGEST)


def records_of_rows(far: FarValues) -> U32:
    """The record of each row that has such a value."""
    rows = np.unique(far.event.astype(np.uint64) << np.uint64(32) | far.row)
    return (rows >> np.uint64(32)).astype(np.uint32)


def _own_distances(column: Extremes) -> tuple[float, float]:
    """Of the row with the least value, and of that with the greatest, from the others."""
    below, above = column.second
    return (
        (below - column.least) / _width(below, column.greatest),
        (column.greatest - above) / _width(column.least, above),
    )


def _width(least: float, greatest: float) -> float:
    return max(greatest - least, _WIDTH * max(abs(least), abs(greatest)))
