"""A column of a reference made ready to count live values: which cell and bin a value belongs to."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64, U8, FeatureKind
from sidecar.decode.predictions.feature_counter import CategoryCells, FeatureCounter, NumberCells
from sidecar.derive.drift.counts import TAILS, small
from sidecar.derive.drift.reference import CategoryColumn, NumberColumn
from sidecar.derive.drift.reference_builder import categories, number_text
from sidecar.derive.drift.value_flags import ABOVE, BELOW, FLAGS, INVALID, MISSING, UNSEEN
from sidecar.derive.series import I64

REST = "rest"
_MOMENTS = np.dtype(
    [
        (name, "<f8")
        for name in ("std", "mean", "min", "first_tail", "last_tail", "unit", "least", "greatest", "missing")
    ]
)
"""Numbers of one column, in one array: as single ones they would lie where all of the reference was, and keep the
memory around them. `unit` is that of sums, `least` and `greatest` are the range, `missing` is a share of rows."""
_SPECIAL = frozenset((*FLAGS, REST))
_RARE = 0.01
"""Categories of a smaller share are counted with the rest: few of them say nothing for certain."""
_LEAST_EXPONENT = -1000
"""Of the standard deviation: a unit of sums is never 0."""
_SMALL = 20
"""Sums are whole numbers of about the standard deviation times 2^-20."""
_LARGEST = float(1 << 40)
"""A value further from the mean, in those units, counts as that far."""
_EXACT = float(1 << 53)
_NO_EDGES = np.zeros(0)


@dataclass(frozen=True, slots=True)
class Observed:
    """What some values of one column are."""

    cells: I64
    flags: I64
    """Of FLAGS."""
    sums: I64
    """Of the values of each bin, as whole numbers (`ColumnBins.value`)."""
    tails: I64
    """The same of the first and of the last cell."""

    @property
    def counted(self) -> I64:
        """As `FeatureCounts.counts` has it."""
        return np.concatenate([self.cells, self.flags, self.tails, self.sums])


class ColumnBins:
    """One column, which never changes. What it was made from is not kept: that takes more memory than all the rest."""

    __slots__ = (
        "_complete",
        "_counted_by",
        "_counts",
        "_edges",
        "_moments",
        "_places",
        "bin_of_cell",
        "bins",
        "cells",
        "name",
        "numeric",
        "role",
    )

    def __init__(self, column: NumberColumn | CategoryColumn) -> None:
        self.name, self.role = column.name, column.role
        self.numeric = isinstance(column, NumberColumn)
        self._edges: F64 = _NO_EDGES
        self._counted_by: tuple[FeatureCounter, int] | None = None
        self._moments = np.array((0.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0), _MOMENTS)
        self._places: dict[str, int] = {}
        self._complete = False
        if isinstance(column, NumberColumn):
            self._read_numbers(column)
        else:
            self._read_categories(column)
        self._moments["missing"] = column.missing / max(1, column.rows)
        self.cells = len(self._counts)

    def _read_numbers(self, column: NumberColumn) -> None:
        self._edges = (
            np.array(column.edges, np.float64) + 0.0
        )  # Of -0.0 that is 0.0: a decoder may not tell them apart.
        self._counts: I64 = small(np.array(column.counts, np.int64))
        ends = np.array(column.bins, np.intp)
        self.bin_of_cell = np.searchsorted(ends, np.arange(len(self._counts)), side="left").astype(np.uint8)
        self.bins = len(ends) + 1
        exponent = math.frexp(column.std or abs(column.mean) or 1.0)[1]
        unit = math.ldexp(1.0, max(exponent, _LEAST_EXPONENT) - _SMALL)
        tolerance = 1e-6 * max(abs(column.min), abs(column.max))
        ends_of_range = column.min - tolerance, column.max + tolerance
        moments = column.std, column.mean, column.min, *column.tails, unit, *ends_of_range, 0.0
        self._moments = np.array(moments, _MOMENTS)

    def _read_categories(self, column: CategoryColumn) -> None:
        self._places = {name: place for place, name in enumerate(column.values)}
        self._counts = small(np.array([*column.values.values(), column.rest], np.int64))
        frequent = [name for name, count in column.values.items() if count >= _RARE * column.count]
        bins = {name: place for place, name in enumerate(frequent)}
        self.bin_of_cell = np.array([*(bins.get(name, len(bins)) for name in self._places), len(bins)], np.uint8)
        self.bins = len(frequent) + 1
        self._complete = column.rest == 0

    @property
    def edges(self) -> F64:
        """Upper bounds of the cells but the last, of numbers."""
        return self._edges if self._counted_by is None else self._counted_by[0].edges(self._counted_by[1])

    def counted_by(self, counter: FeatureCounter, place: int) -> None:
        """The column in this place of the counter is this one: it has the edges, which are as large as all the rest."""
        if self.numeric:
            self._edges, self._counted_by = _NO_EDGES, (counter, place)

    @property
    def std(self) -> float:
        """Standard deviation of the reference."""
        return float(self._moments["std"])

    @property
    def _center(self) -> float:
        return float(self._moments["mean"])

    @property
    def min(self) -> float:
        """The reference's least number; below 0 for categories."""
        return float(self._moments["min"])

    @property
    def missing_share(self) -> float:
        """Of the rows of the reference, those without a value."""
        return float(self._moments["missing"])

    @property
    def tails(self) -> tuple[float, float]:
        """Sums of its values in the first and in the last cell."""
        return float(self._moments["first_tail"]), float(self._moments["last_tail"])

    @property
    def _unit(self) -> float:
        return float(self._moments["unit"])

    @property
    def _range(self) -> tuple[float, float]:
        """Of the reference, with what a float32 of its ends may differ by."""
        return float(self._moments["least"]), float(self._moments["greatest"])

    @property
    def counts(self) -> I64:
        """Rows of each cell in the reference."""
        return self._counts.astype(np.int64)

    @property
    def bin_counts(self) -> I64:
        """The same of each bin."""
        return np.bincount(self.bin_of_cell, self._counts, self.bins).astype(np.int64)

    @property
    def labels(self) -> list[str]:
        """A text for each bin: its place and range, or its category. Made again each time: they would take more memory
        than the counts."""
        if self.numeric:
            return _bin_labels(self.edges[np.flatnonzero(np.diff(self.bin_of_cell))].tolist())
        names = list(self._places)
        bins = zip(names, self.bin_of_cell.tolist(), strict=False)
        frequent = [name for name, place in bins if place < self.bins - 1]
        return [f"{name} (value)" if name in _SPECIAL else name for name in frequent] + [REST]

    def observe(self, kind: U8, number: F64, texts: list[str]) -> Observed:
        """Values by FeatureKind; `number` of a text is its place in `texts`."""
        return self._numbers(kind, number) if self.numeric else self._categories(kind, number, texts)

    def counted(self, found: dict[str, int]) -> Observed:
        """So many rows of each category. Not for numbers."""
        cells = np.zeros(self.cells, np.int64)
        flags = np.zeros(len(FLAGS), np.int64)
        for name, count in found.items():
            place = self._places.get(name, -1)
            cells[place] += count
            if place < 0 and self._complete:
                flags[UNSEEN] += count
        return Observed(cells, flags, np.zeros(self.bins, np.int64), np.zeros(2, np.int64))

    def memory_bytes(self) -> int:
        """What it takes, about."""
        own = (self._edges, self._counts, self.bin_of_cell, self._moments)
        return sum(a.nbytes + 112 for a in own) + sum(map(sys.getsizeof, (self._places, *self._places)))

    def made_ready(self) -> NumberCells | CategoryCells:
        """What a decoder counts values by, so that its counts are `observe(...).counted`."""
        if self.numeric:
            low, high = self._range
            return NumberCells(
                name=self.name,
                edges=self.edges.data,
                bin_of_cell=self.bin_of_cell.tobytes(),
                center=self._center,
                unit=self._unit,
                low=low,
                high=high,
                positive=self.min >= 0,
            )
        numbers = [(number, place) for name, place in self._places.items() if (number := _number_of(name)) is not None]
        return CategoryCells(self.name, list(self._places), numbers, self.bins, self._complete)

    @property
    def counts_length(self) -> int:
        """Of what `FeatureCounts.counts` has of the column."""
        return self.cells + len(FLAGS) + TAILS + self.bins

    def flags_of(self, counted: I64) -> I64:
        """The FLAGS in that."""
        return counted[self.cells : self.cells + len(FLAGS)]

    def value(self, sums: I64, counts: I64) -> F64:
        """Sums as they are of so many values each."""
        return counts * self._center + sums * self._unit

    def _categories(self, kind: U8, number: F64, texts: list[str]) -> Observed:
        observed = self.counted(categories(kind, number, texts))
        observed.flags[MISSING] = np.count_nonzero(kind == FeatureKind.MISSING)
        observed.flags[INVALID] = np.count_nonzero(kind == FeatureKind.OTHER)
        return observed

    def _numbers(self, kind: U8, number: F64) -> Observed:
        flags = np.zeros(len(FLAGS), np.int64)
        values = number
        usable = (kind == FeatureKind.NUMBER) | (kind == FeatureKind.BOOL)
        usable &= np.isfinite(number)
        if not usable.all():
            values = number[usable]
            flags[MISSING] = np.count_nonzero(kind == FeatureKind.MISSING)
            flags[INVALID] = len(number) - len(values) - flags[MISSING]
        low, high = self._range
        flags[BELOW] = np.count_nonzero(values < low)
        flags[ABOVE] = np.count_nonzero(values > high)
        cell = np.searchsorted(self.edges, values)
        cells = np.bincount(cell, minlength=self.cells).astype(np.int64)
        sums = _sums(cell, self._units(values), self.cells)
        tails = sums[[0, -1]]
        if self.min >= 0:  # The sums of such a column are counters.
            below = values[values < 0]
            sums[0] += int((self._units(np.zeros(len(below))) - self._units(below)).astype(np.int64).sum())
        return Observed(cells, flags, _reduced(sums, self.bin_of_cell, self.bins), tails)

    def _units(self, values: F64) -> F64:
        """Distances from the mean, as whole numbers."""
        with np.errstate(over="ignore"):
            found: F64 = np.rint(np.clip((values - self._center) / self._unit, -_LARGEST, _LARGEST))
        return found


def _sums(cell: npt.NDArray[np.intp], units: F64, cells: int) -> I64:
    """Exact, whatever is added up with what."""
    if not len(units) or float(np.abs(units).max()) * len(units) < _EXACT:
        return np.bincount(cell, units, cells).astype(np.int64)
    found = np.zeros(cells, np.int64)
    np.add.at(found, cell, units.astype(np.int64))
    return found


def _reduced(sums: I64, bin_of_cell: U8, bins: int) -> I64:
    found = np.zeros(bins, np.int64)
    np.add.at(found, bin_of_cell, sums)
    return found


def _number_of(category: str) -> float | None:
    """The number whose text a category is."""
    try:
        number = float(category)
    except ValueError:
        return None
    return number if number_text(number) == category else None


def _bin_labels(ends: list[float]) -> list[str]:
    texts = [f"{end:.6g}" for end in ends]
    if not texts:
        return ["00"]
    between = [f"{a}..{b}" for a, b in zip(["", *texts], [*texts, ""], strict=True)]
    return [f"{place:02d}: {text}" for place, text in enumerate(between)]
