"""Parents, scopes and first events, read from the wire, against the whole decoder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.payloads import T0, event, resource, resource_spans, scope, span, trace_payload

from sidecar.decode.otlp import records
from sidecar.decode.otlp.span_relations import SpanRelations
from sidecar.errors import DecodeError

A, B = (n.to_bytes(8, "big") for n in (1, 2))
made = st.builds(
    lambda own, parent, times, refused: span(
        span_id=own.to_bytes(8, "big"),
        parent=parent.to_bytes(8, "big") if parent else b"",
        trace_id=bytes(16) if refused else b"t" * 16,
        attributes={"chunk": "chunk", "n": [1, {"a": 2}]},
        events=[event(name, time) for name, time in times],
    ),
    st.integers(1, 9),
    st.integers(0, 9),
    st.lists(st.tuples(st.sampled_from(["chunk", "first", "other"]), st.integers(0, 2**62)), max_size=4),
    st.booleans(),
)


def test_the_parent_and_the_earliest_of_the_events() -> None:
    spans = [
        span(span_id=A, events=[event("chunk", T0 + 9), event("other", T0 + 1), event("chunk", T0 + 3)]),
        span("chunk", span_id=B, parent=A, events=[event("other", T0)]),
    ]
    payload = trace_payload(
        resource_spans(spans[0], of=resource("a"), by=scope("one")), resource_spans(spans[1], by=scope(""))
    )
    links = SpanRelations(payload, 2)
    assert [links.parent(n) for n in (0, 1)] == [b"", A]
    assert [links.scope(n) for n in (0, 1)] == [b"one", b""]
    assert [links.first(n, ("chunk",)) for n in (0, 1)] == [T0 + 3, 0], "a name elsewhere in a span is no event"
    assert links.first(0, ()) == 0


@given(st.lists(st.tuples(made, st.sampled_from(["", "lib", "é"])), max_size=6))
def test_it_is_what_the_whole_decoder_reads_of_accepted_spans(spans: list[tuple[Span, str]]) -> None:
    payload = trace_payload(*(resource_spans(one, by=scope(name)) for one, name in spans))
    accepted = [one for one in records.spans(payload) if not one.rejection]
    links = SpanRelations(payload, len(accepted))
    for n, placed in enumerate(accepted):
        record = placed.record
        assert isinstance(record, records.Span)
        assert links.scope(n) == placed.scope.name.encode()
        times = [e.time_unix_nano for e in record.events if e.name in ("chunk", "first") and e.time_unix_nano]
        assert links.parent(n) == record.parent_span_id
        assert links.first(n, ("chunk", "first")) == min(times, default=0)


def test_a_payload_that_is_cut_off() -> None:
    payload = trace_payload(span(events=[event("chunk")]))
    with pytest.raises(DecodeError):
        SpanRelations(payload[:-3], 1)


def test_a_parent_of_zeros_is_none() -> None:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, parent_span_id=bytes(8))
    spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, parent_span_id=b"p" * 8)
    links = SpanRelations(request.SerializeToString(), 2)
    assert [links.parent(0), links.parent(1)] == [b"", b"p" * 8]
