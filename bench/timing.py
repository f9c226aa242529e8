"""CPU time of small steps."""

from __future__ import annotations

import time
from collections.abc import Callable

ROUND_SECONDS = 0.3


def cpu_seconds(run: Callable[[], object], rounds: int) -> float:
    """Of one call, all threads of the process; the best of `rounds`."""
    run()
    best = float("inf")
    for _ in range(rounds):
        calls, began = 0, time.process_time()
        while (spent := time.process_time() - began) < ROUND_SECONDS:
            run()
            calls += 1
        best = min(best, spent / calls)
    return best
