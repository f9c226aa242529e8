"""What a comparison of two variants may say at any time, however often it was looked at.

Means of two variants are compared by a mixture sequential probability ratio test: with d the difference, V its
estimated variance, m = n0 n1 / (n0 + n1) and z2 = d^2 / V,

    L = sqrt(r / (r + m)) exp(z2 / 2 * m / (m + r)),    p = min(1, 1 / max L)

which is Robbins' mixture of N(0, t^2) over the effect with t^2 = V m / r, so that the unit of the outcome does not
matter. Under no difference L is a martingale of mean 1 but for the estimate of V: p is below a with probability a at
most, over all looks together (Ville), for means that are about normal. The interval has all differences that the same
test does not reject; that of the ratio of means too (Fieller), so it holds wherever that of the difference does.

Sources: H. Robbins, "Statistical methods related to the law of the iterated logarithm", 1970. R. Johari, P. Koomen,
L. Pekelis and D. Walsh, "Always valid inference: continuous monitoring of A/B tests", Operations Research 70, 2022
(arXiv:1512.04922). S. Howard, A. Ramdas, J. McAuliffe and J. Sekhon, "Time-uniform, nonparametric, nonasymptotic
confidence sequences", 2021 (arXiv:1810.08240), for r. I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy and A. Ramdas,
"Time-uniform central limit theory and asymptotic confidence sequences", 2024 (arXiv:2103.06476), for the estimated V.

How units are shared out is tested exactly, for any number of units: M. Lindon and A. Malek, "Anytime-valid inference
for multinomial count data", 2022 (arXiv:2011.03567).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

MIN_EXPECTED = 10
"""Units that convert, and that do not, which are expected in each variant before they are compared."""
CONCENTRATION = 1_000.0
"""Units that the test of shares takes its alternative to be worth: shares about as far from the expected ones as those
of so many units. The larger, the smaller the mismatch that is found, and the later a large one is."""


class Arm(NamedTuple):
    """One variant's outcome."""

    units: int
    mean: float
    variance: float
    """Of one unit."""


class Interval(NamedTuple):
    """An estimate with the ends of its interval."""

    value: float
    lower: float
    upper: float


class Evidence(NamedTuple):
    """Of one comparison at one moment."""

    log_ratio: float
    """log L."""
    difference: Interval
    lift: Interval | None
    """(treatment - control) / control; None where the control's mean may be 0 or less."""


def mixture_units(planned: int, alpha: float) -> float:
    """r, for intervals that are tightest when `planned` units are shared out equally to two variants (Howard et al.,
    proposition 3)."""
    found = target = 1 - 2 * math.log(alpha)
    for _ in range(100):
        found = target + math.log(found)
    return planned / 4 / (found - 1)


def proportion(units: int, successes: int) -> Arm:
    """A share as an outcome. Its variance is that of a share with one more success and one more failure, so that it is
    not 0 where one of them has not come yet (A. Agresti and B. Caffo, 2000)."""
    share = (successes + 1) / (units + 2)
    return Arm(units, successes / units, share * (1 - share))


def mean_of(units: int, total: float, squares: float) -> Arm:
    """A number of each unit as an outcome. `squares`: their sum."""
    mean = total / units
    return Arm(units, mean, max(0.0, squares - units * mean * mean) / (units - 1))


def enough(control: tuple[int, int], treatment: tuple[int, int]) -> bool:
    """Whether shares are about normal. Each: (units, successes)."""
    units = control[0] + treatment[0]
    if not units:
        return False
    share = (control[1] + treatment[1]) / units
    return min(share, 1 - share) * min(control[0], treatment[0]) >= MIN_EXPECTED


def compare(control: Arm, treatment: Arm, r: float, alpha: float, pooled: float | None = None) -> Evidence | None:
    """The treatment beside the control. `pooled`: variance of a unit if there is no difference, by which the test is
    then made, as is usual for shares. None where nothing varies."""
    v0, v1 = control.variance / control.units, treatment.variance / treatment.units
    if v0 + v1 <= 0 or (pooled is not None and pooled <= 0):
        return None
    m = control.units * treatment.units / (control.units + treatment.units)
    difference = treatment.mean - control.mean
    tested = v0 + v1 if pooled is None else pooled / m
    width = _critical(m, r, alpha)
    half = math.sqrt(width * (v0 + v1))
    return Evidence(
        log_ratio(difference * difference / tested, m, r),
        Interval(difference, difference - half, difference + half),
        _lift(control.mean, treatment.mean, v0, v1, width),
    )


def log_ratio(z2: float, m: float, r: float) -> float:
    """log L of a squared standardised difference of `m` = n0 n1 / (n0 + n1) units."""
    return math.log(r / (r + m)) / 2 + z2 / 2 * m / (m + r)


def p_value(largest: float) -> float:
    """The always-valid p-value of the largest log L so far."""
    return math.exp(-max(0.0, largest))


def _critical(m: float, r: float, alpha: float) -> float:
    """The squared standardised difference at which L reaches 1 / alpha."""
    return (m + r) / m * (math.log((m + r) / r) - 2 * math.log(alpha))


def _lift(m0: float, m1: float, v0: float, v1: float, width: float) -> Interval | None:
    """The ratios q for which m1 - q m0 is not found to differ from 0, less 1."""
    a, b, c = m0 * m0 - width * v0, m0 * m1, m1 * m1 - width * v1
    if m0 <= 0 or a <= 0:
        return None
    root = math.sqrt(max(0.0, b * b - a * c))
    return Interval(m1 / m0 - 1, (b - root) / a - 1, (b + root) / a - 1)


def share_log_ratio(counts: Sequence[int], expected: Sequence[float]) -> float:
    """log of the Bayes factor against the expected shares (each above 0, together 1), of a Dirichlet prior around
    them. Its inverse is an always-valid p-value, at any number of units."""
    total = sum(counts)
    found = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + total)
    for count, share in zip(counts, expected, strict=True):
        prior = CONCENTRATION * share
        found += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return found
