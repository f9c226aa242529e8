"""A payment card's number is found however it is spelled as a number."""

from __future__ import annotations

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from sidecar.decode.api import Decoder
from sidecar.decode.native import native_decoder
from sidecar.decode.otlp import records
from sidecar.decode.otlp.encode import key_value
from sidecar.decode.otlp.message import Value
from sidecar.decode.otlp.wire import put_bytes
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import Action, Rules, named_rule

CARD = 4111111111111111


@pytest.fixture(params=["reference", "native"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    if request.param == "reference":
        return ReferenceDecoder()
    native = native_decoder()
    if native is None:
        pytest.skip("the native core is not installed")
    return native


def shaped(decoder: Decoder, payload: bytes, action: Action = "mask") -> dict[str, Value]:
    found = decoder.shaper(Rules(values=(named_rule("card", action), named_rule("email", action)))).logs(payload)
    (placed,) = records.log_records(found.payload)
    return dict(placed.record.attributes.values)


def log(*pairs: bytes) -> bytes:
    return put_bytes(1, put_bytes(2, put_bytes(2, b"".join(pairs))))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (CARD, "[card]"),
        (float(CARD), "[card]"),
        (4.111111111111111e15, "[card]"),
        (-CARD, "-[card]"),
        (-float(CARD), "-[card]"),
        (5500005555555559.0, "[card]"),
        (4222222222222.0, "[card]"),
        (4222222222222.5, "[card].5"),
        (6304000000000000000, "[card]"),
        (6304000000000000000.0, "[card]"),
        ([1.0, float(CARD), 2], [1.0, "[card]", 2]),
        ({"n": {"m": [float(CARD)]}}, {"n": {"m": ["[card]"]}}),
        (CARD + 1, CARD + 1),
        (float(CARD + 1), float(CARD + 1)),
        (1795255200123456789, 1795255200123456789),
        (1795255200.123, 1795255200.123),
        (0.4111111111111111, 0.4111111111111111),
        (4.111111111111111e25, 4.111111111111111e25),
        (float("inf"), float("inf")),
    ],
)
def test_numbers_of_otlp(value: Value, expected: Value, decoder: Decoder) -> None:
    found = shaped(decoder, log(key_value(6, "k", value), key_value(6, "other", 1.5)))
    assert (found, type(found["k"])) == ({"k": expected, "other": 1.5}, type(expected))


@pytest.mark.parametrize(
    "number",
    ["4111111111111111", "4111111111111111.0", "4.111111111111111e15", "4.111111111111111E+15", "41111111111111110e-1"],
)
@pytest.mark.parametrize(("action", "left"), [("mask", {"k": "[card]"}), ("drop", {})])
def test_numbers_of_log_lines(number: str, action: Action, left: dict[str, Value], decoder: Decoder) -> None:
    payload = decoder.json_lines(f'{{"k":{number}}}'.encode(), 1).payload
    assert shaped(decoder, payload, action) == left


def test_both_decoders_leave_the_same_bytes() -> None:
    native = native_decoder()
    if native is None:
        pytest.skip("the native core is not installed")
    values = [AnyValue(double_value=float(CARD)), AnyValue(int_value=-CARD), AnyValue(double_value=float("nan"))]
    nested = AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key=str(CARD), value=one) for one in values]))
    array = AnyValue(array_value=ArrayValue(values=[*values, nested]))
    payload = log(*(put_bytes(6, KeyValue(key="k", value=one).SerializeToString()) for one in (*values, nested, array)))
    rules = Rules(values=(named_rule("card", "hash"),), hash_key=b"k" * 32)
    ours, theirs = (decoder.shaper(rules).logs(payload) for decoder in (native, ReferenceDecoder()))
    assert (ours.payload, ours.changed) == (theirs.payload, theirs.changed)
    assert b"4111111111111111" not in ours.payload
    assert ours.payload.count(b"[card:") == 14
