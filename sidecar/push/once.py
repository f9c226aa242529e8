"""All metrics pushed once, by a program that ends then. Nothing is marked as stale: values stand until the next run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

from sidecar.deliver.retry import Attempts
from sidecar.push.destination import Destination, PushResult
from sidecar.push.options import PushOptions
from sidecar.push.pusher import BACKOFF, requests
from sidecar.push.registry import destination, enabled
from sidecar.push.snapshot import Series, Snapshots
from sidecar.serve.exposition import Family, merge

Clock = Callable[[], float]


def push_once(
    options: PushOptions, labels: Mapping[str, str], families: Sequence[Family], timeout: float
) -> dict[str, str]:
    """Push to every destination that is on: its name -> why it was not pushed; empty where it was. `timeout`: seconds
    without success after which to give up. Raises `Permanent` where a file of a connection cannot be used."""
    now = time.time()
    snapshot = Snapshots(labels, now).take(merge(families), now)
    failed = {}
    for name, section in enabled(options):
        to = destination(name, section)
        try:
            failed[name] = send(to, snapshot.series, snapshot.time_ms, timeout)
        finally:
            to.close()
    return failed


def send(
    to: Destination,
    series: Sequence[Series],
    time_ms: int,
    timeout: float,
    clock: Clock = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Why they were not all taken; empty where they were."""
    waiting = list(requests(series))[::-1]
    trouble = ""
    while waiting:
        part = waiting.pop()
        result = _until_taken(to, part, time_ms, timeout, clock, sleep)
        if result.too_large and len(part) > 1:
            waiting += [part[len(part) // 2 :], part[: len(part) // 2]]
        elif result.status in ("retry", "blocked"):
            return f"{result.reason}: {result.detail}"
        elif result.status == "rejected" or result.rejected:
            trouble = trouble or f"{result.reason}: {result.detail}"
    return trouble


def _until_taken(
    to: Destination,
    part: Sequence[Series],
    time_ms: int,
    timeout: float,
    clock: Clock,
    sleep: Callable[[float], None],
) -> PushResult:
    attempts, deadline = Attempts(BACKOFF, clock, random.random), clock() + timeout
    while True:
        result = to.send(part, time_ms)
        if result.status != "retry":
            return result
        pause = attempts.pause(deadline, result.retry_after)
        if pause is None:
            return result
        sleep(pause)
