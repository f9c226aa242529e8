"""What a method of comparing a window with its reference is: a score, and how large it gets by chance."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from sidecar.decode.api import F64
from sidecar.derive.series import I64


@dataclass(frozen=True, eq=False)
class Comparison:
    """One column's counts on both sides. Both sides have rows. What several methods need is computed once."""

    numeric: bool
    edges: F64
    """Upper bounds of the cells but the last, of numbers."""
    reference_cells: I64
    live_cells: I64
    reference_bins: I64
    live_bins: I64
    std: float
    """Of the reference; 0 for a constant."""
    reference_tails: tuple[float, float]
    """Sums of the values of the first and of the last cell."""
    live_tails: tuple[float, float]

    @cached_property
    def n(self) -> int:
        """Live values."""
        return int(self.live_cells.sum())

    @cached_property
    def m(self) -> int:
        """Values of the reference."""
        return int(self.reference_cells.sum())

    @property
    def noise(self) -> float:
        """1/n + 1/m: the variance of a difference of two shares goes with it."""
        return 1 / self.n + 1 / self.m

    @cached_property
    def bins(self) -> tuple[I64, I64]:
        """Reference and live counts of the bins in which there is anything."""
        there = (self.reference_bins > 0) | (self.live_bins > 0)
        return self.reference_bins[there], self.live_bins[there]


class DriftMethod(Protocol):
    """One method. Stateless. Add one: a file with such an object, and a line in `methods.registry`."""

    @property
    def name(self) -> str:
        """As in the label `method`."""
        ...

    @property
    def threshold(self) -> float:
        """A score above it is an effect, where nothing else is set."""
        ...

    @property
    def categories(self) -> bool:
        """It compares categories too, not only numbers."""
        ...

    def score(self, found: Comparison) -> float:
        """How far the window is from the reference; 0 for no distance."""
        ...

    def critical(self, found: Comparison, alpha: float) -> float:
        """What the score exceeds with probability `alpha`, at most about, where nothing has changed."""
        ...
