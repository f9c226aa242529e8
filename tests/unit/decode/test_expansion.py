"""A small payload cannot come to more than MAX_EXPANDED_BYTES of documents, whichever way it is read."""

from __future__ import annotations

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.payloads import event, log, logs_payload, resource, resource_spans, span, trace_payload

from sidecar.decode.api import Decoder
from sidecar.decode.logs import json_record
from sidecar.decode.otlp import records
from sidecar.decode.otlp.limits import MAX_EXPANDED_BYTES
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.redaction.rules import Rules
from sidecar.decode.select import native_decoder

BIG = 16 << 20
FITTING = MAX_EXPANDED_BYTES // BIG - 1


@pytest.fixture(params=["native", "reference"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    if request.param == "reference":
        return ReferenceDecoder()
    found = native_decoder()
    if found is None:
        pytest.skip("the native core is not installed")
    return found


def test_records_behind_the_bound_are_refused(decoder: Decoder) -> None:
    payload = trace_payload(
        *(span(str(i)) for i in range(10)), span(trace_id=b""), of=resource("svc", {"k": "x" * BIG})
    )
    check = decoder.check_spans(payload)
    assert (check.items, check.rejected) == (FITTING, 11 - FITTING)
    assert check.errors[0].startswith(f"resource_spans[0].scope_spans[0].spans[{FITTING}]: with resource and scope")
    assert "send fewer records" in check.errors[0]
    assert "trace_id: 0 bytes" in check.errors[-1]
    assert len(decoder.spans([payload], [])) == FITTING
    redacted = decoder.redactor(Rules()).spans(payload)
    assert redacted.items == FITTING
    assert decoder.check_spans(redacted.payload).rejected == 0


def test_documents_stop_there_too(decoder: Decoder) -> None:
    payload = logs_payload(*(log(str(i)) for i in range(10)), of=resource("svc", {"k": "x" * BIG}))
    assert decoder.check_logs(payload).items == len(decoder.logs([payload], [])) == FITTING
    lines = decoder.log_lines([payload], ["p"])
    assert lines.docs == [FITTING]
    assert len(lines.body) < MAX_EXPANDED_BYTES + 10_000


def test_span_events_count(decoder: Decoder) -> None:
    many = span("many", events=[event()] * 10)
    payload = trace_payload(span("one"), many, span("two"), of=resource("svc", {"k": "x" * BIG}))
    check = decoder.check_spans(payload)
    assert (check.items, check.events, check.rejected) == (1, 0, 2)


def test_a_schema_url_behind_the_records_counts(decoder: Decoder) -> None:
    group = resource_spans(*(span(str(i)) for i in range(10)))
    group.scope_spans[0].schema_url = "u" * BIG
    payload = ExportTraceServiceRequest(resource_spans=[group]).SerializeToString()
    assert decoder.check_spans(payload).items == len(decoder.spans([payload], [])) == FITTING


def test_the_sum_is_over_the_whole_request(decoder: Decoder) -> None:
    groups = [resource_spans(span(str(i)), of=resource(str(i), {"k": "x" * BIG})) for i in range(9)]
    assert decoder.check_spans(trace_payload(*groups)).items == FITTING


def test_what_is_added_counts(decoder: Decoder) -> None:
    payload = trace_payload(*(span(str(i)) for i in range(6)), of=resource("svc", {"k": "x" * BIG}))
    redacted = decoder.redactor(Rules(add=(("more", "y" * (BIG // 2)),))).spans(payload)
    assert redacted.items == 5
    assert redacted.ordinals is not None
    assert np.array_equal(redacted.ordinals, range(5))
    assert decoder.check_spans(redacted.payload).rejected == 0


def test_log_lines_that_come_to_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_record, "MAX_EXPANDED_BYTES", 1000)
    monkeypatch.setattr(records, "MAX_EXPANDED_BYTES", 1000)
    body = b'{"msg":"x","service":"checkout","time":"2024-01-01T00:00:00Z"}\n' * 20
    found = ReferenceDecoder().json_lines(body, 1)
    assert 0 < found.check.items < 20
    assert found.check.items + found.check.rejected == 20
    assert found.check.timed
    assert ReferenceDecoder().check_logs(found.payload).items == found.check.items
