"""The protobuf exposition, read back by protobuf's library from the messages as client_model defines them."""

from __future__ import annotations

from typing import Any

from google.protobuf.internal.decoder import _DecodeVarint32  # type: ignore[attr-defined]
from prometheus_client import CollectorRegistry, Counter
from support.protobuf_messages import message_classes

from sidecar.derive.families import Exemplar, FamilySnapshot, Histograms, NativeHistogram, Points, Summaries
from sidecar.serve.exposition import from_client, merge
from sidecar.serve.protobuf import render
from sidecar.telemetry import Telemetry

CLIENT = {
    "io.prometheus.client": {
        "LabelPair": {"name": (1, "string"), "value": (2, "string")},
        "Timestamp": {"seconds": (1, "int64"), "nanos": (2, "int32")},
        "Exemplar": {"label": (1, "*LabelPair"), "value": (2, "double"), "timestamp": (3, "Timestamp")},
        "Gauge": {"value": (1, "double")},
        "Counter": {"value": (1, "double"), "exemplar": (2, "Exemplar"), "created_timestamp": (3, "Timestamp")},
        "Quantile": {"quantile": (1, "double"), "value": (2, "double")},
        "Summary": {
            "sample_count": (1, "uint64"),
            "sample_sum": (2, "double"),
            "quantile": (3, "*Quantile"),
            "created_timestamp": (4, "Timestamp"),
        },
        "Untyped": {"value": (1, "double")},
        "Bucket": {"cumulative_count": (1, "uint64"), "upper_bound": (2, "double"), "exemplar": (3, "Exemplar")},
        "BucketSpan": {"offset": (1, "sint32"), "length": (2, "uint32")},
        "Histogram": {
            "sample_count": (1, "uint64"),
            "sample_sum": (2, "double"),
            "bucket": (3, "*Bucket"),
            "schema": (5, "sint32"),
            "zero_threshold": (6, "double"),
            "zero_count": (7, "uint64"),
            "negative_span": (9, "*BucketSpan"),
            "negative_delta": (10, "*sint64"),
            "positive_span": (12, "*BucketSpan"),
            "positive_delta": (13, "*sint64"),
            "created_timestamp": (15, "Timestamp"),
            "exemplars": (16, "*Exemplar"),
        },
        "Metric": {
            "label": (1, "*LabelPair"),
            "gauge": (2, "Gauge"),
            "counter": (3, "Counter"),
            "summary": (4, "Summary"),
            "untyped": (5, "Untyped"),
            "histogram": (7, "Histogram"),
        },
        "MetricFamily": {
            "name": (1, "string"),
            "help": (2, "string"),
            "type": (3, "int32"),
            "metric": (4, "*Metric"),
            "unit": (5, "string"),
        },
    }
}
FAMILY = message_classes(CLIENT, "io.prometheus.client.MetricFamily")["io.prometheus.client.MetricFamily"]


def read(body: bytes) -> dict[str, Any]:
    found, at = {}, 0
    while at < len(body):
        length, at = _DecodeVarint32(body, at)
        family = FAMILY.FromString(body[at : at + length])
        found[family.name] = family
        at += length
    return found


def labels(metric: Any) -> dict[str, str]:
    return {pair.name: pair.value for pair in metric.label}


def test_every_kind() -> None:
    registry = CollectorRegistry()
    Counter("own", "Own.", ["a"], registry=registry).labels('x"y').inc(2)
    families = [
        FamilySnapshot("calls", "counter", "Calls.", "", (Points(['a="1\\n"', 'a="2"'], [3, 4], [1.5, 0.0]),)),
        FamilySnapshot("hot", "gauge", "", "", (Points([""], [1.25]),)),
        FamilySnapshot("what", "unknown", "", "", (Points([""], [2]),)),
        FamilySnapshot("target", "info", "", "", (Points(['job="x"'], [1]),)),
        FamilySnapshot("size", "summary", "", "", (Summaries([""], [[(0.5, 2.0)]], [3], [6.0], [9.0]),)),
        FamilySnapshot("none", "gauge", "", "", ()),
        *from_client(registry.collect()),
    ]
    found = read(render(merge(families)))
    assert list(found) == ["calls_total", "hot", "what", "target_info", "size", "own_total"]
    first, second = found["calls_total"].metric
    assert (labels(first), first.counter.value) == ({"a": "1\n"}, 3)
    created = first.counter.created_timestamp
    assert (created.seconds, created.nanos) == (1, 500_000_000)
    assert not second.counter.HasField("created_timestamp")
    assert (found["calls_total"].type, found["calls_total"].help) == (0, "Calls.")
    assert (found["hot"].type, found["hot"].metric[0].gauge.value) == (1, 1.25)
    assert (found["what"].type, found["what"].metric[0].untyped.value) == (3, 2)
    assert (found["target_info"].type, labels(found["target_info"].metric[0])) == (1, {"job": "x"})
    summary = found["size"].metric[0].summary
    assert (summary.sample_count, summary.sample_sum, summary.quantile[0].value) == (3, 6.0, 2.0)
    assert labels(found["own_total"].metric[0]) == {"a": 'x"y'}


def test_a_histogram_has_both_kinds_of_buckets_in_one_message() -> None:
    native = NativeHistogram(3, 1, [-2, -1, 4], [5, 2, 9], 0.5, [7], [3])
    exemplars = {(0, 0): Exemplar("aa", "bb", 0.25, 7.5)}
    block = Histograms(["", 'a="1"'], (0.5, 1.0), [[1, 2, 20], [0, 0, 0]], [4.5, None], [], exemplars, [native, None])
    family = FamilySnapshot("took_seconds", "histogram", "", "seconds", (block,))
    found = read(render(merge([family])))["took_seconds"]
    both, classic = (metric.histogram for metric in found.metric)
    assert (found.type, found.unit) == (4, "seconds")
    assert [(b.upper_bound, b.cumulative_count) for b in both.bucket] == [(0.5, 1), (1.0, 2), (float("inf"), 20)]
    assert (both.sample_count, both.sample_sum) == (20, 4.5)
    assert (both.schema, both.zero_threshold, both.zero_count) == (3, 0.5, 1)
    assert [(s.offset, s.length) for s in both.positive_span] == [(-2, 2), (4, 1)]
    assert list(both.positive_delta) == [5, -3, 7]
    assert [(s.offset, s.length) for s in both.negative_span] == [(7, 1)]
    assert list(both.negative_delta) == [3]
    assert labels(both.exemplars[0]) == {"trace_id": "aa", "span_id": "bb"}
    assert both.bucket[0].exemplar.timestamp.seconds == 7
    assert not classic.positive_span
    assert classic.zero_threshold == 0


def test_what_is_no_unicode_does_not_stop_a_scrape() -> None:
    """Such as the name of a file, or a setting from the environment, that is not UTF-8."""
    telemetry = Telemetry()
    telemetry.add("sidecar_sink_requests_total", sink="caf\udce9", outcome="ok")
    (family,) = read(render(merge(from_client(telemetry.collect())))).values()
    assert labels(family.metric[0]) == {"outcome": "ok", "sink": "caf?"}
