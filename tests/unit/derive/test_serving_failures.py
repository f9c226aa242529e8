"""Errors that were answered with 200 count as failed, whatever protocol was spoken."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from support.derive_fakes import lines

from sidecar.decode.api import Decoder
from sidecar.decode.protocols.cloudevents import as_batch, transcode
from sidecar.derive.models.model_tables import ModelTables
from sidecar.derive.models.servings import ServingDeriver
from sidecar.derive.series import Arrival, Budget

OIP = {"inputs": [{"name": "x", "shape": [3, 1], "datatype": "FP32", "data": [1.5, 2.5, 3.5]}]}
REQUESTS = [{"instances": [[1], [2], [3]]}, {"dataframe_records": [{"a": 1}] * 3}, OIP, {"inputs": [[1], [2], [3]]}]
FAILURES: list[Any] = [
    {"error": "no such model"},
    {"error": {"code": 400, "message": "m"}},
    {"error_code": "BAD_REQUEST", "message": "m"},
    {"detail": "Not Found"},
    {"detail": [{"loc": ["body"], "msg": "missing"}]},
    {"code": 503, "type": "InternalServerException", "message": "Worker died."},
    {"message": "Internal Server Error"},
    {"predictions": []},
    {"predictions": None},
    {"predictions": [{"error": "a"}] * 3},
    {"outputs": []},
    "<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
    {"predictions": [None]},
    {"predictions": [{"error": "only the first of three rows"}]},
    {"predictions": {"error": "a"}},
    [{"error": "a"}],
    [None],
    {"status": {"code": -1, "info": "a", "reason": "MICROSERVICE_INTERNAL_ERROR", "status": 1}},
    {"status": {"code": 13, "message": "a", "details": []}},
    {"errorMessage": "a", "errorType": "ValueError", "stackTrace": []},
    {"Error": "a"},
    {"error_msg": "a"},
    {"ok": False, "reason": "a"},
    {"success": "false", "data": {}},
    {"grpc_code": 13, "grpc_message": "a"},
    {"object": "error", "message": "a", "type": "BadRequestError", "param": None, "code": 400},
    "Internal Server Error",
    "404 page not found\n",
    "upstream connect error or disconnect/reset before headers. reset reason: overflow",
    "An error has occurred in BentoML user code when handling this request",
    "Traceback (most recent call last):\n",
    'data: {"error": {"message": "a"}}\n\n',
    "<!-- a --><html></html>",
    "<h1>Server Error (500)</h1>",
    "<Error><Code>AccessDenied</Code></Error>",
    {},
    None,
]
FAILED = {'model_predictions_total{model="m",status="error"}': "3"}


def counted(decoder: Decoder, *payloads: bytes) -> dict[str, str]:
    tables = ModelTables((0.1,), Budget())
    deriver = ServingDeriver(tables, Budget(), 60)
    for payload in payloads:
        items = decoder.check_logs(payload).items
        deriver.apply(deriver.decode(decoder, [payload]), Arrival(np.array([items]), np.array([5]), 5))
    for table in tables.kept:
        table.mark_exported()
    return {k: v for k, v in lines(list(tables.collect())).items() if k.startswith("model_predictions")}


def line(decoder: Decoder, **members: Any) -> bytes:
    return decoder.json_lines(json.dumps({"model": "m", **members}).encode(), 1).payload


@pytest.mark.parametrize("response", FAILURES, ids=lambda one: str(one)[:30])
@pytest.mark.parametrize("request_", REQUESTS, ids=["tf", "mlflow", "oip", "columns"])
def test_beside_its_request(decoder: Decoder, request_: Any, response: Any) -> None:
    assert counted(decoder, line(decoder, request=request_, response=response)) == FAILED


def event(kind: str, data: Any, binary: bool) -> bytes:
    about = {"id": "e1", "source": "http://pod:9081/", "specversion": "1.0", "inferenceservicename": "m"}
    about["type"] = f"org.kubeflow.serving.inference.{kind}"
    if binary:
        raw = data.encode() if isinstance(data, str) else json.dumps(data).encode()
        headers = {f"ce-{name}": value for name, value in about.items()}
        body = as_batch(headers, "application/json", raw)
    else:
        body = as_batch({}, "application/cloudevents+json", json.dumps({**about, "data": data}).encode())
    return transcode(body, 1).payload


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "structured"])
@pytest.mark.parametrize("response", FAILURES, ids=lambda one: str(one)[:30])
def test_in_an_event_of_its_own(decoder: Decoder, response: Any, binary: bool) -> None:
    payloads = [event("request", {"instances": [1, 2, 3]}, binary), event("response", response, binary)]
    expected = {'model_predictions_total{service="m",model="m",status="error"}': "3"}
    assert counted(decoder, *payloads) == expected
    swapped = counted(decoder, *payloads[::-1])
    assert set(swapped) == set(expected)


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "structured"])
@pytest.mark.parametrize(
    "response",
    [
        {"predictions": [0, 0, 0]},
        {"what": "ever"},
        [0.5, 0.5, 0.5],
        "plain words of a model",
        "<think>words</think> of a model",
        "Conflict",
        [{"label": "a", "code": 404}] * 3,
        [{"fault": "bearing", "score": 0.9}] * 3,
        [{"status": "failed", "probability": 0.8}] * 3,
        {"predictions": [0.5, 0.5, 0.5], "error": None, "code": 500},
        {"predictions": [{"prediction": 3.2, "error": 0.4}] * 3},
        {"predictions": {"error": [0.1, 0.2, 0.3]}},
        7,
        {"error": None, "y": 1},
    ],
    ids=lambda one: str(one)[:30],
)
def test_answers_that_no_protocol_knows_are_no_failures(decoder: Decoder, response: Any, binary: bool) -> None:
    payloads = [event("request", {"instances": [1, 2, 3]}, binary), event("response", response, binary)]
    got = counted(decoder, *payloads)
    assert got['model_predictions_total{service="m",model="m",status="ok"}'] == "3"


def test_no_rows_asked_and_none_answered_is_no_failure(decoder: Decoder) -> None:
    got = counted(decoder, line(decoder, request={"instances": []}, response={"predictions": []}))
    assert not any("error" in series for series in got)


def test_a_request_that_is_reported_alone_is_no_failure(decoder: Decoder) -> None:
    assert counted(decoder, line(decoder, request={"instances": [1]})) == {}
