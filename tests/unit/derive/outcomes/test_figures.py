"""Every figure beside scikit-learn's on the same rows."""

from __future__ import annotations

import math
import random
import sys
from fractions import Fraction

import numpy as np
import pytest
from sklearn import metrics

from sidecar.derive.outcomes.figures import (
    brier,
    by_class,
    calibration_error,
    log_loss,
    of_numbers,
    positive_code,
    roc_auc,
    weighted,
)
from sidecar.derive.outcomes.tally import BINS, MAX_CODE, TALLY_BYTES, Tally, bin_of, square
from sidecar.derive.series import OTHER
from sidecar.derive.shares import share

BINARY = ["no", "yes"]


def of_classes(predicted: list[int], actual: list[int], scores: list[float] | None = None) -> Tally:
    """A tally of these codes."""
    tally = Tally()
    for n, (said, true) in enumerate(zip(predicted, actual, strict=True)):
        tally.add_class(said, true, said == true, scores[n] if scores else math.nan)
    return tally


def of_probabilities(positive: np.ndarray, actual: np.ndarray) -> Tally:
    """A tally of two classes, by the probability of the second one."""
    predicted = (positive > 0.5).astype(int)
    scores = np.where(predicted == 1, positive, 1 - positive)
    return of_classes(predicted.tolist(), actual.tolist(), scores.tolist())


@pytest.mark.parametrize("classes", [2, 3, 11])
@pytest.mark.parametrize("seed", range(3))
def test_precision_recall_and_f1(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    actual = rng.choice(classes, 500, p=rng.dirichlet(np.ones(classes)))
    predicted = np.where(rng.random(500) < 0.6, actual, rng.integers(0, classes, 500))
    tally = of_classes(predicted.tolist(), actual.tolist())
    found = by_class(tally, [str(n) for n in range(classes)])
    labels = sorted({*predicted.tolist(), *actual.tolist()})
    expected = metrics.precision_recall_fscore_support(actual, predicted, labels=labels, zero_division=0)
    for one, precision, recall, f1, support in zip(found, *expected, strict=True):
        assert (one.precision, one.recall, one.f1) == pytest.approx((precision, recall, f1))
        assert one.actual == support
    averages = weighted(found)
    of_all = metrics.precision_recall_fscore_support(actual, predicted, average="weighted", zero_division=0)[:3]
    assert (averages.precision, averages.recall, averages.f1) == pytest.approx(of_all)
    assert tally.correct / tally.classified == metrics.accuracy_score(actual, predicted)


@pytest.mark.parametrize(
    ("a", "b", "rows"),
    [
        (1.0, 1.0, 5000),
        (2.0, 5.0, 5000),
        (0.5, 0.5, 5000),
        (50.0, 50.0, 5000),
        (0.5, 40.0, 20_000),
        (0.3, 300.0, 90_000),
    ],
)
def test_auc_log_loss_and_brier(a: float, b: float, rows: int) -> None:
    """Scores of all shapes; the last two are of classes that are rare, as fraud is."""
    rng = np.random.default_rng(3)
    positive = rng.beta(a, b, rows)
    actual = (rng.random(rows) < positive).astype(int)
    tally = of_probabilities(positive, actual)
    exact = metrics.roc_auc_score(actual, positive)
    assert roc_auc(tally, 1, 0) == pytest.approx(exact, abs=0.005)
    assert roc_auc(tally, 0, 1) == pytest.approx(exact, abs=0.005)  # AUC is the same for either class.
    assert log_loss(tally) == pytest.approx(metrics.log_loss(actual, np.column_stack([1 - positive, positive])))
    assert brier(tally) == pytest.approx(metrics.brier_score_loss(actual, positive))


def test_auc_of_a_model_that_is_wrong() -> None:
    rng = np.random.default_rng(4)
    positive = rng.random(5000)
    actual = (rng.random(5000) > positive).astype(int)
    exact = metrics.roc_auc_score(actual, positive)
    assert exact < 0.2
    assert roc_auc(of_probabilities(positive, actual), 1, 0) == pytest.approx(exact, abs=0.005)


def test_auc_needs_both_classes_and_scores() -> None:
    assert roc_auc(of_classes([1, 1], [1, 1], [0.9, 0.8]), 1, 0) is None
    assert roc_auc(of_classes([1, 0], [1, 0]), 1, 0) is None


def test_probabilities_of_0_and_1_have_a_log_loss() -> None:
    actual = np.array([1, 0, 1, 0])
    positive = np.array([1.0, 0.0, 0.0, 1.0])
    expected = metrics.log_loss(actual, np.column_stack([1 - positive, positive]))
    assert log_loss(of_probabilities(positive, actual)) == pytest.approx(expected)


def test_bins_are_a_mirror() -> None:
    assert [bin_of(p) for p in (0.0, 1e-300, 0.5, 1 - 1e-12, 1.0)] == [0, 0, BINS // 2, BINS - 1, BINS - 1]
    rng = random.Random(3)
    for p in [rng.random() for _ in range(1000)]:
        assert abs(bin_of(1 - p) - (BINS - 1 - bin_of(p))) <= 1


def test_calibration_error_and_what_chance_makes_of_it() -> None:
    """Models that are calibrated perfectly show on average what is expected of them, .031 for 500 rows."""
    rng = np.random.default_rng(7)
    errors, expected = [], []
    for _ in range(200):
        positive = rng.random(500)
        actual = (rng.random(500) < positive).astype(int)
        error, chance = calibration_error(of_probabilities(positive, actual))
        errors.append(error)
        expected.append(chance)
    assert np.mean(errors) == pytest.approx(np.mean(expected), rel=0.1)


def test_calibration_error_by_hand() -> None:
    tally = of_classes([1] * 20, [1] * 14 + [0] * 6, [0.95] * 10 + [0.61] * 10)
    # Ten rows at 0.95 of which all are right; ten at 0.61 of which four are.
    assert calibration_error(tally)[0] == pytest.approx((0.05 + 0.21) / 2)


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e12])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_regression(scale: float, offset: float) -> None:
    rng = np.random.default_rng(2)
    actual = (rng.normal(0, 1, 800) + offset) * scale
    predicted = actual + rng.normal(0.1, 0.3, 800) * scale
    tally = Tally()
    for said, true in zip(predicted.tolist(), actual.tolist(), strict=True):
        assert tally.add_number(said, true)
    found = of_numbers(tally)
    assert found.mae == pytest.approx(metrics.mean_absolute_error(actual, predicted))
    assert found.rmse == pytest.approx(metrics.root_mean_squared_error(actual, predicted))
    assert found.mape == pytest.approx(metrics.mean_absolute_percentage_error(actual, predicted))
    assert found.r2 == pytest.approx(metrics.r2_score(actual, predicted), rel=1e-9)
    assert found.bias == pytest.approx(np.mean(predicted - actual))


def test_numbers_that_give_no_figure() -> None:
    tally = Tally()
    assert tally.add_number(1.0, 0.0)
    assert tally.add_number(2.0, 0.0)
    found = of_numbers(tally)
    assert (found.mape, found.r2) == (None, None)
    assert not tally.add_number(1e300, 0.0)
    assert tally.numbers == 2


def test_a_square_is_exact() -> None:
    rng = random.Random(1)
    for value in [rng.uniform(-1e9, 1e9) for _ in range(500)]:
        high, low = square(value)
        assert Fraction(high) + Fraction(low) == Fraction(value) ** 2


def test_wilson() -> None:
    """Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20."""
    for hits, rows, lower, upper in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = share(hits, rows)
        assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=5e-5)


@pytest.mark.parametrize(
    ("names", "chosen", "positive"),
    [
        (["1", "0"], "", "1"),
        (["10", "9"], "", "10"),
        (["yes", "no"], "", "yes"),
        (["true", "false"], "", "true"),
        (["good", "bad"], "bad", "bad"),
        (["good", "bad"], "ugly", None),
        (["a", "b", "c"], "", None),
    ],
)
def test_the_class_of_interest(names: list[str], chosen: str, positive: str | None) -> None:
    codes = list(range(len(names)))
    found = positive_code(by_class(of_classes(codes, codes), names), names, chosen)
    assert (None if found is None else names[found]) == positive


def test_classes_beyond_the_bound() -> None:
    tally = Tally()
    for correct in (True, False, False):
        tally.add_class(MAX_CODE, MAX_CODE, correct, 0.7)
    tally.add_class(0, 0, True, 0.7)
    names = [*(f"c{n}" for n in range(MAX_CODE)), OTHER]
    assert {one.name: one.hits for one in by_class(tally, names)} == {"c0": 1, OTHER: 1}
    assert tally.correct == 2


def test_a_tally_takes_what_is_said() -> None:
    """The bound of memory is computed from it."""
    rng = random.Random(2)
    tally = Tally()
    for _ in range(5000):
        tally.add_class(rng.randrange(MAX_CODE + 1), rng.randrange(MAX_CODE + 1), rng.random() < 0.5, rng.random())
        tally.add_number(rng.gauss(0, 1e9), rng.gauss(0, 1e-9))
    held = [tally.matrix, tally.bins, tally.calibration, tally.scores, tally.score_sums, tally.value_sums]
    inner = [*tally.scores, *tally.score_sums.values(), *tally.value_sums.values()]
    assert sum(map(sys.getsizeof, [tally, vars(tally), *held, *inner])) <= TALLY_BYTES


def test_tallies_add_up_in_any_order_and_are_kept() -> None:
    rng = random.Random(5)
    rows = [(rng.randrange(4), rng.randrange(4), rng.random()) for _ in range(300)]
    numbers = [(rng.gauss(0, 1e6), rng.gauss(0, 1e-6)) for _ in range(300)]

    def tally(of: list[int]) -> Tally:
        made = Tally()
        for n in of:
            predicted, actual, score = rows[n]
            made.add_class(predicted, actual, predicted == actual, score)
            made.add_number(*numbers[n])
        return made

    order = list(range(300))
    rng.shuffle(order)
    whole, parts = tally(list(range(300))), Tally()
    for part in (order[:100], order[100:]):
        parts.plus(Tally.unpack(tally(part).pack()))
    assert parts.pack() == whole.pack()


@pytest.mark.parametrize("packed", [b"", b"x", Tally().pack()[:-3]])
def test_what_is_no_tally(packed: bytes) -> None:
    with pytest.raises(ValueError, match="not a tally"):
        Tally.unpack(packed)
