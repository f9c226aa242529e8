"""Predictions with features in plain attributes, from lines of JSON as programs write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from support.drift_data import event_request

from sidecar.decode.predictions import attribute_features
from sidecar.decode.predictions.serving import candidates
from sidecar.decode.predictions.serving.call import Call
from sidecar.decode.predictions.serving.exchange import Record
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import decoder as own_decoder

DECODER = ReferenceDecoder()
SAID = {"model": "churn", "model_version": "7", "prediction": "stays", "confidence": 0.8}


def record_of(line: Mapping[str, Any]) -> Record:
    payload = DECODER.json_lines(json.dumps(line).encode(), 1).payload
    (record,) = candidates.records(payload, lambda: (b"",), 1)
    return record


def call_of(line: Mapping[str, Any]) -> Call | None:
    return attribute_features.read(record_of(line))


@pytest.mark.parametrize(
    ("said", "columns"),
    [
        ({"features": {"age": 34, "plan": "basic", "new": True, "debt": None}},
         {"age": [34], "plan": ["basic"], "new": [True], "debt": [None]}),
        ({"ml.features.age": 34.5, "ml.features.plan": "basic"}, {"age": [34.5], "plan": ["basic"]}),
        ({"features": {"age": 1, "debt": 2}, "ml.features.age": 3}, {"age": [3], "debt": [2]}),
        ({"features": {"age": [34, 35], "plan": ["basic", "pro"]}}, {"age": [34, 35], "plan": ["basic", "pro"]}),
        ({"features": [{"age": 34, "plan": "basic"}, {"age": 35}]}, {"age": [34, 35], "plan": ["basic", None]}),
        ({"features": [5.1, 3.5, 1.4]}, {"f0": [5.1], "f1": [3.5], "f2": [1.4]}),
        ({"features": [[5.1, 3.5], [4.9, 3.0]]}, {"f0": [5.1, 4.9], "f1": [3.5, 3.0]}),
        ({"features": {"at": [[1, 2], [3, 4]]}}, {"at.0": [1, 3], "at.1": [2, 4]}),
    ],
)  # fmt: skip
def test_shapes_of_features(said: dict[str, Any], columns: dict[str, Any]) -> None:
    call = call_of({**SAID, **said})
    assert call is not None
    assert (call.model, call.version, call.classes, call.scores) == ("churn", "7", {"stays": 1}, [0.8])
    assert call.features == columns


@pytest.mark.parametrize(
    ("answer", "classes", "values", "rows"),
    [
        ({"prediction": 3.5}, {}, [3.5], 1),
        ({"predictions": ["a", "b", "a"]}, {"a": 2, "b": 1}, [], 3),
        ({"predicted_class": ["urgent", "billing"]}, {"urgent": 1, "billing": 1}, [], 1),
        ({"predictions": [1.5, 2.5]}, {}, [1.5, 2.5], 2),
        ({"confidence": 0.9}, {}, [], 1),
    ],
)
def test_answers(answer: dict[str, Any], classes: dict[str, int], values: list[float], rows: int) -> None:
    call = call_of({"model": "churn", "features": {"age": 1}, **answer})
    assert call is not None
    assert (call.classes, call.values, call.rows) == (classes, values, rows)


@pytest.mark.parametrize(
    "line",
    [
        {**SAID},
        {**SAID, "features": {}},
        {**SAID, "features": []},
        {**SAID, "features": 5},
        {**SAID, "features": "age,plan"},
        {"model": "churn", "features": {"age": 1}},
        {"prediction": "stays", "features": {"age": 1}},
        {**SAID, "features": {"age": 1}, "error.type": "ValueError"},
        {**SAID, "features": {"age": 1}, "event.name": "ml.label"},
        {**SAID, "features": {"age": 1}, "message": "ml.label"},
        {**SAID, "features": {"user": {"age": 1}}},
    ],
)
def test_lines_without_a_prediction_or_without_features(line: dict[str, Any]) -> None:
    call = call_of(line)
    assert call is None or call.features == {}


@pytest.mark.parametrize("decoder", [DECODER, own_decoder()], ids=["reference", "own"])
def test_payloads_that_are_stepped_over(decoder: ReferenceDecoder) -> None:
    def may_read(line: dict[str, Any]) -> bool:
        payload = DECODER.json_lines(json.dumps(line).encode(), 1).payload
        return attribute_features.may_read(decoder, payload)

    assert may_read({**SAID, "features": {"age": 1}})
    assert may_read({**SAID, "ml.features.age": 1})
    assert not may_read(SAID)
    assert not may_read({"features": {"age": 1}})
    assert not attribute_features.may_read(decoder, event_request({"age": [1]}, **{"class": ["a"], "score": [0.5]}))
