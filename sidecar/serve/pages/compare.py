"""Two traces side by side. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.lookup.model import Trace


@dataclass(slots=True)
class Side:
    """What one trace has of an operation."""

    spans: int = 0
    duration_ns: int = 0
    """Of all of them together."""
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """An operation of a service in both traces."""

    service: str
    name: str
    a: Side
    b: Side

    @property
    def change_ns(self) -> int:
        return self.b.duration_ns - self.a.duration_ns


def compare(a: Trace, b: Trace) -> list[Difference]:
    """The operations of either, those whose time differs most first."""
    sides = [_operations(a), _operations(b)]
    found = [Difference(*key, *(side.get(key) or Side() for side in sides)) for key in {**sides[0], **sides[1]}]
    return sorted(found, key=lambda d: (-abs(d.change_ns), d.service, d.name))


def _operations(trace: Trace) -> dict[tuple[str, str], Side]:
    found: dict[tuple[str, str], Side] = {}
    for span in trace.spans:
        side = found.setdefault((span.service, span.name), Side())
        side.spans += 1
        side.duration_ns += span.duration_ns
        side.failed += span.status == "Error"
    return found
