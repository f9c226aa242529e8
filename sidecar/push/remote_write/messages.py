"""A snapshot as the messages of Prometheus remote write, 2.0 and 1.0. No I/O.

Source: the remote write specifications 1.0 and 2.0, and Prometheus' `prompb/types.proto` (`prometheus.WriteRequest`)
and `prompb/io/prometheus/write/v2/types.proto` (`io.prometheus.write.v2.Request`). A histogram is its classic series,
named as on a scrape. Labels are sorted by name.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sidecar.decode.otlp.wire import put_bytes, put_double, put_uint, put_varint
from sidecar.derive.families import Exemplar, Number
from sidecar.push.snapshot import Head, LabelPairs, Series
from sidecar.serve.exposition import SAMPLE_SUFFIX, number_text
from sidecar.serve.flat_series import Buckets, Quantiles

V2_TYPE = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
V1_TYPE = "application/x-protobuf"

_TYPES = {"unknown": 0, "counter": 1, "gauge": 2, "histogram": 3, "summary": 5, "info": 6}
"""`MetricMetadata.MetricType` of 1.0 and `Metadata.MetricType` of 2.0, which have the same numbers."""
_VALUE_TAG = b"\x09"
_STALE = _VALUE_TAG + (0x7FF0000000000002).to_bytes(8, "little")
"""A sample's value that ends its series: Prometheus' stale marker, a signalling NaN, which must not become another."""
_DOUBLE = struct.Struct("<d")


@dataclass(frozen=True, slots=True)
class Flat:
    """One series as Prometheus stores it."""

    name: str
    labels: LabelPairs
    """Without the name, not sorted."""
    value: Number
    counts: bool = True
    """Its start is that of a count."""
    exemplar: Exemplar | None = None


def flat(series: Series) -> Iterator[Flat]:
    """The series that a series of the snapshot is in Prometheus."""
    head, labels, value = series.head, series.labels, series.value
    if isinstance(value, Buckets):
        ends = [*map(float, value.bounds), float("inf")]
        for i, (end, count) in enumerate(zip(ends, value.counts, strict=True)):
            bucket = (*labels, ("le", number_text(end)))
            yield Flat(f"{head.name}_bucket", bucket, count, exemplar=value.exemplars.get(i))
        if value.sum is not None:
            yield Flat(f"{head.name}_sum", labels, value.sum)
        yield Flat(f"{head.name}_count", labels, value.counts[-1])
    elif isinstance(value, Quantiles):
        for quantile, of in value.values:
            yield Flat(head.name, (*labels, ("quantile", number_text(float(quantile)))), of, counts=False)
        yield Flat(f"{head.name}_sum", labels, value.sum)
        yield Flat(f"{head.name}_count", labels, value.count)
    else:
        yield Flat(head.name + SAMPLE_SUFFIX.get(head.kind, ""), labels, value, counts=head.kind == "counter")


def v2(series: Iterable[Series], time_ms: int) -> bytes:
    """`io.prometheus.write.v2.Request`, not compressed."""
    symbols: dict[str, int] = {"": 0}

    def ref(text: str) -> bytes:
        return put_varint(symbols.setdefault(text, len(symbols)))

    written = []
    for one in series:
        start_ms = _start(one, time_ms)
        metadata = _metadata_v2(one.head, ref)
        for part in flat(one):
            refs = b"".join(ref(name) + ref(value) for name, value in _sorted(part))
            body = [put_bytes(1, refs)]
            if one.begins and part.counts and start_ms:
                body.append(put_bytes(2, _sample(0.0, start_ms)))
            started = put_uint(3, start_ms) if part.counts and start_ms else b""
            body.append(put_bytes(2, (_stale(time_ms) if one.stale else _sample(part.value, time_ms)) + started))
            if part.exemplar is not None and not one.stale:
                names = b"".join(ref(name) + ref(value) for name, value in _trace(part.exemplar))
                body.append(put_bytes(4, put_bytes(1, names) + _exemplar(part.exemplar)))
            body.append(metadata)
            written.append(put_bytes(5, b"".join(body)))
    texts = b"".join(put_bytes(4, text.encode("utf-8", "replace")) for text in symbols)
    return texts + b"".join(written)


def v1(series: Iterable[Series], time_ms: int) -> bytes:
    """`prometheus.WriteRequest`, not compressed; it has no start times."""
    written, heads = [], {}
    for one in series:
        heads[one.head.name] = one.head
        start_ms = _start(one, time_ms)
        for part in flat(one):
            body = [_label(name, value) for name, value in _sorted(part)]
            if one.begins and part.counts and start_ms:
                body.append(put_bytes(2, _sample(0.0, start_ms)))
            body.append(put_bytes(2, _stale(time_ms) if one.stale else _sample(part.value, time_ms)))
            if part.exemplar is not None and not one.stale:
                names = b"".join(_label(name, value) for name, value in _trace(part.exemplar))
                body.append(put_bytes(3, names + _exemplar(part.exemplar)))
            written.append(put_bytes(1, b"".join(body)))
    return b"".join(written) + b"".join(put_bytes(3, _metadata_v1(head)) for head in heads.values())


def _start(series: Series, time_ms: int) -> int:
    """Unix milliseconds, before those of the sample; 0 where it is not known."""
    start_ms = int(series.start * 1000)
    return start_ms if 0 < start_ms < time_ms else 0


def _sorted(part: Flat) -> list[tuple[str, str]]:
    return sorted((("__name__", part.name), *part.labels))


def _trace(exemplar: Exemplar) -> tuple[tuple[str, str], ...]:
    return ("span_id", exemplar.span_id), ("trace_id", exemplar.trace_id)


def _sample(value: Number, time_ms: int) -> bytes:
    return _VALUE_TAG + _DOUBLE.pack(value) + put_uint(2, time_ms)


def _stale(time_ms: int) -> bytes:
    return _STALE + put_uint(2, time_ms)


def _exemplar(exemplar: Exemplar) -> bytes:
    """Value and time, whose numbers are the same in both versions."""
    return put_double(2, exemplar.value) + put_uint(3, int(exemplar.time * 1000))


def _label(name: str, value: str) -> bytes:
    return put_bytes(1, put_bytes(1, name.encode()) + put_bytes(2, value.encode("utf-8", "replace")))


def _metadata_v2(head: Head, ref: Callable[[str], bytes]) -> bytes:
    content = put_uint(1, _TYPES[head.kind]) + b"\x18" + ref(head.help)
    return put_bytes(5, content + (b"\x20" + ref(head.unit) if head.unit else b""))


def _metadata_v1(head: Head) -> bytes:
    content = put_uint(1, _TYPES[head.kind]) + put_bytes(2, head.name.encode()) + put_bytes(4, head.help.encode())
    return content + (put_bytes(5, head.unit.encode()) if head.unit else b"")
