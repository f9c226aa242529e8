"""When a distance is worth a page: when it is an effect, and certain.

An effect is a score above the threshold. Certain is a score above the critical value: what the score exceeds by chance
so seldom that all checks of all columns of the model together raise `false_pages_per_year`. Where the critical value is
above the threshold the window is too small to find every effect: without a page there is no decision then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sidecar.derive.drift.methods.method import Comparison, DriftMethod

YEAR_SECONDS = 365.25 * 86400
MIN_SAMPLES = 30
"""Fewer values give no decision: critical values hold for large numbers."""


@dataclass(frozen=True, slots=True)
class Score:
    """What one method says of one column."""

    method: str
    score: float
    threshold: float
    critical: float
    samples: int


@dataclass(frozen=True, slots=True)
class Decision:
    """What one check says of one column."""

    scores: tuple[Score, ...]
    detected: bool
    insufficient: bool
    method: str
    """By which it was decided."""


def alpha(false_pages_per_year: float, check_seconds: float, columns: int) -> float:
    """How seldom one check of one column may be wrong."""
    return min(0.5, false_pages_per_year / (YEAR_SECONDS / check_seconds * max(1, columns)))


def score(method: DriftMethod, threshold: float | None, found: Comparison, level: float) -> Score:
    """What a method says; `threshold`: that of the user."""
    limit = method.threshold if threshold is None else threshold
    return Score(method.name, method.score(found), limit, method.critical(found, level), found.n)


def decide(scores: tuple[Score, ...], method: str, ready: bool) -> Decision:
    """The decision by the score of `method`. `ready`: the window covers what it has to."""
    chosen = next(one for one in scores if one.method == method)
    enough = ready and chosen.samples >= MIN_SAMPLES
    detected = enough and chosen.score > max(chosen.threshold, chosen.critical)
    blind = not enough or math.isnan(chosen.critical) or chosen.critical > chosen.threshold
    return Decision(scores, detected, blind and not detected, method)
