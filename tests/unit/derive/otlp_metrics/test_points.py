from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.decode.otlp.metrics import Buckets, Data, ExponentialHistogram, Histogram, Number, Summary
from sidecar.derive.families import NativeHistogram
from sidecar.derive.native_buckets import ZERO_THRESHOLD
from sidecar.derive.otlp_metrics.points import MAX_BUCKETS, added, as_native, bounded, explicit, pack, unpack, zeroed


def exponential(scale: int, positive: Buckets, negative: Buckets = Buckets(), zero: int = 0) -> ExponentialHistogram:  # noqa: B008
    count = sum(positive.counts) + sum(negative.counts) + zero
    return ExponentialHistogram(count, 1.5, None, None, scale, zero, 0.0, positive, negative)


buckets = st.builds(Buckets, st.integers(-(2**31), 2**31 - 1), st.lists(st.integers(0, 2**40), max_size=200).map(tuple))
exponentials = st.builds(exponential, st.integers(-(2**31), 2**31 - 1), buckets, buckets, st.integers(0, 9))


@settings(deadline=None)
@given(exponentials)
def test_any_exponential_histogram_becomes_a_few_valid_buckets(data: ExponentialHistogram) -> None:
    kept = bounded(data)
    assert isinstance(kept, ExponentialHistogram)
    bounds, counts = explicit(kept)
    assert len(bounds) <= 2 * MAX_BUCKETS + 1
    assert list(bounds) == sorted(set(bounds))
    assert all(map(math.isfinite, bounds))
    assert counts == sorted(counts)
    assert len(counts) == len(bounds) + 1
    assert counts[-1] == data.count


@settings(deadline=None)
@given(st.lists(exponentials, min_size=1, max_size=5))
def test_deltas_of_exponential_histograms_add_up(points: list[ExponentialHistogram]) -> None:
    total: Data = bounded(points[0])
    for point in points[1:]:
        result = added(total, bounded(point))
        assert result is not None
        total = result
    assert isinstance(total, ExponentialHistogram)
    assert explicit(total)[1][-1] == total.count == sum(point.count for point in points)
    assert len(total.positive.counts) <= MAX_BUCKETS


def test_values_are_counted_in_the_bucket_that_holds_them() -> None:
    rng = random.Random(3)
    values = [rng.lognormvariate(0, 2) for _ in range(500)]
    scale = 5
    indexes = [math.ceil(math.log2(v) * 2**scale) - 1 for v in values]
    low = min(indexes)
    counts = [indexes.count(i) for i in range(low, max(indexes) + 1)]
    bounds, cumulative = explicit(bounded(exponential(scale, Buckets(low, tuple(counts)))))  # type: ignore[arg-type]
    for bound, count in zip(bounds, cumulative, strict=False):
        assert count == sum(v <= bound for v in values)


def test_coarser_bounds_are_among_the_finer_ones() -> None:
    narrow = explicit(bounded(exponential(1, Buckets(-4, (1,) * 9))))[0]  # type: ignore[arg-type]
    wide = explicit(bounded(exponential(1, Buckets(-40, (1,) * 80))))[0]  # type: ignore[arg-type]
    assert set(wide) & set(narrow) == {b for b in narrow if math.log2(b) % 1 == 0}


def test_negative_zero_and_positive_values_are_in_order() -> None:
    data = exponential(0, Buckets(0, (1, 2)), Buckets(1, (4,)), zero=8)
    assert explicit(data) == ((-2.0, 0.0, 2.0, 4.0), [4, 12, 13, 15, 15])


@pytest.mark.parametrize(
    ("old", "new", "total"),
    [
        (Number(1), Number(2), Number(3)),
        (Number(1), Number(0.5), Number(1.5)),
        (
            Histogram(3, 1.0, 0, 9, (1.0,), (1, 2)),
            Histogram(1, 0.5, 0, 9, (1.0,), (0, 1)),
            Histogram(4, 1.5, None, None, (1.0,), (1, 3)),
        ),
        (
            Histogram(3, 1.0, None, None, (), ()),
            Histogram(1, None, None, None, (), ()),
            Histogram(4, None, None, None, (), ()),
        ),
        (Histogram(3, 1.0, None, None, (), ()), Histogram(1, 1.0, None, None, (), (1,)), None),
        (Histogram(3, 1.0, None, None, (1.0,), (1, 2)), Histogram(1, 1.0, None, None, (2.0,), (0, 1)), None),
        (Number(1), Histogram(1, 1.0, None, None, (), ()), None),
    ],
)
def test_delta_points(old: Data, new: Data, total: Data | None) -> None:
    assert added(old, new) == total


numbers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))


@settings(deadline=None)
@given(
    st.one_of(
        st.builds(Number, numbers),
        st.builds(
            Histogram,
            st.integers(0, 2**63),
            st.none() | st.floats(allow_nan=False),
            st.none(),
            st.none(),
            st.lists(st.floats(allow_nan=False), max_size=5).map(tuple),
            st.lists(st.integers(0, 2**63), max_size=5).map(tuple),
        ),
        st.builds(
            Summary,
            st.integers(0, 2**63),
            st.floats(allow_nan=False),
            st.lists(st.tuples(st.floats(0, 1), st.floats(allow_nan=False)), max_size=4).map(tuple),
        ),
        exponentials,
    )
)
def test_packed_points_are_decoded_again(data: Data) -> None:
    assert unpack(json.loads(json.dumps(pack(data)))) == data


def test_zeroed_has_the_same_buckets_with_nothing_in_them() -> None:
    data = exponential(0, Buckets(0, (1, 2)), zero=8)
    empty = zeroed(data)
    assert isinstance(empty, ExponentialHistogram)
    assert set(explicit(empty)[0]) <= set(explicit(data)[0])
    assert explicit(empty)[1][-1] == 0
    assert zeroed(Histogram(3, None, None, None, (1.0,), (1, 2))) == Histogram(0, None, None, None, (1.0,), (0, 0))


def test_a_kind_of_another_version_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        unpack(["x", 1])


def test_an_exponential_histogram_is_a_native_one_whose_buckets_are_named_by_their_upper_bound() -> None:
    found = as_native(exponential(1, Buckets(-1, (2, 0, 3)), Buckets(4, (1,)), zero=5))
    assert found == NativeHistogram(1, 5, [0, 2], [2, 3], ZERO_THRESHOLD, [5], [1])


def test_what_is_no_native_histogram_or_does_not_add_up_has_none() -> None:
    assert as_native(Number(1)) is None
    assert as_native(exponential(-5, Buckets(0, (1,)))) is None
    assert as_native(replace(exponential(1, Buckets(0, (1,))), count=7)) is None
