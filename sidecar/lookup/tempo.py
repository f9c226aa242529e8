"""Traces in the words of Tempo's HTTP API: what Grafana's data source reads. Pure.

Shapes are those of Tempo's documentation of its HTTP API and of its protobuf, in protobuf's JSON mapping: 64-bit
numbers as text, ids of a trace's spans in base64 (those of search results are text in hex).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sidecar.decode.otlp.wire import put_bytes
from sidecar.lookup.answering import attributes_text
from sidecar.lookup.model import Span, Trace
from sidecar.lookup.otlp import PROTO_JSON, json_resource_spans, json_value, traces_data
from sidecar.lookup.search import Found, Match
from sidecar.lookup.store import Term
from sidecar.lookup.traceql.evaluate import SpanSet, value_of
from sidecar.lookup.traceql.metric_queries import Series
from sidecar.lookup.traceql.syntax import (
    INTRINSICS,
    Attribute,
    Binary,
    Combined,
    Expression,
    Filter,
    Intrinsic,
    Piped,
    Query,
    Spans,
    Unary,
)

_MS = 1_000_000


def trace_protobuf(trace: Trace) -> bytes:
    """`tempopb.Trace`."""
    return traces_data(trace.spans)


def trace_json(trace: Trace) -> dict[str, Any]:
    """The same in JSON."""
    return {"batches": json_resource_spans(trace.spans, PROTO_JSON)}


def trace_v2_protobuf(trace: Trace) -> bytes:
    """`tempopb.TraceByIDResponse`: trace (1), metrics (2), status (3), message (4)."""
    partial = b"\x18\x01" + put_bytes(4, _partly(trace).encode()) if trace.truncated else b""
    return put_bytes(1, traces_data(trace.spans)) + put_bytes(2, b"") + partial


def trace_v2_json(trace: Trace) -> dict[str, Any]:
    """The same in JSON."""
    partial = {"status": "PARTIAL", "message": _partly(trace)} if trace.truncated else {}
    return {"trace": {"resourceSpans": json_resource_spans(trace.spans, PROTO_JSON)}, "metrics": {}, **partial}


def _partly(trace: Trace) -> str:
    return f"only {len(trace.spans)} spans are shown: the trace has more"


def search_json(found: Found, query: Query, spans_per_set: int) -> dict[str, Any]:
    """`tempopb.SearchResponse`. Spans of a set that are more than `spans_per_set` are counted, not shown."""
    fields = shown_fields(query)
    return {
        "traces": [_match(match, fields, spans_per_set) for match in found.matches],
        "metrics": {
            "inspectedTraces": found.inspected,
            "totalJobs": 1,
            "completedJobs": 1 if found.complete else 0,
        },
    }


def _match(match: Match, fields: Sequence[Attribute | Intrinsic], most: int) -> dict[str, Any]:
    trace = match.trace
    sets = [_span_set(one, trace, fields, most) for one in match.sets]
    stats: dict[str, dict[str, int]] = {}
    for span in trace.spans:
        of_service = stats.setdefault(span.service, {"spanCount": 0})
        of_service["spanCount"] += 1
        if span.status == "Error":
            of_service["errorCount"] = of_service.get("errorCount", 0) + 1
    root = trace.root
    return {
        "traceID": trace.trace_id,
        "rootServiceName": root.service if root else "",
        "rootTraceName": root.name if root else "",
        "startTimeUnixNano": str(trace.start_ns),
        "durationMs": trace.duration_ns // _MS,
        "spanSet": sets[0],
        "spanSets": sets,
        "serviceStats": stats,
    }


def _span_set(one: SpanSet, trace: Trace, fields: Sequence[Attribute | Intrinsic], most: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "spans": [_span(span, trace, fields) for span in one.spans[:most]],
        "matched": len(one.spans),
    }
    if one.labels:
        made["attributes"] = [{"key": key, "value": json_value(value)} for key, value in one.labels.items()]
    return made


def _span(span: Span, trace: Trace, fields: Sequence[Attribute | Intrinsic]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "spanID": span.span_id,
        "name": span.name,
        "startTimeUnixNano": str(span.start_ns),
        "durationNanos": str(span.duration_ns),
    }
    attributes = [(_key(field), value_of(field, span, trace)) for field in fields]
    listed = [{"key": k, "value": json_value(v)} for k, v in attributes if isinstance(v, (str, int, float))]
    if listed:
        shown["attributes"] = listed
    return shown


def _key(field: Attribute | Intrinsic) -> str:
    return field.name


def shown_fields(query: Query) -> list[Attribute | Intrinsic]:
    """The fields that a query mentions: those it selects, and those of its conditions but for what is shown anyway."""
    found = dict.fromkeys((*_fields_of_spans(query.source), *query.selected))
    return [f for f in found if not isinstance(f, Intrinsic) or f.name not in ("name", "duration")]


def _fields_of_spans(source: Spans) -> Iterable[Attribute | Intrinsic]:
    match source:
        case Filter(condition):
            yield from _fields(condition)
        case Combined(_, left, right):
            yield from _fields_of_spans(left)
            yield from _fields_of_spans(right)
        case Piped(inner, _):
            yield from _fields_of_spans(inner)


def _fields(expression: Expression | None) -> Iterable[Attribute | Intrinsic]:
    match expression:
        case Attribute() | Intrinsic():
            yield expression
        case Unary(_, operand):
            yield from _fields(operand)
        case Binary(_, left, right):
            yield from _fields(left)
            yield from _fields(right)


# -- metrics


def series_json(series: Sequence[Series], times_ms: Sequence[int]) -> dict[str, Any]:
    """`tempopb.QueryRangeResponse`."""
    return {"series": [_series(one, times_ms) for one in series], "metrics": {}}


def instant_json(series: Sequence[Series], time_ms: int) -> dict[str, Any]:
    """`tempopb.QueryInstantResponse`: one value of each series."""
    found = [
        {**_labels(one), "value": one.values[-1], "timestampMs": str(time_ms)}
        for one in series
        if one.values[-1] is not None
    ]
    return {"series": found, "metrics": {}}


def _series(one: Series, times_ms: Sequence[int]) -> dict[str, Any]:
    samples = [
        {"timestampMs": str(time), "value": value}
        for time, value in zip(times_ms, one.values, strict=True)
        if value is not None
    ]
    exemplars = [
        {
            "labels": [{"key": "trace:id", "value": {"stringValue": trace_id}}],
            "value": value,
            "timestampMs": str(time_ns // _MS),
        }
        for time_ns, value, trace_id in one.exemplars
    ]
    return {**_labels(one), "samples": samples, **({"exemplars": exemplars} if exemplars else {})}


def _labels(one: Series) -> dict[str, Any]:
    labels = [{"key": key, "value": json_value("nil" if value is None else value)} for key, value in one.labels]
    text = ",".join(f"{key}={_prom_quoted(value)}" for key, value in one.labels)
    return {"labels": labels, "promLabels": f"{{{text}}}"}


def _prom_quoted(value: Any) -> str:
    """A label's value in quotes, as Prometheus writes it."""
    text = "nil" if value is None else attributes_text(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


# -- tags

_INTRINSIC_TAGS = tuple(sorted(set(INTRINSICS.values()) | {"trace:rootName", "trace:rootService", "trace:duration"}))
_FIXED_VALUES: Mapping[str, tuple[str, ...]] = {
    "status": ("error", "ok", "unset"),
    "kind": ("client", "consumer", "internal", "producer", "server", "unspecified"),
}


def tags_json(names: Mapping[str, Sequence[str]], scope: str) -> dict[str, Any]:
    """Names of tags by scope; all scopes where none is named."""
    every = {**names, "intrinsic": _INTRINSIC_TAGS}
    return {
        "scopes": [{"name": name, "tags": list(tags)} for name, tags in every.items() if scope in ("", "none", name)]
    }


def tag_of(name: str) -> Term | None:
    """The property that a tag names, as in `resource.service.name`, `.http.route`, `name`; None where it has no list of
    values."""
    name = {"span:name": "name", "span:kind": "kind", "span:status": "status", "rootServiceName": "service.name"}.get(
        name, name
    )
    name = {"trace:rootService": "service.name", "rootName": "name", "trace:rootName": "name"}.get(name, name)
    if name in ("name", "kind", "status"):
        return Term("intrinsic", name)
    if name in ("service.name", "resource.service.name", ".service.name"):
        return Term("intrinsic", "service")
    if name in INTRINSICS or ":" in name.split(".")[0]:
        return None
    scope, _, rest = name.partition(".")
    if scope in ("span", "resource") and rest:
        return Term(scope, rest.strip('"'))
    return Term("", name.removeprefix(".").strip('"'))


def fixed_values(term: Term) -> tuple[str, ...]:
    """The values of a property that has no others."""
    return _FIXED_VALUES.get(term.name, ()) if term.scope == "intrinsic" else ()


def typed_values(values: Iterable[Any], keyword: bool = False) -> dict[str, Any]:
    """Values with their types, as the v2 API has them."""
    return {"tagValues": [_typed(value, keyword) for value in values]}


def _typed(value: Any, keyword: bool) -> dict[str, str]:
    match value:
        case bool():
            return {"type": "bool", "value": "true" if value else "false"}
        case int():
            return {"type": "int", "value": str(value)}
        case float():
            return {"type": "float", "value": repr(value)}
        case _:
            return {"type": "keyword" if keyword else "string", "value": str(value)}
