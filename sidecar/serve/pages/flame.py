"""A trace as a flame graph: spans of one name under the same callers are one frame, as wide as their own time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sidecar.serve.pages.waterfall import Row

MAX_FRAMES = 400
NARROWEST = 0.1
"""Frames of a smaller share (0-100) are left out: nobody sees them."""


@dataclass(slots=True)
class Frame:
    """Spans of a service and name with the same callers. Positions are shares (0-100) of all own time."""

    service: str
    name: str
    depth: int
    caller: Frame | None
    spans: int = 0
    failed: int = 0
    self_ns: int = 0
    """Time in which none of their children ran."""
    total_ns: int = 0
    """With that of all frames above it; of children that ran side by side more than the time that went by."""
    left: float = 0.0
    width: float = 0.0
    _used: float = field(default=0.0, repr=False)


@dataclass(frozen=True, slots=True)
class Flame:
    """The frames to draw, callers first, and how many are not."""

    frames: list[Frame]
    hidden: int
    by_self_time: list[Frame]
    """Those with most time of their own, most first."""

    @property
    def levels(self) -> int:
        return max((frame.depth for frame in self.frames), default=-1) + 1


def flame(rows: Sequence[Row]) -> Flame:
    """Of a waterfall's rows, parents before their children."""
    frames = _frames(rows)
    for frame in reversed(frames):
        frame.total_ns += frame.self_ns
        if frame.caller is not None:
            frame.caller.total_ns += frame.total_ns
    whole = sum(frame.total_ns for frame in frames if frame.caller is None) or 1
    used = 0.0
    for frame in frames:
        frame.width = frame.total_ns * 100 / whole
        if frame.caller is None:
            frame.left, used = used, used + frame.width
        else:
            frame.left = frame.caller.left + frame.caller._used
            frame.caller._used += frame.width
    drawn = [frame for frame in frames if frame.width >= NARROWEST][:MAX_FRAMES]
    most = sorted((frame for frame in frames if frame.self_ns), key=lambda frame: -frame.self_ns)
    return Flame(drawn, len(frames) - len(drawn), most)


def _frames(rows: Sequence[Row]) -> list[Frame]:
    """In the order in which their first span comes, with what their spans have of their own."""
    found: dict[tuple[int, str, str], Frame] = {}
    covered: list[list[tuple[int, int]]] = [[] for _ in rows]
    of_row: list[Frame] = []
    open_rows: list[int] = []
    """Numbers of the rows that the current one is below."""
    for number, row in enumerate(rows):
        del open_rows[row.depth :]
        caller = of_row[open_rows[-1]] if open_rows else None
        if open_rows:
            covered[open_rows[-1]].append((row.span.start_ns, row.span.end_ns))
        key = id(caller), row.span.service, row.span.name
        frame = found.setdefault(key, Frame(row.span.service, row.span.name, len(open_rows), caller))
        frame.spans += 1
        frame.failed += row.span.status == "Error"
        of_row.append(frame)
        open_rows.append(number)
    for frame, row, children in zip(of_row, rows, covered, strict=True):
        frame.self_ns += own_time(row.span.start_ns, row.span.end_ns, children)
    return list(found.values())


def own_time(start: int, end: int, children: Sequence[tuple[int, int]]) -> int:
    """Nanoseconds between `start` and `end` in which none of the children (start, end) ran."""
    own, at = 0, start
    for begin, finish in sorted(children):
        own += max(0, min(begin, end) - at)
        at = max(at, min(finish, end))
    return own + max(0, end - at)
