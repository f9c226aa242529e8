"""Series as an OTLP `ExportMetricsServiceRequest`. No I/O.

Source: `opentelemetry-proto` metrics/v1 and OpenTelemetry's Prometheus compatibility rules, backwards: `job` and
`instance` are a resource's `service.namespace/service.name` and `service.instance.id`, `target_info` is its other
attributes, counters are monotonic cumulative sums. Names stay as Prometheus has them, without `_total`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

from sidecar.decode.otlp.wire import put_bytes, put_double, put_fixed64, put_uint
from sidecar.derive.families import Exemplar, Number
from sidecar.push.snapshot import Head, LabelPairs, Series
from sidecar.serve.flat_series import Buckets, Quantiles

UNITS = {"seconds": "s", "milliseconds": "ms", "bytes": "By"}
"""Units of families as UCUM codes. A receiver that puts units behind names leaves a name alone that ends in it."""
_CUMULATIVE = put_uint(2, 2)
_MONOTONIC = put_uint(3, 1)
_NO_RECORDED_VALUE = 1
_SCOPE = put_bytes(1, put_bytes(1, b"model-sidecar"))
_GAUGE, _SUM, _HISTOGRAM, _SUMMARY = 5, 7, 9, 11


def target_of(series: Series) -> LabelPairs:
    """The labels that are a resource's identity."""
    return tuple(pair for pair in series.labels if pair[0] in ("job", "instance"))


def request(series: Iterable[Series], time_ms: int, targets: Mapping[LabelPairs, LabelPairs]) -> bytes:
    """The request, not compressed; `series` without `target_info`. `targets`: resource -> other attributes."""
    resources: dict[LabelPairs, dict[Head, list[Series]]] = {}
    for one in series:
        resources.setdefault(target_of(one), {}).setdefault(one.head, []).append(one)
    written = []
    for target, heads in resources.items():
        resource = _attributes(1, (*_identity(target), *targets.get(target, ())))
        metrics = b"".join(put_bytes(2, _metric(head, own, time_ms * 1_000_000)) for head, own in heads.items())
        written.append(put_bytes(1, put_bytes(1, resource) + put_bytes(2, _SCOPE + metrics)))
    return b"".join(written)


def _identity(target: LabelPairs) -> LabelPairs:
    labels = dict(target)
    namespace, slash, name = labels.get("job", "").partition("/")
    known = {
        "service.namespace": namespace if slash else "",
        "service.name": name if slash else namespace,
        "service.instance.id": labels.get("instance", ""),
    }
    return tuple((key, value) for key, value in known.items() if value)


def _metric(head: Head, series: Sequence[Series], time_ns: int) -> bytes:
    name = f"{head.name}_info" if head.kind == "info" else head.name
    points = b"".join(_points(head, one, time_ns) for one in series)
    if head.kind == "counter":
        data = put_bytes(_SUM, points + _CUMULATIVE + _MONOTONIC)
    elif head.kind == "histogram":
        data = put_bytes(_HISTOGRAM, points + _CUMULATIVE)
    else:
        data = put_bytes(_SUMMARY if head.kind == "summary" else _GAUGE, points)
    unit = put_bytes(3, UNITS.get(head.unit, head.unit).encode()) if head.unit else b""
    return put_bytes(1, name.encode()) + put_bytes(2, head.help.encode("utf-8", "replace")) + unit + data


def _points(head: Head, series: Series, time_ns: int) -> bytes:
    """The data points of a series, as field 1 of any kind of data: the 0 that it begins with, and its value."""
    start_ns = int(series.start * 1e9)
    start_ns = start_ns if 0 < start_ns < time_ns else 0
    zero = b""
    if series.begins and start_ns and head.kind != "summary":
        zero = put_bytes(1, _point(series, start_ns, start_ns, zero=True))
    return zero + put_bytes(1, _point(series, start_ns, time_ns))


def _point(series: Series, start_ns: int, time_ns: int, *, zero: bool = False) -> bytes:
    labels = tuple(pair for pair in series.labels if pair[0] not in ("job", "instance"))
    times = (put_fixed64(2, start_ns) if start_ns else b"") + put_fixed64(3, time_ns)
    value = series.value
    if isinstance(value, Buckets):
        # The buckets of a stale one are what a receiver ends that has a series for each.
        empty = Buckets(value.bounds, [0] * len(value.counts), None if value.sum is None else 0)
        shown = empty if zero or series.stale else value
        flags = put_uint(10, _NO_RECORDED_VALUE) if series.stale else b""
        return _attributes(9, labels) + times + _histogram(shown) + flags
    body = _attributes(7, labels) + times
    if isinstance(value, Quantiles):
        quantiles = b"".join(put_bytes(6, put_double(1, at) + put_double(2, of)) for at, of in value.values)
        body += put_fixed64(4, int(value.count)) + put_double(5, value.sum) + quantiles
    elif not series.stale:
        body += _number(0 if zero else value)
    return body + (put_uint(8, _NO_RECORDED_VALUE) if series.stale else b"")


def _number(value: Number) -> bytes:
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return put_fixed64(6, value)
    return put_double(4, value)


def _histogram(value: Buckets) -> bytes:
    cumulative = [int(count) for count in value.counts]
    counts = [count - before for before, count in zip((0, *cumulative), cumulative, strict=False)]
    body = put_fixed64(4, cumulative[-1])
    if value.sum is not None:
        body += put_double(5, value.sum)
    body += put_bytes(6, struct.pack(f"<{len(counts)}Q", *counts))
    body += put_bytes(7, struct.pack(f"<{len(value.bounds)}d", *value.bounds))
    return body + b"".join(put_bytes(8, _exemplar(exemplar)) for exemplar in value.exemplars.values())


def _exemplar(exemplar: Exemplar) -> bytes:
    ids = put_bytes(4, bytes.fromhex(exemplar.span_id)) + put_bytes(5, bytes.fromhex(exemplar.trace_id))
    return put_fixed64(2, int(exemplar.time * 1e9)) + put_double(3, exemplar.value) + ids


def _attributes(number: int, pairs: Iterable[tuple[str, str]]) -> bytes:
    return b"".join(
        put_bytes(number, put_bytes(1, key.encode()) + put_bytes(2, put_bytes(1, value.encode("utf-8", "replace"))))
        for key, value in pairs
    )
