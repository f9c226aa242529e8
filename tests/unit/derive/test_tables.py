from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from support.derive_fakes import SECOND, arrival, lines

from sidecar.derive.families import Histograms
from sidecar.derive.series import Arrival, Budget
from sidecar.derive.tables import CounterTable, HistogramTable

MANY = 300
"""More series than a table has room for at first."""


def codes(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint32)


@pytest.mark.parametrize("weights", [None, np.full(MANY, 0.5), np.full(MANY, 3.0)])
def test_a_counter_table_grows_while_it_counts(weights: np.ndarray | None) -> None:
    table = CounterTable("x_total", ("a",), Budget(values=MANY))
    keys = [(f"v{n}",) for n in range(MANY)]
    table.count(keys, np.arange(MANY, dtype=np.uint32), arrival(MANY), weights)
    table.count(keys, np.arange(MANY, dtype=np.uint32), arrival(MANY), weights)
    table.mark_exported()
    each = 1 if weights is None else weights[0]
    assert lines([table.snapshot(None, "")]) == {f'x_total{{a="v{n}"}}': str(int(2 * each)) for n in range(MANY)}


def test_a_histogram_table_grows_while_it_observes() -> None:
    table = HistogramTable("x", ("a",), (1.0, 2.0), Budget(values=MANY))
    keys = [(f"v{n}",) for n in range(MANY)]
    table.observe(keys, np.arange(MANY, dtype=np.uint32), arrival(MANY), np.full(MANY, 1.5), np.ones(MANY))
    table.mark_exported()
    shown = lines([table.snapshot(None, "")])
    assert shown['x_bucket{a="v299",le="1.0"}'] == "0"
    assert shown['x_bucket{a="v299",le="2.0"}'] == shown['x_bucket{a="v0",le="+Inf"}'] == "1"
    assert sum(float(v) for k, v in shown.items() if k.startswith("x_sum")) == MANY * 1.5


def test_counts_with_and_without_weights_are_the_same() -> None:
    one, other = (CounterTable("x_total", ("a",), Budget()) for _ in range(2))
    one.count([("p",), ("q",)], codes(0, 1, 0), arrival(3))
    other.count([("p",), ("q",)], codes(0, 1, 0), arrival(3), np.ones(3))
    assert dict(one.checkpoint()) == dict(other.checkpoint())


def test_keys_without_records_get_no_series_and_do_not_keep_one_alive() -> None:
    table = CounterTable("x_total", ("a",), Budget())
    table.count([("p",), ("q",)], codes(0), Arrival(np.array([1]), np.array([SECOND]), 2 * SECOND))
    assert list(table.sizes()) == [("x_total", 1)]
    table.count([("p",), ("q",)], codes(1), Arrival(np.array([1]), np.array([SECOND]), 4 * SECOND))
    assert len(table.expire(3 * SECOND, ttl=0)) == 1
    assert table.find(("q",)) >= 0
    table.count([("p",)], codes(), arrival(0))
    assert list(table.sizes()) == [("x_total", 1)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_sums_do_not_depend_on_the_order(order: Sequence[int]) -> None:
    table = HistogramTable("x", ("a",), (), Budget())
    for n in order:
        table.observe([("p",)], codes(0), arrival(1), np.array([(1e300, -1e300, 1e-300)[n]]), np.ones(1))
    table.mark_exported()
    assert table.show_sums()[4] == [1e-300]


def test_what_a_sampled_value_stands_for_is_cut_at_the_largest_double() -> None:
    table = HistogramTable("x", ("a",), (1.0,), Budget())
    table.observe([("p",)], codes(0), arrival(1), np.array([1e308]), np.array([1000.0]))
    table.mark_exported()
    assert math.isfinite(table.show_sums()[4][0])


@pytest.mark.parametrize(("bounds", "there"), [((0.0, 1.0), True), ((-1.0, 1.0), False)])
def test_a_histogram_of_values_below_zero_has_no_sum(bounds: tuple[float, ...], there: bool) -> None:
    table = HistogramTable("x", ("a",), bounds, Budget())
    table.observe([("p",)], codes(0), arrival(1), np.array([0.5]), np.ones(1))
    assert any(series.startswith("x_sum") for series in lines([table.snapshot(None, "")])) == there


def native_table(native: bool = True) -> HistogramTable:
    return HistogramTable("x", ("a",), (1.0, 2.0), Budget(native=native))


def natives(table: HistogramTable) -> dict[str, tuple[int, list[int]]]:
    """Label text -> (classic count, counts of native buckets, the zero bucket first)."""
    (block,) = table.snapshot(None, "").blocks
    assert isinstance(block, Histograms)
    return {
        text: (int(counts[-1]), [native.zero_count, *native.counts])
        for text, counts, native in zip(block.labels, block.counts, block.natives, strict=True)
        if native is not None
    }


def observed(table: HistogramTable, key: str, *values: float, now: int = SECOND) -> None:
    n = len(values)
    table.observe([(key,)], np.zeros(n, np.uint32), arrival(n, now), np.array(values), np.ones(n))


def test_native_buckets_are_shown_with_the_classic_ones_and_at_0_first() -> None:
    table = native_table()
    observed(table, "v", 0.0, 0.5, 0.5, 1.75)
    assert natives(table) == {'a="v"': (0, [0])}
    assert natives(table) == {'a="v"': (4, [1, 2, 1])}
    observed(table, "v", 0.5)
    assert natives(table) == {'a="v"': (5, [1, 3, 1])}


def test_native_buckets_survive_and_go_with_their_series() -> None:
    state: dict[bytes, bytes] = {}

    def save(table: HistogramTable) -> None:
        for key, value in table.checkpoint():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value

    table = native_table()
    observed(table, "v", 0.5, 1.75)
    observed(table, "w", 3.0, now=9 * SECOND)
    save(table)
    again = native_table()
    assert again.restore(state) == set(state)
    again.mark_exported()
    observed(again, "v", 0.5, now=2 * SECOND)
    assert natives(again) == {'a="v"': (3, [0, 2, 1]), 'a="w"': (1, [0, 1])}
    again.expire(9 * SECOND, 5 * SECOND)
    save(again)
    assert natives(again) == {'a="w"': (1, [0, 1])}
    assert not [key for key in state if b"v" in key.rpartition(b"\0")[2]]


def test_switching_native_buckets_restarts_the_series() -> None:
    table = native_table(native=False)
    observed(table, "v", 0.5)
    state = {key: value for key, value in table.checkpoint() if value is not None}
    assert native_table().restore(state) == set()
    (block,) = table.snapshot(None, "").blocks
    assert isinstance(block, Histograms)
    assert list(block.natives) == []


def test_bounds_below_zero_have_no_native_buckets() -> None:
    assert HistogramTable("x", ("a",), (-1.0, 2.0), Budget(native=True)).native is None
    assert HistogramTable("x", ("a",), (), Budget(native=True)).native is None
