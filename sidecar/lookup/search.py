"""Searches over any store: candidates from its indexes, whole traces, the judgement of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from sidecar.lookup.model import Span, Trace
from sidecar.lookup.store import Deadline, LookupTimeout, Needs, TraceStore, Window
from sidecar.lookup.traceql.evaluate import SpanSet, matching
from sidecar.lookup.traceql.narrow import companions_of, needs_of
from sidecar.lookup.traceql.syntax import Query

MAX_TRACES = 1_000
"""Traces that one search returns at most."""
MAX_SPANS_OF_TRACE = 2_000
"""Spans of a trace that a search judges; a look-up by id has more."""
_BATCH = 32
_GRAPH_SPANS = 100_000


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for. `judge` gives the sets of spans of a trace that match; [] where it does not."""

    needs: tuple[Needs, ...]
    judge: Callable[[Trace], list[SpanSet]]
    window: Window
    limit: int = 20
    companions: tuple[Needs, ...] = ()
    """A trace that matches has a span with one of these as well; () where that is not asked for."""


@dataclass(frozen=True, slots=True)
class Match:
    """A trace that was found, and the spans of it that matched."""

    trace: Trace
    sets: list[SpanSet]


@dataclass(slots=True)
class Found:
    """The answer of a search."""

    matches: list[Match] = field(default_factory=list)
    inspected: int = 0
    """Traces that were judged."""
    complete: bool = True
    """False where the time was up before everything was looked at."""


def query_search(query: Query, window: Window, limit: int) -> Search:
    """The search of a TraceQL query."""
    needs, companions = needs_of(query.source), companions_of(query.source)
    return Search(needs, lambda trace: matching(query, trace), window, limit, companions)


def search(store: TraceStore, wanted: Search, deadline: Deadline) -> Found:
    """The newest traces that match, `limit` at most. Raises `LookupTimeout` where the time is up before any was
    found."""
    found = Found()
    limit = min(wanted.limit, MAX_TRACES)
    try:
        candidates = store.candidates(wanted.needs, wanted.window, deadline, wanted.companions)
        for ids in _batches(candidates, min(limit, _BATCH)):
            for trace in store.traces(ids, deadline, MAX_SPANS_OF_TRACE):
                found.inspected += 1
                sets = _within(wanted.judge(trace), wanted.window)
                if sets:
                    found.matches.append(Match(trace, sets))
            if len(found.matches) >= limit:
                break
            deadline.check()
    except LookupTimeout:
        if not found.matches:
            raise
        found.complete = False
    found.matches.sort(key=lambda match: match.trace.start_ns, reverse=True)
    del found.matches[limit:]
    return found


def _batches(candidates: Iterator[Sequence[str]], size: int) -> Iterator[list[str]]:
    ids = (trace_id for some in candidates for trace_id in some)
    while batch := list(islice(ids, size)):
        yield batch


def _within(sets: list[SpanSet], window: Window) -> list[SpanSet]:
    """Those with a span that began in the window."""
    return [one for one in sets if any(window.has(span.start_ns) for span in one.spans)]


@dataclass(frozen=True, slots=True)
class Edge:
    """Calls of one service by another."""

    parent: str
    child: str
    calls: int
    failed: int


@dataclass(frozen=True, slots=True)
class Graph:
    """Who calls whom."""

    edges: list[Edge]
    complete: bool
    """False where there were more spans than are looked at, or the time was up."""


def service_graph(store: TraceStore, window: Window, deadline: Deadline) -> Graph:
    """The edges between services, from spans whose parent is another service's; of the newest `_GRAPH_SPANS` spans."""
    service: dict[tuple[str, str], str] = {}
    children: list[Span] = []
    complete, seen = True, 0
    try:
        for some in store.spans((), window, deadline):
            for span in some:
                service.setdefault((span.trace_id, span.span_id), span.service)
                if span.parent_span_id:
                    children.append(span)
            seen += len(some)
            if seen >= _GRAPH_SPANS:
                complete = False
                break
            deadline.check()
    except LookupTimeout:
        if not seen:
            raise
        complete = False
    return Graph(_edges(service, children), complete)


def _edges(service: dict[tuple[str, str], str], children: list[Span]) -> list[Edge]:
    calls: dict[tuple[str, str], int] = {}
    failed: dict[tuple[str, str], int] = {}
    for span in children:
        parent = service.get((span.trace_id, span.parent_span_id))
        if parent is None or parent == span.service:
            continue
        edge = parent, span.service
        calls[edge] = calls.get(edge, 0) + 1
        failed[edge] = failed.get(edge, 0) + (span.status == "Error")
    return [Edge(*edge, calls[edge], failed[edge]) for edge in sorted(calls)]
