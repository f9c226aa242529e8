"""What is made good on arrival: the record stays, and both decoders see the same of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sidecar.decode.api import Decoder
from sidecar.decode.otlp.json import TRANSCODERS
from sidecar.decode.otlp.limits import MAX_ATTRIBUTES
from sidecar.decode.otlp.metrics import check_metrics, metric_batch
from sidecar.decode.otlp.repair import Repair
from sidecar.decode.otlp.wire import put_bytes, put_fixed64
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import KeyRule, Rules, named_rule
from sidecar.decode.select import native_decoder
from sidecar.pipeline import Signal

NOW = 1_795_255_200 * 10**9
REQUESTS: dict[Signal, type[Message]] = {
    "spans": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
DECODERS: list[Decoder] = [one for one in (ReferenceDecoder(), native_decoder()) if one is not None]


def documents(signal: Signal, payload: bytes) -> list[dict[str, Any]]:
    """The same of both decoders."""
    made = [
        decoder.span_lines([payload]) if signal == "spans" else decoder.log_lines([payload], ["id"])
        for decoder in DECODERS
    ]
    assert len({lines.body for lines in made}) == 1
    return [json.loads(line) for line in made[0].body.split(b"\n")[1::2]]


def span(**fields: Any) -> Span:
    known = {"trace_id": b"t" * 16, "span_id": b"s" * 8, "start_time_unix_nano": NOW, "end_time_unix_nano": NOW + 5}
    return Span(**(known | fields))


def traces(*spans: Span) -> bytes:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(spans)
    return request.SerializeToString()


def logs(**fields: Any) -> bytes:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(**fields)
    return request.SerializeToString()


def text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


def deep(levels: int) -> AnyValue:
    value = text("bottom")
    for _ in range(levels):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    return value


def many(count: int) -> list[KeyValue]:
    return [KeyValue(key=f"k{index}", value=text("v")) for index in range(count)]


LINK = {"trace_id": b"l" * 16, "span_id": b"p" * 8}


@pytest.mark.parametrize(
    ("fields", "counts", "check"),
    [
        ({"links": [{}]}, {"link": 1}, lambda doc: "links" not in doc and doc["dropped_links_count"] == 1),
        (
            {"links": [LINK, {"trace_id": b"x" * 15, "span_id": b"y" * 8}, LINK | {"span_id": bytes(8)}]},
            {"link": 2},
            lambda doc: len(doc["links"]) == 1 and doc["dropped_links_count"] == 2,
        ),
        (
            {"links": [LINK | {"attributes": [KeyValue(key="d", value=deep(40))]}], "dropped_links_count": 3},
            {"depth": 1},
            lambda doc: "d" in doc["links"][0]["attributes"] and doc["dropped_links_count"] == 3,
        ),
        ({"parent_span_id": b"short"}, {"parent_span_id": 1}, lambda doc: "parent_span_id" not in doc),
        ({"parent_span_id": bytes(16)}, {"parent_span_id": 1}, lambda doc: "parent_span_id" not in doc),
        ({"end_time_unix_nano": 2**64 - 1}, {"time": 1}, lambda doc: doc["duration"] == 0),
        (
            {"start_time_unix_nano": 2**63},
            {"time": 1},
            lambda doc: doc["@timestamp"] == "1795255200000.000005" and doc["duration"] == 0,
        ),
        (
            {"start_time_unix_nano": 0},
            {},
            lambda doc: doc["@timestamp"][:13] == "1795255200000" and doc["duration"] == 0,
        ),
        (
            {"start_time_unix_nano": 0, "end_time_unix_nano": 0},
            {"no_time": 1},
            lambda doc: doc["@timestamp"] == "1795255200000.000000" and doc["duration"] == 0,
        ),
        (
            {"start_time_unix_nano": NOW // 10**9, "end_time_unix_nano": NOW // 10**9 + 2},
            {"time_unit": 2},
            lambda doc: doc["@timestamp"] == "1795255200000.000000" and doc["duration"] == 2 * 10**9,
        ),
        (
            {"start_time_unix_nano": NOW // 10**6, "end_time_unix_nano": NOW // 10**6 + 7},
            {"time_unit": 2},
            lambda doc: doc["duration"] == 7 * 10**6,
        ),
        ({"start_time_unix_nano": 10**12, "end_time_unix_nano": 10**12 + 5}, {}, lambda doc: doc["duration"] == 5),
        ({"end_time_unix_nano": NOW - 1}, {}, lambda doc: doc["duration"] == 0),
        (
            {"attributes": many(MAX_ATTRIBUTES + 2), "dropped_attributes_count": 1},
            {"attributes": 2},
            lambda doc: len(doc["attributes"]) == MAX_ATTRIBUTES and doc["dropped_attributes_count"] == 3,
        ),
        ({"attributes": [KeyValue(key="d", value=deep(32))]}, {"depth": 1}, lambda doc: "bottom" not in str(doc)),
        ({"attributes": [KeyValue(key="d", value=deep(31))]}, {}, lambda doc: "bottom" in str(doc)),
        ({"attributes": [KeyValue(), KeyValue(key="k"), KeyValue(key="k", value=text("v"))]}, {}, lambda doc: True),
        ({"kind": 77, "trace_state": "=,=;;", "flags": 2**32 - 1}, {}, lambda doc: doc["kind"] == "Unspecified"),
    ],
)
def test_a_span_stays(fields: dict[str, Any], counts: dict[str, int], check: Callable[[dict[str, Any]], bool]) -> None:
    repair = Repair("spans", NOW)
    payload = repair.request(traces(span(**fields), span()))
    assert dict(+repair.counts) == counts
    for decoder in DECODERS:
        assert (decoder.check_spans(payload).items, decoder.check_spans(payload).rejected) == (2, 0)
    first, second = documents("spans", payload)
    assert check(first), first
    assert second["duration"] == 5
    assert Repair("spans", NOW + 1).request(payload) is payload


@pytest.mark.parametrize(
    "fields", [{"trace_id": b"x"}, {"trace_id": bytes(16)}, {"span_id": b""}, {"span_id": bytes(8)}]
)
def test_a_span_without_its_ids_is_refused(fields: dict[str, Any]) -> None:
    payload = Repair("spans", NOW).request(traces(span(**fields), span()))
    for decoder in DECODERS:
        assert (decoder.check_spans(payload).items, decoder.check_spans(payload).rejected) == (1, 1)


@pytest.mark.parametrize(("time", "shown"), [(0, "1795255200000.000000"), (2**64 - 1, "1795255200000.000000")])
def test_an_event_without_time_has_that_of_its_span(time: int, shown: str) -> None:
    repair = Repair("spans", NOW + 10**12)
    _, event = documents("spans", repair.request(traces(span(events=[{"name": "e", "time_unix_nano": time}]))))
    assert event["@timestamp"] == shown
    assert repair.counts["event_time"] == 1


@pytest.mark.parametrize(
    ("fields", "counts", "time"),
    [
        ({}, {"no_time": 1}, NOW),
        ({"time_unix_nano": 2**63, "observed_time_unix_nano": 2**64 - 1}, {"time": 2, "no_time": 1}, NOW),
        ({"time_unix_nano": NOW // 1000}, {"time_unit": 1}, NOW),
        ({"observed_time_unix_nano": 5}, {}, 5),
        ({"time_unix_nano": NOW, "trace_id": b"x", "span_id": b"y" * 16}, {"trace_id": 1, "span_id": 1}, NOW),
        ({"time_unix_nano": NOW, "body": deep(40)}, {"depth": 1}, NOW),
        ({"time_unix_nano": NOW, "severity_number": 99}, {}, NOW),
    ],
)
def test_a_log_record_stays(fields: dict[str, Any], counts: dict[str, int], time: int) -> None:
    repair = Repair("logs", NOW)
    payload = repair.request(logs(**fields))
    assert dict(+repair.counts) == counts
    (document,) = documents("logs", payload)
    assert document["@timestamp"] == f"{time // 10**6}.{time % 10**6:06d}"
    assert "trace_id" not in document
    assert "span_id" not in document


@pytest.mark.parametrize(("times", "shown"), [((5, 2**63), NOW), ((2**64 - 1, NOW + 7), NOW + 7), ((NOW, 0), NOW)])
def test_of_a_time_given_twice_the_last_counts(times: tuple[int, int], shown: int) -> None:
    """Whatever it is: an invalid one is not replaced by one before it."""
    twice = b"".join(put_fixed64(1, time) for time in times)
    payload = Repair("logs", NOW).request(put_bytes(1, put_bytes(2, put_bytes(2, twice))))
    (document,) = documents("logs", payload)
    assert document["@timestamp"] == f"{shown // 10**6}.{shown % 10**6:06d}"


def test_resources_and_scopes_do_not_cost_their_records() -> None:
    request = ExportLogsServiceRequest()
    outer = request.resource_logs.add()
    outer.resource.attributes.extend([*many(MAX_ATTRIBUTES), KeyValue(key="d", value=deep(40))])
    inner = outer.scope_logs.add()
    inner.scope.attributes.append(KeyValue(key="d", value=deep(40)))
    inner.log_records.add(time_unix_nano=NOW)
    repair = Repair("logs", NOW)
    (document,) = documents("logs", repair.request(request.SerializeToString()))
    assert dict(+repair.counts) == {"attributes": 1, "depth": 1}
    assert document["resource"]["dropped_attributes_count"] == 1


def test_a_secret_in_a_first_copy_is_redacted() -> None:
    """A request with a resource, a body and a value twice: rules see one of each."""
    resource = [
        put_bytes(1, KeyValue(key=key, value=text("hunter2")).SerializeToString()) for key in ("password", "password2")
    ]
    pair = (
        put_bytes(1, b"card") + put_bytes(2, text("4111111111111111").SerializeToString()) + put_bytes(2, b"\x18\x01")
    )
    body = put_bytes(5, put_bytes(6, put_bytes(1, pair))) + put_bytes(5, put_bytes(6, put_bytes(1, pair)))
    payload = put_bytes(1, b"".join(put_bytes(1, one) for one in resource) + put_bytes(2, put_bytes(2, body)))
    payload = Repair("logs", NOW).request(payload)
    for decoder in DECODERS:
        rules = Rules(keys=(KeyRule(("password*",), "mask"),), values=(named_rule("card", "mask"),))
        redacted = decoder.redactor(rules).logs(payload).payload
        assert b"hunter2" not in redacted
        assert b"4111" not in redacted
        assert redacted.count(b"[masked]") == 2


VALUES: st.SearchStrategy[AnyValue] = st.recursive(
    st.one_of(
        st.just(AnyValue()),
        st.text("aé", max_size=3).map(text),
        st.integers(-3, 300).map(lambda number: AnyValue(int_value=number)),
        st.just(AnyValue(double_value=1.5)),
        st.just(AnyValue(bytes_value=b"b")),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda found: AnyValue(array_value=ArrayValue(values=found))),
        st.lists(inner, max_size=2).map(
            lambda found: AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=one) for one in found]))
        ),
    ),
    max_leaves=5,
)


def scattered(message: Message, other: Message, dice: random.Random) -> bytes:
    """An encoding that holds both: messages that may stand once may stand twice, at every level."""
    parts: list[bytes] = []
    for one in (message, other):
        for known, value in one.ListFields():
            values = value if known.is_repeated else [value]
            for element in values:
                if known.message_type is None or dice.random() < 0.2:
                    single = type(one)()
                    target = getattr(single, known.name)
                    if known.is_repeated:
                        target.append(element)
                    elif known.message_type is None:
                        setattr(single, known.name, element)
                    else:
                        target.CopyFrom(element)
                    parts.append(single.SerializeToString())
                else:
                    donor = element if dice.random() < 0.5 else type(element)()
                    parts.append(put_bytes(known.number, scattered(element, donor, dice)))
    return b"".join(parts)


def a_request(signal: Signal, values: list[AnyValue]) -> Message:
    pairs = [KeyValue(key=key, value=value) for key, value in zip("abcdef", values, strict=False)]
    request: Any = REQUESTS[signal]()
    outer = getattr(
        request, {"spans": "resource_spans", "logs": "resource_logs", "metrics": "resource_metrics"}[signal]
    ).add()
    outer.resource.attributes.extend(pairs[:2])
    outer.resource.dropped_attributes_count = len(values)
    inner = getattr(outer, {"spans": "scope_spans", "logs": "scope_logs", "metrics": "scope_metrics"}[signal]).add()
    inner.scope.name = f"scope{len(values)}"
    if signal == "spans":
        made = span(attributes=pairs, name="n", status={"code": len(values) % 3, "message": "m" * (len(values) % 2)})
        inner.spans.append(made)
    elif signal == "logs":
        inner.log_records.add(time_unix_nano=NOW, body=values[0], attributes=pairs[1:], trace_id=b"t" * 16)
    else:
        metric = inner.metrics.add(name="m")
        if len(values) % 2:
            metric.gauge.data_points.add(time_unix_nano=NOW, as_int=len(values), attributes=pairs[2:])
        else:
            metric.exponential_histogram.data_points.add(
                time_unix_nano=NOW, count=3, positive={"offset": 1, "bucket_counts": [1, 2]}, attributes=pairs[2:]
            )
    return request


@pytest.mark.parametrize("signal", ["spans", "logs", "metrics"])
@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=5), st.lists(VALUES, min_size=1, max_size=5), st.integers(0, 2**32))
def test_messages_in_parts_are_merged_as_protobuf_does(
    signal: Signal, first: list[AnyValue], second: list[AnyValue], seed: int
) -> None:
    payload = scattered(a_request(signal, first), a_request(signal, second), random.Random(seed))
    theirs = REQUESTS[signal].FromString(payload)
    expected = Repair(signal, NOW).request(theirs.SerializeToString())
    ours = Repair(signal, NOW).request(payload)
    assert REQUESTS[signal].FromString(ours) == REQUESTS[signal].FromString(expected)
    if signal == "metrics":
        assert metric_batch([ours]) == metric_batch([expected])
        assert check_metrics(ours) == check_metrics(expected)
        return
    assert documents(signal, ours) == documents(signal, expected)
    for decoder in DECODERS:
        read = decoder.spans if signal == "spans" else decoder.logs
        a, b = read([ours], ["a", "c"], ["b"]), read([expected], ["a", "c"], ["b"])
        assert (a.groups, a.resources, a.trace_ids) == (b.groups, b.resources, b.trace_ids)


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"links": [{"traceId": "", "spanId": ""}]}, {"link": 1}),
        ({"links": [{"traceId": "zz", "spanId": 5}, 7]}, {"link": 1, "value": 3}),
        ({"parentSpanId": "xyz"}, {"value": 1}),
        ({"name": {"a": 1}, "status": 5}, {"value": 2}),
        ({"startTimeUnixNano": "soon", "endTimeUnixNano": None}, {"value": 1, "no_time": 1}),
        ({"events": [{"timeUnixNano": -5, "name": "e"}]}, {"value": 1, "event_time": 1}),
        ({"attributes": [5, {"key": "k", "value": {"intValue": "x"}}, {"key": "d", "value": 3}]}, {"value": 2}),
        ({"flags": -1, "droppedLinksCount": "many", "kind": "?"}, {"value": 2}),
    ],
)
def test_json_too(fields: dict[str, Any], counts: dict[str, int]) -> None:
    known = {"traceId": "74" * 16, "spanId": "73" * 8, "startTimeUnixNano": str(NOW), "endTimeUnixNano": str(NOW)}
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [known | fields]}]}]}
    done = TRANSCODERS["spans"](json.dumps(body).encode(), NOW)
    assert (done.check.items, done.check.rejected, done.repairs) == (1, 0, counts)
    assert documents("spans", done.payload)[0]["@timestamp"] == "1795255200000.000000"


def test_a_request_of_countless_empty_fields_is_bounded() -> None:
    payload = put_bytes(1, b"\x0a\x00" * 100_000 + b"\x12\x00" * 1000)
    assert len(Repair("spans", NOW).request(payload)) <= len(payload)
