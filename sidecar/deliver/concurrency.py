"""How many requests a destination bears at once: additive increase, multiplicative decrease. Pure, not thread-safe."""

from __future__ import annotations

DECREASE = 0.5
"""Factor on overload (429, 503, time-out)."""
EASE = 0.9
"""Factor when latency grows well past what is usual."""
SMOOTHING = 0.2
"""Weight of a new latency in the moving averages."""
DEVIATIONS = 2.5
"""A latency this many mean deviations over the average counts as growth ..."""
GROWTH = 1.5
"""... if it is also this many times the average: steady small latencies have next to no deviation."""


class Concurrency:
    """The limit, learnt from replies.

    The limit grows by one in about `limit` replies, and only while it is used in full: it must not creep up when
    nothing tests it. It falls to half on overload, at most once for the requests that were in flight together.
    """

    def __init__(self, maximum: int, start: int = 1) -> None:
        self._maximum = float(maximum)
        self._limit = float(min(start, maximum))
        self._mean = 0.0
        self._deviation = 0.0
        self._generation = 0

    @property
    def limit(self) -> int:
        """Requests allowed in flight, at least 1."""
        return int(self._limit)

    @property
    def generation(self) -> int:
        """Number of decreases so far. A caller notes it when it sends and gives it back with the outcome."""
        return self._generation

    def succeeded(self, latency: float, in_flight: int) -> None:
        """A request was answered after `latency` seconds while `in_flight` were under way (it included)."""
        slow = self._mean > 0 and latency > max(self._mean * GROWTH, self._mean + DEVIATIONS * self._deviation)
        if self._mean == 0:
            self._mean = latency
        else:
            self._deviation += SMOOTHING * (abs(latency - self._mean) - self._deviation)
            self._mean += SMOOTHING * (latency - self._mean)
        if slow:
            self._limit = max(1.0, self._limit * EASE)
        elif in_flight >= self.limit:
            self._limit = min(self._maximum, self._limit + 1.0 / self._limit)

    def overloaded(self, generation: int) -> None:
        """A request that was sent at `generation` met overload."""
        if generation == self._generation:
            self._limit = max(1.0, self._limit * DECREASE)
            self._generation += 1
