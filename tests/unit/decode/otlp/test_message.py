"""Messages read by the tables: last one wins, odd wire types, depth."""

from __future__ import annotations

import pytest
from support.payloads import any_value, key_values, nested, span

from sidecar.decode.otlp.message import LossyStr, read
from sidecar.decode.otlp.schema import ENUMS, MESSAGES
from sidecar.decode.otlp.wire import put_bytes, put_double, put_fixed64, put_uint, put_varint
from sidecar.errors import DecodeError


def read_span(data: bytes) -> dict[str, object]:
    return read(data, 0, len(data), "Span")


def read_value(content: bytes) -> object:
    found = read(put_bytes(5, content), 0, len(put_bytes(5, content)), "LogRecord")
    return found["body"][0]


def test_the_last_of_a_single_field_counts_and_is_not_merged() -> None:
    first = put_bytes(15, put_bytes(2, b"message") + put_uint(3, 2))
    second = put_bytes(15, put_uint(3, 1))
    assert read_span(first + second)["status"] == {"code": 1}
    assert read_span(put_bytes(5, b"a") + put_bytes(5, b"b"))["name"] == "b"


def test_the_last_of_a_oneof_counts() -> None:
    assert read_value(put_bytes(1, b"a") + put_uint(3, 5)) == 5
    assert read_value(put_uint(3, 5) + put_bytes(1, b"a")) == "a"
    point = put_double(4, 1.5) + put_fixed64(6, 7)
    assert read(point, 0, len(point), "NumberDataPoint") == {"as_int": 7}


def test_unknown_fields_and_other_wire_types_are_skipped() -> None:
    data = put_uint(5, 1) + put_bytes(900, b"\xff") + put_bytes(7, b"12345678") + put_bytes(5, b"n")
    assert read_span(data) == {"name": "n"}
    assert read_value(put_bytes(3, b"x")) is None


def test_an_overwritten_message_is_still_walked() -> None:
    with pytest.raises(DecodeError, match="wire type 7"):
        read_span(put_bytes(15, b"\x0f") + put_bytes(15, b""))


def test_a_malformed_value_within_attributes_is_found_with_its_offset() -> None:
    good = span(attributes={"a": 1}).SerializeToString()
    bad = put_bytes(9, put_bytes(1, b"k") + put_bytes(2, b"\x0a\x7fxx"))
    with pytest.raises(DecodeError) as caught:
        read_span(good + bad)
    assert caught.value.offset == len(good + bad) - 4


@pytest.mark.parametrize("message", ["HistogramDataPoint", "Buckets"])
def test_repeated_numbers_packed_and_not(message: str) -> None:
    if message == "Buckets":
        one_by_one, packed = put_uint(2, 300) + put_uint(2, 4), put_bytes(2, put_varint(300) + put_varint(4))
        name = "bucket_counts"
    else:
        one_by_one = put_double(7, 1.0) + put_double(7, 2.5)
        packed, name = put_bytes(7, put_double(7, 1.0)[1:] + put_double(7, 2.5)[1:]), "explicit_bounds"
    expected = read(one_by_one, 0, len(one_by_one), message)[name]
    assert len(expected) == 2
    mixed = one_by_one + packed
    assert read(mixed, 0, len(mixed), message)[name] == expected * 2


def test_packed_of_odd_length_is_malformed() -> None:
    with pytest.raises(DecodeError, match="not a multiple of 8"):
        read(put_bytes(7, b"1234567"), 0, 9, "HistogramDataPoint")
    with pytest.raises(DecodeError, match="cut off"):
        read(put_bytes(2, b"\x80"), 0, 3, "Buckets")


def test_depth_counts_from_one_and_ends_at_the_limit() -> None:
    def deep(depth: int) -> bool:
        (pair,) = key_values({"a": nested(depth)})
        data = put_bytes(9, pair.SerializeToString())
        return bool(read_span(data)["attributes"].deep)  # type: ignore[attr-defined]

    assert not deep(32)
    assert deep(33)


def test_depth_without_bound_is_survived() -> None:
    value = b""
    for _ in range(5000):
        value = put_bytes(5, put_bytes(1, value))
    found = read(put_bytes(5, value), 0, len(put_bytes(5, value)), "LogRecord")
    assert found["body"][1]


def test_first_of_a_duplicate_key_counts() -> None:
    data = b"".join(put_bytes(9, pair.SerializeToString()) for pair in key_values([("a", 1), ("b", 2), ("a", 3)]))
    attributes = read_span(data)["attributes"]
    assert attributes.values == {"a": 1, "b": 2}  # type: ignore[attr-defined]
    assert attributes.count == 3  # type: ignore[attr-defined]


def test_text_that_is_not_utf8_is_repaired() -> None:
    repaired = read_span(put_bytes(5, b"a\xffb\xe2\x82"))["name"]
    assert repaired == "a�b�"
    assert isinstance(repaired, LossyStr)
    assert not isinstance(read_span(put_bytes(5, "é".encode()))["name"], LossyStr)


def test_enum_outside_its_range_is_zero() -> None:
    assert read_span(put_uint(6, 6))["kind"] == 0
    assert read_span(put_uint(6, -1))["kind"] == 0
    assert read_span(put_uint(6, 2**32 + 2))["kind"] == 2


def test_bool_value_of_any_nonzero_varint() -> None:
    assert read_value(put_uint(2, 7)) is True
    assert read_value(any_value(False).SerializeToString()) is False


def test_the_tables_agree_with_the_official_descriptors() -> None:
    from google.protobuf.descriptor import FieldDescriptor
    from opentelemetry.proto.common.v1 import common_pb2
    from opentelemetry.proto.logs.v1 import logs_pb2
    from opentelemetry.proto.metrics.v1 import metrics_pb2
    from opentelemetry.proto.resource.v1 import resource_pb2
    from opentelemetry.proto.trace.v1 import trace_pb2

    official: dict[str, object] = {}
    enums: dict[str, tuple[str, ...]] = {}
    for module in (common_pb2, resource_pb2, trace_pb2, logs_pb2, metrics_pb2):
        found = dict(module.DESCRIPTOR.message_types_by_name)
        for message in list(found.values()):
            found.update(message.nested_types_by_name)
            enums |= {enum.name: tuple(enum.values_by_name) for enum in message.enum_types}
        official |= found
        enums |= {name: tuple(enum.values_by_name) for name, enum in module.DESCRIPTOR.enum_types_by_name.items()}
    kinds = {
        value: name.removeprefix("TYPE_").lower()
        for name, value in vars(FieldDescriptor).items()
        if name.startswith("TYPE_")
    }
    for message, table in MESSAGES.items():
        if message.startswith("Export"):
            continue
        for field in table:
            theirs = official[message].fields_by_name[field.name]  # type: ignore[attr-defined]
            ours = "message" if field.kind in ("any", "attributes") else field.kind
            assert (theirs.number, kinds[theirs.type]) == (field.number, ours), (message, field.name)
            if field.of:
                assert (theirs.message_type or theirs.enum_type).name == field.of
    for name, values in ENUMS.items():
        assert enums[name] == values
