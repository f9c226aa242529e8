from __future__ import annotations

import json

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from sidecar.deliver.otlp.responses import CODES, ExportResult, accepted_grpc, from_grpc, from_http

PROTOBUF = "application/x-protobuf"


def status(code: int, *details: object, message: str = "no") -> bytes:
    found = Status(code=code, message=message)
    for detail in details:
        packed = Any()
        packed.Pack(detail)  # type: ignore[arg-type]
        found.details.append(packed)
    return found.SerializeToString()


def retry_info(seconds: int, nanos: int = 0) -> RetryInfo:
    return RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("CANCELLED", "retry"),
        ("UNKNOWN", "rejected"),
        ("INVALID_ARGUMENT", "rejected"),
        ("DEADLINE_EXCEEDED", "retry"),
        ("NOT_FOUND", "rejected"),
        ("ALREADY_EXISTS", "rejected"),
        ("PERMISSION_DENIED", "blocked"),
        ("RESOURCE_EXHAUSTED", "rejected"),
        ("FAILED_PRECONDITION", "rejected"),
        ("ABORTED", "retry"),
        ("OUT_OF_RANGE", "retry"),
        ("UNIMPLEMENTED", "rejected"),
        ("INTERNAL", "rejected"),
        ("UNAVAILABLE", "retry"),
        ("DATA_LOSS", "retry"),
        ("UNAUTHENTICATED", "blocked"),
    ],
)
def test_every_code_is_treated_as_the_specification_says(code: str, expected: str) -> None:
    result = from_grpc(CODES.index(code), "words", None)
    assert (result.status, result.detail) == (expected, f"{code}: words")
    assert result.retry_after is None


def test_resource_exhausted_with_a_delay_is_sent_again_after_it() -> None:
    details = status(8, ErrorInfo(reason="busy"), retry_info(3, 500_000_000))
    result = from_grpc(8, "busy", details)
    assert (result.status, result.retry_after, result.overload) == ("retry", 3.5, True)


def test_a_delay_of_nothing_is_a_delay() -> None:
    assert from_grpc(8, "", status(8, RetryInfo())).retry_after == 0.0


def test_unavailable_names_a_delay_too() -> None:
    assert from_grpc(14, "", status(14, retry_info(7))).retry_after == 7.0


@pytest.mark.parametrize("details", [b"", b"\xff\xff", b"\x1a\x7f", status(8), status(8, ErrorInfo(reason="x"))])
def test_details_without_a_delay_make_resource_exhausted_final(details: bytes) -> None:
    assert from_grpc(8, "", details).status == "rejected"


def test_a_delay_below_zero_is_none_at_all() -> None:
    assert from_grpc(14, "", status(14, retry_info(-5))).retry_after == 0.0


def test_a_code_that_does_not_exist_is_unknown() -> None:
    assert from_grpc(99, "", None).reason == "unknown"


def test_what_is_refused_for_its_size_and_what_for_its_signal() -> None:
    assert from_grpc(8, "grpc: received message larger than max (5 vs. 4)", None).too_large
    assert from_grpc(8, "gRPC message exceeds maximum size 4: 5", None).too_large
    assert not from_grpc(8, "quota of the tenant", None).too_large
    assert from_http(413, "", b"", None).too_large
    assert from_grpc(12, "", None).whole_signal
    assert from_http(404, "text/plain", b"not here", None).whole_signal
    assert not from_http(400, "", b"", None).whole_signal


@pytest.mark.parametrize(
    ("code", "expected"),
    [(400, "rejected"), (401, "blocked"), (403, "blocked"), (404, "rejected"), (408, "rejected"), (413, "rejected"),
     (429, "retry"), (500, "rejected"), (501, "rejected"), (502, "retry"), (503, "retry"), (504, "retry"),
     (301, "blocked"), (307, "blocked")],
)  # fmt: skip
def test_every_status_is_treated_as_the_specification_says(code: int, expected: str) -> None:
    result = from_http(code, PROTOBUF, status(3, message="no good"), 4.0)
    assert result.status == expected
    assert result.retry_after == (4.0 if expected == "retry" else None)
    assert "no good" in result.detail


def test_partial_success_of_both_protocols_and_encodings() -> None:
    spans = ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=3, error_message="too old")
    ).SerializeToString()
    logs = ExportLogsServiceResponse(
        partial_success=ExportLogsPartialSuccess(rejected_log_records=2, error_message="")
    ).SerializeToString()
    assert accepted_grpc(spans) == ExportResult("accepted", "", "too old", 3)
    assert accepted_grpc(logs) == ExportResult("accepted", "", "", 2)
    assert from_http(200, PROTOBUF, spans, None) == ExportResult("accepted", "", "too old", 3)
    encoded = json.dumps({"partialSuccess": {"rejectedLogRecords": "5", "errorMessage": "hm"}}).encode()
    assert from_http(200, "application/json; charset=utf-8", encoded, None) == ExportResult("accepted", "", "hm", 5)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("", b""), (PROTOBUF, b""), (PROTOBUF, b"\x0a\x00"), ("application/json", b"{}"),
     ("application/json", b'{"partialSuccess":{}}'), ("application/json", b'{"partialSuccess":null}')],
)  # fmt: skip
def test_plain_success(content_type: str, body: bytes) -> None:
    assert from_http(200, content_type, body, None) == ExportResult("accepted")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("text/html", b"<html>log in</html>"), (PROTOBUF, b"\xff"), ("application/json", b"{"), ("text/plain", b"ok")],
)
def test_a_success_that_is_no_export_response_is_no_success(content_type: str, body: bytes) -> None:
    result = from_http(200, content_type, body, None)
    assert (result.status, result.reason) == ("blocked", "not_otlp")


def test_an_unreadable_response_over_grpc_is_a_success_all_the_same() -> None:
    assert accepted_grpc(b"\xff").status == "accepted"


def test_words_of_the_destination_are_bounded() -> None:
    assert len(from_grpc(3, "x" * 10_000, None).detail) <= 500
    assert len(from_http(400, "text/plain", b"x" * 10_000, None).detail) <= 600
