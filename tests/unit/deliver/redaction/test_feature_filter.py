"""Feature values of serving protocols, between a redactor and its sink."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.payloads import event as span_event
from support.payloads import span, trace_payload

from sidecar.decode.otlp import records
from sidecar.decode.protocols.cloudevents import transcode
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import Filter, sure_literals
from sidecar.decode.select import native_decoder
from sidecar.deliver.redaction.feature_filter import FeatureRedactor
from sidecar.deliver.redaction.options import RedactionOptions

SECRET = "value-of-a-feature"
SAID = {"model": "churn", "prediction": "stays"}
REFERENCE = ReferenceDecoder()
DECODERS = [one for one in (REFERENCE, native_decoder()) if one is not None]
RULES = RedactionOptions(keys={"password": "mask"}).rules(Filter(), export_features=False)


def lines(*members: dict[str, Any]) -> bytes:
    return REFERENCE.json_lines("\n".join(map(json.dumps, members)).encode(), 1).payload


def event(kind: str, data: Any) -> bytes:
    named = {"id": "1", "source": "s", "specversion": "1.0", "type": f"org.kubeflow.serving.inference.{kind}"}
    return transcode(json.dumps([{**named, "data": data}]).encode(), 1).payload


@pytest.fixture(params=DECODERS, ids=lambda decoder: decoder.name)
def redactor(request: pytest.FixtureRequest) -> FeatureRedactor:
    return FeatureRedactor(request.param.redactor(RULES), request.param)


@pytest.mark.parametrize(
    ("payload", "rest"),
    [
        (lines({"instances": [SECRET], "password": "x", "n": 1}), {"password": "[masked]", "n": 1}),
        (lines({"request": {"inputs": [{"data": [SECRET]}]}, "predictions": [1]}), {"request": {}, "predictions": [1]}),
        (lines({"age": SECRET, "p": 1, "bento_meta": {"bento_name": "b", "schema": {
            "age": {"name": "age", "role": "feature"}, "p": {"name": "p", "role": "prediction"}}}}), None),
        (event("request", {"instances": [SECRET]}), None),
        (event("request", [[SECRET]]), None),
        (event("request", {"age": SECRET}), None),
        (event("response", {"predictions": [1], "inputs": [SECRET], "deep": [{"features": {"a": SECRET}}]}), None),
    ],
)  # fmt: skip
def test_no_feature_value_is_left(redactor: FeatureRedactor, payload: bytes, rest: dict[str, Any] | None) -> None:
    gate = redactor.gate(sure_literals(RULES))
    assert gate is not None
    assert gate(payload)
    redacted = redactor.logs(payload)
    assert SECRET.encode() not in redacted.payload
    assert redacted.changed >= 1
    assert (redacted.items, redacted.ordinals) == (1, None)
    (placed,) = records.log_records(redacted.payload)
    if rest is not None:
        assert placed.record.attributes.values == rest


@pytest.mark.parametrize(
    "made",
    [
        span(attributes={**SAID, "ml.features.age": SECRET, "n": 1}),
        span(attributes={"ml.features": {"age": SECRET}, "n": 1}),
        span(attributes={**SAID, "features": [SECRET], "n": 1}),
        span(attributes={**SAID, "features": {"age": SECRET}, "n": 1}),
        span(attributes={**SAID, "features": '{"age": "' + SECRET, "n": 1}),
        span(attributes={"n": 1}, events=[span_event("scored", attributes={**SAID, "features": f'["{SECRET}"]'})]),
        span(attributes={"n": 1}, events=[span_event("scored", attributes={"ml.features.age": SECRET})]),
        span(attributes={"n": 1}, events=[span_event("ml.prediction", attributes={"features.age": SECRET})]),
        span(attributes={"n": 1}, events=[span_event("ml.prediction", attributes={"features": SECRET})]),
        span(attributes={"n": 1}, events=[span_event("ml.prediction", attributes={"inputs.0": SECRET})]),
    ],
)
def test_no_feature_value_is_left_in_a_span(redactor: FeatureRedactor, made: Span) -> None:
    payload = trace_payload(made)
    gate = redactor.gate(sure_literals(RULES))
    assert gate is not None
    assert gate(payload)
    redacted = redactor.spans(payload)
    assert SECRET.encode() not in redacted.payload
    assert (redacted.items, redacted.ordinals, redacted.changed) == (1, None, 1)
    (placed,) = records.spans(redacted.payload)
    assert placed.record.attributes.values["n"] == 1


def test_a_text_beside_a_prediction_that_is_no_json_stays(redactor: FeatureRedactor) -> None:
    payload = trace_payload(span(attributes={**SAID, "features": "dark-mode", "inputs": '{"a": 1}'}))
    assert redactor.spans(payload).payload is payload


def test_the_answers_of_a_response_stay(redactor: FeatureRedactor) -> None:
    payload = event("response", {"predictions": ["fraud"], "model_name": "m"})
    assert redactor.logs(payload).payload == payload


def test_what_has_no_features_passes_untouched(redactor: FeatureRedactor) -> None:
    payload = lines({"msg": "scaled", "instances": 3, "n": 1})
    assert redactor.logs(payload).payload is payload
    gate = redactor.gate((b"password",))
    assert gate is not None
    assert not gate(lines({"msg": "hello", "inputs.count": 3}))
    assert gate(lines({"msg": "hello", "PassWord": "x"}))
    assert redactor.gate(()) is None


def test_ordinals_and_counts_are_those_of_the_rules() -> None:
    rules = RedactionOptions().rules(Filter(min_severity=9), export_features=False)
    redactor = FeatureRedactor(REFERENCE.redactor(rules), REFERENCE)
    redacted = redactor.logs(lines({"level": "debug", "instances": [1]}, {"level": "error", "instances": [2]}))
    assert redacted.ordinals is not None
    assert (redacted.items, redacted.ordinals.tolist(), redacted.changed) == (1, [1], 1)
