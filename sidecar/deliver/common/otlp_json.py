"""OTLP payloads as OTLP/JSON, one request a line, as the Collector's file exporter writes them.

Source: the OTLP specification, "JSON Protobuf Encoding", and protobuf's JSON mapping: lowerCamelCase names, 64-bit
integers as text, ids in hex, other bytes in base64, enums as numbers, NaN and the infinities as text. Fields that
`schema` does not know are left out, and so is what nests deeper than `MAX_DEPTH`.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from sidecar.decode.otlp import tags
from sidecar.decode.otlp.limits import MAX_DEPTH
from sidecar.decode.otlp.message import scalars
from sidecar.decode.otlp.schema import MESSAGES, PACKED, REQUESTS, Field, by_tag, json_name
from sidecar.decode.otlp.wire import double, fields, messages, signed, zigzag32
from sidecar.pipeline import Signal


def json_line(signal: Signal, payload: bytes) -> bytes:
    """The request as one line, newline included. Raises DecodeError for a payload that is malformed."""
    request = _message(payload, 0, len(payload), REQUESTS[signal])
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _message(data: bytes, begin: int, end: int, message: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    known = by_tag(message)
    for tag, a, b, _, _ in fields(data, begin, end):
        field = known.get(tag)
        if field is None:
            continue
        name = json_name(field.name)
        if field.oneof:
            for other in MESSAGES[message]:
                if other.oneof == field.oneof:
                    found.pop(json_name(other.name), None)
        if field.repeated and field.kind in PACKED:
            found.setdefault(name, []).extend(_scalar(field, value) for value in scalars(field, tag, data, a, b))
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


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _key_value(data: bytes, begin: int, end: int, depth: int) -> dict[str, Any]:
    key, value = "", {}
    for tag, a, b, _, _ in fields(data, begin, end):
        if tag == tags.KEY:
            key = data[a:b].decode("utf-8", "replace")
        elif tag == tags.VALUE:
            value = _any_value(data, a, b, depth)
    return {"key": key, "value": value}


def _any_value(data: bytes, begin: int, end: int, depth: int) -> dict[str, Any]:
    """An AnyValue; of several values the last one counts, and none is an empty object."""
    found: dict[str, Any] = {}
    if depth > MAX_DEPTH:
        return found
    for tag, a, b, _, _ in fields(data, begin, end):
        match tag:
            case tags.STRING:
                found = {"stringValue": data[a:b].decode("utf-8", "replace")}
            case tags.BOOL:
                found = {"boolValue": a != 0}
            case tags.INT:
                found = {"intValue": str(signed(a))}
            case tags.DOUBLE:
                found = {"doubleValue": _number(double(a))}
            case tags.ARRAY:
                inner = [_any_value(data, c, d, depth + 1) for c, d in messages(data, a, b, tags.ELEMENT)]
                found = {"arrayValue": {"values": inner}}
            case tags.MAP:
                pairs = [_key_value(data, c, d, depth + 1) for c, d in messages(data, a, b, tags.ELEMENT)]
                found = {"kvlistValue": {"values": pairs}}
            case tags.BYTES:
                found = {"bytesValue": base64.b64encode(data[a:b]).decode("ascii")}
    return found
