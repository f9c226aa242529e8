"""Metric families as Prometheus' protobuf exposition, the only one that has native histograms.

Source: `io.prometheus.client.MetricFamily` of client_model's `metrics.proto`; each family has its length in front of it
(`encoding=delimited`). A native histogram stands in one message with the classic one of its series.
"""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.decode.otlp.wire import put_bytes, put_double, put_uint, put_varint
from sidecar.derive.families import Exemplar, Kind, NativeHistogram, read_labels
from sidecar.derive.native_buckets import spans
from sidecar.serve.exposition import SAMPLE_SUFFIX, Family, Merged
from sidecar.serve.flat_series import Buckets, Quantiles, Value, series_of

_TYPES: dict[Kind, int] = {"counter": 0, "gauge": 1, "summary": 2, "unknown": 3, "histogram": 4, "info": 1}
_VALUES: dict[Kind, int] = {"counter": 3, "gauge": 2, "unknown": 5, "info": 2}
"""Field of `Metric` that has the value of a series."""
_SUMMARY, _HISTOGRAM = 4, 7


def render(merged: Merged) -> bytes:
    """The exposition."""
    out = []
    for parts in merged.families:
        family = _family(parts)
        if family:
            out += [put_varint(len(family)), family]
    return b"".join(out)


def _family(parts: Sequence[Family]) -> bytes:
    first, seen, metrics = parts[0], set(), []
    for part in parts:
        for text, value, start in series_of(part):
            if text not in seen:
                seen.add(text)
                metrics.append(put_bytes(4, _labels(read_labels(text)) + _value(part.kind, value, start)))
    if not metrics:
        return b""
    name = first.name + SAMPLE_SUFFIX.get(first.kind, "")
    head = put_bytes(1, name.encode()) + put_bytes(2, first.help.encode("utf-8", "replace"))
    unit = put_bytes(5, first.unit.encode()) if first.unit and first.name.endswith(f"_{first.unit}") else b""
    return head + put_uint(3, _TYPES[first.kind]) + b"".join(metrics) + unit


def _labels(labels: dict[str, str]) -> bytes:
    return b"".join(
        put_bytes(1, put_bytes(1, k.encode()) + put_bytes(2, v.encode("utf-8", "replace"))) for k, v in labels.items()
    )


def _value(kind: Kind, value: Value, start: float) -> bytes:
    if isinstance(value, Buckets):
        return put_bytes(_HISTOGRAM, _histogram(value) + _created(15, start))
    if isinstance(value, Quantiles):
        quantiles = b"".join(put_bytes(3, put_double(1, at) + put_double(2, of)) for at, of in value.values)
        body = put_uint(1, int(value.count)) + put_double(2, value.sum) + quantiles
        return put_bytes(_SUMMARY, body + _created(4, start))
    return put_bytes(_VALUES[kind], put_double(1, value) + (_created(3, start) if kind == "counter" else b""))


def _histogram(value: Buckets) -> bytes:
    body = put_uint(1, int(value.counts[-1]))
    if value.sum is not None:
        body += put_double(2, value.sum)
    for i, (bound, count) in enumerate(zip((*value.bounds, float("inf")), value.counts, strict=True)):
        exemplar = value.exemplars.get(i)
        traced = put_bytes(3, _exemplar(exemplar)) if exemplar is not None else b""
        body += put_bytes(3, put_uint(1, int(count)) + put_double(2, bound) + traced)
    if value.native is None:
        return body
    exemplars = sorted(value.exemplars.values(), key=lambda exemplar: exemplar.time)
    return body + _native(value.native) + b"".join(put_bytes(16, _exemplar(exemplar)) for exemplar in exemplars)


def _native(native: NativeHistogram) -> bytes:
    body = put_uint(5, _zigzag(native.schema)) + put_double(6, native.zero_threshold) + put_uint(7, native.zero_count)
    for spans_field, deltas_field, indexes, counts in (
        (9, 10, native.negative_indexes, native.negative_counts),
        (12, 13, native.indexes, native.counts),
    ):
        for offset, length in spans(indexes):
            body += put_bytes(spans_field, put_uint(1, _zigzag(offset)) + put_uint(2, length))
        if counts:
            deltas = (count - before for before, count in zip((0, *counts), counts, strict=False))
            body += put_bytes(deltas_field, b"".join(put_varint(_zigzag(delta)) for delta in deltas))
    return body


def _zigzag(value: int) -> int:
    """An integer as sint32 and sint64 are written."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def _exemplar(exemplar: Exemplar) -> bytes:
    labels = _labels({"trace_id": exemplar.trace_id, "span_id": exemplar.span_id})
    return labels + put_double(2, exemplar.value) + put_bytes(3, _timestamp(exemplar.time))


def _created(number: int, seconds: float) -> bytes:
    return put_bytes(number, _timestamp(seconds)) if seconds else b""


def _timestamp(seconds: float) -> bytes:
    """`google.protobuf.Timestamp`."""
    whole = int(seconds)
    return put_uint(1, whole) + put_uint(2, int((seconds - whole) * 1e9))
