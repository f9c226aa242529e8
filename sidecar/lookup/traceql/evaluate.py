"""TraceQL on whole traces: the meaning of a query. Stores narrow down which traces are asked; this decides.

Rules kept here, as Tempo documents them: a comparison with a field that a span does not have is false (`= nil` asks for
its absence); values of different types are unequal and unordered; patterns match the whole value; `.name` is the span's
attribute, else its resource's; an attribute of an event or link matches where that of any does.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sidecar.lookup.model import Span, Trace
from sidecar.lookup.traceql.query_patterns import matches
from sidecar.lookup.traceql.syntax import (
    Aggregate,
    Attribute,
    Binary,
    By,
    Coalesce,
    Combined,
    Constant,
    Expression,
    Filter,
    Intrinsic,
    Piped,
    Query,
    Spans,
    Stage,
    Unary,
    write_field,
)


@dataclass(slots=True)
class SpanSet:
    """Spans of one trace that matched, in the order of time."""

    spans: list[Span]
    labels: dict[str, Any] = field(default_factory=dict)
    """What `by` and aggregates say of the set."""


def matching(query: Query, trace: Trace) -> list[SpanSet]:
    """The sets of spans of the trace that the query finds; [] where it does not match."""
    found = _spans(query.source, trace, trace.spans)
    sets = [SpanSet(found)] if found else []
    return _staged(query.stages, trace, sets)


def holds(condition: Expression | None, span: Span, trace: Trace) -> bool:
    """Whether a condition holds for a span."""
    return condition is None or _Context(span, trace).value(condition) is True


def value_of(expression: Expression, span: Span, trace: Trace) -> Any:
    """The value of an expression for a span; None where it has none."""
    return _Context(span, trace).value(expression)


# -- sets of spans


def _spans(source: Spans, trace: Trace, among: Sequence[Span]) -> list[Span]:
    match source:
        case Filter(condition):
            return [s for s in among if holds(condition, s, trace)]
        case Piped(inner, stages):
            found = _spans(inner, trace, among)
            sets = _staged(stages, trace, [SpanSet(found)] if found else [])
            return _union(span for one in sets for span in one.spans)
        case Combined(op, left, right):
            return _combined(op, _spans(left, trace, among), _spans(right, trace, among), trace)


def _combined(op: str, left: list[Span], right: list[Span], trace: Trace) -> list[Span]:
    if op == "&&":
        return _union([*left, *right]) if left and right else []
    if op == "||":
        return _union([*left, *right])
    relation = op.lstrip("!&") if op != "~" else op
    hits = _related(relation, left, right, trace)
    if op.startswith("!"):
        known = {id(span) for span in hits}
        return [span for span in right if id(span) not in known]
    return _union([*_related(_INVERSE[relation], right, left, trace), *hits]) if op.startswith("&") else hits


_INVERSE = {">": "<", "<": ">", ">>": "<<", "<<": ">>", "~": "~"}


def _related(relation: str, left: list[Span], right: list[Span], trace: Trace) -> list[Span]:
    """Those of `right` that are a child (`>`), below (`>>`), the parent (`<`), above (`<<`) or a sibling (`~`) of one
    of `left`. A trace may hold cycles and strays, being what clients sent."""
    match relation:
        case ">":
            ids = {span.span_id for span in left}
            return [span for span in right if span.parent_span_id in ids]
        case "<":
            parents = {span.parent_span_id for span in left} - {""}
            return [span for span in right if span.span_id in parents]
        case ">>":
            below = _below({span.span_id for span in left}, trace)
            return [span for span in right if id(span) in below]
        case "<<":
            above = _above(left, trace)
            return [span for span in right if span.span_id in above]
        case _:
            siblings: dict[str, set[int]] = {}
            for span in left:
                siblings.setdefault(span.parent_span_id, set()).add(id(span))
            return [s for s in right if s.parent_span_id and siblings.get(s.parent_span_id, set()) - {id(s)}]


def _below(ids: set[str], trace: Trace) -> set[int]:
    found: set[int] = set()
    waiting = list(ids)
    while waiting:
        for span in trace.children.get(waiting.pop(), ()):
            if id(span) not in found:
                found.add(id(span))
                waiting.append(span.span_id)
    return found


def _above(spans: list[Span], trace: Trace) -> set[str]:
    found: set[str] = set()
    for span in spans:
        parent = span.parent_span_id
        while parent and parent not in found:
            found.add(parent)
            known = trace.by_id.get(parent)
            parent = known.parent_span_id if known is not None else ""
    return found


def _union(spans: Iterable[Span]) -> list[Span]:
    found = {id(span): span for span in spans}
    return sorted(found.values(), key=lambda s: (s.start_ns, s.span_id))


# -- stages


def _staged(stages: Sequence[Stage], trace: Trace, sets: list[SpanSet]) -> list[SpanSet]:
    for stage in stages:
        if isinstance(stage, Coalesce):
            sets = [SpanSet(_union(span for one in sets for span in one.spans))] if sets else []
        else:
            sets = [made for one in sets for made in _stage(stage, trace, one)]
    return sets


def _stage(stage: Stage, trace: Trace, one: SpanSet) -> list[SpanSet]:
    match stage:
        case Filter() | Combined() | Piped():
            left = _spans(stage, trace, one.spans)
            return [SpanSet(left, one.labels)] if left else []
        case By(expression):
            return _split(one, expression, trace)
        case Aggregate():
            return _aggregated(stage, trace, one)
        case _:
            return [one]


def _split(one: SpanSet, expression: Expression, trace: Trace) -> list[SpanSet]:
    parts: dict[str, SpanSet] = {}
    for span in one.spans:
        value = value_of(expression, span, trace)
        label = write_field(expression) if isinstance(expression, (Attribute, Intrinsic)) else "by"
        parts.setdefault(repr(value), SpanSet([], {**one.labels, f"by({label})": value})).spans.append(span)
    return list(parts.values())


_AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "avg": lambda values: sum(values) / len(values),
    "min": min,
    "max": max,
    "sum": sum,
}


def _aggregated(stage: Aggregate, trace: Trace, one: SpanSet) -> list[SpanSet]:
    if stage.field is None:
        figure: float = len(one.spans)
        label = "count()"
    else:
        values = [v for s in one.spans if (v := number(value_of(stage.field, s, trace))) is not None]
        if not values:
            return []
        figure = _AGGREGATES[stage.function](values)
        shown = write_field(stage.field) if isinstance(stage.field, (Attribute, Intrinsic)) else "…"
        label = f"{stage.function}({shown})"
    if not _ORDER[stage.op](figure, stage.value):
        return []
    return [SpanSet(one.spans, {**one.labels, label: figure})]


# -- conditions on one span

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NO_SET = (0, 0, 0)
_INTRINSIC: dict[str, Callable[[Span, Trace], Any]] = {
    "name": lambda s, _: s.name,
    "duration": lambda s, _: s.duration_ns,
    "kind": lambda s, _: s.kind.lower(),
    "status": lambda s, _: s.status.lower(),
    "statusMessage": lambda s, _: s.status_message,
    "childCount": lambda s, t: len(t.children.get(s.span_id, ())),
    "nestedSetLeft": lambda s, t: t.nested_sets.get(id(s), _NO_SET)[0],
    "nestedSetRight": lambda s, t: t.nested_sets.get(id(s), _NO_SET)[1],
    "nestedSetParent": lambda s, t: t.nested_sets.get(id(s), _NO_SET)[2] if s.parent_span_id else -1,
    "rootName": lambda _, t: t.root.name if t.root else "",
    "rootServiceName": lambda _, t: t.root.service if t.root else "",
    "traceDuration": lambda _, t: t.duration_ns,
    "span:id": lambda s, _: s.span_id,
    "span:parentID": lambda s, _: s.parent_span_id,
    "trace:id": lambda s, _: s.trace_id,
    "instrumentation:name": lambda s, _: s.scope.name,
    "instrumentation:version": lambda s, _: s.scope.version,
}
_MANY: dict[str, Callable[[Span], list[Any]]] = {
    "event:name": lambda s: [e.name for e in s.events],
    "event:timeSinceStart": lambda s: [e.time_ns - s.start_ns for e in s.events],
    "link:traceID": lambda s: [link.trace_id for link in s.links],
    "link:spanID": lambda s: [link.span_id for link in s.links],
}


@dataclass(frozen=True, slots=True)
class _AnyOf:
    """The values of a field that a span has several of."""

    values: list[Any]


@dataclass(frozen=True, slots=True)
class _Context:
    span: Span
    trace: Trace

    def value(self, expression: Expression) -> Any:
        match expression:
            case Constant(_, value):
                return value
            case Intrinsic(name):
                many = _MANY.get(name)
                return _AnyOf(many(self.span)) if many else _INTRINSIC[name](self.span, self.trace)
            case Attribute(scope, name):
                return self._attribute(scope, name)
            case Unary("!", operand):
                inner = self.value(operand)
                return not inner if isinstance(inner, bool) else None
            case Unary(_, operand):
                figure = number(self.value(operand))
                return None if figure is None else -figure
            case Binary(op, left, right):
                return self._binary(op, left, right)

    def _attribute(self, scope: str, name: str) -> Any:
        span = self.span
        match scope:
            case "":
                return span.attributes.get(name, span.resource.get(name))
            case "span":
                return span.attributes.get(name)
            case "resource":
                return span.service if name == "service.name" else span.resource.get(name)
            case "event":
                return _AnyOf([e.attributes[name] for e in span.events if name in e.attributes])
            case "link":
                return _AnyOf([link.attributes[name] for link in span.links if name in link.attributes])
            case _:
                return span.scope.attributes.get(name)

    def _binary(self, op: str, left: Expression, right: Expression) -> Any:
        if op == "&&":
            return self.value(left) is True and self.value(right) is True
        if op == "||":
            return self.value(left) is True or self.value(right) is True
        one, other = self.value(left), self.value(right)
        if op in _ARITHMETIC:
            return _calculate(op, number(one), number(other))
        if isinstance(left, Constant) and left.kind == "nil":
            return self._absence(op, other)
        if isinstance(right, Constant) and right.kind == "nil":
            return self._absence(op, one)
        if isinstance(one, _AnyOf):
            return any(compare(op, value, other) for value in one.values)
        if isinstance(other, _AnyOf):
            return any(compare(op, one, value) for value in other.values)
        return compare(op, one, other)

    @staticmethod
    def _absence(op: str, value: Any) -> bool:
        absent = not value.values if isinstance(value, _AnyOf) else value is None
        return absent if op == "=" else not absent


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
    "^": operator.pow,
}


def compare(op: str, value: Any, wanted: Any) -> bool:
    """A comparison of two values; False where one is absent or they are of different types. An array equals what one
    of its elements equals, and has no order."""
    if isinstance(value, list):
        found = (compare(op, element, wanted) for element in value)
        return any(found) if op in ("=", "=~") else op in ("!=", "!~") and all(found)
    if value is None or wanted is None:
        return False
    if op in ("=~", "!~"):
        return isinstance(value, str) and matches(wanted, value) == (op == "=~")
    if isinstance(value, bool) != isinstance(wanted, bool):
        return False
    if number(value) is None and number(wanted) is None:
        return (
            type(value) is type(wanted) and (op in ("=", "!=") or isinstance(value, str)) and _ORDER[op](value, wanted)
        )
    one, other = number(value), number(wanted)
    return one is not None and other is not None and _ORDER[op](one, other)


def number(value: Any) -> float | int | None:
    """A number that is not a bool, or None."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _calculate(op: str, left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return None
    try:
        found = _ARITHMETIC[op](float(left), float(right))
    except (ZeroDivisionError, OverflowError):
        return None
    return found if isinstance(found, float) else None
