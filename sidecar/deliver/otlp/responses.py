"""What the answer to an OTLP export means. No I/O.

Source: the OTLP specification, sections "OTLP/gRPC Response", "Failures", "OTLP/gRPC Throttling", "OTLP/HTTP
Response" and "OTLP/HTTP Throttling".

| the destination says | what becomes of the request |
|---|---|
| gRPC OK, HTTP 2xx with an export response | delivered; what `partial_success` rejects is counted as dropped |
| CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS | sent again after a back-off |
| RESOURCE_EXHAUSTED with RetryInfo | sent again after the delay that it names |
| RESOURCE_EXHAUSTED without | refused for good; for its size where the message says so |
| HTTP 429, 502, 503, 504 | sent again after a back-off, or after `Retry-After` |
| HTTP 413 | refused for good: too large |
| UNIMPLEMENTED, HTTP 404, 405, 415, 501 | refused for good, as anything else of this signal would be |
| any other code or status | refused for good |
| UNAUTHENTICATED, PERMISSION_DENIED, HTTP 401, 403 | held: sent again after a back-off; an operator has to act |
| HTTP 2xx that is no export response, 3xx | held: this is not the address of an OTLP receiver |

The specification would have the last two rows dropped. Here they are held, because it is not the data that was
refused: with other credentials or another address the request is another one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from sidecar.decode.otlp.wire import fields, messages, signed
from sidecar.errors import DecodeError

CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""gRPC status codes; index = number (`google.rpc.Code`)."""
RETRYABLE_CODES = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})
_CREDENTIALS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", 401, 403})
_NOT_SERVED = frozenset({"UNIMPLEMENTED", 404, 405, 415, 501})
_OVERLOAD = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", 429, 503, 504})

_LARGER_THAN_MAX = re.compile("larger than max|exceeds max", re.IGNORECASE)
"""How gRPC's libraries for C, Go and Java word the refusal of a large message; the code alone does not say."""
RETRY_INFO = b"google.rpc.RetryInfo"
"""Type name of the detail that says how long to wait; the part of its `type_url` after the last slash."""
_REJECTED = ("rejectedSpans", "rejectedLogRecords", "rejectedDataPoints")
_MAX_DETAIL_CHARS = 500

_PARTIAL_SUCCESS, _REJECTED_COUNT, _ERROR_MESSAGE = 1 << 3 | 2, 1 << 3, 2 << 3 | 2
_STATUS_MESSAGE, _STATUS_DETAILS = 2 << 3 | 2, 3 << 3 | 2
_ANY_TYPE, _ANY_VALUE = 1 << 3 | 2, 2 << 3 | 2
_RETRY_DELAY, _SECONDS, _NANOS = 1 << 3 | 2, 1 << 3, 2 << 3


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What became of one request."""

    status: Literal["accepted", "retry", "blocked", "rejected"]
    reason: str = ""
    """Label of counters, one of a small set; empty where the request was accepted."""
    detail: str = ""
    """The destination's own words; of a request that was accepted the message of its partial success."""
    rejected: int = 0
    """Records of a request that was accepted which the destination did not accept."""
    retry_after: float | None = None
    """Seconds that the destination asked for."""
    overload: bool = False
    """Fewer requests at once would help."""
    too_large: bool = False
    """A smaller request may be accepted."""
    whole_signal: bool = False
    """Whatever of this signal is sent there would be rejected as well."""


def unreached(reason: str, detail: str) -> ExportResult:
    """There was no answer (`timeout`, `tls`, `unreachable`); the request may have been carried out nevertheless."""
    return ExportResult("retry", reason, detail[:_MAX_DETAIL_CHARS], overload=reason == "timeout")


def from_grpc(code: int, message: str, status: bytes | None) -> ExportResult:
    """A call that ended with `code` other than OK. `status`: `google.rpc.Status` from the trailer
    `grpc-status-details-bin`, where there is one."""
    name = CODES[code] if 0 <= code < len(CODES) else "UNKNOWN"
    delay = _retry_delay(status) if status else None
    may_retry = name in RETRYABLE_CODES or (name == "RESOURCE_EXHAUSTED" and delay is not None)
    return _failure(name, name.lower(), f"{name}: {message}", may_retry, delay)


def accepted_grpc(body: bytes) -> ExportResult:
    """The export response of a call that ended well. One that cannot be read is none of our business: the code said
    that the request was accepted."""
    try:
        return ExportResult("accepted", "", *_partial_success(body))
    except DecodeError as error:
        return ExportResult("accepted", "", f"export response cannot be read: {error}")


def from_http(status: int, content_type: str, body: bytes, retry_after: float | None) -> ExportResult:
    """A whole HTTP reply. `retry_after`: seconds, where the header asked for a time."""
    if 200 <= status < 300:
        return _http_success(content_type, body)
    detail = f"HTTP {status}: {_status_message(content_type, body)}"
    if 300 <= status < 400:
        return ExportResult("blocked", "not_otlp", detail[:_MAX_DETAIL_CHARS])
    return _failure(status, f"http_{status}", detail, status in RETRYABLE_STATUSES, retry_after)


def _failure(key: str | int, label: str, detail: str, may_retry: bool, retry_after: float | None) -> ExportResult:
    detail = detail[:_MAX_DETAIL_CHARS]
    if may_retry:
        return ExportResult("retry", label, detail, retry_after=retry_after, overload=key in _OVERLOAD)
    if key in _CREDENTIALS:
        return ExportResult("blocked", "credentials", detail)
    too_large = key == 413 or (key == "RESOURCE_EXHAUSTED" and bool(_LARGER_THAN_MAX.search(detail)))
    return ExportResult("rejected", label, detail, too_large=too_large, whole_signal=key in _NOT_SERVED)


def _http_success(content_type: str, body: bytes) -> ExportResult:
    if not body:
        return ExportResult("accepted")
    try:
        if _is_json(content_type):
            return ExportResult("accepted", "", *_partial_success_json(body))
        if "protobuf" in content_type:
            return ExportResult("accepted", "", *_partial_success(body))
    except (DecodeError, ValueError, RecursionError) as error:
        return ExportResult("blocked", "not_otlp", f"export response cannot be read: {error}"[:_MAX_DETAIL_CHARS])
    return ExportResult(
        "blocked", "not_otlp", f"HTTP success that is no export response ({content_type}): {_shown(body)}"
    )


def _partial_success(body: bytes) -> tuple[str, int]:
    """(message, rejected) of an `Export{Trace,Logs,Metrics}ServiceResponse`; the field numbers are the same."""
    message, rejected = "", 0
    for tag, a, b, _, _ in fields(body, 0, len(body)):
        if tag == _PARTIAL_SUCCESS:
            for inner, c, d, _, _ in fields(body, a, b):
                if inner == _REJECTED_COUNT:
                    rejected = max(0, signed(c))
                elif inner == _ERROR_MESSAGE:
                    message = _shown(body[c:d])
    return message, rejected


def _partial_success_json(body: bytes) -> tuple[str, int]:
    reply = json.loads(body)
    partial = reply.get("partialSuccess") if isinstance(reply, dict) else None
    if not isinstance(partial, dict):
        return "", 0
    rejected = next((partial[name] for name in _REJECTED if name in partial), 0)
    return str(partial.get("errorMessage") or "")[:_MAX_DETAIL_CHARS], max(0, int(rejected or 0))


def _retry_delay(status: bytes) -> float | None:
    """Seconds of the RetryInfo in a `google.rpc.Status`; None where there is none or the status cannot be read."""
    try:
        for detail in messages(status, 0, len(status), _STATUS_DETAILS):
            type_url = b"".join(status[a:b] for a, b in messages(status, *detail, _ANY_TYPE))
            if type_url.rpartition(b"/")[2] == RETRY_INFO:
                return sum(_seconds(status, *value) for value in messages(status, *detail, _ANY_VALUE))
    except DecodeError:
        return None
    return None


def _seconds(data: bytes, begin: int, end: int) -> float:
    """`RetryInfo`: retry_delay (1), a `Duration` of seconds (1) and nanos (2)."""
    seconds = 0.0
    for a, b in messages(data, begin, end, _RETRY_DELAY):
        for tag, value, _, _, _ in fields(data, a, b):
            if tag == _SECONDS:
                seconds += signed(value)
            elif tag == _NANOS:
                seconds += signed(value) / 1e9
    return max(0.0, seconds)


def _status_message(content_type: str, body: bytes) -> str:
    """The words of an error reply: a `google.rpc.Status` in the request's encoding, or whatever a proxy wrote."""
    try:
        if "protobuf" in content_type:
            return _shown(b"".join(body[a:b] for a, b in messages(body, 0, len(body), _STATUS_MESSAGE)))
        if _is_json(content_type):
            reply: Any = json.loads(body)
            if isinstance(reply, dict) and isinstance(reply.get("message"), str):
                return str(reply["message"])
    except (DecodeError, ValueError, RecursionError):
        return _shown(body)
    return _shown(body)


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in ("application/json", "text/json")


def _shown(raw: bytes) -> str:
    return raw[:_MAX_DETAIL_CHARS].decode("utf-8", "replace").strip()
