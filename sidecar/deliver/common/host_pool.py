"""Which of several hosts is asked next. Pure but for a lock: the caller brings the time."""

from __future__ import annotations

import threading

FIRST_COOLDOWN = 1.0
"""Seconds that a host which failed is left alone; doubled with every further failure ..."""
LONGEST_COOLDOWN = 60.0
"""... up to this."""


class HostPool:
    """HostPool by number, 0 to `count` - 1. Thread-safe."""

    def __init__(self, count: int, spread: bool) -> None:
        """`spread`: requests go to the hosts in turn. Otherwise all go to one, and to the next when that fails."""
        self._count, self._spread = count, spread
        self._lock = threading.Lock()
        self._next = 0
        self._failures = [0] * count
        self._cooling_until = [0.0] * count

    def candidates(self, now: float) -> list[int]:
        """The hosts to try, one after the other: those that do not rest; where all rest, the one that has rested
        longest, so that there is always one."""
        with self._lock:
            ring = [(self._next + step) % self._count for step in range(self._count)]
            if self._spread:
                self._next = (self._next + 1) % self._count
            awake = [host for host in ring if self._cooling_until[host] <= now]
            return awake or [min(ring, key=lambda host: self._cooling_until[host])]

    def failed(self, host: int, now: float) -> bool:
        """The host was not reached, or did not do what was asked: it rests for a while. True if it had been well."""
        with self._lock:
            rest = min(LONGEST_COOLDOWN, FIRST_COOLDOWN * 2.0 ** min(self._failures[host], 16))
            self._failures[host] += 1
            self._cooling_until[host] = now + rest
            if not self._spread and host == self._next:
                self._next = (host + 1) % self._count
            return self._failures[host] == 1

    def succeeded(self, host: int) -> None:
        """The host did what was asked."""
        with self._lock:
            self._failures[host] = 0
            self._cooling_until[host] = 0.0

    def cooling_down(self, now: float) -> list[int]:
        """HostPool that are left alone at present."""
        with self._lock:
            return [host for host in range(self._count) if self._cooling_until[host] > now]
