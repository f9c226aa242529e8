"""Scores equal those that scipy computes from the raw values; critical values are exceeded as seldom as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon
from support.drift_data import bins_of_numbers, compared, live
from support.drift_oracles.pairs import PAIRS, Pair

from sidecar.decode.api import F64
from sidecar.derive.drift.methods import likelihood_ratio
from sidecar.derive.drift.methods.chi_squared_quantile import chi_squared_quantile, upper_tail
from sidecar.derive.drift.methods.method import Comparison
from sidecar.derive.drift.methods.registry import METHODS, method


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
    reference, live = found.bins
    return live / live.sum(), reference / reference.sum()


def test_jensen_shannon_is_exact_on_the_bins(pair: Pair) -> None:
    found = compared(*pair)
    expected = jensenshannon(*shares(found), base=2)
    assert method("jensen_shannon").score(found) == pytest.approx(expected, abs=1e-12)


def test_psi_is_exact_on_the_bins(pair: Pair) -> None:
    found = compared(*pair)
    reference, live = found.bins
    p = (live + 0.5) / (live.sum() + 0.5 * len(live))
    q = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    # The sum of both Kullback-Leibler divergences.
    assert method("psi").score(found) == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), rel=1e-12)


def test_chi_squared_is_that_of_a_contingency_table(pair: Pair) -> None:
    found = compared(*pair)
    reference, live = found.bins
    expected = stats.chi2_contingency(np.array([reference, live]), correction=False).statistic
    assert method("chi_squared").score(found) ** 2 / found.noise == pytest.approx(expected, rel=1e-9)


def test_no_distance_from_itself(pair: Pair) -> None:
    found = compared(pair[0], pair[0])
    assert [one.score(found) for one in METHODS] == pytest.approx([0.0] * len(METHODS), abs=1e-6)


def test_the_statistic_of_certainty_is_that_of_the_g_test(pair: Pair) -> None:
    found = compared(*pair)
    reference, live = found.bins
    table = np.array([reference, live])
    expected = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
    counts = found.live_bins, found.reference_bins
    assert likelihood_ratio.statistic(*counts) == pytest.approx(expected.statistic, rel=1e-9, abs=1e-9)
    few = (1 / np.maximum(expected.expected_freq.min(axis=0), 1)).sum() / max(1, expected.dof)
    fewer, more = sorted((live.sum(), reference.sum()))
    few *= 1 + fewer**2 / more / (fewer + more)
    limit = stats.chi2.isf(1e-6, max(1, expected.dof)) * (1 + few / 3)
    assert likelihood_ratio.limit(*counts, 1e-6) == pytest.approx(limit, rel=1e-6)


@pytest.mark.parametrize("name", ["psi", "jensen_shannon", "chi_squared"])
def test_a_score_is_above_its_critical_value_where_the_statistic_is_above_its_limit(pair: Pair, name: str) -> None:
    found, one = compared(*pair), method(name)
    for alpha in (0.5, 1e-3, 1e-6, 1e-9):
        counts = found.live_bins, found.reference_bins
        certain = likelihood_ratio.statistic(*counts) > likelihood_ratio.limit(*counts, alpha)
        assert (one.score(found) > one.critical(found, alpha)) == certain


@pytest.mark.parametrize("name", ["psi", "jensen_shannon", "chi_squared"])
def test_the_critical_value_of_what_is_equal_is_that_of_small_differences(name: str) -> None:
    before = np.repeat(np.arange(20.0), 500)
    same, one = compared(before, before), method(name)
    near = compared(before, np.append(before[:-40], np.zeros(40)))
    assert one.score(same) == pytest.approx(0, abs=1e-6)
    assert one.critical(same, 1e-6) == pytest.approx(one.critical(near, 1e-6), rel=0.1)


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
