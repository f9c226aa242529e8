from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.derive.series import (
    LIMIT,
    OTHER,
    OVERFLOW,
    SCALE,
    Arrival,
    Budget,
    SeriesTable,
    add_saturating,
    carry_sums,
    joined,
    pack_labels,
    split,
    unpack_labels,
    whole,
)


def table(series: int = 100, values: int = 100, characters: int = 10_000) -> SeriesTable:
    return SeriesTable("m", ("service", "name"), 1, Budget(series, values, characters))


def add(t: SeriesTable, keys: list[tuple[str, ...]], time_ns: int = 5) -> None:
    group = np.arange(len(keys), dtype=np.uint32)
    arrival = Arrival(np.array([len(keys)]), np.array([time_ns]), time_ns)
    rows = t.rows(keys, group, arrival)
    unique, inverse = np.unique(rows, return_inverse=True)
    add_saturating(t.values, unique, np.bincount(inverse)[:, None].astype(np.int64) * SCALE)
    t.touch(unique, time_ns)


def shown(t: SeriesTable) -> dict[tuple[str, ...], float]:
    t.show()
    keys, _, values, _ = t.show()
    return dict(zip(keys, whole(values[:, 0]), strict=True))


def test_a_label_at_its_budget_gives_other_for_that_label_only() -> None:
    t = table(values=3)
    add(t, [("shop", f"n{i}") for i in range(5)])
    assert shown(t) == {("shop", "n0"): 1, ("shop", "n1"): 1, ("shop", "n2"): 1, ("shop", OTHER): 2}
    assert t.overflowed == {"service": 0, "name": 2}


def test_values_taken_in_before_the_budget_was_reached_stay() -> None:
    t = table(values=2)
    add(t, [("shop", "a"), ("shop", "b"), ("shop", "c")])
    add(t, [("shop", "a"), ("shop", "d")])
    assert shown(t) == {("shop", "a"): 2, ("shop", "b"): 1, ("shop", OTHER): 2}


def test_a_table_at_its_budget_gives_the_overflow_series_and_names_the_widest_label() -> None:
    t = table(series=3)
    add(t, [("shop", f"n{i}") for i in range(10)])
    assert shown(t) == {("shop", "n0"): 1, ("shop", "n1"): 1, ("shop", "n2"): 1, OVERFLOW: 7}
    assert t.overflowed == {"service": 0, "name": 7}
    assert t.texts(t.labels)[OVERFLOW] == 'otel_metric_overflow="true"'


def test_label_characters_are_bounded_too() -> None:
    t = table(characters=2000)
    add(t, [("shop", f"{i}" * 900) for i in range(5)])
    assert len(t) == 4
    assert shown(t)[OVERFLOW] == 2


def test_a_flood_of_values_keeps_the_table_small() -> None:
    t = SeriesTable("m", ("service", "name"), 20, Budget())
    for start in range(0, 100_000, 1000):
        add(t, [("shop", f"/user/{i}") for i in range(start, start + 1000)])
    assert len(t) == 201
    assert t.overflowed["name"] == 99_800
    assert len(t.values) == 256
    assert sum(shown(t).values()) == 100_000


def test_every_record_is_counted_whatever_the_budgets() -> None:
    t = table(series=7, values=4)
    keys = [(f"s{i % 9}", f"n{i % 13}") for i in range(500)]
    for start in range(0, 500, 37):
        add(t, keys[start : start + 37])
    assert sum(shown(t).values()) == 500
    assert len(t) <= 8


def test_a_series_is_first_shown_at_zero_and_then_with_all_it_has() -> None:
    t = table()
    add(t, [("shop", "a")] * 3)
    assert t.show()[2].tolist() == [[0]]
    add(t, [("shop", "a"), ("shop", "b")])
    assert t.show()[2].tolist() == [[4 * SCALE], [0]]


def test_what_an_earlier_run_may_have_shown_is_shown_at_once() -> None:
    t = table()
    add(t, [("shop", "a")])
    t.mark_exported()
    assert t.show()[2].tolist() == [[SCALE]]
    add(t, [("shop", "b")])
    assert t.show()[2].tolist() == [[SCALE], [0]]


def test_idle_series_go_and_make_room() -> None:
    t = table(series=2, values=2)
    add(t, [("shop", "a"), ("shop", "b")], time_ns=10)
    add(t, [("shop", "b")], time_ns=20)
    assert len(t.expire(15, ttl=0)) == 1
    add(t, [("shop", "c")], time_ns=30)
    assert shown(t) == {("shop", "b"): 2, ("shop", "c"): 1}
    assert t.show()[3] == [10 / 1e9, 30 / 1e9]


def test_a_row_used_again_begins_at_zero() -> None:
    t = table()
    add(t, [("shop", "a")], time_ns=1)
    t.expire(2, ttl=0)
    add(t, [("shop", "b")], time_ns=3)
    assert t.show()[2].tolist() == [[0]]
    assert t.show()[2].tolist() == [[SCALE]]


def test_checkpoint_has_only_what_changed() -> None:
    t = table()
    add(t, [("shop", "a"), ("shop", "b")], time_ns=1)
    assert len(dict(t.checkpoint())) == 3
    assert dict(t.checkpoint()) == {}
    add(t, [("shop", "b")], time_ns=9)
    (key,) = dict(t.checkpoint())
    assert key.endswith(pack_labels(("shop", "b")))
    t.expire(5, ttl=0)
    assert [value for _, value in t.checkpoint()] == [None]


def test_restored_rows_are_equal_bit_for_bit() -> None:
    t = table(series=3)
    add(t, [("shop", "ä\0\n"), ("", "b"), ("shop", "c"), ("shop", "d")])
    state = dict(t.checkpoint())
    again = table(series=3)
    assert again.restore(state) == set(state)  # type: ignore[arg-type]
    assert shown(again) == shown(t)
    assert again.show()[3] == t.show()[3]
    add(again, [("shop", "e")])
    assert shown(again)[OVERFLOW] == 2
    assert len(dict(again.checkpoint())) == 1


def test_half_of_a_surrogate_pair_in_a_label_is_replaced_and_kept() -> None:
    t = table()
    add(t, [("a", "x\ud800"), ("a", "x\ud800"), ("a", "x?")])
    add(t, [("a", "x\ud800")])
    other = table()
    other.restore({key: value for key, value in t.checkpoint() if value is not None})
    assert shown(t) == shown(other) == {("a", "x?"): 4}


def test_rows_of_another_shape_are_not_taken_over() -> None:
    t = table()
    add(t, [("shop", "a")])
    state = dict(t.checkpoint())
    other = SeriesTable("m", ("service", "route"), 1, Budget())
    assert other.restore(state) == set()  # type: ignore[arg-type]
    assert len(other) == 0


@pytest.mark.parametrize("damaged", [b"", b"short", b"x" * 400])
def test_a_damaged_row_is_left_out(damaged: bytes) -> None:
    t = table()
    add(t, [("shop", "a"), ("shop", "b")])
    state = {k: v for k, v in t.checkpoint() if v is not None}
    key = next(k for k in state if k.endswith(pack_labels(("shop", "a"))))
    again = table()
    assert key not in again.restore(state | {key: damaged})
    assert list(shown(again)) == [("shop", "b")]


def test_columns_stop_at_the_limit_instead_of_turning_negative() -> None:
    t = table()
    add(t, [("shop", "a")])
    row = np.array([0])
    row[0] = t.find(("shop", "a"))
    for _ in range(3):
        add_saturating(t.values, row, np.array([[LIMIT]]))
    assert t.values[row].tolist() == [[LIMIT]]


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=50))
def test_split_sums_are_exact_and_have_one_form(amounts: list[int]) -> None:
    values = np.zeros((1, 2), np.int64)
    row = np.array([0])
    for amount in amounts:
        high, low = split(np.array([amount], np.uint64))
        add_saturating(values, row, np.stack([high, low], axis=1).astype(np.int64))
        carry_sums(values, row, 0, 1)
    assert joined(values[:, 0], values[:, 1]) == [sum(amounts)]
    assert 0 <= values[0, 1] < 2**32


@given(st.lists(st.text(), max_size=5).map(tuple))
def test_packed_labels_are_decoded_again(labels: tuple[str, ...]) -> None:
    assert unpack_labels(pack_labels(labels)) == labels


@given(st.binary(max_size=40))
def test_any_bytes_as_packed_labels_are_labels_or_nothing(packed: bytes) -> None:
    unpack_labels(packed)


def test_fixed_point_is_shown_as_whole_numbers_that_never_go_back() -> None:
    assert whole(np.array([SCALE * 3, SCALE // 2 - 1, SCALE // 2])) == [3, 0, 1]
    steps = np.cumsum(np.full(30, SCALE // 3))
    assert whole(steps) == sorted(whole(steps))
    assert whole(steps[None, :]) == [whole(steps)]


def test_created_is_the_time_of_the_payload_that_brought_the_series() -> None:
    t = table()
    keys = [("shop", "a"), ("shop", "b")]
    t.rows(keys, np.array([0, 0, 1], np.uint32), Arrival(np.array([2, 3]), np.array([10 * 10**9, 20 * 10**9]), 99))
    assert t.show()[3] == [10.0, 20.0]
