"""Values of feature columns, counted into the cells of a reference: what a decoder is given, and what it gives. Without
the native core nothing counts this way: `sidecar.derive.drift.column_bins` does, column by column, and has the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64, U8, U64, FeatureColumns

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NumberCells:
    """A column of numbers."""

    name: str
    edges: Sequence[float]
    """Upper bounds of all cells but the last, ascending."""
    bin_of_cell: Sequence[int]
    center: float
    """Sums are of distances from it, in whole `unit`s."""
    unit: float
    low: float
    """Values below and above are flagged."""
    high: float
    positive: bool
    """Values below 0 are added up as 0, but for the tails."""


@dataclass(frozen=True, slots=True)
class CategoryCells:
    """A column of categories; numbers and bools are categories by their text."""

    name: str
    values: Sequence[str]
    """Each has a cell; the last cell is that of all others."""
    numbers: Sequence[tuple[float, int]]
    """(number, its cell) of the values that are the text of a number."""
    bins: int
    complete: bool
    """Others are flagged as unseen."""


@dataclass(frozen=True, slots=True)
class FeatureCounts:
    """What the values of some feature columns are."""

    counts: I64
    """Of each column of the counter, in order: its cells, the flags (`derive.drift.value_flags`), the sums of its first
    and of its last cell, and the sums of its bins."""
    values: U64
    """Of each column how many values there were."""
    last: I64
    """Of each column the event of the last value that is not missing; -1 where there is none."""
    others: U64
    """Of each of the names how many values there were that are of no column of the counter."""


class FeatureCounter(Protocol):
    """Columns made ready to count many values."""

    def edges(self, place: int) -> F64:
        """Those of the column in this place, which is one of numbers."""
        ...

    def count(self, columns: FeatureColumns, wanted: U8) -> FeatureCounts:
        """The values of the events of which `wanted` is not 0. Raises ValueError for columns that contradict each
        other."""
        ...
