"""Whether and when to try again. Pure: the caller brings the time and the dice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

LONGEST_RETRY_AFTER = 600.0
"""Seconds. A destination that asks for more is asked again after this, so that a wrong header cannot stop delivery."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter; it never gives up."""

    initial: float
    """Upper bound of the first delay in seconds."""
    maximum: float
    """Upper bound of every delay in seconds."""

    def delay(self, attempt: int, draw: float, retry_after: float | None = None) -> float:
        """Seconds to wait before attempt number `attempt` + 1 (the first failure has `attempt` 0).

        `draw` is uniform in [0, 1). The delay is uniform between 0 and min(maximum, initial * 2^attempt). A
        `retry_after` of the destination is a floor: the jitter comes on top of it, so that many senders that were given
        the same time do not return in the same instant.
        """
        ceiling = self.maximum if attempt > 60 else min(self.maximum, self.initial * 2.0**attempt)
        jitter = draw * ceiling
        if retry_after is None:
            return jitter
        return min(max(retry_after, 0.0), LONGEST_RETRY_AFTER) + draw * min(self.initial, ceiling)


@dataclass(slots=True)
class Attempts:
    """Attempts at one request, with pauses between them, until there is no time for another."""

    backoff: Backoff
    clock: Callable[[], float]
    draw: Callable[[], float]
    """Uniform in [0, 1)."""
    failed: int = 0

    def pause(self, deadline: float, retry_after: float | None = None) -> float | None:
        """An attempt failed: seconds until the next, None where that would be after `deadline` (on the clock's
        scale)."""
        pause = self.backoff.delay(self.failed, self.draw(), retry_after)
        self.failed += 1
        return None if self.clock() + pause > deadline else pause


def is_temporary(status: int) -> bool:
    """Whether a server that answers with this HTTP status may accept the same request later: it is busy, or has
    trouble of its own (RFC 9110 sections 15.5.9 and 15.6, RFC 6585 section 4). Protocols that say otherwise have tables
    of their own: OTLP, remote write, the sidecar's ingest."""
    return status in (408, 429) or status >= 500


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for (RFC 9110 section 10.2.3: seconds or an HTTP date).

    `now` is Unix time in seconds. None where there is no header or it makes no sense.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) < 10 else LONGEST_RETRY_AFTER
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None
