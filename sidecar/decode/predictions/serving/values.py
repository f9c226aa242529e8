"""AnyValue read as `message.read_value` reads it, several times as fast where it is written as every encoder writes it:
one field a value, key before value. What is written otherwise is left to `message`. For records that were accepted:
their depth is bounded.
"""

from __future__ import annotations

import struct

import numpy as np

from sidecar.decode.otlp import message
from sidecar.decode.otlp.message import Value
from sidecar.decode.otlp.wire import varint

_STRING, _INT, _DOUBLE, _ARRAY, _MAP = 0x0A, 0x18, 0x21, 0x2A, 0x32
_ELEMENT, _KEY, _VALUE = 0x0A, 0x0A, 0x12
_DOUBLES = np.dtype([("head", "V3"), ("value", "<f8")])
_DOUBLE_HEAD = np.void(b"\x0a\x09\x21")
"""An element of an array, 9 bytes long: a double."""
_FEW = 4
"""Elements for which numpy does not pay."""
_unpack = struct.Struct("<d").unpack_from


def read_value(data: bytes, a: int, b: int) -> Value:
    """The AnyValue in `data[a:b]`. Raises DecodeError."""
    if a < b:
        tag = data[a]
        if tag == _DOUBLE and b - a == 9:
            number: float = _unpack(data, a + 1)[0]
            return number
        if tag == _INT and b - a == 2 and data[a + 1] < 0x80:
            return data[a + 1]
        if tag in (_STRING, _ARRAY, _MAP):
            length, begin = varint(data, a + 1, b, a)
            if begin + length == b:
                if tag == _STRING:
                    return message.text(data[begin:b])
                found = _array(data, begin, b) if tag == _ARRAY else _map(data, begin, b)
                if found is not None:
                    return found
    return message.read_value(data, a, b)


def read_pair(data: bytes, a: int, b: int) -> tuple[str, Value]:
    """The KeyValue in `data[a:b]`. Raises DecodeError."""
    if a < b and data[a] == _KEY:
        length, begin = varint(data, a + 1, b, a)
        end = begin + length
        if end < b and data[end] == _VALUE:
            size, value = varint(data, end + 1, b, end)
            if value + size == b:
                return message.text(data[begin:end]), read_value(data, value, b)
    return message.read_pair(data, a, b)


def _array(data: bytes, a: int, b: int) -> list[Value] | None:
    """None where there is something else than elements."""
    count, rest = divmod(b - a, _DOUBLES.itemsize)
    if not rest and count > _FEW and data[a + 2] == _DOUBLE:
        found = np.frombuffer(data, _DOUBLES, count, a)
        if (found["head"] == _DOUBLE_HEAD).all():
            numbers: list[Value] = found["value"].tolist()
            return numbers
    elements: list[Value] = []
    while a < b:
        if data[a] != _ELEMENT:
            return None
        length, begin = varint(data, a + 1, b, a)
        a = begin + length
        if a > b:
            return None
        elements.append(read_value(data, begin, a))
    return elements


def _map(data: bytes, a: int, b: int) -> dict[str, Value] | None:
    """None where there is something else than entries."""
    members: dict[str, Value] = {}
    while a < b:
        if data[a] != _ELEMENT:
            return None
        length, begin = varint(data, a + 1, b, a)
        a = begin + length
        if a > b:
            return None
        key, value = read_pair(data, begin, a)
        members.setdefault(key, value)
    return members
