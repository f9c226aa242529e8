"""Values as label text and as JSON."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.documents.text import as_text, document_json, double_text, label, repaired
from sidecar.decode.otlp.message import LossyStr, Value


# As Go's encoding/json writes them.
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (100.0, "100"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.25e21, "-1.25e+21"),
        (1e-6, "0.000001"),
        (1.234e-6, "0.000001234"),
        (9.99e-7, "9.99e-7"),
        (1e-10, "1e-10"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (123456789012345680.0, "123456789012345680"),
        (4.35, "4.35"),
        (2.0**53, "9007199254740992"),
    ],
)
def test_doubles(value: float, shown: str) -> None:
    assert double_text(value) == shown


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_read_back(value: float) -> None:
    assert float(double_text(value)) == value
    assert math.copysign(1, float(double_text(value))) == math.copysign(1, value)
    assert json.loads(document_json(value)) == value
    assert isinstance(json.loads(document_json(value)), float)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("text é", "text é"),
        (True, "true"),
        (-7, "-7"),
        (2.0, "2"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (b"\x00\xff", "AP8="),
        ([], "[]"),
        ([1, "é", None, True, 1.0, b"\x01"], '[1,"é",null,true,1,"AQ=="]'),
        ({"b": 1, "a": {"d": [], "c": ""}, "é": 2, "Z": 3}, '{"Z":3,"a":{"c":"","d":[]},"b":1,"é":2}'),
        ([math.nan, -math.inf], '["NaN","-Infinity"]'),
        (['a"<&>\n\u2028'], '["a\\"<&>\\n\u2028"]'),
    ],
)
def test_as_text(value: Value, shown: str) -> None:
    assert as_text(value) == shown


def test_label_is_cut_by_characters() -> None:
    assert label("é" * 1025) == "é" * 1024
    assert label("é" * 1024) == "é" * 1024


def test_repaired_is_found_anywhere() -> None:
    broken = LossyStr("�")
    assert repaired(broken)
    assert repaired([1, {"a": [broken]}])
    assert repaired({broken: 1})
    assert not repaired("�")
    assert not repaired([None, {"a": b"\xff"}])


def test_document_object_has_no_blank_or_repeated_name() -> None:
    assert document_json({"": 1, " \t": 2, "_": 3, "a": {"": 4}}) == '{"_":1,"a":{"_":4}}'
