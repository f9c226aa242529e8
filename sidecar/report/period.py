"""The time that a report is about."""

from __future__ import annotations

from dataclasses import dataclass

MIN_SECONDS = 60.0
MAX_SECONDS = 400 * 86_400.0
MAX_POINTS = 28
"""Of a graph: six hours each in a week, a day each in four."""
_MIN_STEP = 60.0


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` (exclusive) to `end`, Unix seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def before(self) -> Period:
        """The period of the same length that ends where this one starts."""
        return Period(self.start - self.seconds, self.start)

    @property
    def points(self) -> int:
        """How many points graphs have: of a minute at least each."""
        return max(1, min(MAX_POINTS, int(self.seconds // _MIN_STEP)))

    @property
    def step(self) -> float:
        """Seconds of a point."""
        return self.seconds / self.points


def period(seconds: float, end: float, now: float) -> Period:
    """Raises ValueError with what was expected."""
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise ValueError(f"invalid period: {seconds:g} s; expected 1m to 400d")
    if not seconds < end <= now + 1:
        raise ValueError(
            "invalid end: it lies in the future, or the period begins before 1970; expected a time that is past"
        )
    return Period(end - seconds, end)
