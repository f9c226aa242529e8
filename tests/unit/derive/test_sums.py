"""Exact sums, against fractions and `math.fsum`."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.derive.fixed_point import accumulate
from sidecar.derive.series import LIMIT, Arrival, Budget, SeriesTable
from sidecar.derive.sums import FRACTION, add_up, exact, pack_total, plus, rounded, unpack_total

DOUBLES = st.floats(allow_nan=False, allow_infinity=False)


def total_of(values: list[float]) -> int:
    totals = [0]
    add_up(totals, np.zeros(len(values), np.intp), np.array(values, np.float64))
    return totals[0]


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([1.5e-7] * 1000, 1.5e-4),
        ([0.01] * 10_000, 100.0),
        ([1e300, 1e-300, -1e300], 1e-300),
        ([5e-324] * 3, 1.5e-323),
        ([2.2250738585072014e-308, -1e-310], 2.2150738585072014e-308),
        ([1.7e308] * 3, math.inf),
        ([-1.7e308] * 3, -math.inf),
        ([1.7e308, 1.7e308, -1.7e308], 1.7e308),
        ([0.0, -0.0], 0.0),
        ([-0.1] * 10, -1.0),
    ],
)
def test_sums_are_the_nearest_double_of_the_true_sum(values: list[float], total: float) -> None:
    assert rounded(total_of(values)) == total


@given(st.lists(DOUBLES, max_size=30))
def test_sums_equal_those_of_fractions(values: list[float]) -> None:
    total = total_of(values)
    assert (
        Fraction(total, 1 << FRACTION) == sum(map(Fraction, values)) == Fraction(sum(map(exact, values)), 1 << FRACTION)
    )
    assert unpack_total(pack_total(total)) == total


def test_many_values_of_many_rows() -> None:
    rng = np.random.default_rng(3)
    rows = rng.integers(0, 700, 50_000)
    values = rng.lognormal(-8, 6, 50_000) * rng.choice([-1, 1], 50_000)
    totals = [0] * 700
    for part in np.array_split(np.arange(50_000), 7):
        add_up(totals, rows[part], values[part])
    assert [rounded(total) for total in totals] == [math.fsum(values[rows == row]) for row in range(700)]


def test_more_values_than_are_added_in_one_go() -> None:
    values = np.full((1 << 20) + 5, 0.1)
    totals = [0, 0]
    add_up(totals, np.ones(len(values), np.intp), values)
    assert totals == [0, exact(0.1) * len(values)]


@pytest.mark.parametrize(
    ("amounts", "total"),
    [
        ([0.1, math.nan, 1.0], math.nan),
        ([math.inf, 5], math.inf),
        ([math.inf, -math.inf], math.nan),
        ([1e308, 1e308], math.inf),
    ],
)
def test_what_is_not_finite_makes_the_sum_so(amounts: list[float], total: float) -> None:
    found: int | float = 0
    for amount in amounts:
        found = plus(found, amount)
    shown = rounded(found) if isinstance(found, int) else found
    assert shown == total or (math.isnan(shown) and math.isnan(total))


def table() -> SeriesTable:
    return SeriesTable("m", ("a",), 1, Budget())


def test_a_tables_sums_go_on_from_a_checkpoint_bit_by_bit() -> None:
    values = [1e300, 1.5e-7, 0.01, -1e300, 5e-324] * 20
    whole, parts, state = table(), table(), dict[bytes, bytes]()
    arrival = Arrival(np.array([1]), np.array([5]), 5)
    for n, value in enumerate(values):
        for one in (whole, parts):
            row = one.rows([(f"x{n % 70}",)], np.zeros(1, np.uint32), arrival)
            one.add_up(row, np.array([value]))
            one.touch(row, 5)
        if n % 9 == 0:
            state |= {key: kept for key, kept in parts.checkpoint() if kept is not None}
            parts = table()
            parts.restore(state)
    for one in (whole, parts):
        one.mark_exported()
    assert dict(zip(whole.show()[0], whole.show_sums()[4], strict=True)) == dict(
        zip(parts.show()[0], parts.show_sums()[4], strict=True)
    )


def test_a_row_that_is_used_again_begins_at_nothing() -> None:
    one = table()
    arrival = Arrival(np.array([1]), np.array([5]), 5)
    row = one.rows([("x",)], np.zeros(1, np.uint32), arrival)
    one.add_up(row, np.array([3.5]))
    one.expire(10, ttl=0)
    one.rows([("y",)], np.zeros(1, np.uint32), arrival)
    one.mark_exported()
    assert one.show_sums()[4] == [0.0]


@pytest.mark.parametrize("amount", [1.0, 2.0**55, 2.0**61])
def test_counts_are_added_exactly_and_stop_at_the_limit(amount: float) -> None:
    values = np.zeros((9, 3), np.int64)
    rows = np.array([7, 2, 7, 7])
    accumulate(values, rows, np.array([0, 1, 0, 2]), np.full(4, amount))
    assert (values[7].tolist(), values[2].tolist()) == (
        [min(2 * int(amount), LIMIT), 0, int(amount)],
        [0, int(amount), 0],
    )
    assert not values[[0, 1, 3, 4, 5, 6, 8]].any()
