"""OTLP metrics as points."""

from __future__ import annotations

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar, Metric
from support.payloads import (
    T0,
    TRACE_ID,
    any_value,
    counter,
    gauge,
    histogram,
    key_values,
    metrics_payload,
    nested,
    number,
    resource,
    scope,
)

from sidecar.decode.api import Check
from sidecar.decode.otlp import metrics
from sidecar.decode.otlp.metrics import check_metrics, metric_batch
from sidecar.errors import DecodeError

AT = "resource_metrics[0].scope_metrics[0].metrics[0]"


def test_nothing() -> None:
    assert check_metrics(b"") == Check(0)
    assert len(metric_batch([])) == 0


def test_gauge_and_sum() -> None:
    payload = metrics_payload(
        gauge("temperature", number(1.5, {"b": "2", "a": 1, "empty": ""}), unit="Cel", description="how warm"),
        counter("requests", number(7, start=T0 - 5), temporality=1),
        of=resource("svc", {"k8s.pod.name": "p"}),
        by=scope("lib", "2"),
    )
    assert check_metrics(payload) == Check(2, timed=True)
    warm, requests = metric_batch([payload]).points
    assert warm == metrics.Point(
        name="temperature",
        description="how warm",
        unit="Cel",
        kind="gauge",
        temporality="unspecified",
        monotonic=False,
        start=0,
        time=T0,
        attributes=(("a", "1"), ("b", "2")),
        resource=(("k8s.pod.name", "p"), ("service.name", "svc")),
        scope_name="lib",
        scope_version="2",
        data=metrics.Number(1.5),
        identity=warm.identity,
    )
    assert warm.identity != requests.identity == "", "attributes that are not text have an identity of their own"
    assert (requests.kind, requests.temporality, requests.monotonic, requests.start) == ("sum", "delta", True, T0 - 5)
    assert requests.data == metrics.Number(7)
    assert isinstance(requests.data.value, int)


def test_histogram_with_exemplars() -> None:
    exemplars = [
        Exemplar(as_int=3, trace_id=TRACE_ID, span_id=b"12345678", filtered_attributes=key_values({"user": 1})),
        Exemplar(as_double=0.5, trace_id=b"short", span_id=bytes(8), time_unix_nano=T0),
        Exemplar(trace_id=TRACE_ID),
    ]
    (point,) = metric_batch([metrics_payload(histogram("h", [1, 2], [1, 0, 4], 9.5, exemplars=exemplars))]).points
    assert point.data == metrics.Histogram(5, 9.5, None, None, (1.0, 2.0), (1, 0, 4))
    assert point.temporality == "cumulative"
    assert point.exemplars == (
        metrics.Exemplar(3.0, 0, TRACE_ID, b"12345678", (("user", "1"),)),
        metrics.Exemplar(0.5, T0, b"", b""),
    )


def test_histogram_of_count_and_sum_only() -> None:
    (point,) = metric_batch([metrics_payload(histogram("h", [], [], 1.0))]).points
    assert point.data == metrics.Histogram(0, 1.0, None, None, (), ())


def test_exponential_histogram_and_summary() -> None:
    exponential = Metric(name="e")
    point = exponential.exponential_histogram.data_points.add(
        scale=-1, count=4, zero_count=1, zero_threshold=0.5, min=-2
    )
    point.positive.offset = -4
    point.positive.bucket_counts.extend([1, 300])
    summary = Metric(name="s")
    summary.summary.data_points.add(count=2, sum=3).quantile_values.add(quantile=0.5, value=1.5)
    first, second = metric_batch([metrics_payload(exponential, summary)]).points
    assert first.data == metrics.ExponentialHistogram(
        4, None, -2.0, None, -1, 1, 0.5, metrics.Buckets(-4, (1, 300)), metrics.Buckets()
    )
    assert second.data == metrics.Summary(2, 3.0, ((0.5, 1.5),))


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (gauge("g", number(None)), ".gauge.data_points[0]: no value"),
        (gauge("", number(1)), ".name: empty"),
        (Metric(name="u"), ": no data of a known type"),
        (gauge("g", number(1, time=2**63)), f".gauge.data_points[0].time_unix_nano: {2**63}, at most {2**63 - 1}"),
        (
            counter("g", number(1, start=2**63)),
            f".sum.data_points[0].start_time_unix_nano: {2**63}, at most {2**63 - 1}",
        ),
        (
            gauge("g", number(1, [(f"k{i}", 1) for i in range(1025)])),
            ".gauge.data_points[0].attributes: 1025, at most 1024",
        ),
        (gauge("g", number(1, {"a": nested(33)})), ".gauge.data_points[0].attributes: nested deeper than 32"),
        (
            histogram("h", [1, 2], [1, 2], 0),
            ".histogram.data_points[0].bucket_counts: 2, must be one more than the 2 bounds",
        ),
        (histogram("h", [2, 1], [1, 2, 3], 0), ".histogram.data_points[0].explicit_bounds: not ascending"),
        (histogram("h", [1, 1], [1, 2, 3], 0), ".histogram.data_points[0].explicit_bounds: not ascending"),
        (histogram("h", [float("nan")], [1, 2], 0), ".histogram.data_points[0].explicit_bounds: not ascending"),
    ],
)
def test_refused_point(metric: Metric, message: str) -> None:
    payload = metrics_payload(metric, gauge("good", number(1)))
    assert check_metrics(payload) == Check(1, 0, 1, (f"{AT}{message}",), timed=True)
    assert [point.name for point in metric_batch([payload]).points] == ["good"]


def test_a_resource_over_a_limit_refuses_its_points() -> None:
    payload = metrics_payload(gauge("g", number(1), number(2)), of=resource(attributes={"d": any_value(nested(33))}))
    check = check_metrics(payload)
    assert (check.items, check.rejected) == (0, 2)
    assert check.errors == ("resource_metrics[0].resource.attributes: nested deeper than 32",)


def test_no_recorded_value() -> None:
    payload = metrics_payload(gauge("g", number(None, flags=1)), histogram("h", [1], [1, 2], 0, flags=1))
    assert [point.data for point in metric_batch([payload]).points] == [None, None]


def test_times() -> None:
    assert not check_metrics(metrics_payload(gauge("g", number(1), number(2, time=0)))).timed


def test_malformed() -> None:
    payload = metrics_payload(gauge("g", number(1)))
    with pytest.raises(DecodeError):
        check_metrics(payload[:-1])
    with pytest.raises(DecodeError):
        metric_batch([payload[:-1]])
