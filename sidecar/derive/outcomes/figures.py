"""Figures of joined rows. Each is None where it cannot be said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sidecar.decode.api import F64
from sidecar.derive.outcomes.label_sets import ACTUAL, MAX_LABELS, PREDICTED, SetTally
from sidecar.derive.outcomes.tally import MAX_CODE, SLOTS, Tally
from sidecar.derive.series import I64
from sidecar.derive.shares import Share, share
from sidecar.derive.sums import FRACTION, rounded


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Of one class against all others; 0 where nothing was predicted, or is, of it, as scikit-learn has it."""

    name: str
    precision: float
    recall: float
    f1: float
    predicted: int
    actual: int
    hits: int


@dataclass(frozen=True, slots=True)
class Averages:
    """Over classes, weighted by the rows that are of each."""

    precision: float
    recall: float
    f1: float


def by_class(tally: Tally, names: Sequence[str]) -> list[ClassFigures]:
    """Of every class that was predicted, or is. `names`: by code."""
    hits = np.diag(tally.matrix).copy()
    if len(hits) > MAX_CODE:  # Of the classes beyond the bound only what is equal is a hit.
        hits[MAX_CODE] = tally.correct - int(hits[:MAX_CODE].sum())
    predicted, actual = tally.matrix.sum(axis=1), tally.matrix.sum(axis=0)
    return [
        of_class(names[code], int(hits[code]), int(predicted[code]), int(actual[code]))
        for code in np.flatnonzero(predicted + actual).tolist()
    ]


def of_class(name: str, hits: int, predicted: int, actual: int) -> ClassFigures:
    """`hits`: rows that were predicted as the class and are; of the rows so predicted and of those that are."""
    precision = hits / predicted if predicted else 0.0
    recall = hits / actual if actual else 0.0
    f1 = 2 * hits / (predicted + actual)
    return ClassFigures(name, precision, recall, f1, predicted, actual, hits)


def weighted(classes: Sequence[ClassFigures]) -> Averages:
    """There is a row at least."""
    rows = sum(one.actual for one in classes)
    return Averages(
        sum(one.precision * one.actual for one in classes) / rows,
        sum(one.recall * one.actual for one in classes) / rows,
        sum(one.f1 * one.actual for one in classes) / rows,
    )


@dataclass(frozen=True, slots=True)
class SetFigures:
    """Of predicted sets of classes."""

    subset: Share
    """Rows whose set is the actual one."""
    micro: Averages
    """Over all classes of all rows."""
    macro: Averages | None
    """Mean of the classes; None where some have no code of their own."""
    classes: Sequence[ClassFigures]
    """Those with a code of their own, the most frequent ones first."""


def of_sets(tally: SetTally, names: Sequence[str]) -> SetFigures | None:
    """As scikit-learn has them, 0 where nothing was predicted or is. None where no class occurs at all. `names`: by
    code. There is a row of sets."""
    hits, predicted, actual = tally.counts.sum(axis=0).tolist() if len(tally.counts) else (0, 0, 0)
    if not predicted + actual:
        return None
    whole = of_class("", hits, predicted, actual)
    occurring = [(code, row) for code, row in enumerate(tally.counts.tolist()) if row[PREDICTED] + row[ACTUAL]]
    classes = [of_class(names[code], *row) for code, row in occurring if code < MAX_LABELS]
    macro = None
    if len(classes) == len(occurring):
        columns = zip(*((one.precision, one.recall, one.f1) for one in classes), strict=True)
        macro = Averages(*(sum(column) / len(classes) for column in columns))
    classes.sort(key=lambda one: (-one.predicted - one.actual, one.name))
    micro = Averages(whole.precision, whole.recall, whole.f1)
    return SetFigures(share(tally.exact, tally.rows), micro, macro, classes)


def positive_code(classes: Sequence[ClassFigures], names: Sequence[str], chosen: str) -> int | None:
    """Code of the class of interest: the chosen one, else the last one in order, numbers by their size; None where
    there are not two classes, or neither is the chosen one."""
    found = [one.name for one in classes]
    if len(found) != 2 or (chosen and chosen not in found):
        return None
    return names.index(chosen or max(found, key=_order))


def _order(name: str) -> tuple[int, float, str]:
    try:
        number = float(name)
    except ValueError:
        return 1, 0.0, name
    return 0, number, name


def roc_auc(tally: Tally, positive: int, negative: int) -> float | None:
    """Area under the curve, from bins: rows of one bin count as ties. None unless both classes occur."""
    slots = min(positive, SLOTS - 1), min(negative, SLOTS - 1)
    if not len(tally.bins) or slots[0] == slots[1]:
        return None
    said, denied = tally.bins[slots[0]], tally.bins[slots[1]][:, ::-1]  # P(positive) is 1 - P(negative).
    yes: I64 = said[1] + denied[0]
    no: I64 = said[0] + denied[1]
    positives, negatives = int(yes.sum()), int(no.sum())
    if not positives or not negatives:
        return None
    below = np.cumsum(no) - no
    return float((yes * (below + no / 2)).sum() / (positives * negatives))


def log_loss(tally: Tally) -> float:
    """Mean of -log of the probability of the actual class, where there are two. There is a row with a score."""
    return rounded(tally.score_sums["log_loss"]) / tally.scored


def brier(tally: Tally) -> float:
    """Mean squared distance of that probability from 1."""
    return rounded(tally.score_sums["brier"]) / tally.scored


def calibration_error(tally: Tally) -> tuple[float, float]:
    """(expected calibration error of the predicted class's probability, what a model that is calibrated perfectly would
    show of as many rows). Guo et al. 2017, in bins of equal width; a mean of n rows is off by √(2 p(1 - p)/π n)."""
    rows, correct = tally.calibration.astype(np.float64)
    used = rows > 0
    means: F64 = np.array([rounded(total) for total in tally.scores])[used] / rows[used]
    shares = rows[used] / rows.sum()
    error = float((shares * np.abs(correct[used] / rows[used] - means)).sum())
    chance = np.sqrt(2 * np.clip(means * (1 - means), 0, None) / (np.pi * rows[used]))
    return error, float((shares * chance).sum())


@dataclass(frozen=True, slots=True)
class NumberFigures:
    """Of predicted numbers."""

    mae: float
    rmse: float
    bias: float
    """Mean of predicted - actual."""
    mape: float | None
    """A share, not percent, of rows whose actual number is not 0; None where all are."""
    r2: float | None
    """None where all actual numbers are equal."""


def of_numbers(tally: Tally) -> NumberFigures:
    """There is a row of numbers."""
    n, sums = tally.numbers, tally.value_sums
    spread = sums["actual_squared"] - Fraction(sums["actual"] ** 2, n << FRACTION)
    return NumberFigures(
        rounded(sums["absolute"]) / n,
        math.sqrt(rounded(sums["squared"]) / n),
        rounded(sums["error"]) / n,
        rounded(sums["relative"]) / tally.nonzero if tally.nonzero else None,
        float(1 - sums["squared"] / spread) if spread > 0 else None,
    )
