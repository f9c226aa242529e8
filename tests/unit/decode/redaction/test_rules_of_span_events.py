"""Key rules in span events, and for texts of JSON, by either decoder."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.payloads import event, key_values, link, log, logs_payload, resource, span, trace_payload

from sidecar.decode.api import Decoder
from sidecar.decode.otlp.wire import put_bytes
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import KeyRule, Rules
from sidecar.decode.select import native_decoder

DECODERS = [one for one in (ReferenceDecoder(), native_decoder()) if one is not None]


@pytest.fixture(params=DECODERS, ids=lambda decoder: decoder.name)
def decoder(request: pytest.FixtureRequest) -> Decoder:
    found: Decoder = request.param
    return found


def keys(attributes: Any) -> list[str]:
    return [pair.key for pair in attributes]


def test_rules_for_events_count_in_span_events_of_the_name(decoder: Decoder) -> None:
    rules = Rules(keys=(KeyRule(("k",), "drop", events=("ml.prediction",)), KeyRule(("n",), "mask")))
    given = {"k": "1", "n": "2"}
    events = [event(name, attributes=given) for name in ("ml.prediction", "other", "", "ml.prediction")]
    payload = trace_payload(span(attributes=given, events=events, links=[link(attributes=given)]))
    redacted = decoder.redactor(rules).spans(payload)
    (found,) = ExportTraceServiceRequest.FromString(redacted.payload).resource_spans[0].scope_spans[0].spans
    assert [keys(one.attributes) for one in found.events] == [["n"], ["k", "n"], ["k", "n"], ["n"]]
    assert keys(found.attributes) == keys(found.links[0].attributes) == ["k", "n"]
    assert redacted.changed == 8


def test_the_last_name_of_a_span_event_counts_wherever_it_stands(decoder: Decoder) -> None:
    rules = Rules(keys=(KeyRule(("k",), "drop", events=("ml.prediction",)),))
    pair = put_bytes(3, key_values({"k": "1"})[0].SerializeToString())
    names = [put_bytes(2, b"other"), put_bytes(2, b"ml.prediction")]
    own = span().SerializeToString()
    for made, left in ((names[0] + pair + names[1], 0), (names[1] + pair + names[0], 1)):
        record = put_bytes(2, own + put_bytes(11, made))
        payload = put_bytes(1, put_bytes(1, resource().SerializeToString()) + put_bytes(2, record))
        redacted = decoder.redactor(rules).spans(payload)
        (found,) = ExportTraceServiceRequest.FromString(redacted.payload).resource_spans[0].scope_spans[0].spans
        assert [len(one.attributes) for one in found.events] == [left]


@pytest.mark.parametrize(
    ("value", "goes"),
    [
        ('{"a": 1}', True),
        (" \t\n\r[1", True),
        ([1], True),
        ({"a": 1}, True),
        ("a,b", False),
        ("", False),
        (" ", False),
        ("\x0b[", False),
        (b"[1]", False),
        (5, False),
        (None, False),
    ],
)
def test_rules_for_texts_of_json(decoder: Decoder, value: Any, goes: bool) -> None:
    rule = KeyRule(("features",), "drop", nested=True, beside=("model",), json_texts=True)
    for rules, there in (
        (Rules(keys=(rule,)), goes),
        (Rules(keys=(KeyRule(("features",), "drop", nested=True),)), False),
    ):
        there |= isinstance(value, list | dict)
        spans = decoder.redactor(rules).spans(trace_payload(span(attributes={"features": value, "model": "m"})))
        logs = decoder.redactor(rules).logs(logs_payload(log({"features": value, "model": "m"})))
        assert (spans.changed, logs.changed) == (there, there)
    alone = decoder.redactor(Rules(keys=(rule,))).spans(trace_payload(span(attributes={"features": value})))
    assert alone.changed == 0


def test_a_rule_for_texts_of_json_is_for_nested_values() -> None:
    with pytest.raises(ValueError, match="nested"):
        KeyRule(("features",), "drop", json_texts=True)
