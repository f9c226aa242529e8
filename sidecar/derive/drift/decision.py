"""When a distance is worth a page: when it is an effect, and certain.

An effect is a score above the threshold. Certain is a score above the critical value: what the score exceeds by chance
so seldom that all checks of all columns of the model together raise `false_pages_per_year`. Where the critical value is
above the threshold the window is too small to find every effect: without a page there is no decision then.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from sidecar.derive.drift.methods.method import Comparison, DriftMethod

YEAR_SECONDS = 365.25 * 86400
MIN_SAMPLES = 30
"""Fewer values give no decision: critical values hold for large numbers."""


_FIGURES = struct.Struct("<dddq")


@dataclass(frozen=True, slots=True)
class Score:
    """What one method says of one column."""

    method: str
    score: float
    threshold: float
    critical: float
    samples: int


_FIELDS = tuple(one.name for one in fields(Score))


@dataclass(frozen=True, slots=True)
class Decision:
    """What one check says of one column. Scores are packed: of each column there are several, and as objects they take
    several times as much memory."""

    methods: tuple[str, ...]
    """Of each score."""
    figures: bytes
    """Score, threshold, critical value and samples of each."""
    detected: bool
    insufficient: bool
    method: str
    """By which it was decided."""

    @classmethod
    def of(cls, scores: Sequence[Score], detected: bool, insufficient: bool, method: str) -> Decision:
        figures = b"".join(_FIGURES.pack(one.score, one.threshold, one.critical, one.samples) for one in scores)
        return cls(_methods(tuple(one.method for one in scores)), figures, detected, insufficient, method)

    @property
    def scores(self) -> tuple[Score, ...]:
        found = zip(self.methods, _FIGURES.iter_unpack(self.figures), strict=True)
        return tuple(Score(method, *figures) for method, figures in found)

    def as_json(self) -> dict[str, Any]:
        """What `of_json` takes."""
        found = zip(self.methods, _FIGURES.iter_unpack(self.figures), strict=True)
        scores = [dict(zip(_FIELDS, (method, *figures), strict=True)) for method, figures in found]
        return {
            "scores": scores,
            "detected": self.detected,
            "insufficient": self.insufficient,
            "method": self.method,
        }

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> Decision:
        """Raises KeyError, TypeError or ValueError for what is not from `as_json`."""
        scores = [Score(**one) for one in kept["scores"]]
        try:
            return cls.of(scores, kept["detected"], kept["insufficient"], kept["method"])
        except struct.error as error:
            raise ValueError("not the figures of scores") from error


@lru_cache(maxsize=64)
def _methods(names: tuple[str, ...]) -> tuple[str, ...]:
    """One object for all that are equal."""
    return names


def alpha(false_pages_per_year: float, check_seconds: float, columns: int) -> float:
    """How seldom one check of one column may be wrong."""
    return min(0.5, false_pages_per_year / (YEAR_SECONDS / check_seconds * max(1, columns)))


def score(method: DriftMethod, threshold: float | None, found: Comparison, level: float) -> Score:
    """What a method says; `threshold`: that of the user."""
    limit = method.threshold if threshold is None else threshold
    return Score(method.name, method.score(found), limit, method.critical(found, level), found.n)


def decide(scores: Sequence[Score], method: str, ready: bool) -> Decision:
    """The decision by the score of `method`. `ready`: the window covers what it has to."""
    chosen = next(one for one in scores if one.method == method)
    enough = ready and chosen.samples >= MIN_SAMPLES
    detected = enough and chosen.score > max(chosen.threshold, chosen.critical)
    blind = not enough or math.isnan(chosen.critical) or chosen.critical > chosen.threshold
    return Decision.of(scores, detected, blind and not detected, method)
