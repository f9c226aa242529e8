"""Key rules take feature values out of serving protocols' payloads, and leave what only has their names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.api import Decoder
from sidecar.decode.otlp import records
from sidecar.decode.otlp.encode import any_value, key_value
from sidecar.decode.otlp.wire import put_bytes
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import Rules
from sidecar.decode.select import native_decoder
from sidecar.deliver.redaction.options import FEATURES

DECODERS = [one for one in (ReferenceDecoder(), native_decoder()) if one is not None]
RULES = Rules(keys=FEATURES)


@pytest.fixture(params=DECODERS, ids=lambda decoder: decoder.name)
def decoder(request: pytest.FixtureRequest) -> Decoder:
    found: Decoder = request.param
    return found


def payload(*members: dict[str, Any]) -> bytes:
    return DECODERS[0].json_lines("\n".join(map(json.dumps, members)).encode(), 1).payload


def left(decoder: Decoder, payload: bytes) -> list[dict[str, Any]]:
    """Attributes (and `body` where it is a map) of each record."""
    found = []
    for placed in records.log_records(decoder.redactor(RULES).logs(payload).payload):
        record = placed.record
        assert isinstance(record, records.LogRecord)
        body = {"body": record.body} if isinstance(record.body, dict) else {}
        found.append({**record.attributes.values, **body})
    return found


@pytest.mark.parametrize(
    ("members", "rest"),
    [
        ({"instances": [[1, 2.5]], "n": 1}, {"n": 1}),
        ({"inputs": {"a": [1]}, "predictions": [1]}, {"predictions": [1]}),
        ({"dataframe_split": {"columns": ["a"], "data": [[1]]}, "dataframe_records": [{"a": 1}]}, {}),
        ({"request": {"instances": [1], "id": "4"}}, {"request": {"id": "4"}}),
        ({"x": [{"inputs": [1], "y": 2}]}, {"x": [{"y": 2}]}),
        ({"features": {"age": 1}, "prediction": "a"}, {"prediction": "a"}),
        ({"in": {"features": [1], "model": "m"}}, {"in": {"model": "m"}}),
        ({"Instances": [1], "FEATURES": {"a": 1}, "label": "x"}, {"label": "x"}),
    ],
)  # fmt: skip
def test_what_goes(decoder: Decoder, members: dict[str, Any], rest: dict[str, Any]) -> None:
    assert left(decoder, payload(members)) == [rest]


@pytest.mark.parametrize(
    "members",
    [
        {"instances": 3, "inputs": "text", "features": ["dark_mode"]},
        {"predictions": [0.5], "outputs": [{"name": "y", "data": [1]}]},
        {"features": {"a": 1}, "nested": {"model": "m"}},
        {"request": {"instances": 3}},
    ],
)
def test_what_stays_is_the_very_same(decoder: Decoder, members: dict[str, Any]) -> None:
    made = payload(members)
    assert decoder.redactor(RULES).logs(made).payload is made


def test_what_is_beside_stays_as_it_was_sent(decoder: Decoder) -> None:
    lines = [{"msg": "a", "n": 1}, {"msg": "b", "instances": [1], "deep": {"a": [{"b": 2.5}]}}, {"msg": "c"}]
    stripped = decoder.redactor(RULES).logs(payload(*lines))
    assert stripped.changed == 1
    del lines[1]["instances"]
    assert stripped.payload == payload(*lines)


def test_structured_bodies(decoder: Decoder) -> None:
    body = any_value({"inputs": [{"name": "x", "data": [1]}], "id": "4", "nested": {"features": [1], "label": "a"}})
    record = put_bytes(5, body)
    made = put_bytes(1, put_bytes(2, put_bytes(2, record)))
    assert left(decoder, made) == [{"body": {"id": "4", "nested": {"label": "a"}}}]


def test_a_key_behind_its_value_goes_too(decoder: Decoder) -> None:
    value = put_bytes(2, any_value([1.5]))
    record = put_bytes(6, value + put_bytes(1, b"instances")) + key_value(6, "n", 1)
    assert left(decoder, put_bytes(1, put_bytes(2, put_bytes(2, record)))) == [{"n": 1}]


VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["inputs", "instances", "features", "model", "a", "b"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["inputs", "features", "prediction", "x"]), VALUES, max_size=3), VALUES)
def test_it_says_what_the_values_say(attributes: dict[str, Any], body: Any) -> None:
    record = b"".join(key_value(6, key, value) for key, value in attributes.items())
    record += put_bytes(5, any_value(body)) if body is not None else b""
    made = put_bytes(1, put_bytes(2, put_bytes(2, record)))
    for decoder in DECODERS:
        stripped = decoder.redactor(RULES).logs(made)
        (placed,) = records.log_records(stripped.payload)
        assert isinstance(placed.record, records.LogRecord)
        assert dict(placed.record.attributes.values) == expected(attributes)
        assert placed.record.body == expected(body)
        assert (stripped.payload is made) == (stripped.changed == 0)


def expected(value: Any) -> Any:
    match value:
        case list():
            return [expected(element) for element in value]
        case dict():
            telling = not value.keys().isdisjoint({"model", "prediction"})
            gone = {"inputs", "instances"} | ({"features"} if telling else set())
            return {k: expected(v) for k, v in value.items() if not (k in gone and isinstance(v, list | dict))}
        case _:
            return value
