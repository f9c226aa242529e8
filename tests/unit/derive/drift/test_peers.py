"""Scores beside those of Evidently, NannyML and whylogs (`make oracles`): ours are still these, and the reasons that
the page gives for the differences are the whole of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon
from support.drift_oracles import golden
from support.drift_oracles.pairs import CATEGORIES, PAIRS, numbers, texts

from sidecar.decode.api import F64

GOLDEN = json.loads(golden.GOLDEN.read_text("utf-8"))
EVERY = sorted({*PAIRS, *CATEGORIES})


def of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = GOLDEN["pairs"][name]
    return found


@pytest.mark.parametrize("name", EVERY)
def test_ours_are_the_golden_ones(name: str) -> None:
    for found, expected in ((golden.ours(name), of(name)["ours"]), (golden.scipys(name), of(name)["scipy"])):
        assert expected.keys() <= found.keys(), "a method may be newer than the golden file"
        for key, value in expected.items():
            assert found[key] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-9, abs=1e-12)), key


@pytest.mark.parametrize("method", ["psi", "ks", "wasserstein", "jensen_shannon", "chi_squared"])
def test_the_page_has_the_table(method: str) -> None:
    assert golden.tables(GOLDEN)[method] in golden.PAGE.read_text("utf-8")


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_d_and_w1_are_those_of_all(name: str) -> None:
    found = of(name)
    for library in ("nannyml", "whylogs"):
        assert found["ours"]["ks"] == pytest.approx(found[library]["ks"], abs=0.012), library
    assert found["evidently"]["ks"] == pytest.approx(found["scipy"]["ks_p"], rel=1e-6)
    if found["scipy"]["std"]:
        for theirs in (found["evidently"]["wasserstein"], found["nannyml"]["wasserstein"] / found["scipy"]["std"]):
            assert found["ours"]["wasserstein"] == pytest.approx(theirs, rel=0.02, abs=0.005)


def evidentlys_bins(name: str) -> tuple[F64, F64]:
    """Shares: Sturges' rule over both sides, or the values where there are at most 20 before."""
    if name in CATEGORIES:
        before, after = map(np.array, texts(name))
    else:
        before, after = numbers(name)
    if name in CATEGORIES or len(np.unique(before)) <= 20:
        values = np.union1d(before, after)
        a, b = (np.array([np.count_nonzero(side == value) for value in values]) for side in (before, after))
    else:
        edges = np.histogram_bin_edges(np.concatenate([before, after]), bins="sturges")
        a, b = np.histogram(before, edges)[0], np.histogram(after, edges)[0]
    return a / len(before), b / len(after)


def filled(shares: F64) -> F64:
    least = shares[shares > 0].min()
    return np.where(shares == 0, least / 1e6 if least <= 1e-4 else 1e-4, shares)


@pytest.mark.parametrize("name", EVERY)
def test_evidently_has_other_bins_and_another_zero(name: str) -> None:
    q, p = evidentlys_bins(name)
    found = of(name)["evidently"]
    assert found["jensen_shannon"] == pytest.approx(jensenshannon(q, p), rel=1e-6)
    q, p = filled(q), filled(p)
    assert found["psi"] == pytest.approx(float(((p - q) * np.log(p / q)).sum()), rel=1e-6)


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_nannyml_has_bins_of_the_values_before(name: str) -> None:
    before, after = numbers(name)
    edges = np.histogram_bin_edges(before, bins="doane")
    q, p = np.histogram(before, edges)[0] / len(before), np.histogram(after, edges)[0] / len(after)
    outside = max(0.0, 1 - float(p.sum()))
    expected = jensenshannon(np.append(q, 0), np.append(p, outside), base=2)
    assert of(name)["nannyml"]["jensen_shannon"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", sorted(CATEGORIES))
def test_chi_squared_of_categories(name: str) -> None:
    found = of(name)
    assert found["nannyml"]["chi_squared"] == pytest.approx(found["scipy"]["chi_squared"], rel=1e-9)
    if name != "200 rare categories":  # Which are one bin here.
        assert found["ours"]["chi_squared_statistic"] == pytest.approx(found["scipy"]["chi_squared"], rel=1e-3)
    q, p = evidentlys_bins(name)
    size = len(texts(name)[1])
    with np.errstate(divide="ignore"):
        statistic = float((size * (p - q) ** 2 / q).sum())
    assert found["evidently"]["chi_squared"] == pytest.approx(stats.chi2.sf(statistic, len(q) - 1), rel=1e-6)
