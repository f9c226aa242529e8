"""What outputs mean."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.predictions.serving.call import MAX_CLASS_CHARS, MAX_ROWS, Answers
from sidecar.decode.predictions.serving.model_outputs import Output, of_columns, of_one, of_predictions


def said(answers: Answers | None) -> tuple[int, dict[str, int], list[float], list[float]]:
    assert answers is not None
    return answers.rows, dict(answers.classes), list(answers.values), list(answers.scores)


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        (["a", "b", "a"], (3, {"a": 2, "b": 1}, [], [])),
        ([1, 0, 1], (3, {"1": 2, "0": 1}, [], [])),
        ([True, False], (2, {"true": 1, "false": 1}, [], [])),
        ([1.5, 2, None], (3, {}, [1.5, 2.0], [])),
        ([[1.5], [2.5]], (2, {}, [1.5, 2.5], [])),
        ([["a"], ["b"]], (2, {"a": 1, "b": 1}, [], [])),
        ([[0.1, 0.9], [0.75, 0.25]], (2, {"1": 1, "0": 1}, [], [0.9, 0.75])),
        ([[3.5, -1.5]], (1, {}, [], [])),
        ([[0.1, 0.1]], (1, {}, [], [])),
        ([{"a": 0.75, "b": 0.25}, {"a": 0.1, "b": 0.9}], (2, {"a": 1, "b": 1}, [], [0.75, 0.9])),
        ([{"label": "x", "probability": 0.9}], (1, {"x": 1}, [], [0.9])),
        ([{"label": "x", "probabilities": [0.1, 0.9]}], (1, {"x": 1}, [], [0.9])),
        ([{"text": "long", "prediction": 1.5}], (1, {}, [1.5], [])),
        ({"label": ["x", "y"], "probability": [0.9, 0.8]}, (2, {"x": 1, "y": 1}, [], [0.9, 0.8])),
        ({"probabilities": [[0.1, 0.2]]}, (1, {"1": 1}, [], [0.2])),
        (4, (1, {"4": 1}, [], [])),
        (["word " * 20], (1, {}, [], [])),
        ([], (0, {}, [], [])),
        ([[[1, 2], [3, 4]]], (1, {}, [], [])),
        ([math.nan, 1.5], (2, {}, [1.5], [])),
        ([{"score": 23.5}, {"score": 0.5}], (2, {}, [23.5, 0.5], [])),
        ({"scores": [3.5, -1.5]}, (2, {}, [3.5, -1.5], [])),
        ([{"tagId": "x", "tagName": "cat", "probability": 0.9}], (1, {"cat": 1}, [], [0.9])),
        ([{"generated_text": "short"}, {"generated_text": "words"}], (2, {}, [], [])),
        ([{"summary_text": "short"}], (1, {}, [], [])),
        ([{"score": 0.9, "token": 12, "token_str": "paris", "sequence": "x paris"}], (1, {}, [], [0.9])),
        ([{"label": "cat", "score": 0.8}, {"label": "dog", "score": 0.2}], (2, {"cat": 1, "dog": 1}, [], [0.8, 0.2])),
    ],
)  # fmt: skip
def test_predictions(predictions: Any, expected: Any) -> None:
    assert said(of_predictions(predictions)) == expected


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        ([{"label": "cat", "score": 0.8}, {"label": "dog", "score": 0.2}], (1, {"cat": 1}, [], [0.8])),
        ([{"label": "a", "score": 0.5}, {"label": "b", "score": 0.25}], (1, {"a": 1}, [], [0.5])),
        ([{"label": "a", "score": 0.9}, {"label": "b", "score": 0.8}], (2, {"a": 1, "b": 1}, [], [0.9, 0.8])),
        ([{"label": "a", "score": 0.4}, {"label": "a", "score": 0.3}], (2, {"a": 2}, [], [0.4, 0.3])),
        (["a", "b"], (2, {"a": 1, "b": 1}, [], [])),
    ],
)
def test_labels_with_scores_of_one_row(predictions: Any, expected: Any) -> None:
    assert said(of_one(predictions)) == expected


@pytest.mark.parametrize("nothing", [None, {}, {"a": 1}])
def test_nothing(nothing: Any) -> None:
    assert of_predictions(nothing) is None


def test_a_floating_point_type_makes_whole_numbers_values() -> None:
    assert said(of_columns([Output("out", [1, 2], real=True)], 2)) == (2, {}, [1.0, 2.0], [])
    assert said(of_columns([Output("out", [1, 2])], 2)) == (2, {"1": 1, "2": 1}, [], [])


def test_rows_beyond_the_cap_are_counted_without_class() -> None:
    answers = of_predictions(["a"] * (MAX_ROWS + 5))
    assert answers is not None
    assert (answers.rows, answers.classes) == (MAX_ROWS + 5, {"a": MAX_ROWS})


INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)
VALUES: Any = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | st.text(max_size=80) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["label", "score", "x"]), inner),
    max_leaves=20,
)


@given(VALUES)
def test_whatever_comes_the_bounds_hold(value: Any) -> None:
    answers = of_predictions(value)
    if answers is not None:
        assert sum(answers.classes.values()) <= answers.rows
        assert len(answers.values) <= answers.rows
        assert len(answers.scores) <= answers.rows
        assert all(math.isfinite(number) for number in (*answers.values, *answers.scores))
        assert all(0 < len(name) <= MAX_CLASS_CHARS for name in answers.classes)
