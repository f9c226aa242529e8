"""OTLP metrics requests as points. Pure Python for both decoders: metrics come by the minute, not by the request."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

from sidecar.decode.api import Check, Resource
from sidecar.decode.otlp.columns import resource_texts
from sidecar.decode.otlp.limits import MAX_ERRORS, MAX_LABEL_CHARS
from sidecar.decode.otlp.message import NO_ATTRIBUTES, Attributes, Value, read
from sidecar.decode.otlp.records import refused_attributes, refused_time

PointKind = Literal["gauge", "sum", "histogram", "exponential_histogram", "summary"]
Temporality = Literal["unspecified", "delta", "cumulative"]

KINDS: tuple[PointKind, ...] = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
_TEMPORALITIES: tuple[Temporality, ...] = ("unspecified", "delta", "cumulative")
_NO_RECORDED_VALUE = 1


@dataclass(frozen=True, slots=True)
class Exemplar:
    value: float
    time: int
    """Unix ns, 0 where the client sent none."""
    trace_id: bytes
    """16 bytes, or empty."""
    span_id: bytes
    """8 bytes, or empty."""
    attributes: Resource = ()


@dataclass(frozen=True, slots=True)
class Number:
    """A gauge's or a sum's value; an int where the client sent one."""

    value: int | float


@dataclass(frozen=True, slots=True)
class Histogram:
    count: int
    sum: float | None
    min: float | None
    max: float | None
    bounds: tuple[float, ...]
    """Upper bounds, inclusive, strictly ascending."""
    bucket_counts: tuple[int, ...]
    """One more than `bounds`, not cumulated; empty (with no bounds) where the client sent count and sum only."""


@dataclass(frozen=True, slots=True)
class Buckets:
    offset: int = 0
    """Index of the first bucket."""
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ExponentialHistogram:
    """Bucket i holds values in (base^i, base^(i+1)], base = 2^(2^-scale); of `negative` their absolutes."""

    count: int
    sum: float | None
    min: float | None
    max: float | None
    scale: int
    zero_count: int
    zero_threshold: float
    positive: Buckets
    negative: Buckets


@dataclass(frozen=True, slots=True)
class Summary:
    count: int
    sum: float
    quantiles: tuple[tuple[float, float], ...]
    """(quantile 0 to 1, value)."""


Data: TypeAlias = Number | Histogram | ExponentialHistogram | Summary


@dataclass(frozen=True, slots=True)
class Point:
    """One data point with everything that identifies its series."""

    name: str
    description: str
    unit: str
    kind: PointKind
    temporality: Temporality
    """`unspecified` for gauges and summaries, and where the client left it out."""
    monotonic: bool
    start: int
    """Unix ns, 0 where the client sent none."""
    time: int
    """Unix ns, 0 where the client sent none."""
    attributes: Resource
    """As text, sorted by key, empty values left out."""
    resource: Resource
    scope_name: str
    scope_version: str
    data: Data | None
    """None for a point that says that there is no value (any more): flag `no recorded value`."""
    exemplars: tuple[Exemplar, ...] = ()
    scope_attributes: Resource = ()
    identity: str = ""
    """What the texts of the attributes do not tell: equal for points whose attributes are the same, types included."""


@dataclass(frozen=True, slots=True)
class MetricBatch:
    """The accepted points of one or more payloads, in payload order, then wire order."""

    points: tuple[Point, ...]

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True, slots=True)
class _Refused:
    reason: str


def check_metrics(payload: bytes) -> Check:
    """The check of an ExportMetricsServiceRequest, in data points; a metric of an unknown type counts as one
    refused point. Raises DecodeError if it is malformed."""
    items = rejected = 0
    errors: dict[str, None] = {}
    timed = True
    for point in _points(payload):
        if isinstance(point, _Refused):
            rejected += 1
            if len(errors) < MAX_ERRORS:
                errors[point.reason] = None
        else:
            items += 1
            timed = timed and point.time != 0
    return Check(items, 0, rejected, tuple(errors), timed and items > 0, suspect=True)


def metric_batch(payloads: Sequence[bytes]) -> MetricBatch:
    """The accepted points. Raises DecodeError if a payload is malformed."""
    return MetricBatch(
        tuple(point for payload in payloads for point in _points(payload) if not isinstance(point, _Refused))
    )


def refused_point(kind: PointKind, point: Mapping[str, Any], path: str) -> str:
    """Why a data point (as `message.read` gives it) is refused; empty if it is not."""
    return (
        refused_time(point.get("start_time_unix_nano", 0), f"{path}.start_time_unix_nano")
        or refused_time(point.get("time_unix_nano", 0), f"{path}.time_unix_nano")
        or refused_attributes(point.get("attributes", NO_ATTRIBUTES), path)
        or _refused_data(kind, point, path)
    )


def _refused_data(kind: PointKind, point: Mapping[str, Any], path: str) -> str:
    if point.get("flags", 0) & _NO_RECORDED_VALUE:
        return ""
    if kind in ("gauge", "sum") and "as_double" not in point and "as_int" not in point:
        return f"{path}: no value"
    if kind != "histogram":
        return ""
    bounds, counts = point.get("explicit_bounds", []), point.get("bucket_counts", [])
    if len(counts) != len(bounds) + 1 and (counts or bounds):
        return f"{path}.bucket_counts: {len(counts)}, must be one more than the {len(bounds)} bounds"
    if any(math.isnan(bound) for bound in bounds) or any(a >= b for a, b in pairwise(bounds)):
        return f"{path}.explicit_bounds: not ascending"
    return ""


def _points(payload: bytes) -> Iterator[Point | _Refused]:
    request = read(payload, 0, len(payload), "ExportMetricsServiceRequest")
    for i, of_resource in enumerate(request.get("resource_metrics", ())):
        attributes = of_resource.get("resource", {}).get("attributes", NO_ATTRIBUTES)
        resource_rejection = refused_attributes(attributes, f"resource_metrics[{i}].resource")
        resource = resource_texts(attributes)
        for j, of_scope in enumerate(of_resource.get("scope_metrics", ())):
            path = f"resource_metrics[{i}].scope_metrics[{j}]"
            scope = of_scope.get("scope", {})
            rejection = resource_rejection or refused_attributes(
                scope.get("attributes", NO_ATTRIBUTES), f"{path}.scope"
            )
            for k, metric in enumerate(of_scope.get("metrics", ())):
                yield from _metric_points(metric, resource, scope, f"{path}.metrics[{k}]", rejection)


def _metric_points(
    metric: Mapping[str, Any], resource: Resource, scope: Mapping[str, Any], path: str, rejection: str
) -> Iterator[Point | _Refused]:
    kind = next((kind for kind in KINDS if kind in metric), None)
    if kind is None:
        yield _Refused(rejection or f"{path}: no data of a known type")
        return
    if not metric.get("name"):
        rejection = rejection or f"{path}.name: empty"
    data = metric[kind]
    for i, found in enumerate(data.get("data_points", ())):
        refused = rejection or refused_point(kind, found, f"{path}.{kind}.data_points[{i}]")
        if refused:
            yield _Refused(refused)
            continue
        yield Point(
            name=metric["name"],
            description=metric.get("description", ""),
            unit=metric.get("unit", ""),
            kind=kind,
            temporality=_TEMPORALITIES[data.get("aggregation_temporality", 0)],
            monotonic=data.get("is_monotonic", False),
            start=found.get("start_time_unix_nano", 0),
            time=found.get("time_unix_nano", 0),
            attributes=resource_texts(found.get("attributes", NO_ATTRIBUTES)),
            resource=resource,
            scope_name=scope.get("name", ""),
            scope_version=scope.get("version", ""),
            data=None if found.get("flags", 0) & _NO_RECORDED_VALUE else _DATA[kind](found),
            exemplars=tuple(_exemplar(exemplar) for exemplar in found.get("exemplars", ()) if _value(exemplar)),
            scope_attributes=resource_texts(scope.get("attributes", NO_ATTRIBUTES)),
            identity=_identity(found.get("attributes", NO_ATTRIBUTES), scope.get("attributes", NO_ATTRIBUTES)),
        )


def _identity(*lists: Attributes) -> str:
    """A digest of the values that are not texts as a label has them (numbers, empty or long ones); empty where all
    are."""
    odd = [
        sorted((key, repr(value)) for key, value in attributes.values.items() if not _is_label(value))
        for attributes in lists
    ]
    return hashlib.blake2b(repr(odd).encode("utf-8", "replace"), digest_size=8).hexdigest() if any(odd) else ""


def _is_label(value: Value) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_LABEL_CHARS


def _value(found: Mapping[str, Any]) -> list[int | float]:
    """The value of a point or exemplar; empty where there is none."""
    return [found[name] for name in ("as_int", "as_double") if name in found]


def _exemplar(found: Mapping[str, Any]) -> Exemplar:
    """Ids of a wrong length are left out: the value is still worth something."""
    trace_id, span_id = found.get("trace_id", b""), found.get("span_id", b"")
    return Exemplar(
        value=float(_value(found)[0]),
        time=found.get("time_unix_nano", 0),
        trace_id=trace_id if len(trace_id) == 16 and any(trace_id) else b"",
        span_id=span_id if len(span_id) == 8 and any(span_id) else b"",
        attributes=resource_texts(found.get("filtered_attributes", NO_ATTRIBUTES)),
    )


def _number(found: Mapping[str, Any]) -> Number:
    return Number(_value(found)[0])


def _histogram(found: Mapping[str, Any]) -> Histogram:
    return Histogram(
        count=found.get("count", 0),
        sum=found.get("sum"),
        min=found.get("min"),
        max=found.get("max"),
        bounds=tuple(found.get("explicit_bounds", ())),
        bucket_counts=tuple(found.get("bucket_counts", ())),
    )


def _exponential_histogram(found: Mapping[str, Any]) -> ExponentialHistogram:
    return ExponentialHistogram(
        count=found.get("count", 0),
        sum=found.get("sum"),
        min=found.get("min"),
        max=found.get("max"),
        scale=found.get("scale", 0),
        zero_count=found.get("zero_count", 0),
        zero_threshold=found.get("zero_threshold", 0.0),
        positive=_buckets(found.get("positive", {})),
        negative=_buckets(found.get("negative", {})),
    )


def _buckets(found: Mapping[str, Any]) -> Buckets:
    return Buckets(found.get("offset", 0), tuple(found.get("bucket_counts", ())))


def _summary(found: Mapping[str, Any]) -> Summary:
    quantiles = tuple((one.get("quantile", 0.0), one.get("value", 0.0)) for one in found.get("quantile_values", ()))
    return Summary(found.get("count", 0), found.get("sum", 0.0), quantiles)


_DATA: Mapping[PointKind, Callable[[Mapping[str, Any]], Data]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential_histogram,
    "summary": _summary,
}
