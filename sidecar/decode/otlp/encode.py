"""Values as OTLP AnyValue bytes."""

from __future__ import annotations

import struct

from sidecar.decode.otlp.message import Value
from sidecar.decode.otlp.wire import put_bytes, put_double, put_uint


def any_value(value: Value) -> bytes:
    """The content of an AnyValue message; empty for None. An int must fit 64 bits signed."""
    match value:
        case None:
            return b""
        case str():
            return put_bytes(1, value.encode())
        case bool():
            return put_uint(2, value)
        case int():
            return put_uint(3, value)
        case float():
            return put_double(4, value)
        case list():
            return put_bytes(5, b"".join(map(_element, value)))
        case dict():
            return put_bytes(6, b"".join(key_value(1, key, element) for key, element in value.items()))
        case bytes():
            return put_bytes(7, value)


def _element(value: Value) -> bytes:
    """An AnyValue as field 1. Long arrays are those of numbers: they are written in one go."""
    return _double(b"\x0a\x09\x21", value) if type(value) is float else put_bytes(1, any_value(value))


_double = struct.Struct("<3sd").pack


def key_value(number: int, key: str, value: Value) -> bytes:
    """A KeyValue as field `number`; key and value are always written, empty or not."""
    return put_bytes(number, put_bytes(1, key.encode()) + put_bytes(2, any_value(value)))
