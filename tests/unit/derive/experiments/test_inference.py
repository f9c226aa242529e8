"""Tests and intervals beside what they are by definition: integrals, root finding, libraries, exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from sidecar.derive.experiments import inference
from sidecar.derive.experiments.inference import (
    Arm,
    compare,
    enough,
    log_ratio,
    mean_of,
    mixture_units,
    p_value,
    proportion,
    share_log_ratio,
)

CASES = [
    (Arm(400, 0.1, 0.09), Arm(500, 0.14, 0.12), 1_000.0),
    (Arm(5_000, 2.0, 30.0), Arm(4_000, 2.4, 36.0), 250.0),
    (Arm(50_000, 0.011, 0.0108), Arm(5_000, 0.009, 0.0089), 90.0),
]


def by_integral(difference: float, variance: float, m: float, r: float) -> float:
    """The likelihood ratio against no difference, mixed over effects from N(0, t^2)."""
    t = math.sqrt(variance * m / r)
    sd = math.sqrt(variance)

    def density(x: float, deviation: float) -> float:
        return math.exp(-((x / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))

    def mixed(effect: float) -> float:
        return density(difference - effect, sd) / density(difference, sd) * density(effect, t)

    found, _ = integrate.quad(mixed, -12 * t, 12 * t, points=[difference], limit=400)
    return float(found)


@pytest.mark.parametrize(("control", "treatment", "r"), CASES)
def test_the_likelihood_ratio_is_the_integral_over_effects(control: Arm, treatment: Arm, r: float) -> None:
    found = compare(control, treatment, r, 0.05)
    assert found is not None
    variance = control.variance / control.units + treatment.variance / treatment.units
    m = control.units * treatment.units / (control.units + treatment.units)
    expected = by_integral(treatment.mean - control.mean, variance, m, r)
    assert math.exp(found.log_ratio) == pytest.approx(expected, rel=1e-6)
    assert p_value(found.log_ratio) == pytest.approx(min(1, 1 / expected))


@pytest.mark.parametrize(("control", "treatment", "r"), CASES)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_interval_has_the_differences_that_are_not_rejected(
    control: Arm, treatment: Arm, r: float, alpha: float
) -> None:
    found = compare(control, treatment, r, alpha)
    assert found is not None
    variance = control.variance / control.units + treatment.variance / treatment.units
    m = control.units * treatment.units / (control.units + treatment.units)
    difference = treatment.mean - control.mean

    def excess(candidate: float) -> float:
        return math.log(by_integral(difference - candidate, variance, m, r)) + math.log(alpha)

    wide = 20 * math.sqrt(variance)
    assert found.difference.value == difference
    assert found.difference.lower == pytest.approx(optimize.brentq(excess, difference - wide, difference), rel=1e-6)
    assert found.difference.upper == pytest.approx(optimize.brentq(excess, difference, difference + wide), rel=1e-6)


@pytest.mark.parametrize(("control", "treatment", "r"), CASES[:2])
def test_the_interval_of_the_lift_has_the_ratios_that_are_not_rejected(control: Arm, treatment: Arm, r: float) -> None:
    found = compare(control, treatment, r, 0.05)
    assert found is not None
    assert found.lift is not None
    m = control.units * treatment.units / (control.units + treatment.units)

    def excess(lift: float) -> float:
        """Of the treatment beside a control whose every unit is multiplied."""
        q = 1 + lift
        variance = q * q * control.variance / control.units + treatment.variance / treatment.units
        deviation = treatment.mean - q * control.mean
        return log_ratio(deviation * deviation / variance, m, r) + math.log(0.05)

    assert found.lift.value == pytest.approx(treatment.mean / control.mean - 1)
    assert found.lift.lower == pytest.approx(optimize.brentq(excess, -0.9, found.lift.value), rel=1e-9)
    assert found.lift.upper == pytest.approx(optimize.brentq(excess, found.lift.value, 99), rel=1e-9)


def test_there_is_no_lift_over_what_may_be_nothing() -> None:
    found = compare(Arm(200, 0.1, 90.0), Arm(200, 5.0, 90.0), 100, 0.05)
    assert found is not None
    assert found.lift is None
    negative = compare(Arm(20_000, -5.0, 9.0), Arm(20_000, 5.0, 9.0), 100, 0.05)
    assert negative is not None
    assert negative.lift is None


def test_what_does_not_vary_is_not_compared() -> None:
    assert compare(Arm(200, 3.0, 0.0), Arm(200, 3.0, 0.0), 100, 0.05) is None
    assert compare(proportion(200, 0), proportion(200, 0), 100, 0.05, 0.0) is None


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("planned", [1_000, 10_000, 1_000_000])
def test_intervals_are_tightest_at_the_planned_units(planned: int, alpha: float) -> None:
    def width(log_r: float) -> float:
        r = math.exp(log_r)
        return inference._critical(planned / 4, r, alpha)

    best = optimize.minimize_scalar(width, bounds=(0, math.log(planned)), method="bounded", options={"xatol": 1e-9})
    assert mixture_units(planned, alpha) == pytest.approx(math.exp(best.x), rel=1e-4)


def test_at_the_planned_units_the_interval_is_wider_than_that_of_one_look() -> None:
    """The price of looking all the time: by less than a half."""
    r = mixture_units(10_000, 0.05)
    assert math.sqrt(inference._critical(2_500, r, 0.05)) / 1.959964 == pytest.approx(1.54, abs=0.01)


@pytest.mark.parametrize("counts", [(3, 5), (40, 12), (7, 0, 9)])
def test_the_test_of_shares_is_a_product_of_predictions(counts: tuple[int, ...]) -> None:
    """Unit after unit: how probable each is by what was seen before, beside its expected share; exactly."""
    expected = [Fraction(1, len(counts))] * len(counts)
    seen, ratio = [0] * len(counts), Fraction(1)
    for at, n in enumerate(counts):
        for _ in range(n):
            prior = int(inference.CONCENTRATION) * expected[at]
            ratio *= (prior + seen[at]) / (int(inference.CONCENTRATION) + sum(seen)) / expected[at]
            seen[at] += 1
    assert share_log_ratio(counts, [float(share) for share in expected]) == pytest.approx(math.log(ratio), abs=1e-9)


def test_the_test_of_shares_beside_dirichlet_multinomial() -> None:
    counts, expected = [5_300, 4_100, 600], [0.5, 0.45, 0.05]
    alternative = stats.dirichlet_multinomial.logpmf(counts, inference.CONCENTRATION * np.array(expected), 10_000)
    null = stats.multinomial.logpmf(counts, 10_000, expected)
    assert share_log_ratio(counts, expected) == pytest.approx(alternative - null, rel=1e-9)


def test_means_and_variances() -> None:
    values = np.random.default_rng(4).lognormal(3, 1, 500)
    found = mean_of(500, float(values.sum()), float((values**2).sum()))
    assert found.mean == pytest.approx(values.mean())
    assert found.variance == pytest.approx(values.var(ddof=1))
    assert proportion(98, 9) == Arm(98, 9 / 98, 0.1 * 0.9)


def test_the_squared_deviation_of_shares_is_that_of_a_chi_squared_test() -> None:
    table = [[120, 880], [170, 930]]
    (c0, n0), (c1, n1) = ((row[0], sum(row)) for row in table)
    share = (c0 + c1) / (n0 + n1)
    found = compare(proportion(n0, c0), proportion(n1, c1), 300.0, 0.05, share * (1 - share))
    z2 = stats.chi2_contingency(table, correction=False).statistic
    assert found is not None
    assert found.log_ratio == pytest.approx(log_ratio(z2, n0 * n1 / (n0 + n1), 300.0))


def test_shares_are_compared_once_ten_of_each_kind_are_expected() -> None:
    assert enough((100, 10), (100, 10))
    assert not enough((100, 9), (100, 10))
    assert enough((100, 0), (100, 20))
    assert not enough((100, 91), (100, 91))
    assert not enough((0, 0), (0, 0))
    assert not enough((100_000, 5_000), (190, 9))
