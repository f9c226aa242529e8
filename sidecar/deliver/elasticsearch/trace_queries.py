"""What look-ups ask, in the query language of Elasticsearch and OpenSearch. Pure.

A query finds all spans that meet the needs it was made of, and may find more: who asks judges each document. So a
condition is left out where an index might not know: a value longer than the mapping indexes, a number in a field that
was mapped as text, a field that moved to the attribute of conflicts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sidecar.decode.api import UNKNOWN_SERVICE
from sidecar.lookup.document_traces import CONFLICTS
from sidecar.lookup.store import Condition, Needs, Pieces, Term, Window

Query = dict[str, Any]
SERVICE = "resource.attributes.service.name"
_UNNAMED: Query = {"bool": {"must_not": [{"exists": {"field": SERVICE}}]}}
MAX_INDEXED_CHARS = 8_191
"""`ignore_above` of the templates."""
_LONGEST_INTEGER = 1 << 63
SORT: list[dict[str, Any]] = [
    {"@timestamp": {"order": "desc", "unmapped_type": "date_nanos", "numeric_type": "date_nanos"}},
    *({name: {"order": "desc", "unmapped_type": "keyword"}} for name in ("span_id", "trace_id", "kind")),
]
"""Newest first. Only one document that is there twice has the same place twice."""


def time_text(time_ns: int) -> str:
    """Unix nanoseconds as the templates' format of dates reads them."""
    bounded = min(max(time_ns, 0), _LONGEST_INTEGER - 1)
    return f"{bounded // 1_000_000}.{bounded % 1_000_000:06d}"


def number_fields(needs: Sequence[Needs]) -> list[str]:
    """The fields of attributes that the needs compare with numbers, whose kind has to be known for that."""
    conditions = [c for need in needs for c in need.every if c.term.scope != "intrinsic" and _is_range(c)]
    return list(dict.fromkeys(field for c in conditions for field in field_names(c.term)))


def _is_range(condition: Condition) -> bool:
    return not condition.values and not condition.pieces


def spans_query(needs: Sequence[Needs], window: Window, numbers: Collection[str] = ()) -> Query:
    """Spans within a window that may meet one of the needs. `numbers`: fields that hold numbers in every index."""
    when = {"range": {"@timestamp": {"gte": time_text(window.start_ns), "lte": time_text(window.end_ns)}}}
    either = [{"bool": {"filter": [_condition(c, numbers) for c in need.every]}} for need in needs]
    return {"bool": {"filter": [when, *([_any_of(either)] if either else [])]}}


def traces_query(trace_ids: Sequence[str]) -> Query:
    """Documents of traces."""
    return {"bool": {"filter": [_of_traces(trace_ids)]}}


def _of_traces(trace_ids: Sequence[str]) -> Query:
    return {"terms": {"trace_id": list(trace_ids)}}


def field_names(term: Term) -> list[str]:
    """The fields that a property is in."""
    if term.scope == "intrinsic":
        return [{"service": SERVICE, "status": "status.code"}.get(term.name, term.name)]
    found = [f"attributes.{term.name}"] if term.scope in ("", "span") else []
    return found + ([f"resource.attributes.{term.name}"] if term.scope in ("", "resource") else [])


def companions_query(trace_ids: Sequence[str], needs: Sequence[Needs]) -> dict[str, Any]:
    """Which of the traces have a span that may meet one of the needs, whenever it began."""
    either = [{"bool": {"filter": [_condition(c) for c in need.every]}} for need in needs]
    query = {"bool": {"filter": [_of_traces(trace_ids), _any_of(either)]}}
    # The ids of all traces would be numbered again each time that spans have come in.
    return values_aggregation(query, "trace_id", len(trace_ids), execution_hint="map")


def operations_aggregation(service: str, after: dict[str, Any] | None, size: int) -> dict[str, Any]:
    """A page of the operations of a service."""
    sources = [{name: {"terms": {"field": name, "missing_bucket": True}}} for name in ("name", "kind")]
    composite: dict[str, Any] = {"size": size, "sources": sources}
    if after is not None:
        composite["after"] = after
    wanted = _intrinsic(Condition(Term("intrinsic", "service"), (service,)))
    return {
        "size": 0,
        "track_total_hits": False,
        "query": {"bool": {"filter": [wanted]}},
        "aggs": {"operations": {"composite": composite}},
    }


def values_aggregation(query: Query, field: str, size: int, **options: str) -> dict[str, Any]:
    """The values of a field, those of most documents. `options`: of the aggregation `terms`."""
    return {
        "size": 0,
        "track_total_hits": False,
        "query": query,
        "aggs": {"values": {"terms": {"field": field, "size": size, **options}}},
    }


def _any_of(queries: list[Query]) -> Query:
    return {"bool": {"should": queries, "minimum_should_match": 1}}


def _condition(condition: Condition, numbers: Collection[str] = ()) -> Query:
    if condition.term.scope == "intrinsic":
        return _intrinsic(condition)
    moved: Query = {"exists": {"field": f"attributes.{CONFLICTS}"}}
    if condition.pieces:
        return _any_of([*_with_pieces(field_names(condition.term), condition.pieces), moved])
    found: list[Query] = []
    for field in field_names(condition.term):
        if _is_range(condition) and field in numbers:
            bounds = {"gte": condition.low, "lte": condition.high}
            found.append({"range": {field: {key: value for key, value in bounds.items() if value is not None}}})
            # A number that did not fit the field was left out of its index.
            found.append({"term": {"_ignored": field}})
        elif not condition.values or any(len(str(value)) > MAX_INDEXED_CHARS for value in condition.values):
            found.append({"exists": {"field": field}})
        else:
            found += [{"match": {field: {"query": _number(value), "lenient": True}}} for value in condition.values]
    return _any_of([*found, moved])


def _with_pieces(fields: list[str], pieces: Pieces) -> list[Query]:
    """Texts with the pieces; those that are too long to be indexed too. `query_string`, since it lets fields of numbers
    be, which `wildcard` refuses."""
    text = "*".join("".join(map(_escaped, piece)) for piece in pieces.texts)
    found: Query = {"query_string": {"query": text, "fields": fields, "lenient": True}}
    return [found, {"terms": {"_ignored": fields}}]


def _escaped(character: str) -> str:
    # Of all that the syntax knows only these two cannot be escaped; a gap stands for them as well.
    return "*" if character in "<>" else character if character.isalnum() else f"\\{character}"


def _number(value: Any) -> Any:
    """1.0 as 1, which a field of whole numbers reads as well."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _LONGEST_INTEGER else value


def _intrinsic(condition: Condition) -> Query:
    name, values = condition.term.name, condition.values
    if condition.pieces:
        (field,) = field_names(condition.term)
        unnamed_too = name == "service" and condition.pieces.fit(UNKNOWN_SERVICE)
        return _any_of([*_with_pieces([field], condition.pieces), *([_UNNAMED] if unnamed_too else [])])
    match name:
        case "duration":
            return _duration(condition)
        case "service" if UNKNOWN_SERVICE in values:
            return _any_of([{"terms": {SERVICE: list(values)}}, _UNNAMED])
        case "service":
            return {"terms": {SERVICE: list(values)}}
        case "kind" | "status":
            field = "kind" if name == "kind" else "status.code"
            return {"terms": {field: [str(value).capitalize() for value in values]}}
    return {"terms": {name: [str(value) for value in values]}}


def _duration(condition: Condition) -> Query:
    if condition.values:
        return {"terms": {"duration": [int(value) for value in condition.values]}}
    bounds = {"gte": condition.low, "lte": condition.high}
    return {"range": {"duration": {key: int(value) for key, value in bounds.items() if value is not None}}}
