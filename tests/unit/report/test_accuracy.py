"""Outcomes from counts of joined rows, beside scikit-learn's of the same rows."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from sidecar.derive.shares import share
from sidecar.report.accuracy import difference, outcomes


@pytest.mark.parametrize("classes", [("yes", "no"), ("a", "b", "c", "d")])
def test_figures_are_those_of_scikit_learn(classes: tuple[str, ...]) -> None:
    source = random.Random(len(classes))
    actual = source.choices(classes, range(1, len(classes) + 1), k=500)
    predicted = [true if source.random() < 0.7 else source.choice(classes) for true in actual]
    found = outcomes(Counter(zip(predicted, actual, strict=True)))
    assert found.accuracy is not None
    assert found.averages is not None
    assert (found.rows, found.accuracy.rows) == (500, 500)
    assert found.accuracy.value == pytest.approx(accuracy_score(actual, predicted))
    assert found.accuracy.lower < found.accuracy.value < found.accuracy.upper
    expected = precision_recall_fscore_support(actual, predicted, average="weighted", zero_division=0)
    averages = found.averages
    assert (averages.precision, averages.recall, averages.f1) == pytest.approx(expected[:3])
    names = [one.figures.name for one in found.classes]
    by_class = precision_recall_fscore_support(actual, predicted, labels=names, zero_division=0)
    for number, one in enumerate(found.classes):
        assert one.precision is not None
        assert one.recall is not None
        shown = (one.precision.value, one.recall.value, one.figures.f1, one.figures.actual)
        assert shown == pytest.approx([column[number] for column in by_class])


def test_nine_rows_are_no_figure_and_ten_are_one() -> None:
    nine = outcomes({("a", "a"): 9})
    assert (nine.rows, nine.accuracy, nine.averages, nine.classes) == (9, None, None, ())
    assert outcomes({("a", "a"): 9, ("a", "b"): 1}).accuracy is not None
    assert outcomes({}).accuracy is None


def test_a_class_with_few_rows_has_no_figure_of_its_own() -> None:
    found = {one.figures.name: one for one in outcomes({("a", "a"): 30, ("a", "b"): 4, ("b", "b"): 3}).classes}
    assert found["a"].precision is not None
    assert (found["b"].precision, found["b"].recall) == (None, None)


@pytest.mark.parametrize("beyond", ["", "__other__"])
def test_nobody_knows_whether_two_classes_beyond_the_budget_are_one(beyond: str) -> None:
    found = outcomes({("a", "a"): 20, (beyond, beyond): 50, (beyond, "a"): 5})
    assert (found.rows, found.correct, found.undecided) == (25, 20, 50)


def test_a_difference_has_newcombes_interval() -> None:
    """His table II, case (a): 56/70 less 48/80 is 0.2 (0.0524 to 0.3339)."""
    change, lower, upper = difference(share(48, 80), share(56, 70))
    assert (change, lower, upper) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
