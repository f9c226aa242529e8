"""The values of one column that arrived together, as rules look at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64, U8, FeatureKind
from sidecar.derive.quality.distinct import Keys, number_keys, text_keys
from sidecar.derive.series import I64

Mask: TypeAlias = npt.NDArray[np.bool_]
Value: TypeAlias = float | str
"""A number (a bool as 0 or 1), or a text."""


class Values:
    """n values. Masks have n elements, and are computed once for all rules."""

    def __init__(self, kind: U8, number: F64, texts: list[str], rows: I64 | None = None) -> None:
        """`kind`: FeatureKind of each; `number` of a text is its place in `texts`; `rows`: how many rows each stands
        for, one where not given."""
        self.kind, self.number, self.texts = kind, number, texts
        self._rows = rows

    @classmethod
    def counted(cls, found: Mapping[str, int]) -> Values:
        """So many rows of each text."""
        kind = np.full(len(found), FeatureKind.TEXT, np.uint8)
        rows = np.array(list(found.values()), np.int64)
        return cls(kind, np.arange(len(found), dtype=np.float64), list(found), rows)

    def rows_of(self, mask: Mask) -> int:
        """Rows of the values in a mask."""
        return int(np.count_nonzero(mask) if self._rows is None else self._rows[mask].sum())

    @cached_property
    def elements(self) -> int:
        return len(self.kind) if self._rows is None else int(self._rows.sum())

    @cached_property
    def missing(self) -> Mask:
        return np.equal(self.kind, FeatureKind.MISSING)

    @cached_property
    def numeric(self) -> Mask:
        """Numbers and bools."""
        return np.equal(self.kind, FeatureKind.NUMBER) | np.equal(self.kind, FeatureKind.BOOL)

    @cached_property
    def textual(self) -> Mask:
        return np.equal(self.kind, FeatureKind.TEXT)

    @cached_property
    def distinct_texts(self) -> tuple[list[str], npt.NDArray[np.intp]]:
        """(distinct texts, which of them each of the `textual` values is)."""
        places, which = np.unique(self.number[self.textual].astype(np.intp), return_inverse=True)
        return [self.texts[place] for place in places.tolist()], which

    @cached_property
    def distinct(self) -> tuple[Keys, I64]:
        """Keys of the distinct numbers and texts, and the rows of each."""
        keys = number_keys(self.number[self.numeric])
        if self.textual.any():
            texts, which = self.distinct_texts
            keys = np.concatenate([keys, text_keys(texts)[which]])
        if self._rows is None:
            return np.unique(keys, return_counts=True)
        rows = np.concatenate([self._rows[self.numeric], self._rows[self.textual]])
        found, which = np.unique(keys, return_inverse=True)
        return found, np.bincount(which, rows, len(found)).astype(np.int64)

    def where_number(self, test: Callable[[F64], Mask]) -> Mask:
        """The numbers of which `test` is true."""
        if self.numeric.all():
            return test(self.number)
        found = np.zeros(len(self.kind), np.bool_)
        found[self.numeric] = test(self.number[self.numeric])
        return found

    def where_text(self, test: Callable[[str], bool]) -> Mask:
        """The texts of which `test` is true."""
        found = np.zeros(len(self.kind), np.bool_)
        if self.textual.any():
            texts, which = self.distinct_texts
            found[self.textual] = np.array([test(text) for text in texts], np.bool_)[which]
        return found
