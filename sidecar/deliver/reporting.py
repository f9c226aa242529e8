"""What a worker logs and reports, and how often. Pure, not thread-safe."""

from __future__ import annotations

from dataclasses import dataclass

REPEAT_SECONDS = 60.0
"""The same trouble is logged at most this often."""
REJECTED_SECONDS = 30.0
"""Least time between two log lines about documents that were rejected."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What to do about a request that failed."""

    changed: bool
    """It failed for another reason than the last one: the state of the sink changes."""
    log: bool


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a request that succeeded ends."""

    trouble: str
    """The reason of the last failure; empty where there was none."""
    outage: bool
    """So many had failed in a row that none got through: those that back off may try at once."""


class Trouble:
    """Why requests fail, from the first that fails to the next that does not."""

    def __init__(self, outage_failures: int) -> None:
        """More failures than that in a row are an outage. Fewer may be one batch that fails among others that do not:
        that one must keep to its own back-off."""
        self._outage_failures = outage_failures
        self._failures = 0
        self._logged: dict[str, float] = {}
        """Reason -> when it was last logged."""
        self.reason = ""
        self.recoveries = 0
        """Outages that ended."""

    def failed(self, reason: str, now: float) -> Failure:
        """`now`: monotonic seconds."""
        self._failures += 1
        changed, self.reason = self.reason != reason, reason
        log = changed and now - self._logged.get(reason, -REPEAT_SECONDS) >= REPEAT_SECONDS
        if log:
            self._logged[reason] = now
        return Failure(changed, log)

    def succeeded(self) -> Recovery:
        found = Recovery(self.reason, self._failures > self._outage_failures)
        self.reason, self._failures = "", 0
        self.recoveries += found.outage
        return found


class RejectedCount:
    """Documents that were rejected and are not in the log yet."""

    def __init__(self) -> None:
        self._count = 0
        self._logged_ns = 0

    def add(self, documents: int, now_ns: int) -> int:
        """How many a log line is due for now; 0 for none."""
        self._count += documents
        if not self._count or now_ns - self._logged_ns < REJECTED_SECONDS * 1e9:
            return 0
        count, self._count, self._logged_ns = self._count, 0, now_ns
        return count
