"""Changes too small, or of too few rows, for one window to be certain of drift: found by adding windows up.

Rows of the window, and of the last whole windows together (`long_window`), are held against the reference by two tests,
both of counts of bins and with the sampling error of the reference in them:

- of numbers, whether they have moved as a whole. Each bin has the normal score of its rank in the reference (van der
  Waerden), so that the mean of the scores moves by about one where values move by a standard deviation. Of all
  distributions with that mean the one nearest to what there was without a change is tilted exponentially; the
  statistic is the likelihood ratio of that, 2 (n K*(p) + m K*(q)), K* being the transform of Legendre of the scores'
  cumulants, by which Chernoff bounds the probability of such a mean. It has one degree of freedom where G² of 20 bins
  has 19, and so is certain of a move with half of the rows.
- of anything, G² of the bins (`likelihood_ratio`).

A long past with a change in it is no change where newer windows are certainly as in the reference again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from sidecar.decode.api import F64
from sidecar.derive.drift.decision import MIN_SAMPLES, YEAR_SECONDS
from sidecar.derive.drift.long_window import BLOCKS
from sidecar.derive.drift.methods import likelihood_ratio
from sidecar.derive.drift.methods.chi_squared_quantile import chi_squared_quantile
from sidecar.derive.series import I64

EFFECT = 0.1
"""Smaller changes are none that anybody has to know of, in standard deviations or what is like it."""
FOR_EACH_PAGE = 12
"""So many times as often as a page may a slow change be reported where there is none."""
_STEPS, _STRIDE, _NEAR = 12, 1.0, 1e-9
"""Of Newton's method, how far one goes at most, and after which none is needed."""
_NOTHING, _MOST = 1e-12, 0.5
"""Variance of scores, and by how much few rows raise a limit."""
_ERRORS = 2.0
"""Standard errors above its estimate up to which a change may be larger."""


@dataclass(frozen=True, slots=True)
class SlowChange:
    """What one check says of one column."""

    score: float
    """The change that is most certain: its size, in standard deviations or what is like it."""
    limit: float
    """Above which it is an effect, and certain."""
    windows: int
    """How many windows it was found in."""

    @property
    def detected(self) -> bool:
        """It is worth to be known, not a page."""
        return self.score > self.limit


def alpha(false_pages_per_year: float, check_seconds: float, window_seconds: float, columns: int) -> float:
    """How seldom one test of one column may be wrong, of those at each check and at the end of each window."""
    tests = YEAR_SECONDS / check_seconds + YEAR_SECONDS / window_seconds * (BLOCKS - 1)
    return min(0.5, false_pages_per_year * FOR_EACH_PAGE / (tests * max(1, columns)))


def normal_scores(reference: I64) -> F64:
    """Of the bins of numbers, by their ranks in the reference; along the last axis."""
    shares = (reference + 0.5) / (reference + 0.5).sum(-1, keepdims=True)
    middles = np.cumsum(shares, -1) - shares / 2
    inverse = np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])
    found: F64 = inverse(middles)
    return found


def moved(live: I64, reference: I64, scores: F64) -> F64:
    """The likelihood ratio of a move of all values; along the last axis. 0 where all are in one bin."""
    n, m = live.sum(-1), reference.sum(-1)
    shares = (live + reference) / (n + m)[..., None]
    scores = scores - (shares * scores).sum(-1, keepdims=True)
    mean = (live * scores).sum(-1) / n
    found: F64 = 2 * (n * _transform(shares, scores, mean) + m * _transform(shares, scores, -mean * n / m))
    return found


def limit_of_move(live: I64, reference: I64, scores: F64, level: float) -> F64:
    """What `moved` exceeds with probability `level`, at most about, where nothing has changed.

    The quantile of chi-squared, times what spreads it where few rows decide, such as those of one rare bin: twice the
    mean's, as in `likelihood_ratio`, by the skewness and kurtosis of the scores (Bartlett's correction of an
    exponential family; of two bins the same as Williams')."""
    n, m = live.sum(-1), reference.sum(-1)
    shares = (live + reference) / (n + m)[..., None]
    centred = scores - (shares * scores).sum(-1, keepdims=True)
    variance, third, fourth = ((shares * centred**power).sum(-1) for power in (2, 3, 4))
    variance = np.maximum(variance, _NOTHING)
    spread = (5 * third**2 / variance**3 - 3 * (fourth / variance**2 - 3)) / 12
    fewer, more = np.minimum(n, m), np.maximum(n, m)
    few = np.clip(2 * spread / fewer * (1 + fewer**2 / (more * (n + m))), 0, _MOST)
    found: F64 = chi_squared_quantile(level, 1) * (1 + few)
    return found


class Windows(NamedTuple):
    """What there is of one column."""

    recent: Sequence[tuple[int, I64]]
    """(how many windows, their bins together), reaching ever further back."""
    reference: I64
    numeric: bool


def find(columns: Sequence[Windows], level: float) -> list[SlowChange | None]:
    """The most certain change of each column; None where there are not rows enough. `level`: of `alpha`. Columns of as
    many bins and windows are computed together."""
    found: list[SlowChange | None] = [None] * len(columns)
    alike: dict[tuple[int, int, bool], list[tuple[int, list[tuple[int, I64]]]]] = {}
    for place, (recent, reference, numeric) in enumerate(columns):
        enough = [(windows, live) for windows, live in recent if live.sum() >= MIN_SAMPLES]
        if enough and reference.any():
            alike.setdefault((len(enough), len(reference), numeric), []).append((place, enough))
    for (_, _, numeric), group in alike.items():
        reference = np.array([columns[place].reference for place, _ in group])
        live = np.array([[live for _, live in enough] for _, enough in group]).swapaxes(0, 1)
        tests = tested(live, reference, normal_scores(reference) if numeric else None, level)
        sizes, limits = (np.concatenate(values) for values in zip(*tests, strict=True))
        for column, (place, enough) in enumerate(group):
            best = int((sizes[:, column] / limits[:, column]).argmax())
            windows, _ = enough[best % len(enough)]
            found[place] = SlowChange(float(sizes[best, column]), float(limits[best, column]), windows)
    return found


def tested(live: I64, reference: I64, scores: F64 | None, level: float) -> list[tuple[F64, F64]]:
    """(sizes of the changes, limits) by each of the tests. `live`: bins along the last axis, windows that reach ever
    further back along the first, and perhaps columns between. Each test is wrong as seldom as its share of `level`."""
    own = level if scores is None else level / 2
    n, m = live.sum(-1), reference.sum(-1)
    rows = n * m / (n + m)
    freedom = np.maximum((live + reference > 0).sum(-1) - 1, 1)
    of_bins = likelihood_ratio.statistic(live, reference), likelihood_ratio.limit(live, reference, own)
    found = [_sized(*of_bins, freedom, rows)]
    if scores is not None:
        statistic = moved(live, reference, scores)
        found.append(_sized(statistic, limit_of_move(live, reference, scores, own), np.ones_like(freedom), rows))
    return found


def _sized(statistic: F64, limit: F64, freedom: I64, rows: F64) -> tuple[F64, F64]:
    """Sizes and their limits of a statistic and its limit; 0 where newer windows are certainly without an effect.
    `rows`: those that say as much beside a reference without any error."""
    estimated = np.sqrt(np.maximum(statistic - freedom, 0) / rows)
    without = np.logical_or.accumulate(estimated + _ERRORS / np.sqrt(rows) < EFFECT, axis=0)
    over = np.concatenate([np.zeros_like(without[:1]), without[:-1]])
    return np.where(over, 0.0, np.sqrt(np.maximum(statistic, 0) / rows)), np.maximum(np.sqrt(limit / rows), EFFECT)


def _transform(shares: F64, scores: F64, mean: F64) -> F64:
    """The transform of Legendre of the cumulants, at `mean`. Where Newton's method has not arrived it is too small,
    which errs to the safe side."""
    tilt = np.zeros_like(mean)
    for _ in range(_STEPS):
        weights = shares * np.exp(tilt[..., None] * scores)
        weights /= weights.sum(-1, keepdims=True)
        reached = (weights * scores).sum(-1)
        spread = np.maximum((weights * scores**2).sum(-1) - reached**2, 1e-9)
        step = np.clip((mean - reached) / spread, -_STRIDE, _STRIDE)
        tilt += step
        if np.abs(step).max(initial=0.0) < _NEAR:
            break
    found: F64 = np.maximum(tilt * mean - np.log((shares * np.exp(tilt[..., None] * scores)).sum(-1)), 0)
    return found
