"""Predictions with features in attributes of spans."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.payloads import event, resource, resource_spans, span, trace_payload

from sidecar.decode.predictions import attribute_features, json_features, span_features
from sidecar.decode.predictions.serving.call import MAX_CELLS, MAX_COLUMNS, Call, CutColumns
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder

REFERENCE = ReferenceDecoder()
DECODERS = [one for one in (REFERENCE, native_decoder()) if one is not None]
SAID = {"ml.model.name": "churn", "ml.model.version": "7", "ml.prediction.class": "stays", "ml.prediction.score": 0.8}
AGE = {"ml.features.age": 34}


def calls(payload: bytes) -> list[tuple[int, Call]]:
    return list(span_features.read(payload, REFERENCE.check_spans(payload).items))


def call_of(attributes: dict[str, Any], **more: Any) -> Call | None:
    found = calls(trace_payload(span(attributes=attributes, **more)))
    assert len(found) <= 1
    return found[0][1] if found else None


@pytest.mark.parametrize(
    ("said", "columns"),
    [
        ({"ml.features.age": 34.5, "ml.features.plan": "basic", "ml.features.new": True},
         {"age": [34.5], "plan": ["basic"], "new": [True]}),
        ({"features": [5.1, 3.5]}, {"f0": [5.1], "f1": [3.5]}),
        ({"features": {"age": 34, "plan": "basic"}}, {"age": [34], "plan": ["basic"]}),
        ({"features": ' {"age": 34, "plan": "basic", "debt": null}'}, {"age": [34], "plan": ["basic"], "debt": [None]}),
        ({"features": '[{"age": 34}, {"age": 35}]'}, {"age": [34, 35]}),
        ({"features": "[[5.1, 3.5], [4.9, 3.0]]"}, {"f0": [5.1, 4.9], "f1": [3.5, 3.0]}),
        ({"features": '{"age": 1, "debt": 2}', "ml.features.age": 3}, {"age": [3], "debt": [2]}),
        ({"features": '{"n": 123456789012345678901234}'}, {"n": [123456789012345678901234.0]}),
        ({"features": '{"n": ' + "9" * 5000 + "}"}, {"n": [float("inf")]}),
        ({"features": r'{"\ud800n": "\udfff"}'}, {"?n": ["?"]}),
        ({"ml.features.age": [34, 35]}, {"age": [34, 35]}),
    ],
)  # fmt: skip
def test_shapes_of_features(said: dict[str, Any], columns: dict[str, Any]) -> None:
    call = call_of({**SAID, **said})
    assert call is not None
    assert (call.model, call.version, call.classes, call.scores) == ("churn", "7", {"stays": 1}, [0.8])
    assert call.features == columns
    assert not isinstance(call.features, CutColumns)


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"features": '{"age": 34, "pl'}, ["features"]),
        ({"features": "[" * 100_000}, ["features"]),
        ({"features": '{"a": "' + "x" * json_features.MAX_CHARS + '"}'}, ["features"]),
        ({"features": [1, 2], "ml.features.age": 3}, ["features"]),
        ({"features": '{"user": {"age": 1}}'}, ["user"]),
        ({"features": {"user": {"age": 1}, "age": 2}}, ["user"]),
    ],
)
def test_what_cannot_be_read_is_left_out_and_counted(said: dict[str, Any], names: list[str]) -> None:
    call = call_of({**SAID, **said})
    assert call is not None
    assert isinstance(call.features, CutColumns)
    assert (call.features.left_out, call.features.names_left_out) == (1, names)


def test_features_beyond_the_bounds_are_left_out_and_counted() -> None:
    call = call_of({**SAID, **{f"ml.features.f{n}": n for n in range(MAX_COLUMNS + 5)}})
    assert call is not None
    assert isinstance(call.features, CutColumns)
    assert (len(call.features), call.features.left_out) == (MAX_COLUMNS, 5)
    call = call_of({**SAID, "features": json.dumps({"age": list(range(MAX_CELLS + 5))})})
    assert call is not None
    assert len(call.features["age"]) == MAX_CELLS


@pytest.mark.parametrize(
    "attributes",
    [
        SAID,
        AGE,
        {"ml.model.name": "churn", **AGE},
        {"ml.prediction.class": "stays", **AGE},
        {**SAID, "features": "dark-mode,beta"},
        {**SAID, **AGE, "error.type": "ValueError"},
        {**SAID, **AGE, "ml.framework": "sklearn"},
        {**SAID, **AGE, "event.name": "ml.label"},
        {**SAID, **AGE, "gen_ai.operation.name": "chat"},
        {**SAID, **AGE, "openinference.span.kind": "LLM"},
        {
            "openinference.span.kind": "RERANKER",
            "llm.model_name": "m",
            "features": [0.5],
            "score": 1,
            "confidence": 0.5,
        },
        {"gen_ai.request.model": "gpt", "label": "toxic", "features": ["tools", "vision"]},
        {"traceloop.span.kind": "task", "model": "m", "prediction": "a", "features": "[1]"},
    ],
)
def test_what_is_no_prediction_with_features(attributes: dict[str, Any]) -> None:
    assert call_of(attributes) is None


def test_failed_spans_are_left_out() -> None:
    assert call_of({**SAID, **AGE}, status=2) is None
    assert call_of({**SAID, **AGE}, status=1) is not None


def test_span_events_are_not_read() -> None:
    assert calls(trace_payload(span(events=[event("ml.prediction", attributes={**SAID, **AGE})]))) == []


def test_a_text_of_json_names_no_class() -> None:
    call = call_of({"model": "churn", "prediction": '{"label": "a"}', **AGE})
    assert call is not None
    assert (call.classes, call.rows) == ({}, 1)


def test_the_model_may_be_named_by_the_resource_and_the_last_of_two_counts() -> None:
    said = {"ml.prediction.class": "stays", **AGE}
    many = [
        resource_spans(
            span(attributes=said),
            span(attributes={"ml.model.name": "own", **said}),
            of=resource("a", {"model": "churn"}),
        ),
        resource_spans(span(attributes=said), of=resource("b")),
        resource_spans(span(attributes=said), of=resource("c", {"model": "price", "ml.framework": "sklearn"})),
        resource_spans(span("other"), span(attributes=said), of=resource("d", {"model": "fraud"})),
    ]
    found = calls(trace_payload(*many))
    assert [(place, call.model) for place, call in found] == [(0, "churn"), (1, "own"), (5, "fraud")]


def test_spans_that_were_refused_are_stepped_over() -> None:
    given = span(attributes={**SAID, **AGE})
    payload = trace_payload(span(trace_id=b"short", attributes={**SAID, "ml.features.age": 1}), span("other"), given)
    found = calls(payload)
    assert [(place, call.features) for place, call in found] == [(1, {"age": [34]})]
    assert found[0][1].time == given.end_time_unix_nano


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda one: one.name)
def test_payloads_that_are_stepped_over(decoder: ReferenceDecoder) -> None:
    def may_read(attributes: dict[str, Any]) -> bool:
        return attribute_features.may_read(decoder, trace_payload(span(attributes=attributes)))

    assert may_read({**SAID, **AGE})
    assert may_read({**SAID, "features": "[1]"})
    assert not may_read(SAID)
    assert not may_read(AGE)
