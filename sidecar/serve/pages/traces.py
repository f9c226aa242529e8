"""Searching traces, and what a trace's page shows."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.lookup.answering import NANO, BadRequest, Desk, NotFound, Parameters, full_trace_id, parse_duration
from sidecar.lookup.jaeger import SpanQuery
from sidecar.lookup.model import Trace
from sidecar.lookup.search import Found, Search, query_search, search
from sidecar.lookup.store import Deadline, Window
from sidecar.lookup.traceql.parser import parse

RANGES = {"15m": 900, "1h": 3_600, "6h": 21_600, "24h": 86_400, "all": 0}
"""Choices of the form -> seconds; 0 is everything that is kept."""
DEFAULT_RANGE = "all"
DEFAULT_LIMIT, MAX_LIMIT = 20, 100
PAGE_ROWS = 300
"""Spans of a trace on one page."""
_ALWAYS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Form:
    """What was asked for, as it is written in the form."""

    service: str
    operation: str
    min_duration: str
    failed: bool
    query: str
    range: str
    limit: int

    @classmethod
    def of(cls, given: Parameters) -> Form:
        """Raises `BadRequest`."""
        chosen = given.text("range") or DEFAULT_RANGE
        if chosen not in RANGES:
            raise BadRequest(f"invalid range: {chosen[:40]!r}; expected one of {', '.join(RANGES)}")
        return cls(
            given.text("service"),
            given.text("operation"),
            given.text("min"),
            bool(given.text("failed")),
            given.text("q").strip(),
            chosen,
            given.count("limit", DEFAULT_LIMIT, MAX_LIMIT),
        )

    def search(self, now_ns: int) -> Search:
        """Raises `BadRequest` or `QueryError` for what cannot be understood."""
        seconds = RANGES[self.range]
        window = Window(now_ns - seconds * NANO, now_ns) if seconds else Window(0, _ALWAYS)
        if self.query:
            return query_search(parse(self.query), window, self.limit)
        shortest = parse_duration("minimum duration", self.min_duration.replace(" ", "")) if self.min_duration else None
        tags = {"otel.status_code": "ERROR"} if self.failed else {}
        query = SpanQuery(self.service, self.operation, tags, shortest)
        return Search(query.needs, query.judge, window, self.limit)


def find(desk: Desk, form: Form, deadline: Deadline) -> Found:
    """The newest traces."""
    return search(desk.store, form.search(desk.now_ns), deadline)


def load(desk: Desk, *given: str, deadline: Deadline) -> list[Trace]:
    """The traces of some ids, in that order. Raises `NotFound` where nothing is kept of one."""
    ids = [full_trace_id(one.strip()) for one in given]
    found = {trace.trace_id: trace for trace in desk.store.traces(ids, deadline)}
    for missing in ids:
        if missing not in found:
            raise NotFound(f"nothing is kept of trace {missing}: it never came, or retention has deleted it")
    return [found[one] for one in ids]
