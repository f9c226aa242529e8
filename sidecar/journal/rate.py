"""A rate over the last half minute."""

from __future__ import annotations

from collections import deque

_SPAN = 30
_SECOND = 1_000_000_000


class Rate:
    """Amounts in buckets of one second, of the last 30 seconds."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque()
        self._since: int | None = None

    def add(self, amount: int, now_ns: int) -> None:
        second = now_ns // _SECOND
        if self._since is None:
            self._since = second
        if self._buckets and self._buckets[-1][0] >= second:
            last, so_far = self._buckets.pop()
            self._buckets.append((last, so_far + amount))
        else:
            self._buckets.append((second, amount))
        self._forget(second)

    def per_second(self, now_ns: int) -> float:
        """Amount per second since the first one, at most over the last 30 seconds."""
        second = now_ns // _SECOND
        self._forget(second)
        if self._since is None or not self._buckets:
            return 0.0
        return sum(amount for _, amount in self._buckets) / min(max(second - self._since, 1), _SPAN)

    def _forget(self, second: int) -> None:
        while self._buckets and self._buckets[0][0] <= second - _SPAN:
            self._buckets.popleft()
