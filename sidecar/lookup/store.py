"""What look-ups ask of a place where traces are kept. Two implementations: the embedded store and Elasticsearch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sidecar.errors import SidecarError
from sidecar.lookup.model import Span, Trace

MAX_SPANS = 10_000
"""Spans, and log records, of one trace that a look-up returns at most."""


class LookupTimeout(SidecarError):
    """The answer did not come within the time-out."""


class StoreFailure(SidecarError):
    """The store cannot be asked now; the message says why."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a look-up has to have its answer, by `clock` (seconds)."""

    at: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """From now on so many seconds."""
        return cls(clock() + seconds, clock)

    @property
    def left(self) -> float:
        """Seconds, at least 0."""
        return max(0.0, self.at - self.clock())

    def check(self) -> None:
        """Raises `LookupTimeout` when it has passed."""
        if self.clock() > self.at:
            raise LookupTimeout("the look-up took too long: ask for a shorter time range, a service or fewer results")


@dataclass(frozen=True, slots=True)
class Window:
    """A time range in Unix nanoseconds, both ends included."""

    start_ns: int
    end_ns: int

    def has(self, time_ns: int) -> bool:
        """Whether a time is inside."""
        return self.start_ns <= time_ns <= self.end_ns


@dataclass(frozen=True, slots=True)
class Term:
    """A property of a span. `name`: an intrinsic (`name`, `kind`, `status`, `service`, `duration`) where `scope` is
    `intrinsic`, else an attribute; `scope` is then `span`, `resource`, or empty for either."""

    scope: str
    name: str


@dataclass(frozen=True, slots=True)
class Pieces:
    """Texts that stand in a value in this order, the first at its begin, the last at its end, whatever between them."""

    texts: tuple[str, ...]

    def fit(self, value: str) -> bool:
        """Whether they stand in it so."""
        first, *others = self.texts
        if not others:
            return value == first
        last = others.pop()
        place, end = len(first), len(value) - len(last)
        if place > end or not value.startswith(first) or not value.endswith(last):
            return False
        for text in others:
            found = value.find(text, place, end)
            if found < 0:
                return False
            place = found + len(text)
        return True


@dataclass(frozen=True, slots=True)
class Condition:
    """What a span must have: a `term` that equals one of `values`, or is a text with `pieces`, or lies between two
    numbers (both included)."""

    term: Term
    values: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    pieces: Pieces | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a span needs to have to be of interest: all of `every`. A store may use it to leave spans out, and need not:
    who asks judges each span again."""

    every: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """A name of a service's spans, with their kind."""

    service: str
    name: str
    kind: str


class TraceStore(Protocol):
    """Where traces are looked up. Called from several threads at once. Every function may raise `StoreFailure` and,
    where it takes a deadline, `LookupTimeout`."""

    def traces(self, trace_ids: Sequence[str], deadline: Deadline, limit: int = MAX_SPANS) -> list[Trace]:
        """What is kept of these traces (32 hex digits each, lower case), in their order; those of which nothing is kept
        are left out. `limit`: of spans, and of log records, of each trace."""
        ...

    def candidates(
        self, needs: Sequence[Needs], window: Window, deadline: Deadline, companions: Sequence[Needs] = ()
    ) -> Iterator[Sequence[str]]:
        """Ids of the traces that have, for one of `needs` at least, a span with it that began within the window; newest
        first, some at a time, an id once. There may be others among them. `companions`: traces without a span with one
        of these, whenever it began, may be left out."""
        ...

    def spans(self, needs: Sequence[Needs], window: Window, deadline: Deadline) -> Iterator[Sequence[Span]]:
        """The spans that began within the window and have one of `needs`, newest first, some at a time, without their
        events. There may be others among them."""
        ...

    def services(self, deadline: Deadline) -> list[str]:
        """The services that spans are kept of, in order."""
        ...

    def operations(self, service: str, deadline: Deadline) -> list[Operation]:
        """The operations of a service, in the order of their names."""
        ...

    def tag_names(self, window: Window, deadline: Deadline) -> dict[str, list[str]]:
        """Scope (`span`, `resource`) -> names of attributes that were seen, in order."""
        ...

    def tag_values(
        self, term: Term, needs: Sequence[Needs], window: Window, limit: int, deadline: Deadline
    ) -> list[Any]:
        """Values of a property that were seen on spans that may have one of `needs`, in order, `limit` at most."""
        ...
