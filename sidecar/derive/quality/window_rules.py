"""Rules that a window of rows is held against as a whole, as Great Expectations' pandas engine means them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sidecar.derive.quality.column_summary import Needs, Summary
from sidecar.derive.quality.distinct import MAX_DISTINCT, MAX_EXACT
from sidecar.derive.quality.row_rules import Bounds

NOTHING = Needs()
DISTINCT = Needs(distinct=MAX_DISTINCT)
QUANTILES = Needs(ends=True, distinct=MAX_EXACT, buckets=True)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    met: bool | None
    """None where the window does not say: more distinct values than are counted."""
    observed: float | None = None
    """The figure that decides, where there is one."""


@dataclass(frozen=True, slots=True)
class Window:
    """The rows of a window of one model."""

    rows: int
    columns: Mapping[str, Summary]
    """Those that the suite names, and that there were."""
    names: frozenset[str]
    """Of all columns that there were, where a rule needs them."""


class WindowRule(Protocol):
    """One rule. `column` is empty where it is about the table."""

    @property
    def column(self) -> str: ...
    @property
    def needs(self) -> Needs: ...
    def check(self, window: Window) -> Finding: ...


@dataclass(frozen=True, slots=True)
class _ColumnRule(ABC):
    """A rule about one column: not met where the column is not there."""

    column: str

    def check(self, window: Window) -> Finding:
        """By the summary of the column."""
        summary = window.columns.get(self.column)
        return Finding(False) if summary is None else self.check_column(summary)

    @abstractmethod
    def check_column(self, summary: Summary) -> Finding:
        """What the column is like."""


Figure = Callable[[Summary], float | None]


def _within(bounds: Bounds, observed: float | None) -> Finding:
    """No figure is in no range."""
    if observed is None or math.isnan(observed):
        return Finding(False)
    return Finding(bounds.holds(observed), observed)


@dataclass(frozen=True, slots=True)
class FigureBetween(_ColumnRule):
    """A figure of a column is in a range."""

    figure: Figure
    bounds: Bounds
    needs: Needs

    def check_column(self, summary: Summary) -> Finding:
        return _within(self.bounds, self.figure(summary))


@dataclass(frozen=True, slots=True)
class QuantilesBetween(_ColumnRule):
    """Each of some quantiles is in its range; one that is off by a ten-thousandth still is."""

    quantiles: Sequence[float]
    ranges: Sequence[tuple[float, float]]
    method: str
    needs: Needs = QUANTILES

    def check_column(self, summary: Summary) -> Finding:
        """What is observed is the first quantile that is not in its range, else the first."""
        found = [summary.quantile(quantile, self.method) for quantile in self.quantiles]
        wrong = [value for value, (low, high) in zip(found, self.ranges, strict=True) if not _near(value, low, high)]
        return Finding(not wrong, (wrong or found)[0])


def _near(value: float | None, low: float, high: float) -> bool:
    if value is None:
        return False
    return low <= value <= high or any(abs(value - end) <= 1e-8 + 1e-4 * abs(end) for end in (low, high))


@dataclass(frozen=True, slots=True)
class DistinctBetween(_ColumnRule):
    """The number of distinct values, or its share of all values, is in a range."""

    bounds: Bounds
    share: bool
    needs: Needs = DISTINCT

    def check_column(self, summary: Summary) -> Finding:
        """Above MAX_DISTINCT it is known only that there are more."""
        distinct = summary.distinct
        if distinct is not None:
            found = len(distinct.keys)
            return _within(self.bounds, (found / summary.present if summary.present else 0) if self.share else found)
        least = (MAX_DISTINCT + 1) / summary.present if self.share else MAX_DISTINCT + 1
        greatest = 1.0 if self.share else summary.present
        low, high = (self.bounds.holds(end) for end in (least, greatest))
        if low and high:
            return Finding(True)
        too_many = self.bounds.high is not None and least > self.bounds.high
        too_few = self.bounds.low is not None and greatest < self.bounds.low
        return Finding(False if too_many or too_few else None)


@dataclass(frozen=True, slots=True)
class Unique(_ColumnRule):
    """No value is there twice, or so many rows at most have one that is."""

    mostly: float
    needs: Needs = DISTINCT

    def check_column(self, summary: Summary) -> Finding:
        """What is observed are the rows whose value another row has too."""
        distinct = summary.distinct
        if distinct is None:
            return Finding(None)
        again = int(distinct.rows[distinct.rows > 1].sum())
        present = summary.present
        return Finding(not present or (present - again) / present >= self.mostly, again)


@dataclass(frozen=True, slots=True)
class DistinctSet(_ColumnRule):
    """The distinct values are `in` a set, `contain` it, or are `equal` to it."""

    keys: frozenset[int]
    relation: Literal["in", "contain", "equal"]
    needs: Needs = DISTINCT

    def check_column(self, summary: Summary) -> Finding:
        """What is observed is the number of values that are too many or too few."""
        distinct = summary.distinct
        if distinct is None:  # More values than any set that is taken has.
            return Finding(None if self.relation == "contain" else False)
        found = frozenset(distinct.keys.tolist())
        wrong = {"in": found - self.keys, "contain": self.keys - found, "equal": found ^ self.keys}
        return Finding(not wrong[self.relation], len(wrong[self.relation]))


@dataclass(frozen=True, slots=True)
class MostCommon(_ColumnRule):
    """The most common value is of a set; of several one, or only one there may be."""

    keys: frozenset[int]
    ties_okay: bool
    needs: Needs = DISTINCT

    def check_column(self, summary: Summary) -> Finding:
        """What is observed is how many values are the most common."""
        distinct = summary.distinct
        if distinct is None:
            return Finding(None)
        found = frozenset(distinct.keys[distinct.rows == distinct.rows.max(initial=0)].tolist())
        intersection = found & self.keys
        met = bool(intersection) and (self.ties_okay or len(found) == 1)
        return Finding(met, len(found))


@dataclass(frozen=True, slots=True)
class RowCount:
    """The window has so many rows."""

    bounds: Bounds
    column: str = ""
    needs: Needs = NOTHING

    def check(self, window: Window) -> Finding:
        """By the longest column of each record."""
        return _within(self.bounds, window.rows)


@dataclass(frozen=True, slots=True)
class ColumnCount:
    """There are so many columns."""

    bounds: Bounds
    column: str = ""
    needs: Needs = NOTHING

    def check(self, window: Window) -> Finding:
        """Of features."""
        return _within(self.bounds, len(window.names))


@dataclass(frozen=True, slots=True)
class ColumnExists:
    """There is a column."""

    column: str
    needs: Needs = NOTHING

    def check(self, window: Window) -> Finding:
        """With a value or without."""
        return Finding(self.column in window.columns)


@dataclass(frozen=True, slots=True)
class ColumnSet:
    """There are these columns, and perhaps others."""

    expected: frozenset[str]
    exact: bool
    column: str = ""
    needs: Needs = NOTHING

    def check(self, window: Window) -> Finding:
        """What is observed is the number of columns that are too many or too few."""
        wrong = window.names ^ self.expected if self.exact else self.expected - window.names
        return Finding(not wrong, len(wrong))
