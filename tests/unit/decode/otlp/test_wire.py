"""The wire format: what is read, what is refused, and where."""

from __future__ import annotations

import pytest

from sidecar.decode.otlp.wire import (
    WireField,
    double,
    fields,
    messages,
    put_again,
    put_bytes,
    put_double,
    put_fixed32,
    put_fixed64,
    put_uint,
    put_varint,
    signed,
    varint,
    zigzag32,
)
from sidecar.errors import DecodeError


def read(data: bytes) -> list[WireField]:
    return list(fields(data, 0, len(data)))


def test_every_wire_type_comes_back() -> None:
    data = put_uint(1, 300) + put_fixed64(2, 2**64 - 1) + put_bytes(3, b"abc") + put_fixed32(4, 7) + put_double(5, 1.5)
    found = read(data)
    assert [tag >> 3 for tag, *_ in found] == [1, 2, 3, 4, 5]
    assert [tag & 7 for tag, *_ in found] == [0, 1, 2, 5, 1]
    assert b"".join(data[begin:end] for *_, begin, end in found) == data
    assert [begin for *_, begin, _ in found[1:]] == [end for *_, end in found[:-1]]
    assert found[0][1] == 300
    assert found[1][1] == 2**64 - 1
    assert data[found[2][1] : found[2][2]] == b"abc"
    assert double(found[4][1]) == 1.5


@pytest.mark.parametrize("value", [0, 1, 127, 128, 2**32, 2**63, 2**64 - 1])
def test_varint_round_trip(value: int) -> None:
    data = put_varint(value)
    assert varint(data, 0, len(data), 0) == (value, len(data))


def test_varint_longer_than_needed_is_read_and_its_bits_over_64_are_dropped() -> None:
    assert varint(b"\x81\x80\x00", 0, 3, 0) == (1, 3)
    assert varint(b"\xff" * 9 + b"\x7f", 0, 10, 0) == (2**64 - 1, 10)


@pytest.mark.parametrize(
    ("data", "offset", "words"),
    [
        (b"\x08", 1 - 1, "cut off"),
        (b"\x08\x01\x08\x80", 2, "cut off"),
        (b"\x08\x01\x08" + b"\x80" * 10 + b"\x01", 2, "over ten bytes"),
        (b"\x0a\x05abc", 0, "needs 5 bytes, 3 are left"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, "0 are left"),
        (b"\x09\x00", 0, "needs 8"),
        (b"\x0d\x00", 0, "needs 4"),
        (b"\x00\x01", 0, "field number 0"),
        (b"\x80\x80\x80\x80\x10\x01", 0, "field number 536870912"),
        (b"\x08\x01\x0b\x0c", 2, "wire type 3"),
        (b"\x0c", 0, "wire type 4"),
        (b"\x0e", 0, "wire type 6"),
        (b"\x0f", 0, "wire type 7"),
    ],
)
def test_malformed(data: bytes, offset: int, words: str) -> None:
    with pytest.raises(DecodeError, match=words) as caught:
        read(data)
    assert caught.value.offset == offset


def test_number_conversions() -> None:
    assert signed(2**64 - 1) == -1
    assert signed(2**63 - 1) == 2**63 - 1
    assert [zigzag32(n) for n in (0, 1, 2, 3, 2**32 - 1)] == [0, -1, 1, -2, -(2**31)]


def test_messages_are_the_fields_of_one_tag() -> None:
    data = put_bytes(1, b"a") + put_uint(1, 5) + put_bytes(2, b"b") + put_bytes(1, b"")
    assert [data[a:b] for a, b in messages(data, 0, len(data), 0x0A)] == [b"a", b""]


def test_a_field_with_the_same_content_keeps_its_bytes() -> None:
    long_length = b"\x0a\x81\x00x"
    (field,) = read(long_length)
    assert put_again(long_length, field, b"x") == long_length
    assert put_again(long_length, field, b"yz") == put_bytes(1, b"yz")
