"""The protobuf wire format: the one walk over the fields of a byte range, and the writers of fields.

Source: the protobuf encoding documentation. Groups (wire types 3 and 4) are not part of OTLP and are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

from sidecar.decode.otlp.schema import FIXED32, FIXED64, LEN, VARINT
from sidecar.errors import DecodeError

MAX_FIELD_NUMBER = (1 << 29) - 1
_MAX_VARINT_BYTES = 10
_MASK64 = (1 << 64) - 1


def varint(data: bytes, pos: int, end: int, at: int) -> tuple[int, int]:
    """(value modulo 2^64, next position). Raises DecodeError with offset `at` if it does not end within ten bytes."""
    if pos < end and data[pos] < 0x80:
        return data[pos], pos + 1
    value = shift = 0
    for place in range(pos, min(end, pos + _MAX_VARINT_BYTES)):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK64, place + 1
        shift += 7
    raise DecodeError("varint is cut off" if end - pos < _MAX_VARINT_BYTES else "varint is over ten bytes", at)


WireField: TypeAlias = tuple[int, int, int, int, int]
"""(tag, a, b, begin, finish): see `fields`."""


def fields(data: bytes, pos: int, end: int) -> Iterator[WireField]:
    """The fields in `data[pos:end]` in wire order, as (tag, a, b, begin, finish).

    tag is field number << 3 | wire type. Varint: a is the value, unsigned 64 bit. Fixed32 and fixed64: a is the
    unsigned value. Length-delimited: `data[a:b]` is the content. `data[begin:finish]` is the whole field with tag and
    length. A DecodeError's offset is the field's first byte.
    """
    while pos < end:
        begin = pos
        tag, pos = varint(data, pos, end, begin)
        if not 0 < tag >> 3 <= MAX_FIELD_NUMBER:
            raise DecodeError(f"field number {tag >> 3} does not exist", begin)
        b = 0
        match tag & 7:
            case 0:  # VARINT
                a, pos = varint(data, pos, end, begin)
            case 1:  # FIXED64
                pos = _advance(pos, 8, end, begin)
                a = int.from_bytes(data[pos - 8 : pos], "little")
            case 2:  # LEN
                length, a = varint(data, pos, end, begin)
                b = pos = _advance(a, length, end, begin)
            case 5:  # FIXED32
                pos = _advance(pos, 4, end, begin)
                a = int.from_bytes(data[pos - 4 : pos], "little")
            case other:
                raise DecodeError(f"wire type {other} is not used by OTLP", begin)
        yield tag, a, b, begin, pos


def messages(data: bytes, begin: int, end: int, tag: int) -> Iterator[tuple[int, int]]:
    """Begin and end of the content of each field of this tag in `data[begin:end]`. Raises DecodeError."""
    return ((a, b) for found, a, b, _, _ in fields(data, begin, end) if found == tag)


def _advance(pos: int, length: int, end: int, at: int) -> int:
    if length > end - pos:
        raise DecodeError(f"field needs {length} bytes, {end - pos} are left", at)
    return pos + length


def signed(value: int) -> int:
    """The two's complement reading of an unsigned 64-bit value."""
    return value - (1 << 64) if value >> 63 else value


def zigzag32(value: int) -> int:
    """sint32 from its varint."""
    value &= 0xFFFFFFFF
    return value >> 1 ^ -(value & 1)


def double(value: int) -> float:
    """The double whose bits are these 64."""
    result: float = struct.unpack("<d", value.to_bytes(8, "little"))[0]
    return result


_SHORT = [bytes([value]) for value in range(0x80)]


def put_varint(value: int) -> bytes:
    """An unsigned value below 2^64 as varint."""
    if value < 0x80:  # By far the most: tags and lengths.
        return _SHORT[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put_uint(number: int, value: int) -> bytes:
    """A varint field; negative values are written as 64-bit two's complement."""
    return put_varint(number << 3 | VARINT) + put_varint(value & _MASK64)


def put_bytes(number: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return put_varint(number << 3 | LEN) + put_varint(len(value)) + value


def put_again(data: bytes, field: WireField, content: bytes) -> bytes:
    """A length-delimited field of `data` (as `fields` has it) with another content; as it was where that is the
    same."""
    tag, a, b, begin, end = field
    if len(content) == b - a and content == data[a:b]:
        return data[begin:end]
    return put_bytes(tag >> 3, content)


def put_fixed64(number: int, value: int) -> bytes:
    """A fixed64 (or sfixed64) field."""
    return put_varint(number << 3 | FIXED64) + (value & _MASK64).to_bytes(8, "little")


def put_fixed32(number: int, value: int) -> bytes:
    """A fixed32 field."""
    return put_varint(number << 3 | FIXED32) + (value & 0xFFFFFFFF).to_bytes(4, "little")


def put_double(number: int, value: float) -> bytes:
    """A double field."""
    return put_varint(number << 3 | FIXED64) + struct.pack("<d", value)
