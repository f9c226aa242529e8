"""Feature values are taken out on the wire, and nothing else is."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.serving_libraries import golden

from sidecar.decode import otlp
from sidecar.decode.encode import any_value, key_value
from sidecar.decode.reference import ReferenceDecoder
from sidecar.decode.serving.schemas import Schemas
from sidecar.decode.serving.strip import strip
from sidecar.decode.shaping import KeyRule, Rules
from sidecar.decode.wire import put_bytes

DECODER = ReferenceDecoder()


def payload(*members: dict[str, Any], path: str = "") -> bytes:
    resource = key_value(1, "log.file.path", path) if path else b""
    return DECODER.json_lines("\n".join(map(json.dumps, members)).encode(), 1, resource).payload


def left(payload: bytes, schemas: Schemas | None = None) -> list[dict[str, Any]]:
    """Attributes (and `body` where it is a map) of each record."""
    found = []
    for placed in otlp.log_records(strip(payload, schemas or Schemas()).payload):
        record = placed.record
        assert isinstance(record, otlp.LogRecord)
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
        ({"type": "org.kubeflow.serving.inference.request", "data": [1], "specversion": "1.0"}, {"specversion": "1.0"}),
    ],
)  # fmt: skip
def test_what_goes(members: dict[str, Any], rest: dict[str, Any]) -> None:
    (got,) = left(payload(members))
    got.pop("type", None)
    assert got == rest


@pytest.mark.parametrize(
    "members",
    [
        {"instances": 3, "inputs": "text", "features": ["dark_mode"]},
        {"predictions": [0.5], "outputs": [{"name": "y", "data": [1]}]},
        {"data": [1], "type": "order.created"},
        {"request": {"instances": 3}},
    ],
)
def test_what_stays_is_the_very_same(members: dict[str, Any]) -> None:
    made = payload(members)
    assert strip(made, Schemas()).payload is made


def test_what_is_beside_stays_as_it_was_sent() -> None:
    lines = [{"msg": "a", "n": 1}, {"msg": "b", "instances": [1], "deep": {"a": [{"b": 2.5}]}}, {"msg": "c"}]
    stripped = strip(payload(*lines), Schemas())
    assert stripped.count == 1
    del lines[1]["instances"]
    assert stripped.payload == payload(*lines)


def test_structured_bodies() -> None:
    body = any_value({"inputs": [{"name": "x", "data": [1]}], "id": "4", "nested": {"features": [1], "label": "a"}})
    record = put_bytes(5, body)
    made = put_bytes(1, put_bytes(2, put_bytes(2, record)))
    assert left(made) == [{"body": {"id": "4", "nested": {"label": "a"}}}]


def test_a_key_behind_its_value_goes_too() -> None:
    value = put_bytes(2, any_value([1.5]))
    record = put_bytes(6, value + put_bytes(1, b"instances")) + key_value(6, "n", 1)
    assert left(put_bytes(1, put_bytes(2, put_bytes(2, record)))) == [{"n": 1}]


META = {
    "bento_name": "iris",
    "schema": {
        "age": {"name": "age", "role": "feature", "type": "numerical"},
        "pred": {"name": "pred", "role": "prediction", "type": "categorical"},
    },
}


def test_columns_of_a_monitor() -> None:
    (got,) = left(payload({"age": 39, "pred": "yes", "bento_meta": META}))
    assert got == {"pred": "yes", "bento_meta": META}
    schemas = Schemas()
    schema_line = {"meta_data": {"bento_name": "iris"}, "columns": list(META["schema"].values())}  # type: ignore[attr-defined]
    left(payload(schema_line, path="/m/i/schema/schema.0.log"), schemas)
    row = {"age": 39, "pred": "yes", "request_id": "9"}
    assert left(payload(row, path="/m/i/data/data.0.log"), schemas) == [{"pred": "yes", "request_id": "9"}]
    assert left(payload(row, path="/m/i/data/data.0.log")) == [{"request_id": "9"}], "no schema: no column is safe"
    assert left(payload(row)) == [row], "nothing says that it is a monitor's"


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
    stripped = strip(made, Schemas())
    (placed,) = otlp.log_records(stripped.payload)
    assert isinstance(placed.record, otlp.LogRecord)
    assert dict(placed.record.attributes.values) == expected(attributes)
    assert placed.record.body == expected(body)
    assert (stripped.payload is made) == (stripped.count == 0)


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


def test_the_records_behind_the_one_with_the_schema_are_stripped_too() -> None:
    made = payload({"age": 39, "pred": "yes", "bento_meta": META}, {"age": 40, "pred": "no"}, {"n": 1})
    assert left(made) == [{"pred": "yes", "bento_meta": META}, {"pred": "no"}, {"n": 1}]


def test_what_a_real_monitor_sends_without_its_schema_keeps_no_column() -> None:
    request = base64.b64decode(golden("bento")[1]["requests"][0])
    with_schema = left(request)
    assert [record["body"].keys() & {"age", "income", "city", "pred"} for record in with_schema] == [{"pred"}] * 3
    first = DECODER.shaper(Rules(keys=(KeyRule(("bento_meta",), "drop"),))).logs(request).payload
    kept = {key for record in left(first) for key in record["body"]}
    assert kept == {"request_id"}
