"""Field numbers and names, against the messages of the official package."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from sidecar.decode.otlp.schema import MESSAGES, json_name, tag

INNER = {
    "Event": trace_pb2.Span.Event,
    "Link": trace_pb2.Span.Link,
    "Buckets": metrics_pb2.ExponentialHistogramDataPoint.Buckets,
    "ValueAtQuantile": metrics_pb2.SummaryDataPoint.ValueAtQuantile,
}
MODULES = (
    common_pb2, resource_pb2, trace_pb2, logs_pb2, metrics_pb2, trace_service_pb2, logs_service_pb2,
    metrics_service_pb2,
)  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES)
def test_fields_are_those_of_the_definitions(message: str) -> None:
    found = INNER.get(message) or next(getattr(module, message) for module in MODULES if hasattr(module, message))
    for field in MESSAGES[message]:
        official = found.DESCRIPTOR.fields_by_name[field.name]
        assert field.number == official.number
        assert json_name(field.name) == official.json_name
        assert field.repeated == official.is_repeated


def test_a_field_that_there_is_not_is_named() -> None:
    with pytest.raises(KeyError, match=r"Span\.nam"):
        tag("Span", "nam")
