"""Hypothesis strategies of OTLP payloads: valid ones, odd ones, and damaged ones."""

from __future__ import annotations

from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from support import payloads

UINT64 = st.integers(0, 2**64 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
UINT32 = st.integers(0, 2**32 - 1)
TIME = st.one_of(st.integers(0, 2**63 - 1), st.just(0), st.integers(payloads.T0, payloads.T0 + 10**10))

KEYS = st.one_of(
    st.sampled_from(
        [
            "service.name",
            "http.route",
            "exception.type",
            "event.name",
            "data_stream.dataset",
            "data_stream.namespace",
            "",
        ]
    ),
    st.text(max_size=8),
)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), INT64, st.floats(), st.text(max_size=12), st.binary(max_size=8), st.just("é\u20ac😀")
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
ATTRIBUTES = st.lists(st.tuples(KEYS, VALUES), max_size=4)

IDS16 = st.binary(min_size=16, max_size=16).filter(any)
IDS8 = st.binary(min_size=8, max_size=8).filter(any)
ODD_IDS = st.one_of(IDS16, IDS8, st.binary(max_size=20), st.just(bytes(16)), st.just(bytes(8)))
TRACE_STATES = st.one_of(
    st.just(""), st.just("ot=th:8"), st.just("a=b, ot=rv:1;th:e0 ,c=d"), st.text("ot=h:;,abcdef0189 ", max_size=14)
)

EVENTS = st.builds(payloads.event, st.text(max_size=6), TIME, ATTRIBUTES, dropped_attributes_count=UINT32)


def links(trace_ids: st.SearchStrategy[bytes], span_ids: st.SearchStrategy[bytes]) -> st.SearchStrategy[Span.Link]:
    return st.builds(payloads.link, trace_ids, span_ids, ATTRIBUTES, trace_state=TRACE_STATES)


@st.composite
def spans(draw: st.DrawFn, odd: bool = False) -> Span:
    """A span that is accepted; `odd`: ids of any length, times and enums of any value."""
    trace_ids, span_ids = (ODD_IDS, ODD_IDS) if odd else (IDS16, IDS8)
    result = payloads.span(
        draw(st.text(max_size=8)),
        trace_id=draw(trace_ids),
        span_id=draw(span_ids),
        parent=draw(st.just(b"") | span_ids),
        kind=draw(st.integers(0, 9 if odd else 5)),
        start=0,
        duration=0,
        status=draw(st.integers(0, 9 if odd else 2)),
        message=draw(st.text(max_size=6)),
        attributes=draw(ATTRIBUTES),
        events=draw(st.lists(EVENTS, max_size=2)),
        links=draw(st.lists(links(trace_ids, span_ids), max_size=2)),
        trace_state=draw(TRACE_STATES),
        dropped_attributes_count=draw(UINT32),
        flags=draw(UINT32),
    )
    result.start_time_unix_nano = draw(UINT64 if odd else TIME)
    result.end_time_unix_nano = draw(UINT64 if odd else TIME)
    return result


@st.composite
def logs(draw: st.DrawFn, odd: bool = False) -> LogRecord:
    """A log record that is accepted; `odd`: ids of any length, times and enums of any value."""
    return payloads.log(
        draw(VALUES),
        time=draw(UINT64 if odd else TIME),
        observed=draw(UINT64 if odd else TIME),
        severity=draw(st.integers(0, 40 if odd else 24)),
        text=draw(st.sampled_from(["", "info", "Warning", "x"])),
        trace_id=draw(ODD_IDS if odd else st.just(b"") | IDS16),
        span_id=draw(ODD_IDS if odd else st.just(b"") | IDS8),
        attributes=draw(ATTRIBUTES),
        event_name=draw(st.text(max_size=4)),
    )


RESOURCES = st.builds(payloads.resource, st.one_of(st.none(), st.text(max_size=5), VALUES), ATTRIBUTES)
SCOPES = st.builds(payloads.scope, st.text(max_size=4), st.text(max_size=2), ATTRIBUTES)


@st.composite
def trace_requests(draw: st.DrawFn, odd: bool = False) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=draw(RESOURCES),
                scope_spans=[
                    ScopeSpans(scope=draw(SCOPES), spans=draw(st.lists(spans(odd), max_size=3)), schema_url=url)
                    for url in draw(st.lists(st.text(max_size=3), max_size=2))
                ],
                schema_url=draw(st.text(max_size=3)),
            )
            for _ in range(draw(st.integers(0, 2)))
        ]
    )


@st.composite
def logs_requests(draw: st.DrawFn, odd: bool = False) -> ExportLogsServiceRequest:
    return ExportLogsServiceRequest(
        resource_logs=[
            ResourceLogs(
                resource=draw(RESOURCES),
                scope_logs=[
                    ScopeLogs(scope=draw(SCOPES), log_records=draw(st.lists(logs(odd), max_size=3)), schema_url=url)
                    for url in draw(st.lists(st.text(max_size=3), max_size=2))
                ],
                schema_url=draw(st.text(max_size=3)),
            )
            for _ in range(draw(st.integers(0, 2)))
        ]
    )


@st.composite
def damaged(draw: st.DrawFn, payload: bytes) -> bytes:
    """A payload with a few bytes changed, cut out or put in, or cut off."""
    result = bytearray(payload)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(result)))
        match draw(st.sampled_from(["change", "insert", "remove", "cut"])):
            case "change" if place < len(result):
                result[place] = draw(st.integers(0, 255))
            case "insert":
                result[place:place] = draw(st.binary(max_size=4))
            case "remove":
                del result[place : place + draw(st.integers(1, 4))]
            case _:
                del result[place:]
    return bytes(result)


@st.composite
def hostile(draw: st.DrawFn, signal: str) -> bytes:
    """Bytes that may be anything: an odd request, a damaged one, or noise."""
    requests = trace_requests(odd=True) if signal == "spans" else logs_requests(odd=True)
    kind = draw(st.sampled_from(["odd", "damaged", "noise"]))
    if kind == "noise":
        return draw(st.binary(max_size=60))
    payload = draw(requests).SerializeToString()
    return draw(damaged(payload)) if kind == "damaged" else payload


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["1700000000", "2026-11-21T10:00:00Z", "ERROR", "0af7651916cd43dd8448eb211c80319c"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
