"""OTLP/JSON requests as OTLP protobuf.

Source: the OTLP specification's "JSON Protobuf Encoding" (hex ids, integer enums, lowerCamelCase, unknown fields
ignored) and protobuf's JSON mapping. Read leniently, as clients write it: snake_case names, enum names, integers as
text or with an exponent, null for the doubles that JSON cannot write. A part of a record that cannot be read is left
out, or made good as `repair` says; a record without ids or value is refused alone and left out of the protobuf. The
paths in messages are those of the protobuf fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from sidecar.decode.api import Check, Transcoded
from sidecar.decode.logs.json_values import InvalidJson, any_value, key_value, member, number_value, objects, scalar
from sidecar.decode.otlp.limits import MAX_ERRORS
from sidecar.decode.otlp.message import read
from sidecar.decode.otlp.metrics import PointKind, check_metrics, refused_point
from sidecar.decode.otlp.records import build_log_record, build_span, check_logs, check_spans
from sidecar.decode.otlp.repair import Repair
from sidecar.decode.otlp.schema import MESSAGES, REQUESTS, Field
from sidecar.decode.otlp.wire import put_bytes
from sidecar.errors import DecodeError
from sidecar.pipeline import Signal

_LONGEST_INTEGER = 40


class _Result:
    """What was refused or repaired on the way."""

    def __init__(self, repair: Repair) -> None:
        self.rejected = 0
        self.errors: list[str] = []
        self.repair = repair

    def refuse(self, reason: str, records: int = 1) -> None:
        self.rejected += records
        self.errors.append(reason)

    def add(self, other: _Result) -> None:
        self.rejected += other.rejected
        self.errors += other.errors


def _transcode(signal: Signal, check: Callable[[bytes], Check], body: bytes, arrival: int = 0) -> Transcoded:
    request = _parse(body)
    result = _Result(Repair(signal, arrival))
    try:
        payload = _message(request, REQUESTS[signal], "", result)
    except InvalidJson as invalid:
        raise DecodeError(str(invalid)) from None
    found = check(payload)
    errors = tuple(dict.fromkeys((*result.errors, *found.errors)))[:MAX_ERRORS]
    rejected = found.rejected + result.rejected
    repairs = dict(+result.repair.counts)
    timed = found.timed and "no_time" not in repairs
    return Transcoded(payload, Check(found.items, found.events, rejected, errors, timed), repairs)


TRANSCODERS: Mapping[Signal, Callable[..., Transcoded]] = {
    "spans": partial(_transcode, "spans", check_spans),
    "logs": partial(_transcode, "logs", check_logs),
    "metrics": partial(_transcode, "metrics", check_metrics),
}
"""Signal -> function from an OTLP/JSON body and the time of its arrival (Unix ns, 0 where that is not known) to the
repaired protobuf and the result. Raises DecodeError for bad JSON."""


def _parse(body: bytes) -> dict[str, Any]:
    text = body.decode("utf-8-sig", "replace")
    try:
        request = _JSON.decode(text)
    except json.JSONDecodeError as error:
        raise DecodeError(f"JSON: {error.msg}", len(text[: error.pos].encode())) from None
    except RecursionError:
        raise DecodeError("JSON: nested too deep") from None
    if not isinstance(request, dict):
        raise DecodeError("JSON: the request must be an object", 0)
    return request


def _integer(digits: str) -> int | float:
    """Longer than any 64-bit integer: a double will do, and costs no long multiplication."""
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


_JSON = json.JSONDecoder(parse_int=_integer, strict=False)


def _message(value: object, message: str, path: str, result: _Result) -> bytes:
    """A message's content. Raises InvalidJson for what cannot be read and is not part of a record of its own."""
    if not isinstance(value, dict):
        raise InvalidJson(f"{path}: must be an object")
    if message in ("NumberDataPoint", "Exemplar"):
        value = number_value(value)
    parts: list[bytes] = []
    oneofs: set[str] = set()
    for field in MESSAGES[message]:
        found = member(value, field.name)
        if found is None or field.oneof in oneofs:
            continue
        if field.oneof:
            oneofs.add(field.oneof)
        try:
            parts += _field(field, found, f"{path}.{field.name}".lstrip("."), result)
        except InvalidJson:
            if message not in _WITH_OPTIONAL_PARTS or field.name in _REQUIRED.get(message, ()):
                raise
            result.repair.counts["value"] += 1
    return b"".join(parts)


def _field(field: Field, value: object, path: str, result: _Result) -> Iterator[bytes]:
    if field.kind == "attributes":
        for element in objects(value, path):
            try:
                yield key_value(field.number, element, path)
            except InvalidJson:
                if result.repair.signal == "metrics":
                    raise
                result.repair.counts["value"] += 1
    elif field.kind == "any":
        yield put_bytes(field.number, any_value(value, path, 1))
    elif field.kind != "message":
        for element in objects(value, path) if field.repeated else [value]:
            yield scalar(field, element, path)
    elif not field.repeated:
        single = _message(value, field.of, path, result)
        if field.of in ("Resource", "InstrumentationScope"):
            single = result.repair.message(single, field.of)
        yield put_bytes(field.number, single)
    else:
        for i, element in enumerate(objects(value, path)):
            if (content := _element(field, element, f"{path}[{i}]", result)) is not None:
                yield put_bytes(field.number, content)


def _element(field: Field, value: object, path: str, result: _Result) -> bytes | None:
    """One message of a repeated field; None for one that is left out.

    What cannot be read and cannot be left out of a record refuses the record; above the records (a resource, a scope,
    a metric's head) it refuses all records below it. Resources and scopes keep their place, so that paths stay true.
    """
    refused = _RECORDS.get(field.of)
    if refused is None and field.of not in _ABOVE_RECORDS:
        try:
            return _message(value, field.of, path, result)
        except InvalidJson:
            if field.of not in _WITH_OPTIONAL_PARTS:
                raise
            result.repair.counts["value"] += 1
            return None
    own = _Result(result.repair)
    try:
        content = _message(value, field.of, path, own)
    except InvalidJson as invalid:
        result.refuse(str(invalid), 1 if refused else max(1, _records_below(value, field.of)))
        return b"" if field.of in _ABOVE_RECORDS and field.of != "Metric" else None
    result.add(own)
    if refused is None:
        return content
    content = result.repair.message(content or b"", field.of)
    if reason := refused(read(content, 0, len(content), field.of), path):
        result.refuse(reason)
        return None
    return content


def _records_below(value: object, message: str) -> int:
    """How many records a JSON message holds, as far as that is known."""
    if message in _RECORDS:
        return 1
    if not isinstance(value, dict):
        return 0
    return sum(
        _records_below(element, field.of)
        for field in MESSAGES[message]
        if field.kind == "message"
        for element in _listed(member(value, field.name))
    )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _refused_point_of(kind: PointKind) -> Callable[[dict[str, Any], str], str]:
    return lambda point, path: refused_point(kind, point, path)


#: Record message -> why it is refused (empty if it is not), from its fields and its path.
_RECORDS: Mapping[str, Callable[[dict[str, Any], str], str]] = {
    "Span": lambda found, path: build_span(found, path)[1],
    "LogRecord": lambda found, path: build_log_record(found, path)[1],
    "NumberDataPoint": _refused_point_of("gauge"),
    "HistogramDataPoint": _refused_point_of("histogram"),
    "ExponentialHistogramDataPoint": _refused_point_of("exponential_histogram"),
    "SummaryDataPoint": _refused_point_of("summary"),
}
#: Messages of which a field that cannot be read is left out, and what may not be left out of them.
_WITH_OPTIONAL_PARTS = frozenset(
    {"Resource", "InstrumentationScope", "Span", "Event", "Link", "Status", "LogRecord", "Exemplar"}
)
_REQUIRED: Mapping[str, tuple[str, ...]] = {"Span": ("trace_id", "span_id")}
_ABOVE_RECORDS = frozenset(
    {"ResourceSpans", "ScopeSpans", "ResourceLogs", "ScopeLogs", "ResourceMetrics", "ScopeMetrics", "Metric"}
)
