import json

import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from sidecar.receive import replies
from sidecar.receive.replies import Outcome, grpc_error, http_reply

OUTCOMES = {
    "accepted": replies.ACCEPTED,
    "partial": replies.partial(3, "3 of 5 records refused: x"),
    "invalid": replies.invalid("bad field"),
    "too_large": replies.too_large("limit of 10 bytes"),
    "unsupported": replies.unsupported("content-type"),
    "unknown_path": replies.unknown_path("invalid path"),
    "wrong_method": replies.wrong_method("invalid method"),
    "overloaded": replies.overloaded("full", 2.5),
    "unavailable": replies.unavailable("stopping"),
    "unauthenticated": replies.unauthenticated("no token"),
}
# The table of the specification: outcome, gRPC status name's number, HTTP status, Retry-After.
ROWS = [
    ("accepted", 0, 200, None),
    ("partial", 0, 200, None),
    ("invalid", 3, 400, None),
    ("too_large", 3, 413, None),
    ("unsupported", 12, 415, None),
    ("unknown_path", 12, 404, None),
    ("wrong_method", 12, 405, None),
    ("overloaded", 8, 429, "3"),
    ("unavailable", 14, 503, "1"),
    ("unauthenticated", 16, 401, None),
]
RESPONSES = {
    "spans": (ExportTraceServiceResponse, "rejected_spans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
}


def test_every_kind_has_a_row() -> None:
    assert set(OUTCOMES) == set(replies.TABLE) == {row[0] for row in ROWS}


@pytest.mark.parametrize(("kind", "code", "status", "retry_after"), ROWS)
def test_row(kind: str, code: int, status: int, retry_after: str | None) -> None:
    outcome = OUTCOMES[kind]
    for encoding in ("protobuf", "json"):
        answer = http_reply(outcome, "spans", encoding)
        assert answer.status == status
        assert answer.headers.get("Retry-After") == retry_after
        assert ("WWW-Authenticate" in answer.headers) == (status == 401)
        assert answer.headers["Content-Type"] == (
            "application/x-protobuf" if encoding == "protobuf" else "application/json"
        )
    error = grpc_error(outcome)
    if code == 0:
        assert error is None
    else:
        assert error is not None
        assert (error.code, error.details) == (code, outcome.message)
        assert bool(error.trailers) == (retry_after is not None)


def test_a_code_that_makes_clients_drop_is_never_sent() -> None:
    # 2 UNKNOWN, 13 INTERNAL
    assert not {row.grpc for row in replies.TABLE.values()} & {2, 13}
    assert all(row.http < 500 or row.http == 503 for row in replies.TABLE.values())


@pytest.mark.parametrize("signal", list(RESPONSES))
def test_success_bodies(signal: str) -> None:
    message, rejected = RESPONSES[signal]
    assert replies.success_body(replies.ACCEPTED, signal) == b""
    assert replies.success_json(replies.ACCEPTED, signal) == b"{}"
    outcome = replies.partial(70_000, "70000 refused: naïve")
    expected = message()
    setattr(expected.partial_success, rejected, 70_000)
    expected.partial_success.error_message = "70000 refused: naïve"
    assert message.FromString(replies.success_body(outcome, signal)) == expected
    assert json_format.Parse(replies.success_json(outcome, signal), message()) == expected
    assert json.loads(replies.success_json(outcome, signal)) == json_format.MessageToDict(expected)


@pytest.mark.parametrize("kind", [row[0] for row in ROWS if row[1]])
def test_error_bodies_are_a_status_in_both_encodings(kind: str) -> None:
    outcome = OUTCOMES[kind]
    binary = status_pb2.Status.FromString(replies.status_body(outcome))
    assert (binary.code, binary.message) == (replies.TABLE[outcome.kind].grpc, outcome.message)
    from_json = json_format.Parse(replies.status_json(outcome), status_pb2.Status())
    assert from_json == binary
    assert len(binary.details) == (outcome.retry_after is not None)


@pytest.mark.parametrize(
    ("asked", "seconds", "nanos", "header"),
    [
        (0.0, 1, 0, "1"),
        (1.0, 1, 0, "1"),
        (1.0001, 1, 100_000, "2"),
        (2.5, 2, 500_000_000, "3"),
        (3600, 3600, 0, "3600"),
    ],
)
def test_retry_after_is_exact_in_retry_info_and_whole_in_the_header(
    asked: float, seconds: int, nanos: int, header: str
) -> None:
    outcome = replies.overloaded("full", asked)
    error = grpc_error(outcome)
    assert error is not None
    [(key, value)] = error.trailers
    assert key == "grpc-status-details-bin"
    status = status_pb2.Status.FromString(value)
    assert status.code == 8
    info = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert (info.retry_delay.seconds, info.retry_delay.nanos) == (seconds, nanos)
    assert http_reply(outcome, "logs", "json").headers["Retry-After"] == header


@pytest.mark.parametrize("message", ["é" * 5000, "a\nb\x00c\x7f", "\ud800", "x" * 5000, "\u2028"])
def test_messages_are_printable_and_bounded_whatever_they_quote(message: str) -> None:
    outcome = Outcome("invalid", message)
    error = grpc_error(outcome)
    assert error is not None
    assert error.details.isascii()
    assert error.details.isprintable()
    assert len(error.details) <= replies.MAX_MESSAGE_CHARS
    assert status_pb2.Status.FromString(replies.status_body(outcome)).message == error.details
    assert json.loads(replies.status_json(outcome))["message"] == error.details
    ExportTraceServiceResponse.FromString(replies.success_body(replies.partial(1, message), "spans"))
