"""Predictions by row: members and attributes of every shape, hostile ones too."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.outcome_data import DECODER, event, logged

from sidecar.decode.predictions.prediction_rows import (
    MAX_ROWS,
    Answer,
    PredictedRows,
    PredictionRowReader,
    class_text,
    id_text,
)
from sidecar.errors import DecodeError

TRACE = f"{1:032x}"


def read(payload: bytes, *further: str) -> list[PredictedRows]:
    """What a payload says."""
    return list(PredictionRowReader(further).read(payload, DECODER.check_logs(payload).items))


def answers(body: dict[str, Any]) -> list[tuple[Any, Any, Any]]:
    """(class, score, value) of the rows of an event, None for NaN."""
    found = [one for each in read(event(body, trace=1)) for one in each.answers]
    return [tuple(None if part != part else part for part in (a.name, a.score, a.value)) for a in found]


def test_an_event() -> None:
    body = {"rows": 9, "first": 2, "one_in": 3, "class": ["a", "b"], "score": [0.5, 1.0], "features": {"class": [7.0]}}
    (found,) = read(event(body, trace=1, time=5))
    assert (found.id, found.model, found.version, found.time) == (TRACE, "churn", "7", 5 * 10**9)
    assert (found.first, found.step, found.left_out) == (2, 3, 0)
    assert [(answer.name, answer.score) for answer in found.answers] == [("a", 0.5), ("b", 1.0)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"class": ["a"]}, [("a", None, None)]),
        ({"class": ["a", "b"], "score": [0.5]}, [("a", None, None), ("b", None, None)]),
        ({"class": ["a", 1, 1.5], "score": [-0.5, 1.5, math.nan]}, [(name, None, None) for name in ("a", "1", "1.5")]),
        ({"class": [None, ["x"]]}, [(None, None, None)] * 2),
        ({"value": [1.5, 2, math.inf, "x", True]}, [(None, None, value) for value in (1.5, 2.0, None, None, None)]),
        ({"class": "a", "value": 1.0}, []),
        ({"class": [], "value": [1.0]}, [(None, None, 1.0)]),
        ({"rows": 1}, []),
    ],
)
def test_columns_of_events(body: dict[str, Any], expected: list[Any]) -> None:
    assert answers(body) == expected


@pytest.mark.parametrize(("first", "step"), [(-1, 0), (1.5, "x"), (True, 1 << 40)])
def test_places_that_make_no_sense(first: Any, step: Any) -> None:
    (found,) = read(event({"class": ["a"], "first": first, "one_in": step}, trace=1))
    assert (found.first, found.step) == (0, 1)


def test_rows_beyond_the_bound() -> None:
    (found,) = read(event({"value": [1.0] * (MAX_ROWS + 7)}, trace=1))
    assert (len(found.answers), found.left_out) == (MAX_ROWS, 7)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"predicted_class": "a", "confidence": 0.5}, [Answer("a", 0.5)]),
        ({"prediction": "a"}, [Answer("a")]),
        ({"prediction": 3}, [Answer("3")]),
        ({"prediction": 3.5}, [Answer(value=3.5)]),
        ({"predicted_value": 3}, [Answer(value=3.0)]),
        ({"prediction": ["a", 2]}, [Answer("a"), Answer("2")]),
        ({"prediction": [1, 2.5]}, [Answer(value=1.0), Answer(value=2.5)]),
        ({"prediction": {"a": 1}}, [Answer()]),
        ({"confidence": 0.5}, None),
    ],
)
def test_attributes(members: dict[str, Any], expected: list[Answer] | None) -> None:
    found = read(logged({"model": "m", "request_id": "p", **members}))
    assert [repr(each.answers) for each in found] == ([] if expected is None else [repr(expected)])


@pytest.mark.parametrize(
    ("members", "id_"),
    [
        ({"ml.prediction.id": "p", "request_id": "r"}, "p"),
        ({"request_id": 7, "order_id": "o"}, "o"),
        ({"request_id": 7}, "7"),
        ({"request_id": "A" * 32}, "a" * 32),
        ({"request_id": "x" * 257}, None),
        ({"request_id": True}, None),
        ({"request_id": ""}, None),
    ],
)
def test_ids(members: dict[str, Any], id_: str | None) -> None:
    found = read(logged({"model": "m", "prediction": "a", **members}), "order_id")
    assert [each.id for each in found] == ([] if id_ is None else [id_])


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), ("1.50", "1.50"), ("-2.0", "-2"), ("TRUE", "TRUE"), ("x" * 300, "x" * 256)],
)
def test_classes_as_they_are_compared(value: Any, text: str) -> None:
    assert class_text(value) == text


@pytest.mark.parametrize(
    ("line", "may"),
    [
        ({"request_id": "p", "message": "hello"}, False),
        ({"request_id": "p", "model": "m"}, False),
        ({"model": "m", "prediction": "a"}, False),
        ({"model": "m", "prediction": "a", "order_id": "p"}, True),
    ],
)
def test_lines_that_say_too_little_are_not_read(line: dict[str, Any], may: bool) -> None:
    reader, payload = PredictionRowReader(("order_id",)), logged(line)
    assert reader.may_read(DECODER, payload) == may
    assert bool(list(reader.read(payload, 1))) == may


def test_only_trace_ids_lose_their_case() -> None:
    assert (id_text("AB"), id_text("AB" * 16)) == ("AB", "ab" * 16)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_was_accepted_can_be_read(data: st.DataObject) -> None:
    body = {"rows": 2, "class": ["a", "b"], "score": [0.5, 0.1], "value": [1.0], "first": 1, "features": {"x": [1.0]}}
    payload = bytearray(event(body, trace=1, attributes={"ml.prediction.id": "p"}))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        accepted = DECODER.check_logs(bytes(payload)).items
    except DecodeError:
        return
    for found in PredictionRowReader().read(bytes(payload), accepted):
        assert found.id
        assert found.answers


def test_records_beside_others() -> None:
    payload = logged(*[{"n": n} for n in range(3)], {"model": "m", "prediction_id": "p", "prediction": "a"}, {"n": 4})
    assert [each.id for each in read(payload)] == ["p"]
