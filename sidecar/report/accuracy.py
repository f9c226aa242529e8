"""How often predictions were right, from counts of joined rows by (predicted, actual) class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sidecar.derive.outcomes.figures import Averages, ClassFigures, of_class, weighted
from sidecar.derive.series import OTHER
from sidecar.derive.shares import MIN_ROWS, Share, share
from sidecar.serve.pages.metric_families import Metrics, Series

_BEYOND = ("", OTHER)
"""What stands for classes beyond the budget of labels: of two such nobody knows whether they are the same."""


@dataclass(frozen=True, slots=True)
class ClassOutcome:
    """One class against all others; None below `MIN_ROWS`."""

    figures: ClassFigures
    precision: Share | None
    recall: Share | None


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Of rows that were joined with their label in a period."""

    rows: int
    correct: int
    undecided: int
    """Rows of classes beyond the budget of labels, which are in no figure."""
    accuracy: Share | None
    """None below `MIN_ROWS`, as the following."""
    averages: Averages | None
    classes: Sequence[ClassOutcome]


def of_model(metrics: Metrics, model: str, version: str) -> Outcomes:
    """Of one version of a model."""
    return outcomes(_matrix(metrics.select("model_outcomes", model=model, version=version)))


def _matrix(series: Sequence[Series]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for one in series:
        key = one.labels.get("predicted", ""), one.labels.get("actual", "")
        found[key] = found.get(key, 0) + round(one.value)
    return found


def outcomes(matrix: Mapping[tuple[str, str], int]) -> Outcomes:
    """`matrix`: (predicted, actual) -> rows."""
    known = {key: n for key, n in matrix.items() if n and not (key[0] in _BEYOND and key[1] in _BEYOND)}
    undecided = sum(matrix.values()) - sum(known.values())
    rows, correct = sum(known.values()), sum(n for (predicted, actual), n in known.items() if predicted == actual)
    if rows < MIN_ROWS:
        return Outcomes(rows, correct, undecided, None, None, ())
    names = dict.fromkeys(name for key in known for name in key)
    classes = [_of_class(known, name) for name in names]
    averages = weighted([one.figures for one in classes])
    classes.sort(key=lambda one: (-one.figures.actual, one.figures.name))
    return Outcomes(rows, correct, undecided, share(correct, rows), averages, classes)


def _of_class(matrix: Mapping[tuple[str, str], int], name: str) -> ClassOutcome:
    hits = matrix.get((name, name), 0)
    predicted = sum(n for (said, _), n in matrix.items() if said == name)
    actual = sum(n for (_, true), n in matrix.items() if true == name)
    return ClassOutcome(of_class(name, hits, predicted, actual), _share(hits, predicted), _share(hits, actual))


def _share(hits: int, rows: int) -> Share | None:
    return share(hits, rows) if rows >= MIN_ROWS else None


def difference(before: Share, after: Share) -> tuple[float, float, float]:
    """(after - before, lower, upper end of its interval of 95 %), from both intervals: Newcombe 1998, method 10."""
    change = after.value - before.value
    lower = change - math.hypot(after.value - after.lower, before.upper - before.value)
    upper = change + math.hypot(after.upper - after.value, before.value - before.lower)
    return change, lower, upper
