"""Where the accepted records of a request lie, against the whole decoder."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from support.payloads import resource, resource_spans, scope, span, trace_payload

from sidecar.decode.otlp import records
from sidecar.decode.otlp.positions import accepted_records
from sidecar.decode.otlp.wire import put_bytes
from sidecar.errors import DecodeError

BAD = span("bad", trace_id=bytes(16))


def names(payload: bytes, accepted: int) -> list[list[bytes]]:
    found = accepted_records(payload, accepted, records.spans)
    return [[payload[slice(*place)] for place in one.records] for one in found]


def test_records_lie_where_the_whole_decoder_reads_them() -> None:
    payload = trace_payload(
        resource_spans(span("a"), span("b"), of=resource("x"), by=scope("one")), resource_spans(span("c"))
    )
    assert names(payload, 3) == [[span(one).SerializeToString() for one in row] for row in ("ab", "c")]


def test_refused_records_are_left_out_by_the_rules_of_the_decoder() -> None:
    payload = trace_payload(resource_spans(BAD, span("a"), BAD), resource_spans(BAD), resource_spans(span("b")))
    good = [span(one).SerializeToString() for one in "ab"]
    assert names(payload, 2) == [good[:1], [], good[1:]]


def test_of_a_scope_or_resource_that_stands_twice_the_last_counts() -> None:
    record = put_bytes(2, span("a").SerializeToString())
    scopes = put_bytes(1, b"\x0a\x01s") + record + put_bytes(1, b"\x0a\x01t")
    payload = put_bytes(1, put_bytes(1, b"") + put_bytes(2, scopes) + put_bytes(1, b"\x10\x01"))
    (found,) = accepted_records(payload, 1, records.spans)
    assert found.scope is not None
    assert found.resource is not None
    assert payload[slice(*found.scope)] == b"\x0a\x01t"
    assert payload[slice(*found.resource)] == b"\x10\x01"


def test_a_malformed_payload_raises() -> None:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(severity_text="x")
    with pytest.raises(DecodeError):
        accepted_records(request.SerializeToString()[:-1], 1, records.log_records)
