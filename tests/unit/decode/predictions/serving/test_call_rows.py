"""Rows of calls of serving protocols, with their ids."""

from __future__ import annotations

from typing import Any

import pytest
from support.outcome_data import DECODER, logged

from sidecar.decode.predictions.prediction_rows import PredictedRows, PredictionRowReader
from sidecar.decode.predictions.serving.call_rows import read_calls


def read(*members: dict[str, Any]) -> list[PredictedRows]:
    """What log lines say."""
    payload = logged(*members)
    return list(read_calls(DECODER, payload, DECODER.check_logs(payload).items, PredictionRowReader(("order_id",))))


def response(data: list[Any], datatype: str, **more: Any) -> dict[str, Any]:
    """A line with a response of Open Inference."""
    output = {"name": "y", "shape": [len(data)], "datatype": datatype, "data": data}
    return {"model_name": "iris", "model_version": "1", "id": "r-1", "outputs": [output], **more}


def test_numbers_by_row() -> None:
    (found,) = read(response([1.5, 2.5], "FP64"))
    assert (found.id, found.model, found.version, found.left_out) == ("r-1", "iris", "1", 0)
    assert [answer.value for answer in found.answers] == [1.5, 2.5]


@pytest.mark.parametrize(
    ("data", "names", "left_out"), [(["a"], ["a"], 0), (["a", "a"], ["a", "a"], 0), (["a", "b"], [], 2)]
)
def test_classes_where_it_is_known_which_row_has_which(data: list[str], names: list[str], left_out: int) -> None:
    (found,) = read(response(data, "BYTES"))
    assert [answer.name for answer in found.answers] == names
    assert found.left_out == left_out


def test_numbers_of_which_some_are_missing_are_not_joined() -> None:
    (found,) = read(response([1.5, None, 2.5], "FP64"))
    assert (list(found.answers), found.left_out) == ([], 3)


def test_an_id_beside_the_payload() -> None:
    (first,) = read(response([1.5], "FP64", order_id="o-1"))
    (third,) = read({"model_name": "iris", "response": {"id": "r-3", "outputs": response([1.5], "FP64")["outputs"]}})
    assert third.id == "r-3"
    (second,) = read({**response([1.5], "FP64"), "id": "AB" * 16})
    assert (first.id, second.id) == ("o-1", "ab" * 16)


def test_what_is_not_joined() -> None:
    without = response([1.5], "FP64")
    del without["id"]
    tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}
    request = {"model_name": "iris", "id": "r-1", "inputs": [tensor]}
    error = {"model_name": "iris", "id": "r-1", "response": {"error": "no such model"}}
    assert read(without, request, error) == []


def test_a_record_whose_attributes_tell_of_it_counts_once() -> None:
    line = response([1.5], "FP64", prediction_id="p", predicted_value=1.5)
    assert read(line) == []
    payload = logged(line)
    (found,) = PredictionRowReader().read(payload, DECODER.check_logs(payload).items)
    assert [(answer.name, answer.value) for answer in found.answers] == [(None, 1.5)]
