"""Scores equal those that scipy computes from the raw values; critical values are exceeded as seldom as they say."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator
from scipy import stats
from scipy.spatial.distance import jensenshannon
from support.drift_data import bins_of_numbers, compared, live

from sidecar.decode.api import F64
from sidecar.derive.drift.methods.chi_squared_quantile import chi_squared_quantile, upper_tail
from sidecar.derive.drift.methods.method import Comparison
from sidecar.derive.drift.methods.registry import METHODS, method

Pair = tuple[F64, F64]


def two_lumps(rng: Generator) -> Pair:
    """A reference with an empty range in which all live values lie."""
    return np.concatenate([rng.normal(-5, 0.3, 5000), rng.normal(5, 0.3, 5000)]), rng.normal(0, 0.3, 5000)


def many_zeros(rng: Generator) -> Pair:
    def values(share: float) -> F64:
        return np.where(rng.random(8000) < share, 0.0, np.exp(rng.normal(size=8000)))

    return values(0.6), values(0.4)


PAIRS: dict[str, Callable[[Generator], Pair]] = {
    "normal, shifted": lambda rng: (rng.normal(size=10_000), rng.normal(0.5, 1, 5000)),
    "normal, wider": lambda rng: (rng.normal(size=10_000), rng.normal(0, 2, 5000)),
    "normal, far away": lambda rng: (rng.normal(size=10_000), rng.normal(30, 1, 5000)),
    "lognormal": lambda rng: (np.exp(rng.normal(size=10_000)), np.exp(rng.normal(0.3, 1, 5000))),
    "heavy tails": lambda rng: (rng.standard_t(2, 20_000), rng.standard_t(2, 5000) + 0.3),
    "heavy ties": lambda rng: (rng.poisson(2, 10_000) * 1.0, rng.poisson(3, 5000) * 1.0),
    "a hundred integers": lambda rng: (rng.integers(0, 100, 10_000) * 1.0, rng.integers(10, 110, 5000) * 1.0),
    "constant becomes another": lambda rng: (np.full(1000, 5.0), np.full(500, 7.0)),
    "becomes constant": lambda rng: (rng.normal(size=10_000), np.full(500, 0.123)),
    "an empty range": two_lumps,
    "many zeros": many_zeros,
    "times of a day in 2024": lambda rng: (1.7e9 + rng.normal(0, 9e3, 10_000), 1.7e9 + rng.normal(4e3, 9e3, 5000)),
    "apart": lambda rng: (rng.random(5000), rng.random(5000) + 2),
    "both ends": lambda rng: (rng.random(5000), rng.beta(0.2, 0.2, 5000)),
    "few live rows": lambda rng: (rng.normal(size=10_000), rng.normal(1, 1, 40)),
    "negative and large": lambda rng: (rng.normal(-1e12, 1e9, 5000), rng.normal(-1.001e12, 1e9, 5000)),
}


@pytest.fixture(params=sorted(PAIRS))
def pair(request: pytest.FixtureRequest) -> Pair:
    return PAIRS[request.param](np.random.default_rng(7))


def test_ks(pair: Pair) -> None:
    assert method("ks").score(compared(*pair)) == pytest.approx(stats.ks_2samp(*pair).statistic, abs=0.01)


def test_wasserstein(pair: Pair) -> None:
    before, after = pair
    if before.std() == 0:
        assert math.isinf(method("wasserstein").score(compared(*pair)))
        return
    expected = stats.wasserstein_distance(before, after) / before.std()
    assert method("wasserstein").score(compared(*pair)) == pytest.approx(expected, rel=0.02, abs=0.004)


def shares(found: Comparison) -> tuple[F64, F64]:
    reference, live = found.bins()
    return live / live.sum(), reference / reference.sum()


def test_jensen_shannon_is_exact_on_the_bins(pair: Pair) -> None:
    found = compared(*pair)
    expected = jensenshannon(*shares(found), base=2)
    assert method("jensen_shannon").score(found) == pytest.approx(expected, abs=1e-12)


def test_psi_is_exact_on_the_bins(pair: Pair) -> None:
    found = compared(*pair)
    reference, live = found.bins()
    p = (live + 0.5) / (live.sum() + 0.5 * len(live))
    q = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    # The sum of both Kullback-Leibler divergences.
    assert method("psi").score(found) == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), rel=1e-12)


def test_chi_squared_is_that_of_a_contingency_table(pair: Pair) -> None:
    found = compared(*pair)
    reference, live = found.bins()
    expected = stats.chi2_contingency(np.array([reference, live]), correction=False).statistic
    assert method("chi_squared").score(found) ** 2 / found.noise == pytest.approx(expected, rel=1e-9)


def test_no_distance_from_itself(pair: Pair) -> None:
    found = compared(pair[0], pair[0])
    assert [one.score(found) for one in METHODS] == pytest.approx([0.0] * len(METHODS), abs=1e-6)


@pytest.mark.parametrize("alpha", [0.5, 0.01, 1.14e-6, 1e-12])
@pytest.mark.parametrize("freedom", [1, 2, 19, 49, 400])
def test_quantiles_of_chi_squared(alpha: float, freedom: int) -> None:
    assert chi_squared_quantile(alpha, freedom) == pytest.approx(stats.chi2.isf(alpha, freedom), rel=1e-6)
    assert upper_tail(freedom * 1.5, freedom) == pytest.approx(stats.chi2.sf(freedom * 1.5, freedom), rel=1e-9)


@pytest.mark.parametrize("name", [one.name for one in METHODS])
@pytest.mark.parametrize("shape", ["normal", "lognormal", "ties"])
def test_without_a_change_the_critical_value_is_seldom_exceeded(name: str, shape: str) -> None:
    """1 % of 400 windows, give or take four standard deviations."""
    rng = np.random.default_rng(11)
    draw = {
        "normal": lambda n: rng.normal(size=n),
        "lognormal": lambda n: np.exp(rng.normal(size=n)),
        "ties": lambda n: rng.poisson(2, n) * 1.0,
    }[shape]
    before, one, windows = draw(10_000), method(name), 400
    bins = bins_of_numbers(before)
    found = [live(bins, draw(1000)) for _ in range(windows)]
    exceeded = sum(one.score(each) > one.critical(each, 0.01) for each in found)
    assert exceeded <= windows * 0.01 + 4 * math.sqrt(windows * 0.01)
