"""Answers that are objects: the shapes that libraries and services give, and which responses are errors."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sidecar.decode.predictions.answer_objects import is_ranking, row
from sidecar.decode.predictions.failures import is_empty, is_error

TOP = [{"label": "tabby", "score": 0.61}, {"label": "tiger cat", "score": 0.3}, {"label": "lynx", "score": 0.05}]


@pytest.mark.parametrize(
    ("found", "name", "score"),
    [
        ({"label": "POSITIVE", "score": 0.9}, "POSITIVE", 0.9),
        ({"class": "spam", "probability": 0.7}, "spam", 0.7),
        ({"predicted_class": 3, "confidence": 0.5}, "3", 0.5),
        ({"cat": 0.9, "dog": 0.1}, "cat", 0.9),
        ({"sequence": "s", "labels": ["b", "a"], "scores": [0.2, 0.8]}, "a", 0.8),
        ({"ids": ["7", "8"], "displayNames": ["x", "y"], "confidences": [0.1, 0.9]}, "y", 0.9),
        ({"classes": ["yes", "no"], "scores": [0.75, 0.25]}, "yes", 0.75),
        ({"predicted_label": 1, "score": 0.99}, "1", 0.99),
        ({"predicted_label": "cat", "labels": ["dog", "cat"], "probabilities": [0.3, 0.7]}, "cat", 0.7),
        ({"label": ["__label__x"], "prob": [0.8]}, "__label__x", 0.8),
        ({"tagName": "apple", "probability": 0.97, "tagId": "t"}, "apple", 0.97),
        ({"sentiment": "negative", "confidenceScores": {"positive": 0.1, "negative": 0.9}}, "negative", 0.9),
        ({"probabilities": {"a": 0.2, "b": 0.8}}, "b", 0.8),
        ({"prediction": {"label": "x", "score": 0.5}}, "x", 0.5),
        ({"prediction": "x", "probabilities": [0.4, 0.6]}, "x", 0.6),
        ({"label": True, "score": 1}, "true", 1.0),
        (TOP, "tabby", 0.61),
        (TOP[::-1], "tabby", 0.61),
        ({"label": "x"}, "x", math.nan),
        ({"score": 0.4}, "", 0.4),
        ({"label": "word " * 30, "score": 0.4}, "", 0.4),
        ({"generated_text": "once upon a time"}, "", math.nan),
        ({"answer": "Berlin", "score": 0.4, "start": 1, "end": 2}, "", 0.4),
        ([{"label": "cat", "score": 0.9, "box": {"xmin": 1}}], "", math.nan),
        ([{"entity_group": "PER", "score": 0.9, "word": "Ada"}], "", math.nan),
        ({}, "", math.nan),
        ({"label": None, "score": None}, "", math.nan),
        ({"label": {"label": {"label": {"label": "deep"}}}}, "", math.nan),
    ],
)  # fmt: skip
def test_class_and_score(found: Any, name: str, score: float) -> None:
    one = row(found)
    assert one.name == name
    assert one.score == score or (math.isnan(one.score) and math.isnan(score))
    assert not one.failed


@pytest.mark.parametrize(
    ("found", "value"),
    [
        ({"score": 4.5}, 4.5),
        ({"value": 12, "lower_bound": 9.5}, 12.0),
        ({"prediction": 1.5}, 1.5),
        ({"score": -2}, -2.0),
    ],
)
def test_values(found: Any, value: float) -> None:
    assert (row(found).name, row(found).value) == ("", value)


@pytest.mark.parametrize(
    ("found", "one"),
    [
        (TOP, True),
        (TOP[:1], False),
        ([{"label": "P", "score": 0.9}, {"label": "N", "score": 0.8}], False),
        ([{"label": "P", "score": 0.6}, {"label": "P", "score": 0.4}], False),
        ([{"label": "P", "score": 0.2}, {"label": "N", "score": 0.6}], False),
        (["a", "b"], False),
    ],
)
def test_a_ranking_of_one_row_is_not_taken_for_rows(found: Any, one: bool) -> None:
    assert is_ranking(found) == one


@pytest.mark.parametrize(
    "answered",
    [
        {"error": "no such model"},
        {"error": {"code": 400, "message": "m"}},
        {"error_code": "BAD_REQUEST", "message": "m"},
        {"ErrorCode": "CLIENT_ERROR", "Message": "m"},
        {"detail": "Not Found"},
        {"detail": [{"loc": ["body"], "msg": "field required", "type": "missing"}]},
        {"code": 503, "type": "InternalServerException", "message": "Worker died."},
        {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "d"},
        {"message": "Internal Server Error"},
        {"status": "error", "result": None},
        {"success": False},
        {"code": 13, "message": "m", "details": []},
        {"object": "error", "message": "m", "type": "BadRequestError", "param": None, "code": 400},
        "<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
        "\ufeff\n  <html>",
    ],
)
def test_errors(answered: Any) -> None:
    assert is_error(answered)


@pytest.mark.parametrize(
    "answered",
    [
        {"predictions": [1], "error": None},
        {"predictions": [1], "message": "ok"},
        {"label": "x", "code": 7},
        {"status": "ok", "label": "x"},
        {"status": 200, "prediction": 1},
        {"error": "", "prediction": 1},
        {"tabby": 0.5, "lynx": 0.25},
        "plain words",
        [1, 2],
        {},
        None,
    ],
)
def test_no_errors(answered: Any) -> None:
    assert not is_error(answered)


@pytest.mark.parametrize("answered", [None, "", [], {}, {"predictions": None}, {"outputs": [], "model_name": "m"}])
def test_nothing_in_it(answered: Any) -> None:
    assert is_empty(answered)


@pytest.mark.parametrize("answered", [{"predictions": [0]}, 0, False, {"prediction": False}, [None], "x"])
def test_something_in_it(answered: Any) -> None:
    assert not is_empty(answered)
