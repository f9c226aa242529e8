"""What the disk itself takes, beside what is measured: an acknowledgement cannot come before an fsync."""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY_SECONDS = 0.05
BYTES = b"\0" * 4096
"""About a commit of one small payload."""


@contextmanager
def fsync_times() -> Iterator[list[float]]:
    """Milliseconds of each append with fdatasync, twenty a second while the block runs, where the systems have their
    files too. The list is filled as long as the block runs."""
    times: list[float] = []
    ended = threading.Event()
    with tempfile.TemporaryFile(prefix="fsync-") as file:

        def write() -> None:
            while not ended.wait(EVERY_SECONDS):
                began = time.perf_counter()
                os.write(file.fileno(), BYTES)
                os.fdatasync(file.fileno())
                times.append((time.perf_counter() - began) * 1000)

        thread = threading.Thread(target=write, name="fsync-times")
        thread.start()
        try:
            yield times
        finally:
            ended.set()
            thread.join()


def p99(times: list[float]) -> float | None:
    """The 99th percentile; None of fewer than a hundred."""
    return statistics.quantiles(times, n=100)[98] if len(times) >= 100 else None
