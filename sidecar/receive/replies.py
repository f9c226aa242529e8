"""The reply table: what became of a request, and how each protocol says so.

| outcome | gRPC | HTTP |
|---|---|---|
| accepted | OK | 200 |
| partial: some records refused as invalid, the rest accepted | OK + partial_success | 200 + partial_success |
| invalid: no record of it can be accepted | INVALID_ARGUMENT | 400 |
| too_large: over the size limit after decompression | INVALID_ARGUMENT | 413 |
| unsupported: content type or encoding | UNIMPLEMENTED | 415 |
| unknown_path: nothing is taken there | UNIMPLEMENTED | 404 |
| wrong_method: not a POST | | 405 + Allow |
| overloaded: over the in-flight budget, journal full | RESOURCE_EXHAUSTED + RetryInfo | 429 + Retry-After |
| unavailable: journal cannot write, stopping | UNAVAILABLE + RetryInfo | 503 + Retry-After |
| unauthenticated: no credentials, or wrong ones | UNAUTHENTICATED | 401 |

A client retries on RESOURCE_EXHAUSTED with RetryInfo, UNAVAILABLE, 429 and 503, and drops on everything else (OTLP
specification, "Failures"). INTERNAL, UNKNOWN and 500 are therefore never sent for a fault of ours: a client would drop
what it may retry.

Some gRPC statuses are the transport's own, sent before a request gets here: RESOURCE_EXHAUSTED without RetryInfo for a
message far over the limit, INTERNAL for one that is marked as compressed and whose encoding is not named, UNIMPLEMENTED
for an encoding that is not known (INTERNAL of grpcio's transport), DEADLINE_EXCEEDED where the client waits no longer.
A request that ends before a whole message is invalid.

Where labels are taken, 200 says how many were accepted and refused, and why: `{"accepted", "rejected", "errors"}`.

An error's body is a `google.rpc.Status` in the request's encoding. Its three message types and the export responses are
small enough to be written here by hand, so that no generated code is needed.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Literal

from sidecar.decode.otlp.wire import put_bytes, put_uint
from sidecar.errors import SidecarError
from sidecar.pipeline import Signal

Kind = Literal[
    "accepted",
    "partial",
    "invalid",
    "too_large",
    "unsupported",
    "unknown_path",
    "wrong_method",
    "overloaded",
    "unavailable",
    "unauthenticated",
]
BodyEncoding = Literal["protobuf", "json", "labels"]
"""Of a reply. `labels` is JSON that differs from `json` in the body of a success."""

MIN_RETRY_SECONDS = 1.0
MAX_MESSAGE_CHARS = 1000
"""A gRPC message travels in the trailers, whose size clients bound (8 KiB by default), percent-encoded."""

PROTOBUF_TYPE = "application/x-protobuf"
JSON_TYPE = "application/json"

_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
_REJECTED_FIELD: dict[Signal, str] = {
    "spans": "rejectedSpans",
    "logs": "rejectedLogRecords",
    "metrics": "rejectedDataPoints",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request."""

    kind: Kind
    message: str = ""
    rejected: int = 0
    """Records refused as invalid while the rest was accepted (`partial` only)."""
    accepted: int = field(default=0, compare=False)
    """Records that were accepted."""
    errors: tuple[str, ...] = field(default=(), compare=False)
    """Why the first of the refused ones were; `message` has them too."""
    retry_after: float | None = None
    """Seconds after which the client may try again (`overloaded` and `unavailable` only)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: `google.rpc.Code` number and HTTP status."""

    grpc: int
    http: int


TABLE: dict[Kind, Row] = {
    "accepted": Row(0, 200),
    "partial": Row(0, 200),
    "invalid": Row(3, 400),
    "too_large": Row(3, 413),
    "unsupported": Row(12, 415),
    "unknown_path": Row(12, 404),
    "wrong_method": Row(12, 405),
    "overloaded": Row(8, 429),
    "unavailable": Row(14, 503),
    "unauthenticated": Row(16, 401),
}

ACCEPTED = Outcome("accepted")


def accepted(records: int) -> Outcome:
    """The payload is stored with all its records."""
    return Outcome("accepted", accepted=records)


def partial(rejected: int, message: str, accepted: int = 0, errors: tuple[str, ...] = ()) -> Outcome:
    """The payload is stored without `rejected` of its records."""
    return Outcome("partial", message, rejected=rejected, accepted=accepted, errors=errors)


def invalid(message: str) -> Outcome:
    """Nothing of the payload can be accepted; the message names the field."""
    return Outcome("invalid", message)


def too_large(message: str) -> Outcome:
    """Over the size limit after decompression; the message says the limit."""
    return Outcome("too_large", message)


def unsupported(message: str) -> Outcome:
    """A content type or encoding that is not spoken here; the message says which are."""
    return Outcome("unsupported", message)


def unknown_path(message: str) -> Outcome:
    """A path where nothing is taken; the message says which are."""
    return Outcome("unknown_path", message)


def wrong_method(message: str) -> Outcome:
    """Not a POST."""
    return Outcome("wrong_method", message)


def overloaded(message: str, retry_after: float) -> Outcome:
    """Not stored; the client may send it again after `retry_after` seconds."""
    return Outcome("overloaded", message, retry_after=max(MIN_RETRY_SECONDS, retry_after))


def unavailable(message: str, retry_after: float = MIN_RETRY_SECONDS) -> Outcome:
    """Not stored; the client may send it again after `retry_after` seconds."""
    return Outcome("unavailable", message, retry_after=max(MIN_RETRY_SECONDS, retry_after))


def unauthenticated(message: str) -> Outcome:
    """No credentials, or wrong ones."""
    return Outcome("unauthenticated", message)


class Refused(SidecarError):
    """Raised where a request is refused with an outcome of its own."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An outcome as an HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class GrpcError:
    """An outcome as a gRPC status other than OK."""

    code: int
    """`google.rpc.Code`, the same numbers as gRPC's status codes."""
    details: str
    trailers: tuple[tuple[str, bytes], ...]


def http_reply(outcome: Outcome, signal: Signal, encoding: BodyEncoding) -> HttpReply:
    """The response to an OTLP/HTTP request, its body in the request's encoding."""
    row = TABLE[outcome.kind]
    headers = {"Content-Type": PROTOBUF_TYPE if encoding == "protobuf" else JSON_TYPE}
    if outcome.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(outcome.retry_after))
    if row.http == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if row.http == 200:
        body = _success(outcome, signal, encoding)
    else:
        body = status_body(outcome) if encoding == "protobuf" else status_json(outcome)
    return HttpReply(row.http, headers, body)


def _success(outcome: Outcome, signal: Signal, encoding: BodyEncoding) -> bytes:
    match encoding:
        case "protobuf":
            return success_body(outcome, signal)
        case "json":
            return success_json(outcome, signal)
        case "labels":
            return labels_json(outcome)


def grpc_error(outcome: Outcome) -> GrpcError | None:
    """Code, details and trailing metadata; None where the reply is OK with `success_body`."""
    row = TABLE[outcome.kind]
    if row.grpc == 0:
        return None
    trailers: tuple[tuple[str, bytes], ...] = ()
    if outcome.retry_after is not None:
        trailers = (("grpc-status-details-bin", status_body(outcome)),)
    return GrpcError(row.grpc, _shown(outcome.message), trailers)


def success_body(outcome: Outcome, signal: Signal) -> bytes:
    """`Export{Trace,Logs,Metrics}ServiceResponse`: partial_success (1) of rejected (1) and error_message (2); the
    numbers are the same for all three. Empty where everything was accepted."""
    del signal
    if outcome.kind != "partial":
        return b""
    return put_bytes(1, _integer(1, outcome.rejected) + _text(2, outcome.message))


def success_json(outcome: Outcome, signal: Signal) -> bytes:
    """The same in OTLP/JSON: int64 as a string."""
    if outcome.kind != "partial":
        return b"{}"
    success = {_REJECTED_FIELD[signal]: str(outcome.rejected), "errorMessage": outcome.message}
    return json.dumps({"partialSuccess": success}).encode()


def labels_json(outcome: Outcome) -> bytes:
    """What became of labels."""
    errors = [_shown(error) for error in outcome.errors]
    return json.dumps({"accepted": outcome.accepted, "rejected": outcome.rejected, "errors": errors}).encode()


def status_body(outcome: Outcome) -> bytes:
    """`google.rpc.Status`: code (1), message (2), details (3, `Any`: type_url 1, value 2), with
    `google.rpc.RetryInfo`: retry_delay (1, `Duration`: seconds 1, nanos 2) where there is something to wait for."""
    status = _integer(1, TABLE[outcome.kind].grpc) + _text(2, _shown(outcome.message))
    if outcome.retry_after is not None:
        seconds, nanos = _duration(outcome.retry_after)
        retry = put_bytes(1, _integer(1, seconds) + _integer(2, nanos))
        status += put_bytes(3, _text(1, _RETRY_INFO) + put_bytes(2, retry))
    return status


def status_json(outcome: Outcome) -> bytes:
    """The same in protobuf's JSON mapping: a duration is seconds with an `s`."""
    status: dict[str, object] = {"code": TABLE[outcome.kind].grpc, "message": _shown(outcome.message)}
    if outcome.retry_after is not None:
        seconds, nanos = _duration(outcome.retry_after)
        delay = f"{seconds}.{nanos:09d}".rstrip("0").rstrip(".") + "s"
        status["details"] = [{"@type": _RETRY_INFO, "retryDelay": delay}]
    return json.dumps(status).encode()


def _shown(message: str) -> str:
    """Printable ASCII of bounded length: the message may quote what a client sent."""
    text = message.encode("ascii", "backslashreplace").decode("ascii")
    if not text.isprintable():
        text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 3] + "..."


def _duration(seconds: float) -> tuple[int, int]:
    whole, nanos = divmod(round(seconds * 1_000_000_000), 1_000_000_000)
    return whole, nanos


def _integer(number: int, value: int) -> bytes:
    return put_uint(number, value) if value else b""


def _text(number: int, value: str) -> bytes:
    return put_bytes(number, value.encode("utf-8", "backslashreplace")) if value else b""
