"""Payloads whose documents are kept in tests/golden/documents, one file a case: a JSON list of (action, document).

`python -m support.document_cases` (in tests/) rewrites them from the reference decoder; read the difference before
keeping it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from sidecar.decode.api import Decoder, Lines
from sidecar.decode.python import ReferenceDecoder
from support.payloads import (
    SPAN_ID,
    T0,
    TRACE_ID,
    any_value,
    event,
    link,
    log,
    logs_payload,
    resource,
    resource_spans,
    scope,
    span,
    trace_payload,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "documents"


def full_span() -> bytes:
    return trace_payload(
        span(
            parent=bytes(7) + b"\x01",
            status=2,
            message="boom",
            trace_state="vendor=1,ot=th:8",
            attributes={"http.route": "/predict", "http.response.status_code": 500, "sampled": True, "ratio": 1.0},
            events=[
                event(attributes={"exception.type": "ValueError"}, dropped_attributes_count=2),
                event("", T0 + 2),
            ],
            links=[link(attributes={"why": "batch"}, trace_state="a=b", dropped_attributes_count=1)],
            dropped_attributes_count=3,
            dropped_events_count=4,
            dropped_links_count=5,
        ),
        of=resource(attributes={"host.name": "h"}),
    )


def bare_span() -> bytes:
    """Nothing but what a span must have, under a resource and scope that say nothing."""
    bare = span("", kind=0, start=0, duration=0)
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[bare])])]
    ).SerializeToString()


def odd_spans() -> bytes:
    """Enums outside their range, an end before the start, a parent of zeros, one refused between two accepted."""
    return trace_payload(
        span(kind=9, status=9, duration=-5, parent=bytes(8)),
        span(trace_id=b"short"),
        span("último café 漢字 😀", attributes={"quote": 'a"b\\c\n\t\x01\x7f\u2028</script>'}),
    )


def values() -> bytes:
    """Every kind of attribute value, odd ones too."""
    return logs_payload(
        log(
            None,
            attributes={
                "int": -(2**63),
                "big": 2**63 - 1,
                "double": 0.1,
                "integral": 3.0,
                "tiny": 1e-7,
                "small": 0.000001,
                "huge": 1e21,
                "large": 123456789012345680000.0,
                "minus zero": -0.0,
                "nan": math.nan,
                "infinite": -math.inf,
                "bytes": b"\x00\xff\x10",
                "none": None,
                "empty": "",
                "list": [1, "a", None, [2.0], {"k": b"\x01"}],
                "map": {"b": 1, "a": {"c": True}, "": "unnamed"},
                "empty list": [],
                "empty map": {},
            },
        )
    )


def repeated_keys() -> bytes:
    """The first of a repeated key counts; keys without a visible character become `_`."""
    return logs_payload(log(attributes=[("a", 1), ("a", 2), ("", 3), (" ", 4), ("_", 5), ("a.b", 6)]))


def bodies() -> bytes:
    return logs_payload(
        log("text"),
        log(""),
        log(7),
        log(2.5),
        log(False),
        log(b"\xca\xfe"),
        log({"message": "m", "n": {"k": 1}}),
        log([{"a": 1}, {"b": 2}]),
        log([]),
        log([1, {"b": 2}]),
        log(any_value(None)),
        log(math.nan),
    )


def full_log() -> bytes:
    return logs_payload(
        log(
            "payment refused",
            observed=T0 + 1_000_000,
            severity=17,
            text="Error",
            trace_id=TRACE_ID,
            span_id=SPAN_ID,
            attributes={"user.id": "u1"},
            event_name="payment.refused",
            dropped_attributes_count=1,
        ),
        log("observed only", time=0, observed=T0),
        log("no time", time=0),
        log("zero ids", trace_id=bytes(16), span_id=bytes(8), severity=99),
        log("named by attribute", attributes={"event.name": "cart.emptied"}),
        of=resource(attributes={"k8s.pod.name": "p-0"}),
        by=scope("app", "2.1", {"scope.kind": "x"}),
    )


def data_streams() -> bytes:
    """Dataset and namespace from record, then scope, then resource; names made fit for an index."""
    own = {"data_stream.type": "metrics", "data_stream.dataset": "My-App/v2", "data_stream.namespace": "Team A"}
    of = resource(attributes={"data_stream.dataset": "from.resource", "data_stream.namespace": "prod-eu"})
    by = scope(attributes={"data_stream.dataset": "from.scope.otel"})
    return trace_payload(
        resource_spans(
            span(attributes={**own, "kept": 1}, events=[event(attributes={"data_stream.dataset": "événement"})]),
            span(attributes={"data_stream.dataset": ""}),
            of=of,
            by=by,
        ),
        resource_spans(span(attributes={"data_stream.dataset": "d" * 120, "data_stream.namespace": "n" * 120})),
    )


CASES: dict[str, Callable[[], bytes]] = {
    case.__name__: case
    for case in (full_span, bare_span, odd_spans, values, repeated_keys, bodies, full_log, data_streams)
}


def lines_of(decoder: Decoder, case: str) -> Lines:
    payload = CASES[case]()
    if case in ("values", "repeated_keys", "bodies", "full_log"):
        return decoder.log_lines([payload], ["0123456789abcdef-42"])
    return decoder.span_lines([payload])


def documents_of(lines: Lines) -> str:
    """The line pairs as readable JSON; member order and number spelling are kept as the lines have them."""
    pairs = lines.body.decode().split("\n")[:-1]
    shown = [f"[\n  {pairs[i]},\n  {pairs[i + 1]}\n]" for i in range(0, len(pairs), 2)]
    return "[\n" + ",\n".join(shown) + "\n]\n"


if __name__ == "__main__":
    for name in CASES:
        text = documents_of(lines_of(ReferenceDecoder(), name))
        json.loads(text)
        (GOLDEN / f"{name}.json").write_text(text, encoding="utf-8")
