"""What is added up of joined rows whose prediction and truth are sets of classes: whole numbers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from sidecar.derive.series import I64

MAX_LABELS = 200
"""Classes of a model that are counted by themselves."""
HITS, PREDICTED, ACTUAL = range(3)


class SetTally:
    """Rows of one model and some time. Not thread-safe."""

    def __init__(self) -> None:
        self.rows = 0
        self.exact = 0
        """Rows whose two sets are equal."""
        self.counts: I64 = np.zeros((0, 3), np.int64)
        """By code of the class: rows that were predicted as it and are, that were predicted as it, that are of it. The
        classes beyond MAX_LABELS share the last code."""

    def add(self, predicted: Collection[int], actual: Collection[int], hits: Collection[int], exact: bool) -> None:
        """One row; codes, that of the classes without one of their own as often as there are such."""
        size = max([*predicted, *actual], default=-1) + 1
        if size > len(self.counts):
            self.counts = np.concatenate([self.counts, np.zeros((size - len(self.counts), 3), np.int64)])
        for column, codes in ((HITS, hits), (PREDICTED, predicted), (ACTUAL, actual)):
            for code in codes:
                self.counts[code, column] += 1
        self.rows += 1
        self.exact += exact

    def plus(self, other: SetTally) -> None:
        """Add another one."""
        short, long = sorted((self.counts, other.counts), key=len)
        self.counts = long.copy()
        self.counts[: len(short)] += short
        self.rows += other.rows
        self.exact += other.exact

    def packed(self) -> list[Any]:
        """As JSON."""
        return [self.rows, self.exact, self.counts.tolist()]

    @classmethod
    def unpacked(cls, found: Any) -> SetTally:
        """What `packed` gave. Raises ValueError or TypeError for anything else."""
        own = cls()
        rows, exact, counts = found
        own.rows, own.exact = int(rows), int(exact)
        own.counts = np.array(counts, np.int64).reshape(len(counts), 3)
        return own
