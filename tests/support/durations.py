"""Spans whose durations are known, for tests of histograms."""

from __future__ import annotations

import math
import random
import time
import urllib.request

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def lognormal(n: int, median: float, spread: float, seed: int = 7) -> list[float]:
    """Seconds."""
    dice = random.Random(seed)
    return [median * math.exp(dice.gauss(0.0, spread)) for _ in range(n)]


def send_spans(otlp_url: str, service: str, seconds: list[float]) -> None:
    """A server span of each duration, acknowledged when this returns."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value=service)))
    spans = resource.scope_spans.add().spans
    end, dice = time.time_ns(), random.Random(service)
    for duration in seconds:
        spans.add(
            trace_id=dice.randbytes(16),
            span_id=dice.randbytes(8),
            name="work",
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=end - round(duration * 1e9),
            end_time_unix_nano=end,
        )
    body = request.SerializeToString()
    headers = {"content-type": "application/x-protobuf"}
    with urllib.request.urlopen(urllib.request.Request(f"{otlp_url}/v1/traces", body, headers), timeout=30) as reply:
        assert reply.status == 200
