"""OTLP, read back by the official protobuf classes."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, DataPointFlags

from sidecar.deliver.otlp.responses import ExportResult
from sidecar.derive.families import Exemplar
from sidecar.push.options import OtlpPushOptions
from sidecar.push.otlp.destination import OtlpPush
from sidecar.push.otlp.messages import request
from sidecar.push.snapshot import Head, Series
from sidecar.serve.flat_series import Buckets, Quantiles

NOW = 1_700_000_010_000
NOW_NS, START_NS = NOW * 1_000_000, 1_700_000_000_500_000_000
START = START_NS / 1e9
TARGET = (("instance", "run-1"), ("job", "shop/app"))
CALLS = Series(Head("calls", "counter", "Calls made.", ""), (*TARGET, ("zone", "b")), 7, START, begins=True)
TOOK = Series(
    Head("took_seconds", "histogram", "Time.", "seconds"),
    TARGET,
    Buckets((0.5, 1.0), [1, 2, 4], 3.25, {1: Exemplar("ab" * 16, "cd" * 8, 0.75, 1_700_000_009.5)}),
    START,
)
SIZE = Series(Head("size", "summary", "", ""), TARGET, Quantiles([(0.5, 2.0)], 3, 6.0))
HOT = Series(Head("hot", "gauge", "", ""), (("job", "model-sidecar"),), 1.5)
INFO = Series(Head("target", "info", "", ""), (*TARGET, ("region", "eu")), 1)


def read(body: bytes) -> dict[str, Any]:
    message = ExportMetricsServiceRequest.FromString(body)
    return {m.name: m for r in message.resource_metrics for s in r.scope_metrics for m in s.metrics}


def attributes(pairs: Any) -> dict[str, str]:
    return {pair.key: pair.value.string_value for pair in pairs}


def test_kinds_times_and_values() -> None:
    found = read(request([CALLS, TOOK, SIZE, HOT], NOW, {}))
    calls = found["calls"].sum
    assert calls.is_monotonic
    assert calls.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    assert [(p.start_time_unix_nano, p.time_unix_nano, p.as_int) for p in calls.data_points] == [
        (START_NS, START_NS, 0),
        (START_NS, NOW_NS, 7),
    ]
    assert attributes(calls.data_points[0].attributes) == {"zone": "b"}
    (took,) = found["took_seconds"].histogram.data_points
    assert (took.count, took.sum, list(took.bucket_counts), list(took.explicit_bounds)) == (
        4,
        3.25,
        [1, 1, 2],
        [0.5, 1.0],
    )
    assert found["took_seconds"].unit == "s"
    (exemplar,) = took.exemplars
    assert (exemplar.trace_id.hex(), exemplar.span_id.hex(), exemplar.as_double) == ("ab" * 16, "cd" * 8, 0.75)
    (size,) = found["size"].summary.data_points
    assert (size.count, size.sum, [(q.quantile, q.value) for q in size.quantile_values]) == (3, 6.0, [(0.5, 2.0)])
    (hot,) = found["hot"].gauge.data_points
    assert (hot.as_double, hot.start_time_unix_nano) == (1.5, 0)


def test_what_ends_has_no_recorded_value() -> None:
    ended = [Series(one.head, one.labels, one.value, one.start, stale=True) for one in (CALLS, TOOK, SIZE, HOT)]
    found = read(request(ended, NOW, {}))
    points = [
        *found["calls"].sum.data_points,
        *found["took_seconds"].histogram.data_points,
        *found["size"].summary.data_points,
        *found["hot"].gauge.data_points,
    ]
    assert [p.flags for p in points] == [DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK] * 4


def test_job_and_instance_are_the_resource_and_target_info_its_attributes() -> None:
    class Client:
        def __init__(self) -> None:
            self.bodies: list[bytes] = []

        def export(self, signal: str, body: bytes, headers: Any) -> ExportResult:
            self.bodies.append(body)
            return ExportResult("accepted")

        def close(self) -> None: ...

    client = Client()
    destination = OtlpPush(OtlpPushOptions(endpoint="http://x:1"), client)
    destination.send([INFO], NOW)
    destination.send([CALLS, HOT], NOW)
    destination.send([CALLS], NOW + 1)
    resources = [
        attributes(r.resource.attributes)
        for body in client.bodies
        for r in ExportMetricsServiceRequest.FromString(body).resource_metrics
    ]
    app = {"service.namespace": "shop", "service.name": "app", "service.instance.id": "run-1"}
    assert resources == [{**app, "region": "eu"}, {"service.name": "model-sidecar"}, app]
