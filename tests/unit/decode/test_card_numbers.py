"""A payment card's number is found however it is spelled as a number."""

from __future__ import annotations

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from sidecar.decode.api import Decoder
from sidecar.decode.otlp import records
from sidecar.decode.otlp.encode import key_value
from sidecar.decode.otlp.message import Value
from sidecar.decode.otlp.wire import put_bytes
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import Action, Rules, named_rule
from sidecar.decode.select import native_decoder

CARD = 4111111111111111


@pytest.fixture(params=["reference", "native"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    if request.param == "reference":
        return ReferenceDecoder()
    native = native_decoder()
    if native is None:
        pytest.skip("the native core is not installed")
    return native


def redacted(decoder: Decoder, payload: bytes, action: Action = "mask") -> dict[str, Value]:
    found = decoder.redactor(Rules(values=(named_rule("card", action), named_rule("email", action)))).logs(payload)
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
    found = redacted(decoder, log(key_value(6, "k", value), key_value(6, "other", 1.5)))
    assert (found, type(found["k"])) == ({"k": expected, "other": 1.5}, type(expected))


@pytest.mark.parametrize(
    "number",
    ["4111111111111111", "4111111111111111.0", "4.111111111111111e15", "4.111111111111111E+15", "41111111111111110e-1"],
)
@pytest.mark.parametrize(("action", "left"), [("mask", {"k": "[card]"}), ("drop", {})])
def test_numbers_of_log_lines(number: str, action: Action, left: dict[str, Value], decoder: Decoder) -> None:
    payload = decoder.json_lines(f'{{"k":{number}}}'.encode(), 1).payload
    assert redacted(decoder, payload, action) == left


def test_both_decoders_leave_the_same_bytes() -> None:
    native = native_decoder()
    if native is None:
        pytest.skip("the native core is not installed")
    values = [AnyValue(double_value=float(CARD)), AnyValue(int_value=-CARD), AnyValue(double_value=float("nan"))]
    nested = AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key=str(CARD), value=one) for one in values]))
    array = AnyValue(array_value=ArrayValue(values=[*values, nested]))
    payload = log(*(put_bytes(6, KeyValue(key="k", value=one).SerializeToString()) for one in (*values, nested, array)))
    rules = Rules(values=(named_rule("card", "hash"),), hash_key=b"k" * 32)
    ours, theirs = (decoder.redactor(rules).logs(payload) for decoder in (native, ReferenceDecoder()))
    assert (ours.payload, ours.changed) == (theirs.payload, theirs.changed)
    assert b"4111111111111111" not in ours.payload
    assert ours.payload.count(b"[card:") == 14


DIGITS = "4111111111111111"


def wide(zero: int, digits: str = DIGITS) -> str:
    return "".join(chr(zero + int(digit)) for digit in digits)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4.111111111111111E15", "[card]"),
        ("amount=4.111111111111111e+15;", "amount=[card];"),
        ("4.11111111111111100000e+15", "[card]"),
        ("4.222222222222E12", "[card]"),
        ("-3.78282246310005E14", "-[card]"),
        *((f"<4111{mark}1111{mark}1111{mark}1111>", "<[card]>") for mark in (
            "\u00a0", "\u202f", "\u2007", "\u2009", "\u3000", "–", "—", "−", "\u2010", "\u2011", ".", "_", "/", "\t",
            "  ", "%20", "%2D", "+", " - ", " ", "-",
        )),
        ("3782.822463.10005", "[card]"),
        ("3056\u00a0930902\u00a05904", "[card]"),
        ("4222_2222_2222_2", "[card]"),
        ("6304.0000.0000.0000.000", "[card]"),
        ("0004111111111111111", "000[card]"),
        ("q=%204111111111111111&n=%224111111111111111%22", "q=%20[card]&n=%22[card]%22"),
        ("4111%201111%201111%201111%2012", "[card]%2012"),
        (wide(0xFF10), "[card]"),
        (wide(0x0660), "[card]"),
        (wide(0x06F0), "[card]"),
        ("\u3000".join(wide(0xFF10)[at : at + 4] for at in range(0, 16, 4)), "[card]"),
    ],
)  # fmt: skip
def test_spellings_in_texts(text: str, expected: str, decoder: Decoder) -> None:
    assert redacted(decoder, log(key_value(6, "k", text))) == {"k": expected}


@pytest.mark.parametrize(
    "text",
    [
        "4.111111111111112E15",
        "14.111111111111111E15",
        "4.111111111111111E151",
        "4.111111111111111E-15",
        "6.304E18",
        "0.0004111111111111111",
        "10004111111111111111",
        "2026.11.28/10.00.00.123456",
        "2026-11-28_10-00-00_123456789",
        "192.168.100.200 52.123.123.123:4111",
        "2001:4860:4860:4860:8888",
        "41111.11111111.111",
        "3.14159265 2.71828182 5.55555555",
        wide(0xFF10, "1" + DIGITS),
        wide(0xFF10, DIGITS + "1111"),
        "4111.1111.1111.1112",
    ],
)
def test_what_is_no_card_number(text: str, decoder: Decoder) -> None:
    assert redacted(decoder, log(key_value(6, "k", text))) == {"k": text}


def test_texts_of_many_numbers_stay(decoder: Decoder) -> None:
    text = "".join(f"2026-11-28 10:00:{n % 60:02d}.{n:06d} 4.{n:04d}E+03 5.{n:04d}\t" for n in range(3000))
    assert redacted(decoder, log(key_value(6, "k", text))) == {"k": text}
