"""Columns of references from values: of numbers by a sample and then all values, of categories by all values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64, U8, FeatureKind
from sidecar.decode.otlp.limits import MAX_FEATURE_CHARS
from sidecar.decode.predictions.prediction_rows import class_text
from sidecar.derive.drift.cells import bins_of, edges_of
from sidecar.derive.drift.reference import MAX_VALUES, CategoryColumn, NumberColumn, Role

MAX_TRACKED = 10_000
"""Distinct values of a column of categories that are counted; further ones count as others."""
LARGEST = 1e150
"""A value beyond it counts as invalid: sums of squares would have no end."""
_DIGITS = 12


class NumberBuilder:
    """Counts values into the cells that a sample gives. Not thread-safe."""

    def __init__(self, name: str, role: Role, sample: F64 | None = None, edges: F64 | None = None) -> None:
        """`edges`: those of another reference, instead of a sample."""
        self.name, self.role = name, role
        self._edges = edges_of(_usable(np.zeros(0) if sample is None else sample)[0]) if edges is None else edges
        self._like: npt.NDArray[np.intp] | None = None
        self._counts = np.zeros(len(self._edges) + 1, np.int64)
        self._sums = np.zeros(len(self._edges) + 1)
        self._center = 0.0
        self._squares = 0.0
        self._outermost: F64 = np.zeros(0)
        self._missing = self._invalid = 0
        self._labelled = np.zeros((2, len(self._counts)), np.int64)
        """Rows of each cell whose truth is known, and those of them that are right."""

    def like(self, bins: tuple[int, ...]) -> NumberBuilder:
        """Use these bins, those of another reference with the same edges."""
        self._like = np.array(bins, np.intp)
        return self

    def add(self, kind: U8, number: F64) -> None:
        """Values by FeatureKind."""
        numeric = (kind == FeatureKind.NUMBER) | (kind == FeatureKind.BOOL)
        usable, invalid = _usable(number[numeric])
        self._missing += int((kind == FeatureKind.MISSING).sum())
        self._invalid += invalid + int((~numeric & (kind != FeatureKind.MISSING)).sum())
        if not len(usable):
            return
        if not len(self._outermost):
            self._center = float(np.median(usable))
        cells = np.searchsorted(self._edges, usable)
        self._counts += np.bincount(cells, minlength=len(self._counts))
        self._sums += np.bincount(cells, usable, len(self._sums))
        self._squares += float(((usable - self._center) ** 2).sum())
        self._outermost = outermost(np.concatenate([self._outermost, outermost(usable)]))

    def add_outcomes(
        self, kind: U8, number: F64, predicted: Sequence[str | None], actual: Sequence[str | None]
    ) -> None:
        """Scores again, with what was predicted in each row and what is; None where that is not known."""
        known = (kind == FeatureKind.NUMBER) & np.isfinite(number)
        known &= np.array([a is not None and b is not None for a, b in zip(predicted, actual, strict=True)], np.bool_)
        right = np.array([a == b for a, b in zip(predicted, actual, strict=True)], np.bool_)[known]
        cells = np.searchsorted(self._edges, number[known])
        self._labelled[0] += np.bincount(cells, minlength=len(self._counts))
        self._labelled[1] += np.bincount(cells[right], minlength=len(self._counts))

    def column(self) -> NumberColumn:
        """What was added."""
        size = int(self._counts.sum())
        bins = bins_of(self._counts) if self._like is None else self._like
        if not size:
            sums = (0.0,) * (len(bins) + 1)
            return NumberColumn(
                name=self.name,
                role=self.role,
                count=0,
                missing=self._missing,
                invalid=self._invalid,
                edges=tuple(self._edges.tolist()),
                counts=tuple(self._counts.tolist()),
                bins=tuple(bins.tolist()),
                sums=sums,
            )
        mean = float(self._sums.sum()) / size
        variance = self._squares / size - (mean - self._center) ** 2
        ends = self._outermost.tolist()
        of_bins = np.add.reduceat(self._sums, np.concatenate([[0], bins + 1]))
        return NumberColumn(
            name=self.name,
            role=self.role,
            count=size,
            missing=self._missing,
            invalid=self._invalid,
            mean=min(max(mean, ends[0]), ends[-1]),
            std=math.sqrt(max(variance, 0.0)),
            min=ends[0],
            max=ends[-1],
            second=(ends[1], ends[-2]) if size > 1 else None,
            edges=tuple(self._edges.tolist()),
            counts=tuple(self._counts.tolist()),
            bins=tuple(bins.tolist()),
            sums=tuple(map(_rounded, of_bins.tolist())),
            tails=(float(self._sums[0]), float(self._sums[-1])),
            labelled=tuple(self._labelled[0].tolist()) if self._labelled.any() else None,
            correct=tuple(self._labelled[1].tolist()) if self._labelled.any() else None,
        )


class CategoryBuilder:
    """Counts texts. Not thread-safe."""

    def __init__(self, name: str, role: Role) -> None:
        self.name, self.role = name, role
        self._counts: dict[str, int] = {}
        self._rest = self._missing = self._invalid = 0

    def add(self, kind: U8, number: F64, texts: list[str]) -> None:
        """Values by FeatureKind; `number` of a text is its place in `texts`."""
        missing, other = kind == FeatureKind.MISSING, kind == FeatureKind.OTHER
        self._missing += int(missing.sum())
        self._invalid += int(other.sum())
        for category, count in categories(kind, number, texts).items():
            self.count(category, count)

    def count(self, category: str, count: int) -> None:
        """`count` more of one category."""
        if category in self._counts or len(self._counts) < MAX_TRACKED:
            self._counts[category] = self._counts.get(category, 0) + count
        else:
            self._rest += count

    def column(self) -> CategoryColumn:
        """What was added."""
        by_count = sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0]))
        rest = self._rest + sum(count for _, count in by_count[MAX_VALUES:])
        values = dict(by_count[:MAX_VALUES])
        return CategoryColumn(
            name=self.name,
            role=self.role,
            count=sum(values.values()) + rest,
            missing=self._missing,
            invalid=self._invalid,
            values=values,
            rest=rest,
        )


def categories(kind: U8, number: F64, texts: list[str]) -> dict[str, int]:
    """How often each category is there: texts, numbers and bools as text."""
    found: dict[str, int] = {}
    for of, text in (
        (FeatureKind.TEXT, lambda n: texts[int(n)]),
        (FeatureKind.BOOL, lambda n: "true" if n else "false"),
        (FeatureKind.NUMBER, number_text),
    ):
        distinct, counts = np.unique(number[kind == of], return_counts=True)
        for value, count in zip(distinct.tolist(), counts.tolist(), strict=True):
            name = text(value)
            found[name] = found.get(name, 0) + count
    return found


def class_of(kind: int, number: float, texts: list[str]) -> str | None:
    """The class that one value stands for, as outcomes compare them; None where there is none."""
    if kind == FeatureKind.TEXT:
        return class_text(texts[int(number)])
    if kind == FeatureKind.BOOL:
        return "true" if number else "false"
    return number_text(number) if kind == FeatureKind.NUMBER and math.isfinite(number) else None


def number_text(value: float) -> str:
    """A number as a category: a whole one without a point."""
    whole = math.isfinite(value) and value == int(value) and abs(value) < 1 << 53
    return (str(int(value)) if whole else repr(value))[:MAX_FEATURE_CHARS]


def outermost(values: F64) -> F64:
    """The two least and the two greatest of the values, ascending; all of four and fewer."""
    if len(values) <= 4:
        return np.sort(values)
    found: F64 = np.partition(values, [0, 1, len(values) - 2, len(values) - 1])[[0, 1, -2, -1]]
    return found


def _usable(values: F64) -> tuple[F64, int]:
    """Those that can be added up, and how many cannot."""
    usable = values[np.abs(values) < LARGEST]
    return usable, len(values) - len(usable)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
