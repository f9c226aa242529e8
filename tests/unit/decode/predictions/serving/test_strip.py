"""Feature values are taken out on the wire, and nothing else is."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from support.serving_libraries import golden

from sidecar.decode.otlp import records
from sidecar.decode.otlp.encode import key_value
from sidecar.decode.predictions.serving.bento_schemas import Schemas
from sidecar.decode.predictions.serving.strip import strip
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import KeyRule, Rules

DECODER = ReferenceDecoder()


def payload(*members: dict[str, Any], path: str = "") -> bytes:
    resource = key_value(1, "log.file.path", path) if path else b""
    return DECODER.json_lines("\n".join(map(json.dumps, members)).encode(), 1, resource).payload


def left(payload: bytes, schemas: Schemas | None = None) -> list[dict[str, Any]]:
    """Attributes (and `body` where it is a map) of each record."""
    found = []
    for placed in records.log_records(strip(payload, schemas or Schemas()).payload):
        record = placed.record
        assert isinstance(record, records.LogRecord)
        body = {"body": record.body} if isinstance(record.body, dict) else {}
        found.append({**record.attributes.values, **body})
    return found


def test_a_request_of_kserves_logger_that_came_as_a_line() -> None:
    members = {
        "type": "org.kubeflow.serving.inference.request",
        "data": [1],
        "data_base64": "eA==",
        "specversion": "1.0",
    }
    assert left(payload(members)) == [{"type": members["type"], "specversion": "1.0"}]


@pytest.mark.parametrize(
    "members",
    [
        {"data": [1], "type": "order.created", "specversion": "1.0"},
        {"data": [1], "type": "org.kubeflow.serving.inference.request"},
        {"age": 3, "request_id": "9"},
    ],
)
def test_what_stays_is_the_very_same(members: dict[str, Any]) -> None:
    made = payload(members)
    assert strip(made, Schemas()).payload is made


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


def test_the_records_behind_the_one_with_the_schema_are_stripped_too() -> None:
    made = payload({"age": 39, "pred": "yes", "bento_meta": META}, {"age": 40, "pred": "no"}, {"n": 1})
    assert left(made) == [{"pred": "yes", "bento_meta": META}, {"pred": "no"}, {"n": 1}]


def test_what_a_real_monitor_sends_without_its_schema_keeps_no_column() -> None:
    request = base64.b64decode(golden("bento")[1]["requests"][0])
    with_schema = left(request)
    assert [record["body"].keys() & {"age", "income", "city", "pred"} for record in with_schema] == [{"pred"}] * 3
    first = DECODER.redactor(Rules(keys=(KeyRule(("bento_meta",), "drop"),))).logs(request).payload
    kept = {key for record in left(first) for key in record["body"]}
    assert kept == {"request_id"}
