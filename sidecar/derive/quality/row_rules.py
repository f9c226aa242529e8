"""Rules that each value is held against by itself. A rule means what Great Expectations' pandas engine makes of it; its
results on the same rows are in tests/golden/quality.

Texts are received cut at MAX_FEATURE_CHARS characters. Of one that is as long as that, a rule may not know
(`undecided`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from sidecar.decode.api import F64, FeatureKind
from sidecar.decode.otlp.limits import MAX_FEATURE_CHARS
from sidecar.derive.quality.values import Mask, Values

TypeClass = Literal["number", "whole", "bool", "text"]


class RowRule(Protocol):
    """Masks are of all values; of missing ones they say nothing that counts, but for `Null`."""

    def expected(self, values: Values) -> Mask:
        """Values that are as they should be."""
        ...

    def undecided(self, values: Values) -> Mask | None:
        """Values of which that is not known; None where there are none."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """A range. A bound that is None does not bound."""

    low: float | None
    high: float | None
    strict_low: bool
    strict_high: bool

    def holds(self, number: float) -> bool:
        """Whether one number is in it."""
        above = self.low is None or number > self.low or (number == self.low and not self.strict_low)
        return above and (self.high is None or number < self.high or (number == self.high and not self.strict_high))

    def hold(self, numbers: F64) -> Mask:
        """The same of many."""
        found = np.ones(len(numbers), np.bool_)
        if self.low is not None:
            found &= numbers > self.low if self.strict_low else numbers >= self.low
        if self.high is not None:
            found &= numbers < self.high if self.strict_high else numbers <= self.high
        return found


class _Decided:
    def undecided(self, values: Values) -> Mask | None:
        """None are."""
        return None


@dataclass(frozen=True)
class Null(_Decided):
    """Values are missing, or are not."""

    wanted: bool

    def expected(self, values: Values) -> Mask:
        """Missing ones, or the others."""
        return values.missing if self.wanted else ~values.missing


@dataclass(frozen=True)
class Between(_Decided):
    """Values are numbers in a range."""

    bounds: Bounds

    def expected(self, values: Values) -> Mask:
        """A bool is the number 0 or 1."""
        return values.where_number(self.bounds.hold)


@dataclass(frozen=True)
class InSet(_Decided):
    """Values are of a set, or are not."""

    numbers: F64
    texts: frozenset[str]
    wanted: bool

    def expected(self, values: Values) -> Mask:
        """A bool is the number 0 or 1."""
        found = values.where_number(lambda numbers: np.isin(numbers, self.numbers))
        if values.textual.any():
            found = found | values.where_text(self.texts.__contains__)
        return found if self.wanted else ~found


@dataclass(frozen=True)
class Texts:
    """The text of each value passes a test. Numbers are taken as Python writes them."""

    test: Callable[[str], bool]
    needs_whole: bool
    """A text that may have been cut decides nothing."""

    def expected(self, values: Values) -> Mask:
        """Of texts, numbers and bools; nothing else passes."""
        found = values.where_text(self.test)
        if values.numeric.any():
            for kind in (FeatureKind.NUMBER, FeatureKind.BOOL):
                own = values.kind == kind
                distinct, which = np.unique(values.number[own], return_inverse=True)
                passing = [self.test(written(number, kind == FeatureKind.BOOL)) for number in distinct.tolist()]
                found[own] = np.array(passing, np.bool_)[which]
        return found

    def undecided(self, values: Values) -> Mask | None:
        """Texts that may have been cut."""
        if not self.needs_whole:
            return None
        return values.where_text(_may_be_cut)


@dataclass(frozen=True)
class OfType(_Decided):
    """Values are of one of some types. Whole numbers are taken for floats and for ints: they arrive alike."""

    classes: frozenset[TypeClass]

    def expected(self, values: Values) -> Mask:
        """By what they were sent as."""
        found = np.zeros(len(values.kind), np.bool_)
        if "number" in self.classes:
            found |= values.kind == FeatureKind.NUMBER
        elif "whole" in self.classes:
            found |= (values.kind == FeatureKind.NUMBER) & (np.floor(values.number) == values.number)
        if "bool" in self.classes:
            found |= values.kind == FeatureKind.BOOL
        if "text" in self.classes:
            found |= values.textual
        return found


def written(number: float, as_bool: bool = False) -> str:
    """A number as Python writes it; one that is whole as an integer, since ints and floats arrive alike."""
    if as_bool:
        return str(bool(number))
    return str(int(number)) if math.isfinite(number) and number == int(number) else repr(number)


def any_of(tests: Sequence[Callable[[str], bool]]) -> Callable[[str], bool]:
    """One test passes."""
    return lambda text: any(test(text) for test in tests)


def all_of(tests: Sequence[Callable[[str], bool]]) -> Callable[[str], bool]:
    """All tests pass."""
    return lambda text: all(test(text) for test in tests)


def none_of(tests: Sequence[Callable[[str], bool]]) -> Callable[[str], bool]:
    """No test passes."""
    return lambda text: not any(test(text) for test in tests)


def _may_be_cut(text: str) -> bool:
    return len(text) >= MAX_FEATURE_CHARS
