"""The reply table on the wire: every row, on each protocol and in each encoding."""

import contextlib
import gzip
import http.client
import json
import socket
import zlib
from collections.abc import Iterator

import grpc
import pytest
import zstandard
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from support.receive_fakes import FakeDecoder, FakeLog
from support.receiving import HTTP_PATHS, JSON, PROTOBUF, Receiving, Reply, receiving

from sidecar.decode.api import Check
from sidecar.errors import DecodeError, Overloaded, Unavailable

RESPONSES = {
    "spans": ExportTraceServiceResponse,
    "logs": ExportLogsServiceResponse,
    "metrics": ExportMetricsServiceResponse,
}
EMPTY = {PROTOBUF: b"", JSON: b"{}"}


def _span(count: int = 1) -> bytes:
    request = ExportTraceServiceRequest()
    for n in range(count):
        span = request.resource_spans.add().scope_spans.add().spans.add()
        span.trace_id, span.span_id, span.name = bytes([n + 1]) * 16, bytes([n + 1]) * 8, "work"
        span.start_time_unix_nano, span.end_time_unix_nano = 10**18, 10**18 + 5
    return request.SerializeToString()


SPAN = _span()


def _status(reply: Reply, encoding: str) -> status_pb2.Status:
    assert reply.headers["content-type"] == encoding
    if encoding == PROTOBUF:
        return status_pb2.Status.FromString(reply.body)
    return json_format.Parse(reply.body, status_pb2.Status())


def _retry_seconds(status: status_pb2.Status) -> float:
    info = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    return info.retry_delay.seconds + info.retry_delay.nanos / 1e9


@pytest.mark.parametrize("signal", list(RESPONSES))
def test_kept(signal: str) -> None:
    with receiving() as at:
        result = at.export(signal, b"")
        assert (result.code, result.body) == (grpc.StatusCode.OK, b"")
        for encoding in (PROTOBUF, JSON):
            reply = at.post(HTTP_PATHS[signal], EMPTY[encoding], encoding)
            assert (reply.status, reply.headers["content-type"]) == (200, encoding)
            assert reply.body == EMPTY[encoding]


def test_what_was_sent_is_what_is_kept() -> None:
    log = FakeLog()
    with receiving(log) as at:
        assert at.export("spans", SPAN).code is grpc.StatusCode.OK
        assert at.post("/v1/traces", SPAN).status == 200
        assert at.post("/v1/traces", iter([SPAN[:10], SPAN[10:]])).status == 200
        as_json = json.dumps(json_format.MessageToDict(ExportTraceServiceRequest.FromString(SPAN)))
        as_json = as_json.replace('"AQEBAQEBAQEBAQEBAQEBAQ=="', f'"{"01" * 16}"').replace(
            '"AQEBAQEBAQE="', f'"{"01" * 8}"'
        )
        assert at.post("/v1/traces", as_json, "application/json; charset=utf-8").status == 200
    for submission in log.submissions:
        assert ExportTraceServiceRequest.FromString(submission.payload) == ExportTraceServiceRequest.FromString(SPAN)
        assert (submission.signal, submission.items) == ("spans", 1)
    assert len(log.submissions) == 4
    digests = [submission.digest for submission in log.submissions]
    assert digests[0] == digests[1] == digests[2] != digests[3], "the same bytes have one digest on both protocols"


@pytest.mark.parametrize("signal", ["spans", "logs"])
def test_partial(signal: str) -> None:
    decoder = FakeDecoder(Check(items=4, rejected=3, errors=("spans[1].trace_id: 15 bytes, must be 16",)))
    with receiving(decoder=decoder) as at:
        response = RESPONSES[signal]
        over_grpc = at.export(signal, b"x")
        assert over_grpc.code is grpc.StatusCode.OK
        over_http = at.post(HTTP_PATHS[signal], b"x")
        assert over_http.status == 200
        message = response.FromString(over_grpc.body)
        assert message == response.FromString(over_http.body)
        assert "3 of 7 records refused: spans[1].trace_id: 15 bytes" in message.partial_success.error_message
        rejected = {"spans": "rejected_spans", "logs": "rejected_log_records"}[signal]
        assert getattr(message.partial_success, rejected) == 3


def test_partial_in_json() -> None:
    broken = {"traceId": "01" * 15, "spanId": "01" * 8, "name": "broken"}
    whole = {"traceId": "01" * 16, "spanId": "01" * 8, "name": "whole", "startTimeUnixNano": "5"}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [broken, whole]}]}]})
    log = FakeLog()
    with receiving(log) as at:
        reply = at.post("/v1/traces", body, JSON)
    assert reply.status == 200
    success = json.loads(reply.body)["partialSuccess"]
    assert int(success["rejectedSpans"]) == 1
    assert "trace_id" in success["errorMessage"]
    assert [(d.items, d.rejected) for d in log.submissions] == [(1, 1)]


@pytest.mark.parametrize("signal", list(RESPONSES))
def test_malformed(signal: str) -> None:
    log = FakeLog()
    with receiving(log) as at:
        result = at.export(signal, b"\x0a\xff")
        assert result.code is grpc.StatusCode.INVALID_ARGUMENT
        assert result.details
        for encoding, body in ((PROTOBUF, b"\x0a\xff"), (JSON, b'{"resourceSpans": [')):
            reply = at.post(HTTP_PATHS[signal], body, encoding)
            assert reply.status == 400
            assert _status(reply, encoding).code == 3
            assert _status(reply, encoding).message
    assert not log.submissions


def test_too_large_plain() -> None:
    big = SPAN + b"\x7a\x00" * 5000
    with receiving(max_message_bytes=4096) as at:
        result = at.export("spans", big[: 2 * 4096])
        assert result.code is grpc.StatusCode.INVALID_ARGUMENT
        assert "4096 bytes" in result.details
        for body in (big, iter([big[:3000], big[3000:]])):
            reply = at.post("/v1/traces", body)
            assert reply.status == 413
            assert "4096 bytes" in _status(reply, PROTOBUF).message
        assert at.post("/v1/traces", b" " * 4097, JSON).status == 413
        assert at.post("/v1/traces", SPAN).status == 200


COMPRESS = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}


@pytest.mark.parametrize("coding", list(COMPRESS))
def test_compressed_over_http(coding: str) -> None:
    log = FakeLog()
    with receiving(log, max_message_bytes=100_000) as at:
        assert at.post("/v1/traces", COMPRESS[coding](SPAN), content_encoding=coding).status == 200
        assert [submission.payload for submission in log.submissions] == [SPAN]
        bomb = at.post("/v1/traces", COMPRESS[coding](bytes(50_000_000)), content_encoding=coding)
        assert bomb.status == 413
        assert "100000 bytes" in _status(bomb, PROTOBUF).message
        cut = at.post("/v1/traces", COMPRESS[coding](SPAN)[:-6], content_encoding=coding)
        assert cut.status == 400
        assert coding in _status(cut, PROTOBUF).message
        assert at.post("/v1/traces", b"not compressed", content_encoding=coding).status == 400
    assert len(log.submissions) == 1


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_over_grpc(compression: grpc.Compression) -> None:
    log = FakeLog()
    spans = _span(50)
    with receiving(log, max_message_bytes=100_000) as at:
        assert at.export("spans", spans, compression).code is grpc.StatusCode.OK
        assert [submission.payload for submission in log.submissions] == [spans]
        bomb = at.export("spans", bytes(50_000_000), compression)
        assert bomb.code is grpc.StatusCode.INVALID_ARGUMENT
        assert "100000 bytes" in bomb.details


def test_a_message_far_over_the_limit_is_not_read_by_grpc() -> None:
    with receiving(max_message_bytes=4096) as at:
        result = at.export("spans", bytes(1_000_000))
        assert result.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "grpc-status-details-bin" not in result.trailers, "without RetryInfo a client drops it, as it should"
        assert at.export("spans", SPAN).code is grpc.StatusCode.OK


@pytest.mark.parametrize("late", [False, True])
def test_overloaded(late: bool) -> None:
    _refused_for_now(Overloaded("journal full", 2.25), late, grpc.StatusCode.RESOURCE_EXHAUSTED, 429, 2.25, "3")


@pytest.mark.parametrize("late", [False, True])
def test_unavailable(late: bool) -> None:
    _refused_for_now(Unavailable("disk gone"), late, grpc.StatusCode.UNAVAILABLE, 503, 1.0, "1")


def _refused_for_now(
    error: Exception, late: bool, code: grpc.StatusCode, status: int, seconds: float, header: str
) -> None:
    log = FakeLog()
    if late:
        log.late_error = error
    else:
        log.error = error
    with receiving(log, FakeDecoder(Check(items=1))) as at:
        for signal in ("spans", "logs"):
            result = at.export(signal, b"x")
            assert (result.code, result.details) == (code, str(error))
            assert _retry_seconds(status_pb2.Status.FromString(result.trailers["grpc-status-details-bin"])) == seconds
            reply = at.post(HTTP_PATHS[signal], b"x")
            assert (reply.status, reply.headers["retry-after"]) == (status, header)
            assert _retry_seconds(_status(reply, PROTOBUF)) == seconds
        reply = at.post("/v1/json", b"{}", "application/x-ndjson")
        assert (reply.status, reply.headers["retry-after"]) == (status, header)
        assert _retry_seconds(_status(reply, JSON)) == seconds


def test_stopping() -> None:
    with receiving() as at:
        at.ingest.stop()
        assert at.export("spans", SPAN).code is grpc.StatusCode.UNAVAILABLE
        assert at.post("/v1/traces", SPAN).status == 503


def test_a_fault_of_ours_is_never_a_500(capsys: pytest.CaptureFixture[str]) -> None:
    with receiving(decoder=FakeDecoder(error=ZeroDivisionError("secret detail"))) as at:
        result = at.export("spans", SPAN)
        assert result.code is grpc.StatusCode.UNAVAILABLE
        reply = at.post("/v1/traces", SPAN)
        assert reply.status == 503
        assert b"secret detail" not in reply.body + result.details.encode()
    assert "ZeroDivisionError" in "".join(capsys.readouterr())


def test_unauthenticated() -> None:
    log = FakeLog()
    with receiving(log, token="s3cret") as at:
        for sent in ({}, {"authorization": "Bearer wrong"}, {"authorization": "s3cret"}):
            result = at.export("spans", SPAN, **sent)
            assert result.code is grpc.StatusCode.UNAUTHENTICATED
            for encoding in (PROTOBUF, JSON):
                reply = at.post("/v1/traces", SPAN, encoding, **sent)
                assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
                assert _status(reply, encoding).code == 16
            assert at.post("/v1/json", b"{}", JSON, **sent).status == 401
        assert not log.submissions
        assert at.counted.values("sidecar_receiver_auth_failures_total") == {
            ("otlp_grpc",): 3,
            ("otlp_http",): 6,
            ("json_http",): 3,
        }
        assert at.export("spans", SPAN, authorization="Bearer s3cret").code is grpc.StatusCode.OK
        assert at.post("/v1/traces", SPAN, authorization="Bearer s3cret").status == 200
    assert len(log.submissions) == 2


@pytest.fixture(scope="module")
def at() -> Iterator[Receiving]:
    with receiving() as running:
        yield running


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/v1/traces", "text/plain"),
        ("/v1/traces", None),
        ("/v1/traces", "application/x-ndjson"),
        ("/v1/traces", "application/x-protobuf, application/json"),
        ("/v1/json", PROTOBUF),
        ("/v1/json", "text/html"),
    ],
)
def test_wrong_content_type(at: Receiving, path: str, content_type: str | None) -> None:
    reply = at.post(path, SPAN, content_type)
    assert reply.status == 415
    assert "content-type" in _status(reply, JSON).message


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "lz4", "snappy"])
def test_wrong_content_encoding(at: Receiving, coding: str) -> None:
    reply = at.post("/v1/traces", SPAN, content_encoding=coding)
    assert reply.status == 415
    assert coding in _status(reply, PROTOBUF).message
    assert reply.headers["accept-encoding"] == "gzip, deflate, zstd"


def test_identity_is_an_encoding(at: Receiving) -> None:
    assert at.post("/v1/traces", SPAN, content_encoding="identity").status == 200


def test_unknown_methods_and_paths(at: Receiving) -> None:
    for method in ("/opentelemetry.proto.collector.trace.v1.TraceService/Import", "/a.B/C"):
        assert at.export("spans", b"", method=method).code is grpc.StatusCode.UNIMPLEMENTED
    assert at.post("/v1/spans", b"").status == 404
    assert at.post("/", b"").status == 404


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/v1/traces/", 200),
        ("//v1/traces", 200),
        ("/v1//traces//", 200),
        ("/v1/traces/?a=b", 200),
        ("/v1%2Ftraces", 200),
        ("/v1/%74races%2f", 200),
        ("http://elsewhere:1/v1/traces", 200),
        ("/V1/traces", 404),
        ("/v1/trace", 404),
        ("/v1/traces/x", 404),
        ("/v1/traces/..", 404),
        ("/v1/traces;a", 404),
        ("/%ff%0d%0a", 404),
        ("///", 404),
        ("*", 404),
    ],
)
@pytest.mark.parametrize("encoding", [PROTOBUF, JSON])
def test_spellings_of_a_path(at: Receiving, target: str, status: int, encoding: str) -> None:
    """One slash too many is no reason to redirect: clients that post follow no redirects."""
    body = SPAN if encoding == PROTOBUF else b"{}"
    reply = at.post(target, body, encoding)
    assert reply.status == status
    if status == 404:
        found = _status(reply, encoding)
        assert found.code == grpc.StatusCode.UNIMPLEMENTED.value[0]
        assert found.message.startswith("invalid path: /" if target != "*" else "invalid path: *")
        assert found.message.isascii()
        assert found.message.isprintable()
        assert "/v1/traces, /v1/logs, /v1/metrics, /v1/json" in found.message


@pytest.mark.parametrize("path", [*HTTP_PATHS.values(), "/v1/json", "/v1/labels", "/v1/cloudevents", "/v1/logs/"])
@pytest.mark.parametrize("encoding", [PROTOBUF, JSON, "text/csv"])
def test_other_verbs(at: Receiving, path: str, encoding: str) -> None:
    for verb in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"):
        connection = http.client.HTTPConnection("127.0.0.1", at.http_port, timeout=60)
        connection.request(verb, path, headers={"content-type": encoding})
        response = connection.getresponse()
        body = response.read()
        assert response.status == 405
        assert response.getheader("allow") == "POST"
        if verb == "HEAD":
            assert not body
        else:
            reply = Reply(405, {"content-type": response.getheader("content-type", "")}, body)
            found = _status(reply, PROTOBUF if encoding == PROTOBUF else JSON)
            assert found.message == f"invalid method: {verb} {path.rstrip('/')}; expected POST"
        connection.close()


@pytest.mark.parametrize("content_type", ["application/x-ndjson", JSON, "text/plain", None])
def test_json_lines(content_type: str | None) -> None:
    log = FakeLog()
    lines = b'{"message":"one","level":"info","time":"2026-01-02T03:04:05Z"}\n{"message":"two"}\n'
    with receiving(log) as at:
        reply = at.post("/v1/json", lines, content_type)
        assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"{}", JSON)
        assert at.post("/v1/json", gzip.compress(lines), content_type, content_encoding="gzip").status == 200
    assert [(d.signal, d.items) for d in log.submissions] == [("logs", 2), ("logs", 2)]
    assert all(d.digest is None for d in log.submissions), "a line without a time: a second copy is not a resend"


def test_requests_are_measured_and_counted() -> None:
    with receiving(decoder=FakeDecoder(error=DecodeError("bad"))) as at:
        at.post("/v1/logs", b"x")
        at.export("logs", b"x")
        assert at.counted.values("sidecar_receiver_requests_total") == {
            ("otlp_http", "logs", "invalid"): 1,
            ("otlp_grpc", "logs", "invalid"): 1,
        }


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n", b"name: " + b"v" * 1000 + b"\r\n"),
        (b"POST /v1/traces HTTP/1.1\r\nhost: ", b"x" * 1000),
        (b"POST /v1/", b"x" * 1000),
    ],
    ids=["headers", "header", "path"],
)
def test_an_endless_request_head_is_cut_off(at: Receiving, first: bytes, more: bytes) -> None:
    with socket.create_connection(("127.0.0.1", at.http_port), timeout=60) as connection:
        connection.sendall(first)
        with contextlib.suppress(ConnectionError):
            for _ in range(100_000):
                connection.sendall(more)
            pytest.fail("100 MB of head were taken")


def test_what_is_not_http_is_a_400(at: Receiving) -> None:
    with socket.create_connection(("127.0.0.1", at.http_port), timeout=60) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00hello\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def test_clients_cannot_make_up_series_of_the_http_metrics() -> None:
    with receiving() as at:
        for n in range(20):
            assert at.post("/v1/traces", SPAN, host=f"host-{n}").status == 200
            assert at.post(f"/nowhere/{n}", b"", host=f"host-{n}").status == 404
        durations = at.counted.values("sidecar_http_server_request_duration_seconds")
    assert set(durations) == {("POST", "200", "/v1/traces"), ("POST", "404", "")}
