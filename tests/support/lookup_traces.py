"""A few traces that have something of everything, for look-ups: as OTLP payloads."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

START = 1_790_000_000_000_000_000
MS = 1_000_000
SECOND = 1_000 * MS

SERVER, CLIENT, INTERNAL, PRODUCER, CONSUMER = 2, 3, 1, 4, 5
Value = str | int | float | bool | bytes | list[str]


def value(given: Value) -> AnyValue:
    """OTLP's AnyValue of a Python value."""
    match given:
        case bool():
            return AnyValue(bool_value=given)
        case str():
            return AnyValue(string_value=given)
        case int():
            return AnyValue(int_value=given)
        case float():
            return AnyValue(double_value=given)
        case bytes():
            return AnyValue(bytes_value=given)
        case list():
            return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=v) for v in given]))
    raise TypeError(given)


def pairs(attributes: dict[str, Value]) -> list[KeyValue]:
    """Attributes as OTLP has them."""
    return [KeyValue(key=key, value=value(given)) for key, given in attributes.items()]


def _pointed(attributes: dict[str, Value]) -> dict[str, Value]:
    return {key.replace("__", "."): given for key, given in attributes.items()}


def trace_hex(number: int) -> str:
    """Id of the trace of that number, in hex."""
    return f"{number:032x}"


def span(
    trace: int,
    number: int,
    name: str,
    kind: int = INTERNAL,
    parent: int = 0,
    at: int = 0,
    duration: int = MS,
    status: int = 0,
    **attributes: Value,
) -> Span:
    """A span; `at` and `duration` in nanoseconds, `at` from `START` on. `__` in a name stands for a point."""
    start = START + at
    return Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=(trace << 16 | number).to_bytes(8, "big"),
        parent_span_id=(trace << 16 | parent).to_bytes(8, "big") if parent else b"",
        name=name,
        kind=kind,  # type: ignore[arg-type]  # the enum's number
        start_time_unix_nano=start,
        end_time_unix_nano=start + duration,
        status=Status(code=status, message="broken" if status == 2 else ""),  # type: ignore[arg-type]
        attributes=pairs(_pointed(attributes)),
    )


def request(service: str, spans: list[Span], **resource: Value) -> bytes:
    """An export of one service."""
    message = ExportTraceServiceRequest()
    of_service = message.resource_spans.add()
    of_service.resource.attributes.extend(
        pairs({"service.name": service, "service.version": "1.2", **_pointed(resource)})
    )
    scope = of_service.scope_spans.add(spans=spans)
    scope.scope.name, scope.scope.version = "tests", "0.1"
    return message.SerializeToString()


def payloads() -> list[bytes]:
    """Four traces. 1: two services, an error, an event, a link. 2: one span. 3: slow, a queue. 4: odd values."""
    failed = span(1, 3, "SELECT wine", CLIENT, 2, 12 * MS, 30 * MS, 2, db__system="postgresql", rows=0)
    failed.events.add(
        name="exception",
        time_unix_nano=START + 40 * MS,
        attributes=pairs({"exception.type": "ValueError", "exception.message": "no such wine", "attempt": 2}),
    )
    linked = span(1, 4, "explain", INTERNAL, 2, 43 * MS, 5 * MS, ml__model__name="wine", ml__model__version="3")
    linked.links.add(
        trace_id=(2).to_bytes(16, "big"), span_id=(2 << 16 | 1).to_bytes(8, "big"), attributes=pairs({"why": "retry"})
    )
    linked.trace_state = "vendor=1"
    odd = span(
        4, 1, "odd <script>alert(1)</script>", 0, 0, 300 * SECOND, 1234,
        yes=True, half=0.5, whole=2.0, raw=b"\x00\xff", many=["a", "b"], big=2**53 + 1, empty="",
    )  # fmt: skip
    return [
        request("gateway", [
            span(1, 1, "POST /predict", SERVER, 0, 0, 60 * MS, 2, http__route="/predict", http__status_code=500),
            span(2, 1, "GET /health", SERVER, 0, 5 * SECOND, 2 * MS, 1, http__route="/health", http__status_code=200),
        ]),
        request("wine-classifier", [
            span(1, 2, "predict", SERVER, 1, 10 * MS, 45 * MS, 0, ml__model__name="wine", http__route="/predict"),
            failed,
            linked,
        ], deployment__environment="test"),
        request("worker", [
            span(3, 1, "enqueue", PRODUCER, 0, 60 * SECOND, 900 * MS, 0, messaging__system="kafka"),
            span(3, 2, "work", CONSUMER, 1, 61 * SECOND, 2_500 * MS, 0, messaging__system="kafka", rows=7),
        ]),
        request("odd", [odd]),
    ]  # fmt: skip
