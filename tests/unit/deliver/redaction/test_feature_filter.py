"""Feature values of serving protocols, between a shaper and its sink."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.decode.native import native_decoder
from sidecar.decode.otlp import records
from sidecar.decode.protocols.cloudevents import transcode
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import Filter, concerned
from sidecar.deliver.redaction.feature_filter import FeatureShaper
from sidecar.deliver.redaction.options import RedactionOptions

SECRET = "value-of-a-feature"
REFERENCE = ReferenceDecoder()
DECODERS = [one for one in (REFERENCE, native_decoder()) if one is not None]
RULES = RedactionOptions(keys={"password": "mask"}).rules(Filter(), export_features=False)


def lines(*members: dict[str, Any]) -> bytes:
    return REFERENCE.json_lines("\n".join(map(json.dumps, members)).encode(), 1).payload


def event(kind: str, data: Any) -> bytes:
    named = {"id": "1", "source": "s", "specversion": "1.0", "type": f"org.kubeflow.serving.inference.{kind}"}
    return transcode(json.dumps([{**named, "data": data}]).encode(), 1).payload


@pytest.fixture(params=DECODERS, ids=lambda decoder: decoder.name)
def shaper(request: pytest.FixtureRequest) -> FeatureShaper:
    return FeatureShaper(request.param.shaper(RULES), request.param)


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
def test_no_feature_value_is_left(shaper: FeatureShaper, payload: bytes, rest: dict[str, Any] | None) -> None:
    gate = shaper.gate(lambda payload: any(text in payload for text in concerned(RULES)))
    assert gate is not None
    assert gate(payload)
    shaped = shaper.logs(payload)
    assert SECRET.encode() not in shaped.payload
    assert shaped.changed >= 1
    assert (shaped.items, shaped.ordinals) == (1, None)
    (placed,) = records.log_records(shaped.payload)
    if rest is not None:
        assert placed.record.attributes.values == rest


def test_the_answers_of_a_response_stay(shaper: FeatureShaper) -> None:
    payload = event("response", {"predictions": ["fraud"], "model_name": "m"})
    assert shaper.logs(payload).payload == payload


def test_what_has_no_features_passes_untouched(shaper: FeatureShaper) -> None:
    payload = lines({"msg": "scaled", "instances": 3, "n": 1})
    assert shaper.logs(payload).payload is payload
    gate = shaper.gate(lambda payload: False)
    assert gate is not None
    assert not gate(lines({"msg": "hello", "inputs.count": 3}))
    assert shaper.gate(None) is None


def test_ordinals_and_counts_are_those_of_the_rules() -> None:
    rules = RedactionOptions().rules(Filter(min_severity=9), export_features=False)
    shaper = FeatureShaper(REFERENCE.shaper(rules), REFERENCE)
    shaped = shaper.logs(lines({"level": "debug", "instances": [1]}, {"level": "error", "instances": [2]}))
    assert shaped.ordinals is not None
    assert (shaped.items, shaped.ordinals.tolist(), shaped.changed) == (1, [1], 1)
