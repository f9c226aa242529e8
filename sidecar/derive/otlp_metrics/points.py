"""Arithmetic on metric points: delta on top of what there is, exponential buckets as explicit ones. Pure functions."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import accumulate, pairwise
from typing import Any

from sidecar.decode.otlp.metrics import Buckets, Data, ExponentialHistogram, Histogram, Number, Summary
from sidecar.derive.families import NativeHistogram
from sidecar.derive.native_buckets import ZERO_THRESHOLD
from sidecar.derive.sums import plus, rounded

MAX_BUCKETS = 40
"""Buckets of an exponential histogram on either side of zero. At the finest scale below they span a factor of 10^6."""
MAX_SCALE = 1
"""Two buckets to a doubling. Coarser bounds are among the finer ones, so that `le` values do not change, only go."""
_LEAST_SCHEMA = -4
"""Native histograms have none that is coarser."""


def amount(data: Data) -> int | float | None:
    """What a point adds to a sum: a number's value, else its sum."""
    return data.value if isinstance(data, Number) else data.sum


def with_amount(data: Data, value: int | float | None) -> Data:
    """The same with another amount."""
    if isinstance(data, Number):
        return data if value is None else Number(value)
    if isinstance(data, Summary):
        return data if value is None else replace(data, sum=float(value))
    return replace(data, sum=None if value is None else float(value))


def summed(parts: Sequence[Data]) -> Data:
    """What several writers of one series say together, at least one. Of histograms with different buckets those bounds
    are left that all have; of summaries the quantiles are the last one's."""
    if len(parts) == 1:
        return parts[0]
    total = reduce(lambda a, b: added(a, b) or _in_common(a, b), parts)
    amounts = [found for part in parts if (found := amount(part)) is not None]
    if len(amounts) < len(parts) or all(isinstance(found, int) for found in amounts):
        return total
    exactly: int | float = 0
    for found in amounts:
        exactly = plus(exactly, found)
    return with_amount(total, rounded(exactly) if isinstance(exactly, int) else exactly)


def added(old: Data, new: Data) -> Data | None:
    """A delta point on top of the sum of those before it; None where the two have not the same buckets."""
    if isinstance(old, Number) and isinstance(new, Number):
        return Number(old.value + new.value)
    if isinstance(old, Summary) and isinstance(new, Summary):
        return Summary(old.count + new.count, old.sum + new.sum, new.quantiles)
    if isinstance(old, Histogram) and isinstance(new, Histogram):
        if old.bounds != new.bounds or len(old.bucket_counts) != len(new.bucket_counts):
            return None
        counts = tuple(a + b for a, b in zip(old.bucket_counts, new.bucket_counts, strict=True))
        return Histogram(old.count + new.count, _sum(old.sum, new.sum), None, None, old.bounds, counts)
    if isinstance(old, ExponentialHistogram) and isinstance(new, ExponentialHistogram):
        return _added_exponential(old, new)
    return None


def zeroed(data: Data) -> Data:
    """The same buckets with nothing in them."""
    if isinstance(data, Number):
        return Number(0)
    if isinstance(data, Histogram):
        return replace(
            data, count=0, sum=None if data.sum is None else 0.0, bucket_counts=(0,) * len(data.bucket_counts)
        )
    if isinstance(data, ExponentialHistogram):
        empty = [Buckets(b.offset, (0,) * len(b.counts)) for b in (data.positive, data.negative)]
        total = None if data.sum is None else 0.0
        return replace(data, count=0, sum=total, zero_count=0, positive=empty[0], negative=empty[1])
    return data


def bounded(data: Data) -> Data:
    """An exponential histogram made coarse enough to be kept; anything else as it is."""
    if not isinstance(data, ExponentialHistogram):
        return data
    return _fitted(data, _sparse(data.positive, 0), _sparse(data.negative, 0))


def explicit(data: Histogram | ExponentialHistogram) -> tuple[tuple[float, ...], list[int]]:
    """Upper bounds without the infinite one, and cumulative counts, one more than there are bounds."""
    if isinstance(data, Histogram):
        counts = list(accumulate(data.bucket_counts)) or [0]
        bounds = data.bounds[:-1] if data.bounds[-1:] == (math.inf,) else data.bounds
        return bounds, [*counts[: len(bounds)], max(counts[-1], data.count)]
    at: dict[float, int] = {}
    for i, n in enumerate(data.negative.counts, data.negative.offset):
        bound = max(-_power(i, data.scale), -sys.float_info.max)
        at[bound] = at.get(bound, 0) + n
    if data.zero_count or data.negative.counts:
        zero = data.zero_threshold if 0 <= data.zero_threshold < math.inf else 0.0
        at[zero] = at.get(zero, 0) + data.zero_count
    for i, n in enumerate(data.positive.counts, data.positive.offset):
        bound = _power(i + 1, data.scale)
        at[bound] = at.get(bound, 0) + n
    bounds = tuple(sorted(bound for bound in at if bound < math.inf))
    counts = list(accumulate(at[bound] for bound in bounds))
    return bounds, [*counts, max(data.count, sum(at.values()))]


def as_native(data: Data) -> NativeHistogram | None:
    """An exponential histogram as a native one; None for what is none, or does not say where each of its values is.

    Bucket i of OTLP is above base^i, bucket i of Prometheus up to base^i (OpenTelemetry's Prometheus compatibility
    rules)."""
    if not isinstance(data, ExponentialHistogram) or data.scale < _LEAST_SCHEMA:
        return None
    positive, negative = (
        [(i + 1, n) for i, n in enumerate(side.counts, side.offset) if n] for side in (data.positive, data.negative)
    )
    if data.zero_count + sum(n for _, n in (*positive, *negative)) != data.count:
        return None
    return NativeHistogram(
        data.scale,
        data.zero_count,
        [i for i, _ in positive],
        [n for _, n in positive],
        data.zero_threshold or ZERO_THRESHOLD,
        [i for i, _ in negative],
        [n for _, n in negative],
    )


def size(data: Data) -> int:
    """Bytes that it takes in memory, about."""
    if isinstance(data, Histogram):
        return 300 + 16 * len(data.bounds)
    if isinstance(data, Summary):
        return 200 + 100 * len(data.quantiles)
    return 1000 if isinstance(data, ExponentialHistogram) else 100


def pack(data: Data) -> list[Any]:
    """As a JSON value that `unpack` reads; floating-point numbers keep every bit."""
    if isinstance(data, Number):
        return ["n", data.value]
    if isinstance(data, Histogram):
        return ["h", data.count, data.sum, list(data.bounds), list(data.bucket_counts)]
    if isinstance(data, Summary):
        return ["s", data.count, data.sum, [list(pair) for pair in data.quantiles]]
    buckets = [[b.offset, list(b.counts)] for b in (data.positive, data.negative)]
    return ["e", data.count, data.sum, data.scale, data.zero_count, data.zero_threshold, *buckets]


def unpack(kept: list[Any]) -> Data:
    """What `pack` was given. Raises ValueError, TypeError or IndexError for anything else."""
    if kept[0] == "n":
        return Number(kept[1])
    if kept[0] == "h":
        return Histogram(kept[1], kept[2], None, None, tuple(kept[3]), tuple(kept[4]))
    if kept[0] == "s":
        return Summary(kept[1], kept[2], tuple((pair[0], pair[1]) for pair in kept[3]))
    if kept[0] == "e":
        positive, negative = (Buckets(b[0], tuple(b[1])) for b in kept[6:8])
        return ExponentialHistogram(kept[1], kept[2], None, None, kept[3], kept[4], kept[5], positive, negative)
    raise ValueError(f"unknown kind of point {kept[0]!r}")


def read_json(text: bytes) -> Mapping[str, Any]:
    """A JSON object. Raises ValueError if it is none."""
    read = json.loads(text)
    if not isinstance(read, dict):
        raise ValueError("not an object")
    return read


def _sum(old: float | None, new: float | None) -> float | None:
    return None if old is None or new is None else old + new


def _in_common(a: Data, b: Data) -> Data:
    """Two histograms with the bounds that both have, of which the counts are known. `b` where one is none."""
    if not isinstance(a, Histogram | ExponentialHistogram) or not isinstance(b, Histogram | ExponentialHistogram):
        return b
    (first, counts), (second, others) = explicit(a), explicit(b)
    ours = dict(zip((*first, math.inf), counts, strict=True))
    theirs = dict(zip((*second, math.inf), others, strict=True))
    cumulative = {bound: ours[bound] + theirs[bound] for bound in sorted(ours.keys() & theirs.keys())}
    buckets = [n - before for before, n in pairwise((0, *cumulative.values()))]
    bounds = tuple(bound for bound in cumulative if bound < math.inf)
    return Histogram(cumulative[math.inf], _sum(a.sum, b.sum), None, None, bounds, tuple(buckets))


def _added_exponential(old: ExponentialHistogram, new: ExponentialHistogram) -> Data:
    scale = min(old.scale, new.scale)
    positive, negative = (
        _merged(_sparse(a, old.scale - scale), _sparse(b, new.scale - scale))
        for a, b in ((old.positive, new.positive), (old.negative, new.negative))
    )
    total = ExponentialHistogram(
        old.count + new.count,
        _sum(old.sum, new.sum),
        None,
        None,
        scale,
        old.zero_count + new.zero_count,
        max(old.zero_threshold, new.zero_threshold),
        Buckets(),
        Buckets(),
    )
    return _fitted(total, positive, negative)


def _fitted(data: ExponentialHistogram, positive: dict[int, int], negative: dict[int, int]) -> ExponentialHistogram:
    """With these buckets of its scale, made coarser until they are few. Sparse until then: two points may be as far
    apart as their 32-bit offsets."""
    shift = max(0, data.scale - MAX_SCALE)
    while any(side and (max(side) >> shift) - (min(side) >> shift) >= MAX_BUCKETS for side in (positive, negative)):
        shift += 1
    return replace(data, scale=data.scale - shift, positive=_dense(positive, shift), negative=_dense(negative, shift))


def _sparse(buckets: Buckets, shift: int) -> dict[int, int]:
    """Index -> count at a scale that is `shift` lower, without empty ones."""
    counts: dict[int, int] = {}
    for i, n in enumerate(buckets.counts, buckets.offset):
        if n:
            counts[i >> shift] = counts.get(i >> shift, 0) + n
    return counts


def _merged(a: dict[int, int], b: dict[int, int]) -> dict[int, int]:
    return {i: a.get(i, 0) + b.get(i, 0) for i in a.keys() | b.keys()}


def _dense(sparse: dict[int, int], shift: int) -> Buckets:
    counts: dict[int, int] = {}
    for i, n in sparse.items():
        counts[i >> shift] = counts.get(i >> shift, 0) + n
    if not counts:
        return Buckets()
    low, high = min(counts), max(counts)
    return Buckets(low, tuple(counts.get(i, 0) for i in range(low, high + 1)))


def _power(index: int, scale: int) -> float:
    """base^index; 0 or infinity where that is outside what a float can tell."""
    if index == 0:
        return 1.0
    if scale < -11 or abs(index) > 1 << 40:
        return math.inf if index > 0 else 0.0
    exponent = index * 2.0**-scale
    return math.inf if exponent >= 1024 else 2.0**exponent if exponent > -1074 else 0.0
