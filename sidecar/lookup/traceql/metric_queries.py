"""Series of spans: `rate()`, `quantile_over_time()` and their kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sidecar.lookup.model import Span, Trace
from sidecar.lookup.store import Window
from sidecar.lookup.traceql.evaluate import holds, number, value_of
from sidecar.lookup.traceql.lexer import QueryError
from sidecar.lookup.traceql.syntax import (
    Attribute,
    Binary,
    Expression,
    Filter,
    Intrinsic,
    Metric,
    Query,
    Select,
    Unary,
    write_field,
)

MAX_SERIES = 1_000
MAX_POINTS = 11_000
"""Of one series, as Prometheus has it."""
_OF_TRACE = frozenset(("rootName", "rootServiceName", "traceDuration", "childCount", "nestedSetLeft", "nestedSetRight"))
_NANOSECONDS = 1e9
Label = tuple[str, Any]


@dataclass(slots=True)
class Series:
    """One series: a value for each step, None where there is none."""

    labels: tuple[Label, ...]
    values: list[float | None]
    exemplars: list[tuple[int, float, str]] = field(default_factory=list)
    """Time (ns), value, trace id."""


@dataclass(slots=True)
class _Cell:
    """What was seen in one step of one series."""

    count: int = 0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    values: list[float] = field(default_factory=list)


def check(query: Query) -> Metric:
    """The metric of a query that can be answered span by span. Raises `QueryError` for others."""
    if query.metric is None:
        raise QueryError("a metrics query ends in rate(), count_over_time() or the like, as in { } | rate()")
    for part in (query.source, *(s for s in query.stages if not isinstance(s, Select))):
        if not isinstance(part, Filter):
            raise QueryError("a metrics query has conditions on spans only: { … } | { … } | rate()")
        _check_fields(part.condition)
    for field_ in (query.metric.field, *query.metric.by):
        _check_fields(field_)
    return query.metric


def _check_fields(expression: Expression | None) -> None:
    match expression:
        case Binary(_, left, right):
            _check_fields(left)
            _check_fields(right)
        case Unary(_, operand):
            _check_fields(operand)
        case Intrinsic(name) if name in _OF_TRACE or name.startswith("event:"):
            raise QueryError(f"{name} is not known span by span, which a metrics query needs")
        case Attribute("event", name):
            raise QueryError(f"event.{name} is not known span by span, which a metrics query needs")


class Aggregator:
    """Adds spans up. `step_ns`: width of a step; steps end at multiples of it, as Prometheus' ranges do, or `shift_ns`
    later."""

    def __init__(self, query: Query, window: Window, step_ns: int, shift_ns: int = 0) -> None:
        self._query, self._metric = query, check(query)
        self._window, self._step = window, step_ns
        self._shift = shift_ns
        # What began at the very start belongs to the first step.
        self._first = self._number(window.start_ns + 1)
        points = self._number(window.end_ns) - self._first + 1
        if not 0 < points <= MAX_POINTS:
            raise QueryError(f"{points} steps; expected 1 to {MAX_POINTS}: ask for a longer step")
        self._points = points
        self._cells: dict[tuple[Label, ...], list[_Cell]] = {}
        self._exemplars: dict[tuple[Label, ...], list[tuple[int, float, str]]] = {}
        self._conditions = [p.condition for p in (query.source, *query.stages) if isinstance(p, Filter)]

    @property
    def times_ms(self) -> list[int]:
        """Unix milliseconds of the steps."""
        return [((self._first + n) * self._step + self._shift) // 1_000_000 for n in range(self._points)]

    def add(self, spans: Iterable[Span], exemplars: int = 0) -> None:
        """`exemplars`: of each series at most. Raises `QueryError` at too many series."""
        for span in spans:
            if not self._window.has(span.start_ns):
                continue
            trace = Trace(span.trace_id, [span])
            if all(holds(condition, span, trace) for condition in self._conditions):
                self._add(span, trace, exemplars)

    def _add(self, span: Span, trace: Trace, exemplars: int) -> None:
        value = 1.0
        if self._metric.field is not None:
            found = number(value_of(self._metric.field, span, trace))
            if found is None:
                return
            value = found / _NANOSECONDS if _is_time(self._metric.field) else float(found)
        labels = tuple((write_field(by), value_of(by, span, trace)) for by in self._metric.by)
        if self._metric.function == "histogram_over_time":
            labels = (*labels, ("__bucket", 2.0 ** math.ceil(math.log2(value)) if value > 0 else 0.0))
        cells = self._cells.get(labels)
        if cells is None:
            if len(self._cells) >= MAX_SERIES:
                raise QueryError(f"more than {MAX_SERIES} series; expected fewer: group by a field with fewer values")
            cells = self._cells[labels] = [_Cell() for _ in range(self._points)]
        index = min(max(0, self._number(span.start_ns) - self._first), self._points - 1)
        self._count(cells[index], value)
        kept = self._exemplars.setdefault(labels, [])
        if len(kept) < exemplars:
            kept.append((span.start_ns, span.duration_ns / _NANOSECONDS, span.trace_id))

    def _number(self, time_ns: int) -> int:
        """Of the step that a time is in: it holds what lies behind the one before, up to its own time."""
        return -(-(time_ns - self._shift) // self._step)

    def _count(self, cell: _Cell, value: float) -> None:
        cell.count += 1
        cell.total += value
        cell.low, cell.high = min(cell.low, value), max(cell.high, value)
        if self._metric.function == "quantile_over_time":
            cell.values.append(value)

    def series(self) -> list[Series]:
        """The series in the order of their labels."""
        found = [one for labels, cells in self._cells.items() for one in self._series(labels, cells)]
        if not self._metric.by and not found and self._metric.function in ("rate", "count_over_time"):
            found = [Series(self._labels((), None), [0.0] * self._points)]
        if self._metric.pick:
            found.sort(key=lambda one: sum(v or 0.0 for v in one.values), reverse=self._metric.pick == "topk")
            found = found[: self._metric.count]
        return sorted(found, key=lambda one: repr(one.labels))

    def _series(self, labels: tuple[Label, ...], cells: list[_Cell]) -> Iterable[Series]:
        exemplars = self._exemplars.get(labels, [])
        if self._metric.function == "quantile_over_time":
            for quantile in self._metric.quantiles:
                values = [_quantile(sorted(c.values), quantile) for c in cells]
                yield Series(self._labels(labels, quantile), values, exemplars)
        else:
            read = _READ[self._metric.function]
            yield Series(self._labels(labels, None), [read(c, self._step / _NANOSECONDS) for c in cells], exemplars)

    def _labels(self, labels: tuple[Label, ...], quantile: float | None) -> tuple[Label, ...]:
        if quantile is not None:
            return (*labels, ("p", quantile))
        return labels or (("__name__", self._metric.function),)


def _is_time(field_: Expression) -> bool:
    return isinstance(field_, Intrinsic) and field_.name == "duration"


_READ: dict[str, Callable[[_Cell, float], float | None]] = {
    "rate": lambda cell, seconds: cell.count / seconds,
    "count_over_time": lambda cell, _: float(cell.count),
    "histogram_over_time": lambda cell, _: float(cell.count),
    "sum_over_time": lambda cell, _: cell.total if cell.count else None,
    "avg_over_time": lambda cell, _: cell.total / cell.count if cell.count else None,
    "min_over_time": lambda cell, _: cell.low if cell.count else None,
    "max_over_time": lambda cell, _: cell.high if cell.count else None,
}


def _quantile(ordered: list[float], quantile: float) -> float | None:
    """By linear interpolation between the two nearest ranks (Hyndman and Fan's type 7)."""
    if not ordered:
        return None
    place = quantile * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
