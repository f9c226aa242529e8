"""What a destination of metrics is to the pusher: series in, what became of them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sidecar.push.snapshot import Series


@dataclass(frozen=True, slots=True)
class PushResult:
    """What became of one request."""

    status: Literal["accepted", "retry", "blocked", "rejected"]
    """`blocked`: an operator has to act; it is tried again."""
    reason: str = ""
    """Label of counters, one of a small set."""
    detail: str = ""
    """The destination's own words."""
    rejected: int = 0
    """Samples of the request that the destination did not take."""
    retry_after: float | None = None
    """Seconds that the destination asked for."""
    too_large: bool = False
    """A smaller request may be accepted."""


class Destination(Protocol):
    """Where metrics are pushed to. One thread uses it."""

    @property
    def ends_series(self) -> bool:
        """Whether it is given a sign at the end that there are no more values."""
        ...

    def send(self, series: Sequence[Series], time_ms: int) -> PushResult:
        """Send one request with these series at this time (Unix milliseconds) and wait for its end. One without series
        only shows whether it would be taken."""
        ...

    def status(self) -> Mapping[str, Any]:
        """Additional fields of `/status`."""
        ...

    def close(self) -> None: ...
