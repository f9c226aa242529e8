"""Odd OTLP requests for tests of decoders, from a seeded random source.

They are built with the protobuf classes of `opentelemetry-proto`; what those cannot write (text that is not UTF-8,
fields out of order or repeated, broken wire format) is done to the bytes afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeAlias

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sidecar.decode.otlp import wire
from sidecar.decode.otlp.limits import MAX_ATTRIBUTES, MAX_DEPTH, MAX_LABEL_CHARS, MAX_TIME_NS

Rng: TypeAlias = random.Random

# Text that protobuf's classes write, and the bytes of equal length put in its place.
BROKEN = {
    b"@@1@": b"\xff\xc3(\x80",
    b"@@2@": b"\xe2\x82\xe2\x82",
    b"@@3@": b"\xf0\x9f\x98@",
    b"@@4@": b"\xed\xa0\x80@",
}
TEXTS = [
    "", "a", "predict", "GET /v1/models/{model}", "größe", "日本", "😀", "\x00", "\x1f\x7f\u2028", 'say "hi" \\ \n\t',
    " ", "\ufffd", "unknown_service", "x" * 17, "z" * 40, "n" * MAX_LABEL_CHARS, "é" * (MAX_LABEL_CHARS + 2),
    "q" * 5000, "@@1@", "@@2@", "-@@3@-", "a" * 20 + "@@4@", "0123456789abcdef", 'fifteen chars..."',
]  # fmt: skip
KEYS = [
    "http.route", "http.response.status_code", "model.name", "k", "k", "service.name", "", " ", "_", "\t", "größe",
    "@@1@", "-@@3@-", "exception.type", "event.name", "data_stream.dataset", "data_stream.namespace",
    "data_stream.type", "data_stream.other", 'quo"te', "\ufffd",
]  # fmt: skip
STATES = [
    "", "ot=th:8", "ot=th:e", "ot=th:0", "ot=th:ffffffffffffff", "ot=th:00000000000001", "ot=th:123456789abcdef",
    "ot=th:", "ot=th:8;th:e", "ot=rv:1;th:c", "vendor=1, ot=th:f0a ,x=y", "ot=th:A", "ot", "ot=th:8,ot=th:e",
    "\tot=th:a@@1@", "ot=th:fffffffffffff7", "ot=th:4a7", "ot=th:7fffffffffffff",
]  # fmt: skip
TIMES = [
    0, 1, 999_999, 1_795_256_301_122_834_607, MAX_TIME_NS, MAX_TIME_NS + 1, 2**64 - 1,
]  # fmt: skip
DOUBLES = [
    0.0, -0.0, 1.0, -2.5, 0.1, 1e21, 1e20, 123456789012345680000.0, 1e-6, 9.9e-7, 1e16, 1.5e300, 5e-324, float("nan"),
    float("inf"), float("-inf"), 1 / 3, 2.0**53, 1e-4, 1e22,
]  # fmt: skip
SEVERITIES = [
    "", "info", " WARN\t", "Emergency", "x", "informational", "İ", "c", "@@1@",
]  # fmt: skip


def an_int(rng: Rng) -> int:
    return rng.choice([0, 1, -1, 200, 2**63 - 1, -(2**63), rng.randint(-1000, 10**6)])


def a_double(rng: Rng) -> float:
    if rng.randrange(3):
        return rng.choice(DOUBLES)
    return rng.uniform(-1, 1) * 10 ** rng.randint(-30, 30)


def a_value(rng: Rng, depth: int = 1) -> AnyValue:
    match rng.randrange(12 if depth < 4 else 8):
        case 0:
            return AnyValue()
        case 1:
            return AnyValue(bool_value=bool(rng.randrange(2)))
        case 2 | 3:
            return AnyValue(int_value=an_int(rng))
        case 4:
            return AnyValue(double_value=a_double(rng))
        case 5:
            return AnyValue(bytes_value=bytes(rng.randrange(256) for _ in range(rng.randrange(6))))
        case 8 | 9:
            value = AnyValue()
            value.array_value.SetInParent()
            value.array_value.values.extend(a_value(rng, depth + 1) for _ in range(rng.randrange(4)))
            return value
        case 10 | 11:
            value = AnyValue()
            value.kvlist_value.SetInParent()
            value.kvlist_value.values.extend(a_pair(rng, depth + 1) for _ in range(rng.randrange(5)))
            return value
        case _:
            return AnyValue(string_value=rng.choice(TEXTS))


def a_pair(rng: Rng, depth: int = 1) -> KeyValue:
    if rng.randrange(20) == 0:
        return KeyValue(key=rng.choice(KEYS))
    return KeyValue(key=rng.choice(KEYS), value=a_value(rng, depth))


def nested(levels: int) -> AnyValue:
    value = AnyValue(string_value="deepest")
    for level in range(levels - 1):
        outer = AnyValue()
        if level % 2:
            outer.array_value.values.append(value)
        else:
            outer.kvlist_value.values.append(KeyValue(key="in", value=value))
        value = outer
    return value


def attributes(rng: Rng) -> list[KeyValue]:
    pairs = [a_pair(rng) for _ in range(rng.choice([0, 1, 2, 3, 6, 12]))]
    match rng.randrange(60):
        case 0:
            pairs.append(KeyValue(key="deep", value=nested(rng.choice([MAX_DEPTH, MAX_DEPTH + 1, MAX_DEPTH + 2]))))
        case 1:
            count = rng.choice([MAX_ATTRIBUTES, MAX_ATTRIBUTES + 1]) - len(pairs)
            pairs += [KeyValue(key=f"many.{i % 700}", value=AnyValue(int_value=i)) for i in range(count)]
        case 2:
            pairs += [KeyValue(key=f"some.{i % 50}") for i in range(80)]
    return pairs


def an_id(rng: Rng, length: int) -> bytes:
    match rng.randrange(24):
        case 0:
            return b""
        case 1:
            return bytes(length)
        case 2:
            return b"\x01" * (length - 1)
        case _:
            return bytes(rng.randrange(256) for _ in range(length))


def an_event(rng: Rng) -> Span.Event:
    return Span.Event(
        time_unix_nano=rng.choice(TIMES[:5]),
        name=rng.choice(TEXTS),
        attributes=attributes(rng),
        dropped_attributes_count=rng.choice([0, 0, 3]),
    )


def a_link(rng: Rng) -> Span.Link:
    return Span.Link(
        trace_id=an_id(rng, 16),
        span_id=an_id(rng, 8),
        trace_state=rng.choice(STATES),
        attributes=attributes(rng),
        dropped_attributes_count=rng.choice([0, 0, 2**32 - 1]),
        flags=rng.choice([0, 257]),
    )


def a_span(rng: Rng) -> Span:
    span = Span(
        trace_id=an_id(rng, 16),
        span_id=an_id(rng, 8),
        parent_span_id=rng.choice([b"", bytes(8), b"\x07" * 8, b"\x07" * 8, b"\x07" * 7]),
        trace_state=rng.choice(STATES),
        name=rng.choice(TEXTS),
        start_time_unix_nano=rng.choice(TIMES[: rng.choice([5, 5, 5, 7])]),
        end_time_unix_nano=rng.choice(TIMES[:5]),
        attributes=attributes(rng),
        dropped_attributes_count=rng.choice([0, 0, 7]),
        dropped_events_count=rng.choice([0, 0, 8]),
        dropped_links_count=rng.choice([0, 0, 9]),
        events=[an_event(rng) for _ in range(rng.choice([0, 0, 0, 1, 3]))],
        links=[a_link(rng) for _ in range(rng.choice([0, 0, 0, 1, 2]))],
        flags=rng.choice([0, 1]),
    )
    span.kind = rng.choice([0, 1, 2, 3, 4, 5, 6, 77, -1])  # type: ignore[assignment]
    if rng.randrange(2):
        span.status.code = rng.choice([0, 1, 2, 3, -5])  # type: ignore[assignment]
        span.status.message = rng.choice(TEXTS)
    return span


def a_log(rng: Rng) -> LogRecord:
    record = LogRecord(
        time_unix_nano=rng.choice(TIMES[:6]),
        observed_time_unix_nano=rng.choice(TIMES[:6]),
        severity_text=rng.choice(SEVERITIES),
        attributes=attributes(rng),
        dropped_attributes_count=rng.choice([0, 0, 7]),
        flags=rng.choice([0, 1]),
        trace_id=rng.choice([b"", an_id(rng, 16)]),
        span_id=rng.choice([b"", an_id(rng, 8)]),
        event_name=rng.choice(["", "", "ml.prediction", "@@2@"]),
    )
    record.severity_number = rng.choice([0, 0, 1, 4, 5, 9, 13, 17, 24, 25, -1])  # type: ignore[assignment]
    if rng.randrange(5):
        record.body.CopyFrom(nested(MAX_DEPTH + 1) if rng.randrange(80) == 0 else a_value(rng))
    return record


def a_resource(rng: Rng) -> Resource:
    resource = Resource(attributes=attributes(rng), dropped_attributes_count=rng.choice([0, 0, 5]))
    if rng.randrange(3):
        resource.attributes.append(KeyValue(key="service.name", value=a_value(rng)))
    return resource


def a_scope(rng: Rng) -> InstrumentationScope:
    return InstrumentationScope(
        name=rng.choice(TEXTS),
        version=rng.choice(TEXTS),
        attributes=attributes(rng),
        dropped_attributes_count=rng.choice([0, 0, 6]),
    )


def shuffled(rng: Rng, message: bytes) -> bytes:
    """The fields of a message in another order, perhaps with one of them a second time and an unknown one."""
    parts = [message[begin:end] for _, _, _, begin, end in wire.fields(message, 0, len(message))]
    if parts and rng.randrange(2):
        parts.append(rng.choice(parts))
    if rng.randrange(2):
        parts.append(
            wire.put_bytes(rng.choice([1, 2, 3, 9, 12, 99]), b"") + wire.put_uint(rng.choice([1, 5, 1000]), 300)
        )
    rng.shuffle(parts)
    return b"".join(parts)


def a_request(rng: Rng, record: Callable[[Rng], Any], odd: bool) -> bytes:
    """A trace or logs request: both have the same field numbers down to the records."""

    def message(fields: list[bytes]) -> bytes:
        if odd and rng.randrange(3) == 0:
            rng.shuffle(fields)
        return b"".join(fields)

    def encoded(value: Any) -> bytes:
        data: bytes = value.SerializeToString()
        return shuffled(rng, data) if odd and rng.randrange(3) == 0 else data

    resources = []
    for _ in range(rng.choice([0, 1, 1, 2])):
        fields = [wire.put_bytes(1, encoded(a_resource(rng))) for _ in range(rng.choice([0, 1, 1, 1, 2 if odd else 1]))]
        for _ in range(rng.choice([0, 1, 1, 2])):
            inner = [wire.put_bytes(1, encoded(a_scope(rng))) for _ in range(rng.choice([0, 1, 1, 2 if odd else 1]))]
            inner += [wire.put_bytes(2, encoded(record(rng))) for _ in range(rng.choice([0, 1, 2, 5]))]
            inner += [wire.put_bytes(3, rng.choice(TEXTS).encode())] if rng.randrange(3) == 0 else []
            fields.append(wire.put_bytes(2, message(inner)))
        fields += [wire.put_bytes(3, b"https://schema")] if rng.randrange(3) == 0 else []
        resources.append(wire.put_bytes(1, message(fields)))
    payload = message(resources)
    for written, broken in BROKEN.items():
        payload = payload.replace(written, broken)
    return payload


def mutated(rng: Rng, payload: bytes) -> bytes:
    data = bytearray(payload)
    for _ in range(rng.choice([1, 1, 2, 4])):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                del data[place:]
            case 1 if place < len(data):
                data[place] ^= 1 << rng.randrange(8)
            case 2:
                data[place:place] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 12)))
            case 3:
                del data[place : place + rng.randrange(1, 9)]
            case 4:
                data[place:place] = b"\xff" * rng.choice([1, 9, 10, 11])
            case _ if place < len(data):
                data[place] = rng.choice([0, 1, 0x0A, 0x12, 0x7F, 0x80, 0xFF, 0x4B, 0x0C])
    return bytes(data)
