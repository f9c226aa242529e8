"""Answers that are objects, in attributes of log lines and spans: the label and the score inside are what is meant."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.derive_fakes import arrival, lines

from sidecar.decode.api import Decoder
from sidecar.derive.models.model_tables import ModelTables
from sidecar.derive.models.predictions import PredictionDeriver
from sidecar.derive.series import Budget

POSITIVE = {"label": "POSITIVE", "score": 0.75}
SHAPES: list[tuple[Any, dict[str, int], int, float]] = [
    (POSITIVE, {"POSITIVE": 1}, 1, 0.75),
    ([POSITIVE], {"POSITIVE": 1}, 1, 0.75),
    ([POSITIVE, {"label": "NEGATIVE", "score": 0.5}], {"POSITIVE": 1, "NEGATIVE": 1}, 2, 1.25),
    ([{"label": "a", "score": 0.5}, {"label": "b", "score": 0.25}], {"a": 1}, 1, 0.5),
    ([[{"label": "a", "score": 0.5}], [POSITIVE, {"label": "x", "score": 0.25}]], {"a": 1, "POSITIVE": 1}, 2, 1.25),
    ({"class": "spam", "probability": 0.5}, {"spam": 1}, 1, 0.5),
    ({"predicted_class": 2, "confidence": 0.5}, {"2": 1}, 1, 0.5),
    ({"cat": 0.75, "dog": 0.25}, {"cat": 1}, 1, 0.75),
    ([{"cat": 0.75, "dog": 0.25}, {"cat": 0.25, "dog": 0.75}], {"cat": 1, "dog": 1}, 2, 1.5),
    ({"sequence": "s", "labels": ["u", "v"], "scores": [0.25, 0.75]}, {"v": 1}, 1, 0.75),
    ({"displayNames": ["u", "v"], "confidences": [0.25, 0.75]}, {"v": 1}, 1, 0.75),
    ([{"label": "cat", "score": 0.5, "box": {"x": 1}}], {"": 1}, 1, 0),
]


def figures(decoder: Decoder, payload: bytes, signal: Any, records: int) -> dict[str, str]:
    tables = ModelTables((0.1,), Budget())
    deriver = PredictionDeriver(signal, tables)
    deriver.apply(deriver.decode(decoder, [payload]), arrival(records))
    for table in tables.kept:
        table.mark_exported()
    return lines(list(tables.collect()))


def of_line(decoder: Decoder, record: dict[str, Any]) -> dict[str, str]:
    return figures(decoder, decoder.json_lines(json.dumps({"model": "m", **record}).encode(), 1).payload, "logs", 1)


def of_span(decoder: Decoder, text: str) -> dict[str, str]:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="p")
    for key, value in (("model", "m"), ("prediction", text)):
        span.attributes.add(key=key).value.string_value = value
    return figures(decoder, request.SerializeToString(), "spans", 1)


def check(got: dict[str, str], classes: dict[str, int], rows: int, score: float) -> None:
    shown = {series: int(n) for series, n in got.items() if series.startswith("model_predictions_by_class_total")}
    label = {name: f',class="{name}"' if name else "" for name in classes}
    assert shown == {f'model_predictions_by_class_total{{model="m"{label[name]}}}': n for name, n in classes.items()}
    assert got['model_predictions_total{model="m",status="ok"}'] == str(rows)
    assert float(got.get('model_confidence_score_sum{model="m"}', 0)) == score


@pytest.mark.parametrize(
    ("given", "classes"),
    [
        (["a", "b"], {"a": 1, "b": 1}),
        (["a", "a", 1, True], {"a": 1, "1": 1, "true": 1}),
        ([], {}),
        ("[a", {"[a": 1}),
    ],
    ids=str,
)
def test_a_set_of_classes_is_one_row_with_each_of_them(decoder: Decoder, given: Any, classes: dict[str, int]) -> None:
    check(of_line(decoder, {"predicted_class": given}), classes, 1, 0)


@pytest.mark.parametrize(("prediction", "classes", "rows", "score"), SHAPES)
@pytest.mark.parametrize("way", ["line", "text", "span", "class"])
def test_label_and_score_inside(
    decoder: Decoder, way: str, prediction: Any, classes: dict[str, int], rows: int, score: float
) -> None:
    match way:
        case "line":
            got = of_line(decoder, {"prediction": prediction})
        case "text":
            got = of_line(decoder, {"predictions": json.dumps(prediction)})
        case "span":
            got = of_span(decoder, json.dumps(prediction))
        case _:
            got = of_line(decoder, {"predicted_class": prediction})
    check(got, classes, rows, score)


def test_each_score_is_no_class_of_its_own(decoder: Decoder) -> None:
    records = [{"model": "m", "prediction": {"label": "ab"[n % 2], "score": n / 1000}} for n in range(500)]
    body = "\n".join(map(json.dumps, records)).encode()
    got = figures(decoder, decoder.json_lines(body, 1).payload, "logs", 500)
    assert {got[f'model_predictions_by_class_total{{model="m",class="{name}"}}'] for name in "ab"} == {"250"}
    assert sum(series.startswith("model_predictions_by_class_total") for series in got) == 2
    assert got['model_confidence_score_sum{model="m"}'] == "124.75"


@pytest.mark.parametrize("value", [{"value": 1.5}, {"prediction": 1.5}, [{"score": 1.5}], {"predicted_value": 1.5}])
def test_numbers_inside_are_values(decoder: Decoder, value: Any) -> None:
    got = of_line(decoder, {"prediction": value})
    assert got['model_prediction_value_sum{model="m"}'] == "1.5"
    assert not any(series.startswith("model_predictions_by_class_total") for series in got)


@pytest.mark.parametrize(
    "failure", [{"error": "no such model"}, {"detail": "Not Found"}, [{"error": "a"}, {"error": "b"}]]
)
def test_an_error_where_the_answer_should_be_is_a_failure(decoder: Decoder, failure: Any) -> None:
    got = of_line(decoder, {"prediction": failure})
    assert {k: v for k, v in got.items() if k.startswith("model_predictions")} == {
        'model_predictions_total{model="m",status="error"}': "1"
    }


def test_a_score_of_the_record_beats_that_inside(decoder: Decoder) -> None:
    check(of_line(decoder, {"prediction": POSITIVE, "confidence": 0.5}), {"POSITIVE": 1}, 1, 0.5)


@pytest.mark.parametrize("text", ["{braces}", "{", "[CLS]", '{"label": '])
def test_texts_that_only_look_so_are_classes(decoder: Decoder, text: str) -> None:
    got = of_line(decoder, {"label": text})
    escaped = text.replace('"', r"\"")
    assert got[f'model_predictions_by_class_total{{model="m",class="{escaped}"}}'] == "1"


def test_an_object_that_was_cut_names_no_class(decoder: Decoder) -> None:
    check(of_line(decoder, {"prediction": {"label": "x", "text": "y" * 2000}}), {"": 1}, 1, 0)
