"""Records of every protocol as calls. What the libraries themselves make is in `test_golden`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from sidecar.decode.predictions import serving
from sidecar.decode.predictions.serving import bento, candidates, kserve, protocols
from sidecar.decode.predictions.serving.bento_schemas import MAX_SCHEMAS, Column, Schema, Schemas
from sidecar.decode.predictions.serving.call import MAX_COLUMNS, Call
from sidecar.decode.predictions.serving.exchange import Record
from sidecar.decode.python import ReferenceDecoder

DECODER = ReferenceDecoder()
OIP = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


def read(record: Record, schemas: Schemas | None = None) -> Call | None:
    return protocols.read(record, schemas or Schemas())


def line(schemas: Schemas | None = None, **members: Any) -> Call | None:
    return read(Record("", 7, members, None, {"service.name": "svc"}), schemas)


def found(**members: Any) -> Call:
    call = line(**members)
    assert call is not None
    return call


def test_there_is_a_module_and_a_line_for_each_protocol() -> None:
    helpers = {
        "__init__", "model_outputs", "call", "exchange", "protocols", "candidates", "bento_schemas", "strip",
            "feature_tables", "any_values", "call_rows",
    }  # fmt: skip
    modules = {path.stem for path in Path(serving.__file__).parent.glob("*.py")} - helpers
    assert {one.name for one in protocols.PROTOCOLS} == modules


@pytest.mark.parametrize(
    ("tensor", "rows", "features"),
    [
        ({"shape": [2], "data": [1, 2]}, 2, {"x": [1, 2]}),
        ({"shape": [2, 1], "data": [[1], [2]]}, 2, {"x": [1, 2]}),
        ({"shape": [2, 2], "data": [1, 2, 3, 4]}, 2, {"x.0": [1, 3], "x.1": [2, 4]}),
        ({"shape": [2, 2], "data": [[1, 2], [3, 4]]}, 2, {"x.0": [1, 3], "x.1": [2, 4]}),
        ({"shape": [1, 2, 2], "data": [[[1, 2], [3, 4]]]}, 1, {"x.0": [1], "x.1": [2], "x.2": [3], "x.3": [4]}),
        ({"shape": [3, 4], "parameters": {"binary_data_size": 48}}, 3, {}),
        ({"shape": [2, 2], "data": [1, 2, 3]}, 2, {}),
        ({"shape": [], "data": [1]}, 1, {"x": [1]}),
        ({"shape": [0, 2], "data": []}, 0, {}),
        ({"shape": ["a"], "data": [1]}, 0, {}),
        ({"shape": [-1, 2], "data": [1, 2]}, 0, {}),
        ({"shape": [1] * 9, "data": [1]}, 0, {}),
    ],
)  # fmt: skip
def test_tensors(tensor: dict[str, Any], rows: int, features: dict[str, Any]) -> None:
    call = found(inputs=[{"name": "x", "datatype": "FP32", **tensor}])
    assert (call.protocol, call.part, call.rows, call.features) == ("open_inference", "request", rows, features)


def test_the_requested_outputs_of_a_request_are_no_response() -> None:
    assert found(**OIP, outputs=[{"name": "y"}]).part == "request"


@pytest.mark.parametrize(
    ("name", "datatype", "data", "classes", "values", "scores"),
    [
        ("label", "INT64", [1, 0], {"1": 1, "0": 1}, [], []),
        ("label", "BYTES", ["a", "b"], {"a": 1, "b": 1}, [], []),
        ("out", "BOOL", [True, False], {"true": 1, "false": 1}, [], []),
        ("out", "FP32", [1, 2], {}, [1.0, 2.0], []),
        ("score", "FP64", [0.5, 1], {}, [], [0.5, 1.0]),
    ],
)
def test_types_of_outputs(name: str, datatype: str, data: Any, classes: Any, values: Any, scores: Any) -> None:
    call = found(outputs=[{"name": name, "shape": [2], "datatype": datatype, "data": data}])
    assert (call.part, call.rows) == ("response", 2)
    assert (dict(call.classes), list(call.values), list(call.scores)) == (classes, values, scores)


def test_who_names_model_version_and_id() -> None:
    response = {"model_name": "of the response", "model_version": "3", "id": "42", **{"predictions": [1]}}
    call = found(model="own", request={"instances": [1]}, response=response, request_id="r", latency_ms=20)
    assert (call.model, call.version, call.id, call.seconds) == ("own", "3", "r", pytest.approx(0.02))
    assert found(response=response).model == "of the response"
    assert found(response={"predictions": [1]}).model == "svc"
    assert found(**OIP, id="42").id == "42"


@pytest.mark.parametrize(
    "members",
    [
        {"predictions": [1], "instances": [1]},
        {"instances": 3, "model": "m"},
        {"inputs": "a text", "model": "m"},
        {"inputs": {"a": 1}, "model": "m"},
        {"outputs": "a text", "predictions": 4, "model": "m"},
        {"dataframe_split": [1]},
        {"dataframe_records": {"a": 1}},
        {"predictions": None, "model": "m"},
        {"msg": "hello"},
        {"instances": [1], "ml.framework": "sklearn", "model": "m"},
        {"meta_data": {"a": 1}, "columns": [1]},
        {"bento_meta": "x"},
    ],
)
def test_what_is_no_payload(members: dict[str, Any]) -> None:
    assert line(**members) is None


def test_events_of_the_instrumentation_are_counted_elsewhere() -> None:
    assert read(Record("ml.prediction", 1, {"model": "m"}, {"instances": [1]})) is None


@pytest.mark.parametrize("response", [{"error": "no such model"}, {"error_code": "BAD_REQUEST", "message": "m"}])
@pytest.mark.parametrize(
    "request_",
    [OIP, {"instances": [[1], [2]]}, {"dataframe_records": [{"a": 1}, {"a": 2}]}],
    ids=["oip", "tf", "mlflow"],
)
def test_errors(request_: dict[str, Any], response: dict[str, Any]) -> None:
    call = found(request=request_, response=response)
    assert (call.part, call.failed, call.rows) == ("both", True, 2)


def event(kind: str, data: Any, **more: Any) -> Record:
    attributes = {kserve.EVENT_ID: "e1", kserve.EVENT_SOURCE: "s", kserve.SERVICE: "fraud", **more}
    return Record(f"org.kubeflow.serving.inference.{kind}", 5, attributes, {"data": data})


@pytest.mark.parametrize(
    ("data", "protocol", "rows"),
    [
        ({"instances": [1, 2]}, "tensorflow", 2),
        (OIP, "open_inference", 2),
        ({"dataframe_records": [{"a": 1}]}, "mlflow", 1),
        ([1, 2, 3], "torchserve", 3),
        ({"prompt": "x"}, "kserve", 0),
        (None, "kserve", 0),
    ],
)
def test_requests_of_the_logger(data: Any, protocol: str, rows: int) -> None:
    call = read(event("request", data))
    assert call is not None
    assert (call.protocol, call.part, call.rows, call.model, call.id) == (protocol, "request", rows, "fraud", "e1")


@pytest.mark.parametrize(
    ("data", "protocol", "rows", "classes"),
    [
        ({"predictions": ["a", "b"]}, "tensorflow", 2, {"a": 1, "b": 1}),
        ({"tabby": 0.5, "lynx": 0.25}, "torchserve", 1, {"tabby": 1}),
        ([4, 4], "torchserve", 2, {"4": 2}),
        ({"instances": [[4, 5]]}, "kserve", 0, {}),
        (None, "kserve", 0, {}),
    ],
)
def test_responses_of_the_logger(data: Any, protocol: str, rows: int, classes: Any) -> None:
    call = read(event("response", data))
    assert call is not None
    assert (call.protocol, call.part, call.rows, call.classes) == (protocol, "response", rows, classes)
    request = read(event("request", None))
    assert request is not None
    assert call.exchange == request.exchange != ""


def test_an_event_as_a_json_line_is_the_same() -> None:
    sent = {"specversion": "1.0", "id": "e1", "source": "s", "inferenceservicename": "fraud"}
    as_line = found(**sent, type="org.kubeflow.serving.inference.request", data={"instances": [1]})
    as_event = read(event("request", {"instances": [1]}))
    assert as_event is not None
    assert (as_line.exchange, as_line.model, as_line.rows) == (as_event.exchange, "fraud", 1)


COLUMNS = [
    {"name": "age", "role": "feature", "type": "numerical"},
    {"name": "tags", "role": "feature", "type": "numerical_sequence"},
    {"name": "pred", "role": "prediction", "type": "categorical"},
    {"name": "truth", "role": "target", "type": "categorical"},
]
SCHEMA = {"meta_data": {"bento_name": "iris", "bento_version": "v3"}, "columns": COLUMNS}
ROW = {"age": 39, "tags": [1, 2], "pred": "yes", "truth": "no", "request_id": "9"}


def file(path: str, **members: Any) -> Record:
    return Record("", 7, members, None, {"service.name": "svc", "log.file.path": path})


def test_a_line_of_a_monitor_is_read_by_the_schema_before_it() -> None:
    schemas = Schemas()
    assert read(file("/m/iris/data/data.0.log", **ROW), schemas) is None
    assert read(file("/m/iris/schema/schema.0.log", **SCHEMA), schemas) is None
    call = read(file("/m/iris/data/data.1.log", **ROW), schemas)
    assert call is not None
    assert (call.protocol, call.model, call.version, call.id) == ("bento", "iris", "v3", "9")
    assert (call.part, call.rows, call.classes) == ("both", 1, {"yes": 1})
    assert (call.features, call.targets) == ({"age": [39]}, {"truth": ["no"]})
    assert read(file("/m/other/data/data.0.log", **ROW), schemas) is None, "another monitor's"
    assert read(file("/m/iris/data/data.0.log", age=1), schemas) is None, "columns are missing"


def test_the_monitor_names_the_model_where_the_bento_has_no_name() -> None:
    schemas = Schemas()
    nameless = {**SCHEMA, "meta_data": {"bento_name": "", "bento_version": "not available"}}
    read(file("/m/iris/schema/schema.0.log", **nameless), schemas)
    call = read(file("/m/iris/data/data.0.log", **ROW), schemas)
    assert call is not None
    assert call.model == "iris"


@pytest.mark.parametrize(
    ("kind", "value", "classes", "values", "scores"),
    [
        ("numerical", 1, {}, [1.0], []),
        ("categorical", 1.0, {"1": 1}, [], []),
        ("categorical", "a", {"a": 1}, [], []),
        ("numerical_sequence", [0.25, 0.75], {"1": 1}, [], [0.75]),
        ("numerical_sequence", [4.5, 7.5], {}, [], []),
    ],
)
def test_types_of_a_prediction(kind: str, value: Any, classes: Any, values: Any, scores: Any) -> None:
    meta = {"bento_name": "b", "schema": {"p": {"name": "p", "role": "prediction", "type": kind}}}
    call = found(bento_meta=meta, p=value)
    assert (dict(call.classes), list(call.values), list(call.scores)) == (classes, values, scores)


def test_schemas_are_bounded() -> None:
    schemas = Schemas()
    for n in range(MAX_SCHEMAS + 10):
        schemas.add(f"s{n}", Schema("m", "", (Column("a", "feature", "numerical"),)))
    assert len(schemas.by_source) == MAX_SCHEMAS
    assert schemas.find("s0", {"a": 1}) is None
    assert schemas.find(f"s{MAX_SCHEMAS + 9}", {"a": 1}) is not None
    many = {**SCHEMA, "columns": [{**COLUMNS[0], "name": str(n)} for n in range(1000)]}
    assert bento.schema_in(file("/m/i/schema/schema.0.log"), many) is None


def payload(*members: dict[str, Any]) -> bytes:
    return DECODER.json_lines("\n".join(map(json.dumps, members)).encode(), 1).payload


def test_records_without_a_mark_are_stepped_over() -> None:
    lines = [{"msg": "hello", "n": n} for n in range(5)] + [{"instances": [[1, 2.5]], "service": "a"}]
    found = list(candidates.records(payload(*lines), lambda: protocols.MARKS, 6))
    assert [one.attributes for one in found] == [{"instances": [[1, 2.5]]}]
    assert found[0].resource == {"service.name": "a"}
    assert list(candidates.records(payload(*lines[:5]), lambda: protocols.MARKS, 5)) == []


def test_refused_records_are_left_out() -> None:
    made = payload({"instances": [1]}, {"instances": [2]})
    assert len(list(candidates.records(made, lambda: protocols.MARKS, 1))) == 2, "none is refused by the rules"
    request = ExportLogsServiceRequest.FromString(made + payload({"instances": [3]}, {"msg": "no mark"}))
    records = request.resource_logs[0].scope_logs[0].log_records
    records[0].trace_id = b"short"
    found = list(candidates.records(request.SerializeToString(), lambda: protocols.MARKS, 3))
    assert [one.attributes for one in found] == [{"instances": [2]}, {"instances": [3]}]


ANY: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
KEYS = st.sampled_from([*protocols.KEYS, "columns", "data", "request", "response", "error", "schema", "model", "type"])
TENSOR = st.fixed_dictionaries({"name": ANY, "shape": ANY, "datatype": ANY}, optional={"data": ANY})
BODY: Any = st.dictionaries(
    KEYS, ANY | st.lists(TENSOR, max_size=2) | st.dictionaries(KEYS, ANY, max_size=3), max_size=4
)


@given(
    BODY,
    st.sampled_from(["", *kserve.EVENTS]),
    st.booleans(),
    st.dictionaries(st.sampled_from(["name", "role", "type"]), ANY),
)
def test_nothing_is_too_odd_to_be_read(body: Any, event: str, as_body: bool, column: Any) -> None:
    schemas = Schemas()
    read(Record("", 0, {"bento_meta": {"bento_name": "x", "schema": {"a": column}}}), schemas)
    call = read(Record(event, 0, {} if as_body else body, body if as_body else None), schemas)
    if call is not None:
        assert call.part in ("request", "response", "both")
        assert call.rows >= 0
        assert len(call.features) <= MAX_COLUMNS
        assert sum(call.classes.values()) <= max(call.rows, 1)
