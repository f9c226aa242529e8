"""A trace as rows of a waterfall, and what of it its duration was made of. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from sidecar.lookup.model import LogRecord, Span, Trace


@dataclass(slots=True)
class Row:
    """A span in its place. Positions are shares (0-100) of the trace's duration."""

    span: Span
    depth: int
    left: float
    width: float
    critical: list[tuple[float, float]] = field(default_factory=list)
    """(left, width) of the parts of the critical path that are this span's own."""
    logs: list[LogRecord] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Waterfall:
    """All rows, parents before their children, and the log records that belong to no span here."""

    rows: list[Row]
    logs: list[LogRecord]
    critical_ns: list[tuple[Span, int]]
    """Spans of the critical path with the nanoseconds that are their own, most first."""


def waterfall(trace: Trace) -> Waterfall:
    """The rows of a trace."""
    start, length = trace.start_ns, max(trace.duration_ns, 1)

    def share(begin: int, end: int) -> tuple[float, float]:
        return (begin - start) * 100 / length, (end - begin) * 100 / length

    rows = [Row(span, depth, *share(span.start_ns, span.end_ns)) for span, depth in _in_order(trace)]
    by_span = {id(row.span): row for row in rows}
    own: dict[int, int] = {}
    for span, begin, end in critical_path(trace):
        by_span[id(span)].critical.append(share(begin, end))
        own[id(span)] = own.get(id(span), 0) + end - begin
    rest: list[LogRecord] = []
    for record in trace.logs:
        of = trace.by_id.get(record.span_id)
        logs = rest if of is None else by_span[id(of)].logs
        logs.append(record)
    most = sorted(((by_span[key].span, ns) for key, ns in own.items()), key=lambda pair: -pair[1])
    return Waterfall(rows, rest, most)


def _children(trace: Trace) -> dict[int, list[Span]]:
    """`id()` of a span -> its children in the order of time. A span is no child of itself; of spans that share an id
    (a client's and a server's may) the first has the children, and the second is one of them if it says so."""
    found: dict[int, list[Span]] = {}
    for span in trace.spans:
        parent = trace.by_id.get(span.parent_span_id)
        if parent is not None and parent is not span:
            found.setdefault(id(parent), []).append(span)
    return found


def _in_order(trace: Trace) -> list[tuple[Span, int]]:
    """(span, depth), depth first. Spans that are each other's parents have no root: the first of them is made one."""
    children = _children(trace)
    roots = [s for s in trace.spans if trace.by_id.get(s.parent_span_id) in (None, s)]
    seen: set[int] = set()
    out: list[tuple[Span, int]] = []
    for root in [*roots, *trace.spans]:
        waiting = [(root, 0)]
        while waiting:
            span, depth = waiting.pop()
            if id(span) in seen:
                continue
            seen.add(id(span))
            out.append((span, depth))
            waiting += [(child, depth + 1) for child in reversed(children.get(id(span), ()))]
    return out


def critical_path(trace: Trace) -> list[tuple[Span, int, int]]:
    """(span, begin, end) in ns: the stretches of time in which nothing but that span could have made the
    root end sooner. From the root's end back: a span waits for the child that ended last before; what lies between
    children is its own. A child that ends behind its parent counts up to the parent's end."""
    root = trace.root
    if root is None:
        return []
    children = _children(trace)
    parts: list[tuple[Span, int, int]] = []
    seen = {id(root)}
    open_spans: list[tuple[Span, int, int]] = [(root, root.start_ns, root.end_ns)]
    while open_spans:
        span, begin, end = open_spans.pop()
        at = end
        for child in sorted(children.get(id(span), ()), key=lambda c: c.end_ns, reverse=True):
            child_begin, child_end = max(child.start_ns, begin), min(child.end_ns, at)
            # One that ran on beside a later one was not waited for; it may still have been before that one began.
            if id(child) in seen or child_begin >= child_end or (child.end_ns > at and at < end):
                continue
            seen.add(id(child))
            if child_end < at:
                parts.append((span, child_end, at))
            open_spans.append((child, child_begin, child_end))
            at = child_begin
        if begin < at:
            parts.append((span, begin, at))
    return parts
