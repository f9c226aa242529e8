"""OTLP payloads as OTLP/JSON, one request a line, as the Collector's file exporter writes them.

Source: the OTLP specification, "JSON Protobuf Encoding", and protobuf's JSON mapping: lowerCamelCase names, 64-bit
integers as text, ids in hex, other bytes in base64, enums as numbers, NaN and the infinities as text. Fields that
`schema` does not know are left out, and so is what nests deeper than `MAX_DEPTH`.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from sidecar.decode.otlp.limits import MAX_DEPTH
from sidecar.decode.otlp.schema import LEN, MESSAGES, Field
from sidecar.decode.otlp.wire import double, fields, signed, varint, zigzag32
from sidecar.pipeline import Signal

_REQUESTS: Mapping[Signal, str] = {
    "spans": "ExportTraceServiceRequest",
    "logs": "ExportLogsServiceRequest",
    "metrics": "ExportMetricsServiceRequest",
}
_PACKED = frozenset({"uint64", "fixed64", "double"})


def json_line(signal: Signal, payload: bytes) -> bytes:
    """The request as one line, newline included. Raises DecodeError for a payload that is malformed."""
    request = _message(payload, 0, len(payload), _REQUESTS[signal])
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _message(data: bytes, begin: int, end: int, message: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    known = _by_tag(message)
    for tag, a, b in fields(data, begin, end):
        field = known.get(tag)
        if field is None:
            continue
        name = _camel(field.name)
        if field.oneof:
            for other in MESSAGES[message]:
                if other.oneof == field.oneof:
                    found.pop(_camel(other.name), None)
        if tag == field.packed_tag and field.kind in _PACKED:
            found.setdefault(name, []).extend(_packed(field, data, a, b))
        elif field.repeated:
            found.setdefault(name, []).append(_value(field, data, a, b))
        else:
            found[name] = _value(field, data, a, b)
    return found


def _value(field: Field, data: bytes, a: int, b: int) -> Any:
    match field.kind:
        case "message":
            return _message(data, a, b, field.of)
        case "attributes":
            return _key_value(data, a, b, 1)
        case "any":
            return _any_value(data, a, b, 1)
        case "string":
            return data[a:b].decode("utf-8", "replace")
        case "bytes":  # Trace and span ids are all there are.
            return data[a:b].hex()
        case _:
            return _scalar(field, a)


def _scalar(field: Field, value: int) -> Any:
    match field.kind:
        case "bool":
            return value != 0
        case "double":
            return _number(double(value))
        case "sint32":
            return zigzag32(value)
        case "enum" | "uint32" | "fixed32":
            return value & 0xFFFFFFFF
        case "int64" | "sfixed64":
            return str(signed(value))
        case _:
            return str(value)


def _packed(field: Field, data: bytes, a: int, b: int) -> list[Any]:
    values = []
    while a < b:
        if field.kind == "uint64":
            value, a = varint(data, a, b, a)
        else:
            value, a = int.from_bytes(data[a : min(a + 8, b)], "little"), a + 8
        values.append(_scalar(field, value))
    return values


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _key_value(data: bytes, begin: int, end: int, depth: int) -> dict[str, Any]:
    key, value = "", {}
    for tag, a, b in fields(data, begin, end):
        if tag == 1 << 3 | LEN:
            key = data[a:b].decode("utf-8", "replace")
        elif tag == 2 << 3 | LEN:
            value = _any_value(data, a, b, depth)
    return {"key": key, "value": value}


def _any_value(data: bytes, begin: int, end: int, depth: int) -> dict[str, Any]:
    """An AnyValue; of several values the last one counts, and none is an empty object."""
    found: dict[str, Any] = {}
    if depth > MAX_DEPTH:
        return found
    for tag, a, b in fields(data, begin, end):
        match tag:
            case 0x0A:
                found = {"stringValue": data[a:b].decode("utf-8", "replace")}
            case 0x10:
                found = {"boolValue": a != 0}
            case 0x18:
                found = {"intValue": str(signed(a))}
            case 0x21:
                found = {"doubleValue": _number(double(a))}
            case 0x2A:
                inner = [_any_value(data, c, d, depth + 1) for t, c, d in fields(data, a, b) if t == 0x0A]
                found = {"arrayValue": {"values": inner}}
            case 0x32:
                pairs = [_key_value(data, c, d, depth + 1) for t, c, d in fields(data, a, b) if t == 0x0A]
                found = {"kvlistValue": {"values": pairs}}
            case 0x3A:
                found = {"bytesValue": base64.b64encode(data[a:b]).decode("ascii")}
    return found


@cache
def _by_tag(message: str) -> Mapping[int, Field]:
    tags = {field.tag: field for field in MESSAGES[message]}
    tags.update({field.packed_tag: field for field in MESSAGES[message] if field.repeated and field.kind in _PACKED})
    return tags


@cache
def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)
