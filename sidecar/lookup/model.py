"""Traces as look-ups see them: values, whatever store they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
"""Index = OTLP's number of the kind."""
STATUSES = ("Unset", "Ok", "Error")
"""Index = OTLP's number of the status code."""

Attributes = Mapping[str, Any]
"""Values as JSON has them: text, bool, int, float, list, object, None."""
_EMPTY: Attributes = {}


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a span."""

    name: str
    time_ns: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a span to another one; ids in hex."""

    trace_id: str
    span_id: str
    trace_state: str = ""
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scope:
    """The instrumentation that wrote a record."""

    name: str = ""
    version: str = ""
    attributes: Attributes = field(default_factory=dict)


@dataclass(slots=True)
class Span:
    """One span; ids in hex, `parent_span_id` empty for a root, times in nanoseconds."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    kind: str
    start_ns: int
    duration_ns: int
    status: str
    status_message: str
    service: str
    trace_state: str = ""
    attributes: Attributes = field(default_factory=dict)
    resource: Attributes = field(default_factory=dict)
    scope: Scope = field(default_factory=Scope)
    events: list[Event] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.duration_ns


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One log record of a trace."""

    time_ns: int
    observed_ns: int | None
    severity_text: str
    severity_number: int
    trace_id: str
    span_id: str
    event_name: str
    body: Any
    service: str
    attributes: Attributes = field(default_factory=dict)
    resource: Attributes = field(default_factory=dict)
    scope: Scope = field(default_factory=Scope)


@dataclass
class Trace:
    """What is kept of one trace: spans and log records in the order of time."""

    trace_id: str
    spans: list[Span]
    logs: list[LogRecord] = field(default_factory=list)
    truncated: bool = False
    """There was more than the limit of one look-up."""

    @cached_property
    def by_id(self) -> dict[str, Span]:
        """Spans by their id; of those that share one (a client's and a server's span may), the first."""
        found: dict[str, Span] = {}
        for span in self.spans:
            found.setdefault(span.span_id, span)
        return found

    @cached_property
    def children(self) -> dict[str, list[Span]]:
        """Id of a span -> those whose parent it is, as they say; of roots under the empty text."""
        found: dict[str, list[Span]] = {}
        for span in self.spans:
            found.setdefault(span.parent_span_id, []).append(span)
        return found

    @cached_property
    def nested_sets(self) -> dict[int, tuple[int, int, int]]:
        """`id` of a span -> left, right and the parent's left, as in a nested set: what is below a span lies between
        its two. A root's parent is -1; spans that no root leads to are left out."""
        found: dict[int, tuple[int, int, int]] = {}
        number, seen = 0, {""}
        waiting = [(span, -1, 0) for span in reversed(self.children.get("", ()))]
        while waiting:
            span, parent, left = waiting.pop()
            number += 1
            if left:
                found[id(span)] = left, number, parent
                continue
            waiting.append((span, parent, number))
            if span.span_id not in seen:
                seen.add(span.span_id)
                waiting.extend((child, number, 0) for child in reversed(self.children.get(span.span_id, ())))
        return found

    @cached_property
    def root(self) -> Span | None:
        """The first span whose parent is not here, else the first."""
        missing = (s for s in self.spans if not s.parent_span_id or s.parent_span_id not in self.by_id)
        return next(missing, self.spans[0] if self.spans else None)

    @cached_property
    def start_ns(self) -> int:
        return min((s.start_ns for s in self.spans), default=0)

    @cached_property
    def duration_ns(self) -> int:
        return max((s.end_ns for s in self.spans), default=0) - self.start_ns

    @property
    def failed(self) -> bool:
        """A span has the status Error."""
        return any(s.status == "Error" for s in self.spans)
