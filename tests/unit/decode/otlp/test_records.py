"""Which records are refused, in which order of reasons, and how the message names them."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.payloads import (
    T0,
    event,
    link,
    log,
    logs_payload,
    nested,
    resource,
    resource_spans,
    scope,
    span,
    trace_payload,
)

from sidecar.decode.api import Check
from sidecar.decode.otlp import records
from sidecar.decode.otlp.limits import MAX_TIME_NS
from sidecar.decode.otlp.wire import put_varint
from sidecar.errors import DecodeError

MANY = [(f"k{i}", 1) for i in range(1025)]
DEEP = {"d": nested(33)}
AT = "resource_spans[0].scope_spans[0].spans[0]"


def test_nothing() -> None:
    assert records.check_spans(b"") == Check(0)
    assert records.check_logs(b"") == Check(0)
    assert records.check_spans(trace_payload(resource_spans())) == Check(0)


def test_accepted_spans_events_and_times() -> None:
    payload = trace_payload(span(events=[event(), event()]), span(), span(events=[event()], trace_id=b"x"))
    check = records.check_spans(payload)
    assert (check.items, check.events, check.rejected, check.timed) == (2, 2, 1, True)
    assert not records.check_spans(trace_payload(span(), span(start=0))).timed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"trace_id": b"x" * 15}, "trace_id: 15 bytes, must be 16"),
        ({"trace_id": b""}, "trace_id: 0 bytes, must be 16"),
        ({"trace_id": bytes(16)}, "trace_id: all zeros"),
        ({"span_id": b"x" * 9}, "span_id: 9 bytes, must be 8"),
        ({"span_id": bytes(8)}, "span_id: all zeros"),
        ({"parent": b"x"}, "parent_span_id: 1 bytes, must be 8 or none"),
        ({"start": MAX_TIME_NS + 1, "duration": 0}, f"start_time_unix_nano: {MAX_TIME_NS + 1}, at most {MAX_TIME_NS}"),
        ({"start": MAX_TIME_NS, "duration": 1}, f"end_time_unix_nano: {MAX_TIME_NS + 1}, at most {MAX_TIME_NS}"),
        ({"attributes": MANY}, "attributes: 1025, at most 1024"),
        ({"attributes": DEEP}, "attributes: nested deeper than 32"),
        ({"events": [event(), event(time=2**63)]}, f"events[1].time_unix_nano: {2**63}, at most {MAX_TIME_NS}"),
        ({"events": [event(attributes=MANY)]}, "events[0].attributes: 1025, at most 1024"),
        ({"events": [event(attributes=DEEP)]}, "events[0].attributes: nested deeper than 32"),
        ({"links": [link(), link(b"x")]}, "links[1].trace_id: 1 bytes, must be 16"),
        ({"links": [link(span_id=b"")]}, "links[0].span_id: 0 bytes, must be 8"),
        ({"links": [link(attributes=MANY)]}, "links[0].attributes: 1025, at most 1024"),
        # The first reason in the fixed order is the one that is reported.
        ({"links": [link(b"")], "events": [event(attributes=DEEP)]}, "events[0].attributes: nested deeper than 32"),
        ({"events": [event(time=2**63)], "attributes": DEEP}, "attributes: nested deeper than 32"),
        ({"attributes": [*MANY, *DEEP.items()], "parent": b"x"}, "parent_span_id: 1 bytes, must be 8 or none"),
        ({"trace_id": b"", "span_id": b""}, "trace_id: 0 bytes, must be 16"),
    ],
)  # fmt: skip
def test_refused_span(fields: dict[str, object], message: str) -> None:
    check = records.check_spans(trace_payload(span(**fields)))  # type: ignore[arg-type]
    assert check == Check(0, 0, 1, (f"{AT}.{message}",))


@pytest.mark.parametrize(
    "fields",
    [
        {"parent": bytes(8)},
        {"attributes": MANY[:1024]},
        {"attributes": {"d": nested(32)}},
        {"links": [link(bytes(16), bytes(8))]},
        {"start": MAX_TIME_NS, "duration": 0},
        {"start": 0},
        {"kind": 99, "status": 99},
    ],
)
def test_accepted_at_the_limit(fields: dict[str, object]) -> None:
    assert records.check_spans(trace_payload(span(**fields))).items == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"trace_id": b"x"}, "trace_id: 1 bytes, must be 16 or none"),
        ({"span_id": b"x"}, "span_id: 1 bytes, must be 8 or none"),
        ({"time": 2**63}, f"time_unix_nano: {2**63}, at most {MAX_TIME_NS}"),
        ({"observed": 2**64 - 1}, f"observed_time_unix_nano: {2**64 - 1}, at most {MAX_TIME_NS}"),
        ({"attributes": MANY, "body": nested(33)}, "attributes: 1025, at most 1024"),
        ({"body": nested(33)}, "body: nested deeper than 32"),
    ],
)
def test_refused_log(fields: dict[str, object], message: str) -> None:
    check = records.check_logs(logs_payload(log(**fields), log()))  # type: ignore[arg-type]
    path = "resource_logs[0].scope_logs[0].log_records[0]"
    assert check == Check(1, 0, 1, (f"{path}.{message}",), timed=True)


def test_zero_ids_of_a_log_are_absent_ones() -> None:
    assert records.check_logs(logs_payload(log(trace_id=bytes(16), span_id=bytes(8)))).items == 1


def test_log_time_or_observed_time_makes_it_timed() -> None:
    assert records.check_logs(logs_payload(log(time=0, observed=T0))).timed
    assert not records.check_logs(logs_payload(log(time=0))).timed


def test_a_resource_over_a_limit_refuses_its_records_and_is_reported_once() -> None:
    payload = trace_payload(resource_spans(span(), span(trace_id=b""), of=resource(attributes=MANY)), span())
    check = records.check_spans(payload)
    assert (check.items, check.rejected) == (1, 2)
    assert check.errors == ("resource_spans[0].resource.attributes: 1026, at most 1024",)


def test_a_scope_over_a_limit_refuses_its_records() -> None:
    check = records.check_logs(logs_payload(log(), log(), by=scope(attributes=DEEP)))
    assert (check.items, check.rejected) == (0, 2)
    assert check.errors == ("resource_logs[0].scope_logs[0].scope.attributes: nested deeper than 32",)


def test_at_most_five_messages() -> None:
    check = records.check_spans(trace_payload(*(span(trace_id=b"x" * i) for i in range(8))))
    assert check.rejected == 8
    assert [error.split(".")[2] for error in check.errors] == [f"spans[{i}]" for i in range(5)]


def test_malformed_payload_is_refused_as_a_whole() -> None:
    payload = trace_payload(span(), span())
    for cut in (1, 10, len(payload) - 1):
        with pytest.raises(DecodeError):
            records.check_spans(payload[:cut])


def test_the_last_resource_counts() -> None:
    first, second = resource_spans(span(), of=resource("first")), resource_spans(of=resource("second"))
    second.ClearField("scope_spans")
    merged = first.SerializeToString() + second.SerializeToString()
    payload = (
        ExportTraceServiceRequest(resource_spans=[]).SerializeToString() + b"\x0a" + put_varint(len(merged)) + merged
    )
    (placed,) = records.spans(payload)
    assert placed.resource.attributes.values["service.name"] == "second"


def test_records_know_their_resource() -> None:
    payload = logs_payload(log("a"), of=resource("x"))
    (placed,) = records.log_records(payload)
    assert (
        placed.record
        == records.build_log_record(
            {
                "time_unix_nano": T0,
                "severity_number": 9,
                "severity_text": "INFO",
                "body": ("a", False),
            },
            "",
        )[0]
    )
    assert placed.resource.attributes.values == {"service.name": "x"}
