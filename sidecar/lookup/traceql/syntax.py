"""TraceQL as a tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

SCOPES = ("", "span", "resource", "event", "link", "instrumentation")
"""Where an attribute is looked for; empty: on the span, then on its resource."""

INTRINSICS = {
    "name": "name",
    "duration": "duration",
    "kind": "kind",
    "status": "status",
    "statusMessage": "statusMessage",
    "childCount": "childCount",
    "nestedSetLeft": "nestedSetLeft",
    "nestedSetRight": "nestedSetRight",
    "nestedSetParent": "nestedSetParent",
    "rootName": "rootName",
    "rootServiceName": "rootServiceName",
    "traceDuration": "traceDuration",
    "span:name": "name",
    "span:duration": "duration",
    "span:kind": "kind",
    "span:status": "status",
    "span:statusMessage": "statusMessage",
    "span:id": "span:id",
    "span:parentID": "span:parentID",
    "span:childCount": "childCount",
    "trace:id": "trace:id",
    "trace:duration": "traceDuration",
    "trace:rootName": "rootName",
    "trace:rootService": "rootServiceName",
    "event:name": "event:name",
    "event:timeSinceStart": "event:timeSinceStart",
    "link:traceID": "link:traceID",
    "link:spanID": "link:spanID",
    "instrumentation:name": "instrumentation:name",
    "instrumentation:version": "instrumentation:version",
}
"""Word of the language -> the property of a span that it means."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute by its scope (see `SCOPES`) and name."""

    scope: str
    name: str


@dataclass(frozen=True, slots=True)
class Intrinsic:
    """A property that every span has; `name` is a value of `INTRINSICS`."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant. Durations are in nanoseconds; the value of nil is None; statuses and kinds are in lower case."""

    kind: Literal["text", "number", "duration", "bool", "nil", "status", "kind"]
    value: str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class Unary:
    """`!` or `-`."""

    op: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """A comparison, an arithmetic or a logical operation on the fields of one span."""

    op: str
    left: Expression
    right: Expression


Expression: TypeAlias = Attribute | Intrinsic | Constant | Unary | Binary


@dataclass(frozen=True, slots=True)
class Filter:
    """`{ condition }`; None is `{}`: every span."""

    condition: Expression | None


@dataclass(frozen=True, slots=True)
class Combined:
    """Two sets of spans of one trace. `op`: `&&`, `||`, or a relation `>`, `>>`, `<`, `<<`, `~`, with `!` (not related)
    or `&` (both sides' spans) before it."""

    op: str
    left: Spans
    right: Spans


@dataclass(frozen=True, slots=True)
class Piped:
    """A pipeline in parentheses as a set of spans."""

    source: Spans
    stages: tuple[Stage, ...]


Spans: TypeAlias = Filter | Combined | Piped


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`count()`, `avg(field)` and their kind, compared with a constant: keeps the sets for which it holds."""

    function: str
    field: Expression | None
    op: str
    value: float


@dataclass(frozen=True, slots=True)
class Select:
    """Fields to be shown with the spans."""

    fields: tuple[Attribute | Intrinsic, ...]


@dataclass(frozen=True, slots=True)
class By:
    """Splits a set of spans by the value of an expression."""

    field: Expression


@dataclass(frozen=True, slots=True)
class Coalesce:
    """Joins the sets of a trace again."""


Stage: TypeAlias = Filter | Combined | Piped | Aggregate | Select | By | Coalesce


@dataclass(frozen=True, slots=True)
class Metric:
    """The stage that makes series of spans."""

    function: str
    field: Expression | None = None
    quantiles: tuple[float, ...] = ()
    by: tuple[Attribute | Intrinsic, ...] = ()
    pick: str = ""
    """`topk` or `bottomk`, or empty."""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query."""

    source: Spans
    stages: tuple[Stage, ...] = ()
    metric: Metric | None = None

    @property
    def selected(self) -> tuple[Attribute | Intrinsic, ...]:
        """The fields of its `select` stages."""
        return tuple(field for stage in self.stages if isinstance(stage, Select) for field in stage.fields)


def write_field(field: Attribute | Intrinsic) -> str:
    """A field as it is written in a query."""
    if isinstance(field, Intrinsic):
        return field.name
    return f"{field.scope}.{field.name}"
