"""AnyValue read as `message.read_value` reads it, several times as fast where it is written as every encoder writes it:
one field a value, key before value. What is written otherwise is left to `message`. For records that were accepted:
their depth is bounded.
"""

from __future__ import annotations

import struct

import numpy as np

from sidecar.decode.otlp import message
from sidecar.decode.otlp.message import Value
from sidecar.decode.otlp.tags import ARRAY, DOUBLE, ELEMENT, INT, KEY, MAP, STRING, VALUE
from sidecar.decode.otlp.wire import messages, varint

_DOUBLES = np.dtype([("head", "V3"), ("value", "<f8")])
_DOUBLE_HEAD = np.void(bytes((ELEMENT, 9, DOUBLE)))
"""An element of an array, 9 bytes long: a double."""
_FEW = 4
"""Elements for which numpy does not pay."""
_unpack = struct.Struct("<d").unpack_from


def read_value(data: bytes, a: int, b: int) -> Value:
    """The AnyValue in `data[a:b]`. Raises DecodeError."""
    if a < b:
        tag = data[a]
        if tag == DOUBLE and b - a == 9:
            number: float = _unpack(data, a + 1)[0]
            return number
        if tag == INT and b - a == 2 and data[a + 1] < 0x80:
            return data[a + 1]
        if tag in (STRING, ARRAY, MAP):
            length, begin = varint(data, a + 1, b, a)
            if begin + length == b:
                if tag == STRING:
                    return message.text(data[begin:b])
                found = _array(data, begin, b) if tag == ARRAY else _map(data, begin, b)
                if found is not None:
                    return found
    return message.read_value(data, a, b)


def read_pair(data: bytes, a: int, b: int) -> tuple[str, Value]:
    """The KeyValue in `data[a:b]`. Raises DecodeError."""
    if a < b and data[a] == KEY:
        length, begin = varint(data, a + 1, b, a)
        end = begin + length
        if end < b and data[end] == VALUE:
            size, value = varint(data, end + 1, b, end)
            if value + size == b:
                return message.text(data[begin:end]), read_value(data, value, b)
    return message.read_pair(data, a, b)


def read_attributes(data: bytes, a: int, b: int, tag: int) -> dict[str, Value]:
    """The KeyValues in the fields of this tag of `data[a:b]`: of a duplicate key the first. Raises DecodeError."""
    found: dict[str, Value] = {}
    for c, d in messages(data, a, b, tag):
        key, value = read_pair(data, c, d)
        found.setdefault(key, value)
    return found


def _array(data: bytes, a: int, b: int) -> list[Value] | None:
    """None where there is something else than elements."""
    count, rest = divmod(b - a, _DOUBLES.itemsize)
    if not rest and count > _FEW and data[a + 2] == DOUBLE:
        found = np.frombuffer(data, _DOUBLES, count, a)
        if (found["head"] == _DOUBLE_HEAD).all():
            numbers: list[Value] = found["value"].tolist()
            return numbers
    elements: list[Value] = []
    while a < b:
        if data[a] != ELEMENT:
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
        if data[a] != ELEMENT:
            return None
        length, begin = varint(data, a + 1, b, a)
        a = begin + length
        if a > b:
            return None
        key, value = read_pair(data, begin, a)
        members.setdefault(key, value)
    return members
