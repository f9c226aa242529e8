"""Distinct values of one column, up to so many, and the rows of each. They add up in any order and any parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64
from sidecar.derive.series import I64

Keys: TypeAlias = npt.NDArray[np.uint64]
"""What values are told apart by: of a number its bits, of a text a NaN with its digest, which no number has."""

MAX_DISTINCT = 500
"""Distinct values that are counted one by one for rules about them; with more of them none is."""
MAX_EXACT = 100
"""The same for quantiles, which with more values are computed from the sizes of numbers."""
_NAN = 0x7FF << 52
_DIGEST = (1 << 52) - 1
"""Of 500 texts two have the same one with a probability of 3e-11."""


def number_keys(numbers: F64) -> Keys:
    """0.0 and -0.0 have the same."""
    return (numbers + 0.0).view(np.uint64)


def text_keys(texts: Sequence[str]) -> Keys:
    """They are the same in every process."""
    return np.array([_text_key(text) for text in texts], np.uint64)


def keys_of(values: Iterable[float | str]) -> frozenset[int]:
    """Of the members of a set."""
    every = frozenset(values)
    texts = [value for value in every if isinstance(value, str)]
    numbers = np.array([value for value in every if not isinstance(value, str)], np.float64)
    return frozenset([*number_keys(numbers).tolist(), *text_keys(texts).tolist()])


class Distinct:
    """Not thread-safe."""

    def __init__(self) -> None:
        self.keys: Keys = np.zeros(0, np.uint64)
        """Ascending."""
        self.rows: I64 = np.zeros(0, np.int64)

    def add(self, keys: Keys, rows: I64) -> None:
        """Rows of values; `keys` are distinct and ascending."""
        if len(self.keys):
            places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
            if np.array_equal(self.keys[places], keys):
                self.rows[places] += rows
                return
        self.keys, which = np.unique(np.concatenate([self.keys, keys]), return_inverse=True)
        of_both = np.concatenate([self.rows, rows])
        self.rows = np.zeros(len(self.keys), np.int64)
        np.add.at(self.rows, which, of_both)

    def numbers(self) -> tuple[F64, I64]:
        """Those that are numbers, ascending, and the rows of each."""
        numbers = self.keys.view(np.float64)
        of_numbers = np.flatnonzero(~np.isnan(numbers))
        order = of_numbers[np.argsort(numbers[of_numbers])]
        return numbers[order], self.rows[order]

    def packed(self) -> list[Any]:
        """As JSON."""
        return [self.keys.astype("<u8").tobytes().hex(), self.rows.tolist()]

    @classmethod
    def unpacked(cls, packed: list[Any]) -> Distinct:
        """What `packed` gave. Raises TypeError or ValueError for what is not from there."""
        keys, rows = packed
        found = cls()
        found.keys = np.frombuffer(bytes.fromhex(keys), "<u8").astype(np.uint64)
        found.rows = np.array(rows, np.int64)
        if found.rows.shape != found.keys.shape or len(found.keys) > MAX_DISTINCT:
            raise ValueError("not distinct values with their rows")
        return found


def _text_key(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return _NAN | (int.from_bytes(digest, "little") & _DIGEST or 1)
