"""What windows are computed from: exact where it says so, the same in any order and any parts."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from sidecar.decode.api import FeatureKind
from sidecar.derive.quality.column_summary import Needs, Summary
from sidecar.derive.quality.distinct import MAX_DISTINCT, MAX_EXACT, keys_of
from sidecar.derive.quality.size_buckets import RELATIVE_ERROR
from sidecar.derive.quality.values import Values
from sidecar.derive.quality.window_rules import QUANTILES

ALL = Needs(sums=True, squares=True, distinct=MAX_DISTINCT, buckets=True)
SCALES = (
    ("of one", 1.0, 0.0),
    ("small", 1e-9, 0.0),
    ("large", 1e9, 0.0),
    ("far from 0", 1.0, 1e9),
    ("about 0", 3.0, -1.0),
)


def values(numbers: Any) -> Values:
    found = np.asarray(numbers, np.float64)
    kind = np.where(np.isnan(found), FeatureKind.MISSING, FeatureKind.NUMBER).astype(np.uint8)
    return Values(kind, np.where(np.isnan(found), 0.0, found), [])


def summary_of(*parts: Any, needs: Needs = ALL) -> Summary:
    found = Summary(needs)
    for part in parts:
        found.add(values(part))
    return found


@pytest.mark.parametrize(("name", "scale", "center"), SCALES)
def test_figures_are_those_of_numpy(name: str, scale: float, center: float) -> None:
    rng = np.random.default_rng(3)
    numbers = rng.lognormal(0, 1, 3000) * scale + center
    found = summary_of(numbers)
    assert found.mean == pytest.approx(np.mean(numbers), rel=1e-12)
    assert found.total == pytest.approx(np.sum(numbers), rel=1e-12)
    # numpy's own figure is only as exact as the mean that it takes away.
    exact = np.std(numbers.astype(np.longdouble), ddof=1)
    assert found.deviation == pytest.approx(float(exact), rel=1e-12)
    assert (found.low, found.high) == (numbers.min(), numbers.max())


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("share", [0, 0.05, 0.5, 0.99, 1])
def test_quantiles(method: str, share: float) -> None:
    rng = np.random.default_rng(4)
    few = np.round(rng.normal(0, 30, 2000))
    assert summary_of(few).quantile(share, method) == pytest.approx(
        np.quantile(few, share, method=method),  # type: ignore[call-overload]
        rel=1e-12,
    )
    many = rng.lognormal(3, 2, 20_000)
    assert summary_of(many).distinct is None
    for numbers in (many, -many):
        exact = np.quantile(numbers, share, method=method)  # type: ignore[call-overload]
        assert summary_of(numbers).quantile(share, method) == pytest.approx(exact, rel=RELATIVE_ERROR)


@pytest.mark.parametrize("method", ["lower", "higher", "nearest"])
def test_quantiles_of_any_distribution_are_off_by_less_than_1_percent(method: str) -> None:
    assert RELATIVE_ERROR < 0.01
    rng = np.random.default_rng(7)
    for numbers in (
        rng.normal(0, 1, 5000),
        rng.normal(1e6, 1, 5000),
        rng.pareto(0.5, 5000),
        rng.uniform(-1e-9, 1e-9, 5000),
        np.exp(rng.uniform(-27, 27, 5000)) * rng.choice([-1, 1], 5000),
        np.concatenate([np.zeros(2500), rng.normal(0, 1e-3, 2500)]),
        rng.integers(0, 150, 5000).astype(float),
    ):
        found = summary_of(*np.split(numbers, 10), needs=QUANTILES)
        assert found.distinct is None
        for share in (0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999, 1):
            exact = np.quantile(numbers, share, method=method)  # type: ignore[call-overload]
            assert found.quantile(share, method) == pytest.approx(exact, rel=RELATIVE_ERROR * 1.000001, abs=1e-12)


def test_quantiles_of_few_distinct_values_are_exact() -> None:
    numbers = np.random.default_rng(8).permutation(np.repeat(np.linspace(-3, 7, MAX_EXACT), 3))
    found = summary_of(numbers, needs=QUANTILES)
    assert found.quantile(0.3, "linear") == pytest.approx(np.quantile(numbers, 0.3), rel=1e-12)


def test_quantiles_of_odd_numbers() -> None:
    odd = [0.0, 5e-324, -1e308, 1e308, float("inf"), -float("inf"), *np.linspace(1, 2, MAX_DISTINCT)]
    found = summary_of(odd)
    assert found.distinct is None
    assert found.quantile(0, "lower") == -float("inf")
    assert found.quantile(1, "lower") == float("inf")
    assert found.quantile(0.5, "lower") == pytest.approx(1.5, rel=0.01)
    assert found.total is None
    assert found.mean is None
    assert found.deviation is None
    assert summary_of([1e200, 2.0]).deviation is None


def test_of_nothing() -> None:
    found = summary_of([float("nan")] * 3)
    assert (found.elements, found.missing, found.present) == (3, 3, 0)
    assert (found.mean, found.deviation, found.quantile(0.5, "linear")) == (None, None, None)
    assert found.total == 0  # As pandas has it.
    assert summary_of([7.0]).deviation is None


@pytest.mark.parametrize("decimals", [2, 9])
def test_any_parts_in_any_order_give_the_same(decimals: int) -> None:
    rng = random.Random(5)
    few = [round(rng.gauss(0, 1e-6), decimals) for _ in range(300)]
    numbers = [rng.choice([rng.choice(few), round(rng.gauss(0, 1e3), decimals), 7.0, float("nan")]) for _ in range(700)]
    whole = summary_of(numbers).packed()
    for _ in range(5):
        cuts = sorted(rng.sample(range(1, 700), 6))
        parts = [numbers[a:b] for a, b in zip([0, *cuts], [*cuts, 700], strict=True)]
        merged = Summary(ALL)
        for part in rng.sample(parts, len(parts)):
            kept = json.loads(json.dumps(summary_of(part).packed()))
            merged.merge(Summary.unpacked(ALL, kept))
        assert merged.packed() == whole


def test_distinct_values_are_bounded() -> None:
    found = summary_of(range(MAX_DISTINCT))
    assert found.distinct is not None
    assert len(found.distinct.keys) == MAX_DISTINCT
    found.merge(summary_of([-1]))
    assert found.distinct is None
    found.merge(summary_of([-1]))
    assert found.distinct is None


def test_texts_numbers_and_bools_are_told_apart() -> None:
    kind = np.array([FeatureKind.TEXT, FeatureKind.NUMBER, FeatureKind.BOOL, FeatureKind.OTHER], np.uint8)
    found = Summary(ALL)
    found.add(Values(kind, np.array([0.0, 1.0, 1.0, 0.0]), ["1"]))
    assert rows_of(found) == {key("1"): 1, key(1.0): 2}
    assert found.elements == 4
    counted = Summary(ALL)
    counted.add(Values.counted({"yes": 5, "no": 2}))
    assert rows_of(counted) == {key("yes"): 5, key("no"): 2}
    assert counted.elements == 7


def key(value: float | str) -> int:
    (found,) = keys_of([value])
    return found


def rows_of(found: Summary) -> dict[int, int]:
    assert found.distinct is not None
    return dict(zip(found.distinct.keys.tolist(), found.distinct.rows.tolist(), strict=True))
