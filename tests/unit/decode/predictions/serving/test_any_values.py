"""The fast reader says what the reference says, however a value is written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.decode.otlp import message
from sidecar.decode.otlp.encode import any_value, key_value
from sidecar.decode.otlp.wire import put_bytes, put_double, put_uint
from sidecar.decode.predictions.serving.any_values import read_pair, read_value
from sidecar.errors import DecodeError

LEAVES = (
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False)
    | st.text(max_size=8) | st.binary(max_size=4)
)  # fmt: skip
VALUES: Any = st.recursive(
    LEAVES | st.lists(st.floats(allow_nan=False), max_size=9),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=30,
)


@given(VALUES)
def test_values(value: Any) -> None:
    raw = any_value(value)
    assert read_value(raw, 0, len(raw)) == message.read_value(raw, 0, len(raw)) == value
    pair = key_value(1, "key", value)[2:]
    if len(pair) < 128:
        assert read_pair(pair, 0, len(pair)) == message.read_pair(pair, 0, len(pair)) == ("key", value)


@pytest.mark.parametrize(
    "raw",
    [
        put_uint(3, 5) + put_bytes(1, b"last counts"),
        put_bytes(5, put_bytes(1, put_double(4, 1.5)) * 6 + put_bytes(2, b"unknown")),
        put_bytes(5, put_bytes(1, put_double(4, 1.5)) * 5 + put_bytes(1, put_double(9, 1.5))),
        put_bytes(6, put_bytes(1, put_bytes(2, put_uint(3, 7)) + put_bytes(1, b"value first"))),
        put_bytes(6, put_bytes(1, put_bytes(1, b"a") + put_bytes(2, put_uint(3, 1))) * 2),
        put_bytes(6, put_bytes(1, put_bytes(1, b"no value"))),
        put_bytes(1, b"\xff\xfe"),
        put_uint(3, 300),
        b"",
    ],
)
def test_odd_writing(raw: bytes) -> None:
    assert read_value(raw, 0, len(raw)) == message.read_value(raw, 0, len(raw))


@settings(max_examples=500)
@given(st.binary(max_size=40))
def test_any_bytes(raw: bytes) -> None:
    def said(read: Any) -> Any:
        try:
            return repr(read(raw, 0, len(raw)))
        except DecodeError:
            return "malformed"

    assert said(read_value) == said(message.read_value)
    assert said(read_pair) == said(message.read_pair)
