"""Pushes all metrics to one destination: at every interval, and twice when the program stops.

Nothing is queued: values are cumulative, and what could not be pushed is in the next snapshot. A request that fails is
sent again until that is due; at the end, until the deadline.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from sidecar.deliver.retry import Attempts, Backoff
from sidecar.health import Health
from sidecar.push.destination import Destination, PushResult
from sidecar.push.snapshot import Series, Snapshot, Snapshots
from sidecar.serve.exposition import Family, merge
from sidecar.telemetry import Telemetry

log = structlog.get_logger("push")

MAX_SAMPLES = 2000
"""Of one request, at most, unless one series has more."""
BACKOFF = Backoff(0.5, 10.0)
REPEAT_SECONDS = 60.0
"""Least time between two log lines about the same trouble."""

Collect = Callable[[float], Sequence[Family] | None]
"""(monotonic seconds until which to wait for what was acknowledged to be added up) -> all families as they are now;
None while counters are being restored."""


@dataclass(slots=True)
class _Trouble:
    """Why pushes fail, from the first that fails to the next that does not."""

    reason: str = ""
    logged: float = -REPEAT_SECONDS
    rejected_logged: float = -REPEAT_SECONDS
    rejected: int = 0
    """Samples refused and not in the log yet."""


class Pusher:
    """A thread of its own pushes; `start`, `drain` and `finish` are called by another, in this order."""

    def __init__(
        self,
        name: str,
        destination: Destination,
        collect: Collect,
        snapshots: Snapshots,
        interval: float,
        telemetry: Telemetry,
        health: Health,
    ) -> None:
        self.name = name
        self._destination, self._collect, self._snapshots = destination, collect, snapshots
        self._interval, self._telemetry, self._health = interval, telemetry, health
        self._trouble = _Trouble()
        self._last_success = 0.0
        self._stop, self._end = threading.Event(), threading.Event()
        self._drained, self._finished = threading.Event(), threading.Event()
        self._deadline = 0.0
        """Monotonic seconds at which sending ends, once `drain` or `finish` was called."""
        self._thread = threading.Thread(target=self._run, name=f"push-{name}", daemon=True)
        telemetry.watch("sidecar_push_last_success_timestamp_seconds", self._read_success)

    def start(self) -> None:
        """Begin to push."""
        self._health.report(self._component, "ok")
        self._thread.start()

    def drain(self, timeout: float) -> None:
        """Push what there is now; nothing more is received. Waits at most `timeout` seconds."""
        self._deadline = time.monotonic() + timeout
        self._stop.set()
        if self._thread.is_alive():
            self._drained.wait(timeout)

    def finish(self, timeout: float) -> bool:
        """Push the last values, and where it is of use that there are no more; whether it was done. Waits at most
        `timeout` seconds."""
        self._deadline = time.monotonic() + timeout
        self._stop.set()
        self._end.set()
        return not self._thread.is_alive() or self._finished.wait(timeout)

    def status(self) -> Mapping[str, Any]:
        """For `/status`."""
        return {
            "destination": self.name,
            **self._destination.status(),
            "last_success": self._last_success or None,
            "trouble": self._trouble.reason,
        }

    @property
    def _component(self) -> str:
        return f"push.{self.name}"

    def _run(self) -> None:
        try:
            due = time.monotonic()
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due = max(due + self._interval, time.monotonic())
                self._push(time.monotonic(), lambda until=due: until)  # type: ignore[misc]
            self._push(self._deadline, lambda: self._deadline)
            self._drained.set()
            self._end.wait()
            left = self._push(time.monotonic(), lambda: self._deadline)
            if left:
                log.error("push_incomplete", destination=self.name, samples=left, reason=self._trouble.reason)
            elif self._destination.ends_series:
                self._send_all(self._snapshots.last(time.time()), lambda: self._deadline)
        except Exception as error:
            self._health.report(self._component, "failed", repr(error))
            log.exception("push_thread_failed", destination=self.name)
        finally:
            self._drained.set()
            self._finished.set()
            self._destination.close()

    def _push(self, ready_by: float, deadline: Callable[[], float]) -> int:
        """Samples that could not be pushed."""
        families = self._collect(ready_by)
        if families is None:
            return 0
        return self._send_all(self._snapshots.take(merge(families), time.time()), deadline)

    def _send_all(self, snapshot: Snapshot, deadline: Callable[[], float]) -> int:
        """Samples that could not be sent in time. `deadline`: monotonic seconds, which may change."""
        waiting = list(requests(snapshot.series))[::-1]
        while waiting:
            series = waiting.pop()
            result = self._send(series, snapshot.time_ms, deadline)
            samples = sum(one.samples for one in series)
            if result.status == "accepted":
                self._accepted(result, samples)
            elif result.status == "rejected" and result.too_large and len(series) > 1:
                waiting += [series[len(series) // 2 :], series[: len(series) // 2]]
            elif result.status == "rejected":
                self._count("rejected", samples)
                self._note_rejected(samples, result)
            else:
                left = samples + sum(one.samples for more in waiting for one in more)
                self._count("dropped", left)
                return left
        self._last_success = time.time()
        return 0

    def _send(self, series: Sequence[Series], time_ms: int, deadline: Callable[[], float]) -> PushResult:
        """Until it is accepted or rejected, or the deadline would pass."""
        attempts = Attempts(BACKOFF, time.monotonic, random.random)
        while True:
            began = time.monotonic()
            result = self._destination.send(series, time_ms)
            self._telemetry.record(
                "sidecar_push_request_duration_seconds", time.monotonic() - began, destination=self.name
            )
            self._telemetry.add("sidecar_push_requests_total", destination=self.name, outcome=result.status)
            if result.status in ("accepted", "rejected"):
                return result
            self._failed(result)
            # A pause ends when the program stops: from then on the deadline is another one.
            stopping = self._stop.is_set()
            pause = attempts.pause(deadline(), result.retry_after)
            if pause is None:
                return result
            if stopping:
                time.sleep(pause)
            elif self._stop.wait(pause):
                return result

    def _accepted(self, result: PushResult, samples: int) -> None:
        rejected = min(result.rejected, samples)
        self._count("sent", samples - rejected)
        if rejected:
            self._count("rejected", rejected)
        if rejected or result.detail:
            self._note_rejected(rejected, result)
        if self._trouble.reason:
            log.info("push_recovered", destination=self.name)
            self._trouble.reason = ""
            self._health.report(self._component, "ok")

    def _count(self, outcome: str, samples: int) -> None:
        self._telemetry.add("sidecar_push_samples_total", samples, destination=self.name, outcome=outcome)

    def _failed(self, result: PushResult) -> None:
        now, trouble = time.monotonic(), self._trouble
        if trouble.reason != result.reason:
            trouble.reason = result.reason
            self._health.report(self._component, "degraded", f"{result.reason}: {result.detail}")
            if now - trouble.logged >= REPEAT_SECONDS:
                trouble.logged = now
                log.warning("push_failed", destination=self.name, reason=result.reason, detail=result.detail)

    def _note_rejected(self, samples: int, result: PushResult) -> None:
        """One line for what the receiver did not take or warns of, then at most one in `REPEAT_SECONDS`."""
        now, trouble = time.monotonic(), self._trouble
        trouble.rejected += samples
        if now - trouble.rejected_logged >= REPEAT_SECONDS:
            trouble.rejected_logged = now
            log.error("push_rejected", destination=self.name, samples=trouble.rejected, detail=result.detail)
            trouble.rejected = 0

    def _read_success(self) -> list[tuple[float, Mapping[str, str]]]:
        return [(self._last_success, {"destination": self.name})] if self._last_success else []


def requests(series: Sequence[Series]) -> Iterator[list[Series]]:
    """The series in parts of at most MAX_SAMPLES; what is known of targets comes first."""
    ordered = sorted(series, key=lambda one: not one.is_target_info)
    part: list[Series] = []
    samples = 0
    for one in ordered:
        if part and samples + one.samples > MAX_SAMPLES:
            yield part
            part, samples = [], 0
        part.append(one)
        samples += one.samples
    if part:
        yield part
