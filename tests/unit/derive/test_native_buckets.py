from __future__ import annotations

import math
import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.derive.native_buckets import MAX_BUCKETS, SCHEMA, NativeRows, indexes_of, spans
from sidecar.derive.series import SCALE

ONE = np.int64(SCALE)


def held(values: list[float], batches: int = 1, weight: int = SCALE) -> NativeRows:
    rows = NativeRows()
    for part in np.array_split(np.array(values, np.float64), batches):
        rows.add(np.zeros(len(part), np.intp), part, np.full(len(part), weight, np.int64))
    return rows


@given(st.floats(min_value=1e-30, max_value=1e30))
def test_a_bucket_is_up_to_and_with_its_upper_bound(value: float) -> None:
    (index,) = indexes_of(np.array([value])).tolist()
    assert 2.0 ** ((index - 1) / 2**SCHEMA) * (1 - 1e-12) < value <= 2.0 ** (index / 2**SCHEMA) * (1 + 1e-12)


def test_powers_of_two_are_in_the_bucket_that_ends_there() -> None:
    powers = [2.0**n for n in range(-100, 101)]
    assert indexes_of(np.array(powers)).tolist() == [n * 2**SCHEMA for n in range(-100, 101)]


def test_zero_has_a_bucket_of_its_own() -> None:
    found = held([0.0, 0.0, 2.0**-130, 1.0]).snapshot(0, empty=False)
    assert (found.zero_count, found.indexes, found.counts) == (3, [0], [1])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(min_value=0, max_value=1e18), min_size=1, max_size=300), st.integers(1, 20), st.randoms())
def test_what_is_held_does_not_depend_on_the_order(values: list[float], batches: int, dice: random.Random) -> None:
    shuffled = values.copy()
    dice.shuffle(shuffled)
    one, other = held(values), held(shuffled, batches)
    assert one.pack(0) == other.pack(0)
    assert one.snapshot(0, empty=False).zero_count + sum(one.snapshot(0, empty=False).counts) == len(values)


def test_resolution_falls_until_the_buckets_are_few_and_no_value_is_lost() -> None:
    values = [2.0 ** (n / 16) for n in range(-2000, 2000)]
    found = held(values, 7).snapshot(0, empty=False)
    assert found.schema < SCHEMA
    assert MAX_BUCKETS // 2 <= len(found.indexes) <= MAX_BUCKETS
    assert sum(found.counts) == len(values)
    for index, count in zip(found.indexes, found.counts, strict=True):
        upper, lower = 2.0 ** (index / 2**found.schema), 2.0 ** ((index - 1) / 2**found.schema)
        assert count == sum(lower < value <= upper for value in values)


def test_every_finite_double_has_a_place() -> None:
    values = [5e-324, 1e-300, 1.0, 1e300, np.finfo(np.float64).max]
    found = held([float(v) for v in values] * 3).snapshot(0, empty=False)
    assert found.zero_count + sum(found.counts) == 15


def test_weights_that_are_not_whole_are_rounded_to_the_sum_of_the_classic_buckets() -> None:
    rows = held([0.0, 1.0, 2.0, 4.0], weight=SCALE + SCALE // 4)
    found = rows.snapshot(0, empty=False)
    assert found.zero_count + sum(found.counts) == 5


def test_rows_are_apart_and_are_forgotten() -> None:
    rows = NativeRows()
    rows.add(np.array([3, 1, 3]), np.array([1.0, 2.0, 4.0]), np.array([ONE, ONE, 2 * ONE]))
    assert rows.snapshot(3, empty=False).counts == [1, 2]
    assert rows.snapshot(1, empty=False).counts == [1]
    assert rows.snapshot(3, empty=True).counts == ()
    rows.forget(3)
    assert rows.snapshot(3, empty=False).counts == ()


def test_packed_rows_are_read_back_and_others_are_refused() -> None:
    rows, taken = held([0.0, 1.0, 1e9, 1e-9]), NativeRows()
    packed = rows.pack(0)
    assert packed is not None
    assert taken.unpack(5, packed)
    assert taken.snapshot(5, empty=False) == rows.snapshot(0, empty=False)
    assert taken.pack(6) is None
    for damaged in (b"", packed[:-1], packed + b"x"):
        assert not taken.unpack(7, damaged)


@given(st.sets(st.integers(-500, 500)))
def test_spans_say_where_buckets_are(found: set[int]) -> None:
    at, back = 0, []
    for offset, length in spans(sorted(found)):
        at += offset
        back += range(at, at + length)
        at += length
    assert back == sorted(found)
    assert math.isfinite(at)
