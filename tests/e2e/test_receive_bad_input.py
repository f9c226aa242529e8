"""Bad input over gRPC, HTTP protobuf and HTTP JSON: the table's answer, a message that names the field, nothing else
in the batch lost, never a 500."""

import base64
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from support.receive_fakes import FakeLog
from support.receiving import HTTP_PATHS, JSON, PROTOBUF, Receiving, receiving

from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import decoder as best_decoder

NOW = 1_790_000_000_000_000_000
YEAR_2263 = (1 << 63) + 10**17
HEX_FIELDS = ("traceId", "spanId", "parentSpanId")
RESPONSES = {
    "spans": ExportTraceServiceResponse,
    "logs": ExportLogsServiceResponse,
    "metrics": ExportMetricsServiceResponse,
}


@dataclass(frozen=True)
class Case:
    """A batch of one odd record between two good ones, and what is to become of it."""

    name: str
    signal: str
    spoil: Callable[[Any], None]
    refused: str = ""
    """The field that the message must name; empty where the record is taken."""


def _spans(spoil: Callable[[Any], None]) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "shop"
    spans = resource_spans.scope_spans.add().spans
    for n in range(3):
        span = spans.add(name=f"work {n}", trace_id=bytes([n + 1]) * 16, span_id=bytes([n + 1]) * 8, kind=2)
        span.start_time_unix_nano, span.end_time_unix_nano = NOW + n, NOW + n + 1000
    spoil(spans[1])
    return request


def _logs(spoil: Callable[[Any], None]) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    resource_logs.resource.attributes.add(key="service.name").value.string_value = "shop"
    records = resource_logs.scope_logs.add().log_records
    for n in range(3):
        record = records.add(time_unix_nano=NOW + n, severity_number=9)
        record.body.string_value = f"line {n}"
    spoil(records[1])
    return request


def _metrics(spoil: Callable[[Any], None]) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for n in range(3):
        point = metrics.add(name=f"gauge_{n}").gauge.data_points.add(time_unix_nano=NOW + n)
        point.as_double = n
    spoil(metrics[1].gauge.data_points[0])
    return request


BUILD = {"spans": _spans, "logs": _logs, "metrics": _metrics}


def _set(**fields: Any) -> Callable[[Any], None]:
    def spoil(record: Any) -> None:
        for name, value in fields.items():
            setattr(record, name, value)

    return spoil


def _deep(levels: int) -> AnyValue:
    value = AnyValue(string_value="bottom")
    for _ in range(levels - 1):
        outer = AnyValue()
        outer.array_value.values.append(value)
        value = outer
    return value


def _attribute(value: AnyValue) -> Callable[[Any], None]:
    return lambda record: record.attributes.add(key="odd").value.CopyFrom(value)


def _many(count: int) -> Callable[[Any], None]:
    def spoil(record: Any) -> None:
        for n in range(count):
            record.attributes.add(key=f"key{n}").value.int_value = n

    return spoil


def _twice(record: Any) -> None:
    for text in ("first", "second"):
        record.attributes.add(key="twice").value.string_value = text


def _body(value: AnyValue) -> Callable[[Any], None]:
    return lambda record: record.body.CopyFrom(value)


def _bad_link(record: Any) -> None:
    record.links.add(trace_id=b"\x01" * 16, span_id=b"\x01" * 7)


def _bad_event(record: Any) -> None:
    record.events.add(name="late", time_unix_nano=YEAR_2263)


CASES = [
    Case("trace id of 15 bytes", "spans", _set(trace_id=b"\x01" * 15), "trace_id"),
    Case("no trace id", "spans", _set(trace_id=b""), "trace_id"),
    Case("trace id of zeros", "spans", _set(trace_id=bytes(16)), "trace_id"),
    Case("span id of 9 bytes", "spans", _set(span_id=b"\x01" * 9), "span_id"),
    Case("no span id", "spans", _set(span_id=b""), "span_id"),
    Case("parent id of 7 bytes", "spans", _set(parent_span_id=b"\x01" * 7)),
    Case("link with an id of 7 bytes", "spans", _bad_link),
    Case("event in 2263", "spans", _bad_event),
    Case("start in 2263", "spans", _set(start_time_unix_nano=YEAR_2263)),
    Case("end in 2263", "spans", _set(end_time_unix_nano=YEAR_2263)),
    Case("start 0", "spans", _set(start_time_unix_nano=0)),
    Case("end before start", "spans", _set(end_time_unix_nano=5)),
    Case("empty name", "spans", _set(name="")),
    Case("unknown kind", "spans", _set(kind=77)),
    Case("depth at the limit", "spans", _attribute(_deep(32))),
    Case("too deep", "spans", _attribute(_deep(33))),
    Case("attributes at the limit", "spans", _many(1024)),
    Case("10,000 attributes", "spans", _many(10_000)),
    Case("key twice", "spans", _twice),
    Case("NaN", "spans", _attribute(AnyValue(double_value=math.nan))),
    Case("infinity", "spans", _attribute(AnyValue(double_value=-math.inf))),
    Case("value without a value", "spans", _attribute(AnyValue())),
    Case("log with a trace id of 15 bytes", "logs", _set(trace_id=b"\x01" * 15)),
    Case("log with a span id of 1 byte", "logs", _set(span_id=b"\x01")),
    Case("log in 2263", "logs", _set(time_unix_nano=YEAR_2263)),
    Case("log observed in 2263", "logs", _set(observed_time_unix_nano=YEAR_2263)),
    Case("log without time", "logs", _set(time_unix_nano=0)),
    Case("log without body", "logs", lambda record: record.ClearField("body")),
    Case("log with 10,000 attributes", "logs", _many(10_000)),
    Case("log too deep", "logs", _body(_deep(33))),
    Case("log with NaN", "logs", _body(AnyValue(double_value=math.nan))),
    Case("log of unknown severity", "logs", _set(severity_number=99)),
    Case("log with a key twice", "logs", _twice),
    Case("point of NaN", "metrics", _set(as_double=math.nan)),
    Case("point of infinity", "metrics", _set(as_double=math.inf)),
    Case("point in 2263", "metrics", _set(time_unix_nano=YEAR_2263)),
    Case("point with 10,000 attributes", "metrics", _many(10_000), "attributes"),
]


def _otlp_json(request: Any) -> str:
    """OTLP's JSON: like protobuf's, but with hex ids and integer enums."""

    def convert(value: Any) -> Any:
        if isinstance(value, list):
            return [convert(v) for v in value]
        if not isinstance(value, dict):
            return value
        return {
            k: base64.b64decode(v).hex() if k in HEX_FIELDS and isinstance(v, str) else convert(v)
            for k, v in value.items()
        }

    return json.dumps(convert(json_format.MessageToDict(request, use_integers_for_enums=True)))


@dataclass(frozen=True)
class Answer:
    """A reply, whatever the protocol: `ok`, how many were refused, and the message."""

    ok: bool
    rejected: int
    message: str


def _over_grpc(at: Receiving, signal: str, body: bytes) -> Answer:
    result = at.export(signal, body)
    assert result.code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)
    if result.code is not grpc.StatusCode.OK:
        return Answer(False, 0, result.details)
    return _answer(RESPONSES[signal].FromString(result.body))


def _over_http(at: Receiving, signal: str, body: bytes | str) -> Answer:
    content_type = PROTOBUF if isinstance(body, bytes) else JSON
    reply = at.post(HTTP_PATHS[signal], body, content_type)
    assert reply.status in (200, 400)
    assert reply.headers["content-type"] == content_type
    message = RESPONSES[signal]() if reply.status == 200 else status_pb2.Status()
    if content_type == PROTOBUF:
        message.ParseFromString(reply.body)
    else:
        json_format.Parse(reply.body, message)
    return _answer(message) if reply.status == 200 else Answer(False, 0, message.message)


def _answer(response: Any) -> Answer:
    success = response.partial_success
    counts = [value for field, value in success.ListFields() if field.name.startswith("rejected")]
    return Answer(True, sum(counts), success.error_message)


@pytest.fixture(scope="module", params=["best", "reference"])
def running(request: pytest.FixtureRequest) -> Iterator[tuple[Receiving, FakeLog]]:
    log = FakeLog()
    chosen = best_decoder() if request.param == "best" else ReferenceDecoder()
    with receiving(log, chosen, max_message_bytes=4 << 20) as at:
        yield at, log


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("way", ["grpc", "protobuf", "json"])
def test_an_odd_record_between_good_ones(running: tuple[Receiving, FakeLog], case: Case, way: str) -> None:
    at, log = running
    log.submissions.clear()
    request = BUILD[case.signal](case.spoil)
    if way == "grpc":
        answer = _over_grpc(at, case.signal, request.SerializeToString())
    else:
        answer = _over_http(at, case.signal, request.SerializeToString() if way == "protobuf" else _otlp_json(request))
    assert answer.ok
    [submission] = log.submissions
    if case.refused:
        assert answer.rejected == 1
        assert re.search(rf"\[1\].*{re.escape(case.refused)}", answer.message), answer.message
        assert (submission.items, submission.rejected) == (2, 1)
    else:
        assert (answer.rejected, answer.message) == (0, "")
        assert (submission.items, submission.rejected) == (3, 0)


@pytest.mark.parametrize("case", [c for c in CASES if c.refused], ids=lambda case: case.name)
@pytest.mark.parametrize("way", ["grpc", "protobuf", "json"])
def test_nothing_but_an_odd_record(running: tuple[Receiving, FakeLog], case: Case, way: str) -> None:
    at, log = running
    log.submissions.clear()
    request = BUILD[case.signal](case.spoil)
    _keep_only_second(request)
    if way == "grpc":
        answer = _over_grpc(at, case.signal, request.SerializeToString())
    else:
        answer = _over_http(at, case.signal, request.SerializeToString() if way == "protobuf" else _otlp_json(request))
    assert not answer.ok
    assert case.refused in answer.message
    assert not log.submissions


def _keep_only_second(request: Any) -> None:
    [(_, [resource])] = request.ListFields()
    for field, scopes in resource.ListFields():
        if field.name.startswith("scope_"):
            [(_, records)] = scopes[0].ListFields()
            del records[2], records[0]


@pytest.mark.parametrize("signal", list(BUILD))
@pytest.mark.parametrize("way", ["grpc", "protobuf", "json"])
def test_truncated_anywhere(running: tuple[Receiving, FakeLog], signal: str, way: str) -> None:
    at, log = running
    request = BUILD[signal](lambda _: None)
    whole: bytes | str = _otlp_json(request) if way == "json" else request.SerializeToString()
    for end in range(1, len(whole), max(1, len(whole) // 12)):
        log.submissions.clear()
        cut = whole[:end]
        if way == "grpc":
            assert isinstance(cut, bytes)
            answer = _over_grpc(at, signal, cut)
        else:
            answer = _over_http(at, signal, cut)
        assert not answer.ok
        assert answer.message
        assert not log.submissions


@pytest.mark.parametrize(("signal", "marker"), [("spans", b"work 1"), ("logs", b"line 1")])
@pytest.mark.parametrize("way", ["grpc", "protobuf"])
def test_text_that_is_not_utf8_is_repaired_later_and_not_lost(
    running: tuple[Receiving, FakeLog], signal: str, marker: bytes, way: str
) -> None:
    at, log = running
    log.submissions.clear()
    body = BUILD[signal](lambda _: None).SerializeToString().replace(marker, b"\xff\xfe\xc3(\x80\xed")
    answer = _over_grpc(at, signal, body) if way == "grpc" else _over_http(at, signal, body)
    assert answer == Answer(True, 0, "")
    assert [(d.items, d.payload) for d in log.submissions] == [(3, body)]


HOSTILE_JSON = {
    "not JSON": b"hello",
    "not UTF-8": b'{"resourceSpans": "\xff\xfe"}',
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a number": b"17",
    "a list": b"[]",
    "null": b"null",
    "wrong shape": b'{"resourceSpans": {"a": 1}}',
    "wrong shape below": b'{"resourceSpans": [{"scopeSpans": [{"spans": 7}]}]}',
    "long number": b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": ' + b"9" * 10_000 + b"}]}]}]}",
    "lone surrogate": b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "\\ud800", "traceId": 5}]}]}]}',
}


@pytest.mark.parametrize("body", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
@pytest.mark.parametrize("signal", list(HTTP_PATHS))
def test_hostile_json(running: tuple[Receiving, FakeLog], signal: str, body: bytes) -> None:
    at, _ = running
    reply = at.post(HTTP_PATHS[signal], body, JSON)
    assert reply.status in (200, 400)
    parsed = json.loads(reply.body)
    if reply.status == 400:
        assert parsed["code"] == 3
        assert parsed["message"]
        assert "Traceback" not in parsed["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"\xff" * 1000,
        b"\x0a\xff\xff\xff\xff\x0f" + b"x" * 50,
        b"\x0b" * 5000,
        b"\x0a\x02\x0a\x7f",
        (b"\x12" + b"\x80" * 12) * 10,
    ],
    ids=["junk", "length past the end", "groups", "length past the parent", "endless varint"],
)
@pytest.mark.parametrize("signal", list(HTTP_PATHS))
def test_hostile_protobuf(running: tuple[Receiving, FakeLog], signal: str, body: bytes) -> None:
    at, _ = running
    assert not _over_grpc(at, signal, body).ok
    answer = _over_http(at, signal, body)
    assert not answer.ok
    assert answer.message


@pytest.mark.parametrize(
    ("lines", "kept", "refused"),
    [
        (b'{"message":"a"}\nnot json at all\n{"message":"b"}\n', 3, 0),
        (b"\n\n\n", 0, 0),
        (b"", 0, 0),
        (b'{"message":"\xff\xfe"}\n', 1, 0),
        (b"[" * 100_000 + b"\n" + b'{"message":"a"}', 2, 0),
        (b"17\nnull\n", 2, 0),
        (b'{"message":"' + b"x" * (2 << 20) + b'"}\n', 1, 0),
        (b"\x00\x01\x02\n", 1, 0),
    ],
    ids=["text between", "blank", "empty", "not UTF-8", "deep", "scalars", "long", "control characters"],
)
def test_hostile_lines(running: tuple[Receiving, FakeLog], lines: bytes, kept: int, refused: int) -> None:
    at, log = running
    log.submissions.clear()
    reply = at.post("/v1/json", lines, "application/x-ndjson")
    assert reply.status == 200, reply.body
    assert sum(d.items for d in log.submissions) == kept
    assert sum(d.rejected for d in log.submissions) == refused
