"""CloudEvents (specification 1.0 with its JSON format and HTTP binding; 0.3 is read too) as OTLP log records.

On the way in all three modes of the HTTP binding are brought into one form: a JSON array of structured events, as the
batched mode has it, data of the binary mode as `data_base64`. So equal requests give equal bytes, and a request that
was sent again is recognised.

A record's event name is the event's type; id, source, type, spec version and subject are attributes by OpenTelemetry's
semantic conventions (`cloudevents.event_id` …), extension attributes keep their names; `traceparent` becomes the
context. Data is the member `data` of a structured body where it is JSON, a text body where it is text. Data that is
neither, or larger than MAX_DATA_BYTES, is left out: only its size is given (`cloudevents.data_bytes`).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sidecar.decode.api import Check, Transcoded
from sidecar.decode.logs.timestamps import parse_time
from sidecar.decode.otlp.encode import any_value, key_value
from sidecar.decode.otlp.limits import MAX_ATTRIBUTES, MAX_DEPTH, MAX_ERRORS
from sidecar.decode.otlp.message import Value
from sidecar.decode.otlp.wire import put_bytes, put_fixed32, put_fixed64
from sidecar.decode.predictions.failures import text_error
from sidecar.decode.predictions.serving.kserve import (
    DATA,
    DATA_BYTES,
    ERROR,
    EVENT_ID,
    EVENT_SOURCE,
    EVENT_TYPE,
    EVENTS,
    SERVICE,
)
from sidecar.errors import DecodeError, TooLarge

BATCH_TYPE = "application/cloudevents-batch+json"
STRUCTURED_TYPE = "application/cloudevents+json"
MAX_EVENTS = 10_000
"""Events of one request."""
MAX_DATA_BYTES = 4 << 20
"""Data of one event that is kept."""
MAX_BATCH_BYTES = 8 << 20
"""A request of structured events: parsed it takes some thirty times as much memory."""

_REQUIRED = ("id", "source", "type", "specversion")
_VERSIONS = ("1.0", "0.3")
_RENAMED = {
    "id": EVENT_ID,
    "source": EVENT_SOURCE,
    "type": EVENT_TYPE,
    "specversion": "cloudevents.event_spec_version",
    "subject": "cloudevents.event_subject",
}
_TAKEN = (DATA, "data_base64", "time", "traceparent")
_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_INT64 = 1 << 63


class _Refused(Exception):
    """An event that is none; the message says why."""


@dataclass(frozen=True, slots=True)
class _Data:
    """An event's data as it can be kept."""

    body: Value = None
    size: int = 0
    """Bytes of data that are left out."""
    error: str = ""
    """The error that they are, see `text_error`."""


def as_batch(headers: Mapping[str, str], content_type: str, body: bytes) -> bytes:
    """A request of any mode as a JSON array of structured events. `headers`: lower case names. Raises DecodeError where
    it is in no mode, or structured in a format other than JSON; TooLarge over MAX_BATCH_BYTES."""
    if content_type.startswith("application/cloudevents"):
        if content_type not in (BATCH_TYPE, STRUCTURED_TYPE):
            raise DecodeError(f"{content_type}: must be {STRUCTURED_TYPE} or {BATCH_TYPE}, or an event in ce- headers")
        if len(body) > MAX_BATCH_BYTES:
            raise TooLarge(f"{len(body)} bytes of structured events, at most {MAX_BATCH_BYTES}")
        body = body.removeprefix(BOM_UTF8)
        return body if content_type == BATCH_TYPE else b"[" + body + b"]"
    event = {name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")}
    if not event:
        raise DecodeError(f"no CloudEvent: neither ce- headers nor content-type {STRUCTURED_TYPE} or {BATCH_TYPE}")
    event.pop(DATA, None)
    event["datacontenttype"] = content_type
    if len(body) <= MAX_DATA_BYTES:
        event["data_base64"] = base64.b64encode(body).decode()
    else:
        event[DATA_BYTES] = str(len(body))
    return json.dumps([event], sort_keys=True).encode()


def transcode(batch: bytes, observed: int, anonymous: bytes = b"") -> Transcoded:
    """Structured events to an ExportLogsServiceRequest, a resource for each. `observed`: Unix ns, the observed time of
    events that have no time; `anonymous`: content of the resource of events that name no inference service. An event
    that is not sound is refused alone. Raises DecodeError where the whole is not a JSON array."""
    try:
        events = json.loads(batch)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"body is not JSON: {error}") from error
    if not isinstance(events, list):
        raise DecodeError("body must be a JSON array of events")
    if len(events) > MAX_EVENTS:
        raise DecodeError(f"{len(events)} events, at most {MAX_EVENTS} in one request")
    parts: list[bytes] = []
    errors: list[str] = []
    timed = True
    for n, event in enumerate(events):
        try:
            part, has_time = _resource_logs(event, observed, anonymous)
        except _Refused as refusal:
            errors.append(f"[{n}]{refusal}")
            continue
        parts.append(part)
        timed = timed and has_time
    check = Check(len(parts), 0, len(errors), tuple(errors[:MAX_ERRORS]), timed and bool(parts))
    return Transcoded(b"".join(parts), check)


def _resource_logs(event: Any, observed: int, anonymous: bytes) -> tuple[bytes, bool]:
    """(ResourceLogs as field 1 of the request, whether the event has a time)."""
    if not isinstance(event, dict):
        raise _Refused(": must be a JSON object")
    for name in _REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            raise _Refused(f".{name}: missing; CloudEvents need id, source, type and specversion")
    if event["specversion"] not in _VERSIONS:
        raise _Refused(f".specversion: {event['specversion'][:20]}, must be {' or '.join(_VERSIONS)}")
    if len(event) > MAX_ATTRIBUTES:
        raise _Refused(f": {len(event)} attributes, at most {MAX_ATTRIBUTES}")
    try:
        record, timed = _log_record(event, observed)
        service = event.get(SERVICE)
        resource = key_value(1, "service.name", service) if isinstance(service, str) and service else anonymous
    except UnicodeEncodeError:
        raise _Refused(": holds a lone surrogate, which is no text") from None
    about = put_bytes(1, resource) if resource else b""
    return put_bytes(1, about + put_bytes(2, put_bytes(2, record))), timed


def _log_record(event: dict[str, Any], observed: int) -> tuple[bytes, bool]:
    """LogRecord, fields in the order of their numbers, absent ones left out."""
    given = event.get("time")
    time = (parse_time(given) if isinstance(given, str) else None) or 0
    data = _data(event)
    attributes = {_RENAMED.get(name, name): value for name, value in event.items() if name not in _TAKEN}
    if data.size:
        attributes[DATA_BYTES] = data.size
    if data.error:
        attributes.setdefault(ERROR, data.error)
    parts = [
        put_fixed64(1, time) if time else b"",
        put_bytes(5, any_value(data.body)) if data.body is not None else b"",
        *(key_value(6, name, _scalar(name, value)) for name, value in attributes.items() if value is not None),
        *_context(event.get("traceparent")),
        b"" if time else put_fixed64(11, observed),
        put_bytes(12, event["type"].encode()),
    ]
    return b"".join(parts), time > 0


def _scalar(name: str, value: Any) -> Value:
    """Context attributes are texts, numbers and booleans."""
    if isinstance(value, dict | list):
        raise _Refused(f".{name[:100]}: must be a text, a number or a boolean")
    return _value(value, name)


def _context(parent: Any) -> tuple[bytes, ...]:
    """Flags, trace id and span id from W3C's traceparent."""
    found = _PARENT.fullmatch(parent) if isinstance(parent, str) else None
    if found is None:
        return ()
    trace, span = bytes.fromhex(found[1]), bytes.fromhex(found[2])
    if not any(trace) or not any(span):
        return ()
    return put_fixed32(8, int(found[3], 16)), put_bytes(9, trace), put_bytes(10, span)


def _data(event: dict[str, Any]) -> _Data:
    if "data_base64" in event:
        try:
            raw = base64.b64decode(event["data_base64"], validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise _Refused(".data_base64: is not base64") from None
        return _of_bytes(raw, str(event.get("datacontenttype") or ""), event["type"] in EVENTS)
    if event.get(DATA) is None:
        return _Data()
    if isinstance(event[DATA], str) and event["type"] in EVENTS:  # A body that the logger's SDK did not take for JSON.
        return _of_bytes(event[DATA].encode(), "", True)
    return _Data({DATA: _value(event[DATA], DATA)})


def _of_bytes(raw: bytes, content_type: str, inference: bool) -> _Data:
    """Data of the binary mode. What an inference service was sent or answered is kept only as JSON, of which it is
    known what may leave the pod: a text may be rows of features."""
    if len(raw) > MAX_DATA_BYTES:
        return _Data(size=len(raw))
    if inference or "json" in content_type or not content_type:
        try:
            return _Data({DATA: _value(_json(raw), DATA)} if raw else None)
        except (ValueError, RecursionError):
            if inference or "json" not in content_type:
                return _Data(size=len(raw), error=text_error(raw[:300].decode("utf-8", "replace")) if inference else "")
            raise _Refused(f".data: is not JSON, which {content_type[:60]} says it is") from None
    if content_type.startswith("text/"):
        return _Data(raw.decode("utf-8", "replace"))
    return _Data(size=len(raw))


def _json(raw: bytes) -> Any:
    """The JSON, or that at the begin: behind it may be tensors (binary data extension of Open Inference)."""
    try:
        return json.loads(raw)
    except ValueError:
        if raw[:1] != b"{":
            raise
    found, _ = json.JSONDecoder().raw_decode(raw.decode("utf-8", "replace"))
    return found


def _value(value: Any, path: str, depth: int = 1) -> Value:
    """JSON as an AnyValue: integers beyond 64 bits as doubles. Raises `_Refused` where it nests too deep."""
    if depth >= MAX_DEPTH:
        raise _Refused(f".{path}: nested deeper than {MAX_DEPTH - 1}")
    match value:
        case dict():
            return {key: _value(element, path, depth + 1) for key, element in value.items()}
        case list():
            return [_value(element, path, depth + 1) for element in value]
        case int() if not -_INT64 <= value < _INT64:
            return _float(value)
        case _:
            return value  # type: ignore[no-any-return]


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)
