"""Traces in the words of Jaeger 1.76's query API: what Grafana's data source and Jaeger's own UI read. Pure.

Answers were held against the real Jaeger's field by field; where they differ on purpose docs/decisions/019 says why.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sidecar.lookup.answering import BadRequest, attributes_text
from sidecar.lookup.model import Attributes, Event, Link, Span, Trace
from sidecar.lookup.store import Condition, Needs, Term
from sidecar.lookup.traceql.evaluate import SpanSet

_MICRO = 1_000
MAX_TAGS = 20
_SHORT = "0" * 16


def short_id(trace_id: str) -> str:
    """A trace id as Jaeger writes it: 64-bit ids, which are padded with zeros, in 16 digits."""
    return trace_id.removeprefix(_SHORT) if trace_id.startswith(_SHORT) else trace_id


def envelope(data: Any, total: int = 0, errors: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """The frame of every answer."""
    return {"data": data, "total": total, "limit": 0, "offset": 0, "errors": list(errors) if errors else None}


def trace_json(trace: Trace) -> dict[str, Any]:
    """One trace, with the resources of its spans as processes."""
    processes: dict[str, tuple[str, dict[str, Any]]] = {}
    spans = []
    for span in trace.spans:
        key = repr((span.service, sorted(span.resource.items())))
        if key not in processes:
            process = {"serviceName": span.service, "tags": _tags(span.resource, leave_out="service.name")}
            processes[key] = (f"p{len(processes) + 1}", process)
        spans.append(_span(span, processes[key][0]))
    warnings = [f"only {len(trace.spans)} spans are shown: the trace has more"] if trace.truncated else None
    return {
        "traceID": short_id(trace.trace_id),
        "spans": spans,
        "processes": dict(processes.values()),
        "warnings": warnings,
    }


def _span(span: Span, process: str) -> dict[str, Any]:
    parent = Link(span.trace_id, span.parent_span_id)
    return {
        "traceID": short_id(span.trace_id),
        "spanID": span.span_id,
        "operationName": span.name,
        "references": [
            *([_reference("CHILD_OF", parent)] if span.parent_span_id else []),
            *(_reference("FOLLOWS_FROM", link) for link in span.links),
        ],
        "startTime": span.start_ns // _MICRO,
        "duration": span.duration_ns // _MICRO,
        "tags": _tags({**span.attributes, **_derived(span)}),
        "logs": [_log(event) for event in span.events],
        "processID": process,
        "warnings": None,
    }


def _reference(kind: str, link: Link) -> dict[str, str]:
    return {"refType": kind, "traceID": short_id(link.trace_id), "spanID": link.span_id}


def _derived(span: Span) -> dict[str, Any]:
    """What Jaeger shows of a span's own fields as tags."""
    found: dict[str, Any] = {}
    if span.kind != "Unspecified":
        found["span.kind"] = span.kind.lower()
    if span.status != "Unset":
        found["otel.status_code"] = span.status.upper()
    if span.status == "Error":
        found["error"] = True
    if span.status_message:
        found["otel.status_description"] = span.status_message
    if span.scope.name:
        found["otel.scope.name"] = span.scope.name
    if span.scope.version:
        found["otel.scope.version"] = span.scope.version
    if span.trace_state:
        found["w3c.tracestate"] = span.trace_state
    return found


def _log(event: Event) -> dict[str, Any]:
    name = [{"key": "event", "type": "string", "value": event.name}] if event.name else []
    return {"timestamp": event.time_ns // _MICRO, "fields": [*name, *_tags(event.attributes)]}


def _tags(attributes: Attributes, leave_out: str = "") -> list[dict[str, Any]]:
    return [_tag(key, value) for key, value in sorted(attributes.items()) if key != leave_out]


_SAFE = 2**53
"""JavaScript's numbers hold integers up to here; larger ones are text, as Jaeger has them."""


def _tag(key: str, value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"key": key, "type": "bool", "value": value}
        case int():
            return {"key": key, "type": "int64", "value": value if -_SAFE < value < _SAFE else str(value)}
        case float():
            return {"key": key, "type": "float64", "value": value}
        case _:
            return {"key": key, "type": "string", "value": attributes_text(value)}


# -- search


class SpanQuery:
    """What one span of a trace has to have: Jaeger's searches ask for a service, an operation, tags and a duration of
    the same span. Tags are those of the span, of its resource, or what Jaeger shows of the span's own fields."""

    def __init__(
        self,
        service: str,
        operation: str,
        tags: Mapping[str, str],
        shortest_ns: int | None = None,
        longest_ns: int | None = None,
    ) -> None:
        self.service, self.operation, self.tags = service, operation, tags
        self.shortest_ns, self.longest_ns = shortest_ns, longest_ns

    @property
    def needs(self) -> tuple[Needs, ...]:
        """For the store's indexes."""
        shared = tuple(self._conditions())
        if (wanted := self.tags.get("error")) is None:
            return (Needs(shared),)
        named = Needs((*shared, Condition(Term("", "error"), _spellings(wanted))))
        if wanted != "true":
            return (named,)
        # What Jaeger shows of a span's status, or an attribute of that name.
        return (Needs((*shared, Condition(Term("intrinsic", "status"), ("error",)))), named)

    def _conditions(self) -> Iterator[Condition]:
        if self.service:
            yield Condition(Term("intrinsic", "service"), (self.service,))
        if self.operation:
            yield Condition(Term("intrinsic", "name"), (self.operation,))
        if self.shortest_ns is not None or self.longest_ns is not None:
            yield Condition(Term("intrinsic", "duration"), low=self.shortest_ns, high=self.longest_ns)
        for key, wanted in self.tags.items():
            if key == "span.kind":
                yield Condition(Term("intrinsic", "kind"), (wanted,))
            elif key == "otel.status_code":
                yield Condition(Term("intrinsic", "status"), (wanted.lower(),))
            elif key not in _DERIVED and not _is_nested(wanted):
                yield Condition(Term("", key), _spellings(wanted))

    def judge(self, trace: Trace) -> list[SpanSet]:
        """The spans that meet it."""
        found = [span for span in trace.spans if self._meets(span)]
        return [SpanSet(found)] if found else []

    def _meets(self, span: Span) -> bool:
        if (self.service and span.service != self.service) or (self.operation and span.name != self.operation):
            return False
        if self.shortest_ns is not None and span.duration_ns < self.shortest_ns:
            return False
        if self.longest_ns is not None and span.duration_ns > self.longest_ns:
            return False
        if not self.tags:
            return True
        own = {**span.resource, **span.attributes, **_derived(span)}
        return all(key in own and attributes_text(own[key]) == wanted for key, wanted in self.tags.items())


_DERIVED = frozenset(
    ("error", "otel.status_description", "otel.scope.name", "otel.scope.version", "w3c.tracestate", "service.name")
)


def _is_nested(text: str) -> bool:
    """Whether it is an array or a map as they are shown: stores know the parts of those, not the whole."""
    try:
        return text[:1] in ("[", "{") and isinstance(json.loads(text), (list, dict))
    except (ValueError, RecursionError):
        return False


def _spellings(text: str) -> tuple[Any, ...]:
    """The values that are written so."""
    found: list[Any] = [text]
    for reader in (int, float):
        try:
            number = reader(text)
        except ValueError:
            continue
        if number not in found and number == number and abs(number) != float("inf"):
            found.append(number)
    return tuple(found)


def read_tags(as_json: Sequence[str], as_pairs: Sequence[str]) -> dict[str, str]:
    """Tags of a search: JSON objects of texts (`tags`), and `key:value` (`tag`). Raises `BadRequest`."""
    found: dict[str, str] = {}
    for given in as_json:
        try:
            read = json.loads(given)
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict):
            raise BadRequest("malformed 'tags' parameter, expecting JSON map string to string")
        found.update({key: attributes_text(value) for key, value in read.items()})
    for given in as_pairs:
        key, colon, value = given.partition(":")
        if not colon or not key:
            raise BadRequest("malformed 'tag' parameter, expecting key:value")
        found[key] = value
    if len(found) > MAX_TAGS:
        raise BadRequest(f"invalid tags: {len(found)} of them; expected at most {MAX_TAGS}")
    return found
