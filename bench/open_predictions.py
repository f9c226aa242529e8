"""Memory of predictions that wait for their labels: `python bench/open_predictions.py [ROWS]` (default 5,000,000) joins
rows of an id each, for every bound of memory, and prints how many wait, how many were evicted, by how much resident
memory rose, what checkpoints commit, and CPU seconds. The exit code is 1 where a row neither waits nor is counted as
evicted, or memory is a tenth above its bound.
"""

from __future__ import annotations

import sys
import time

from drift_peers import resident_bytes

from sidecar.decode.predictions.prediction_rows import Answer, PredictedRows
from sidecar.derive.outcomes.joiner import Joiner
from sidecar.derive.outcomes.options import OutcomeOptions

ROWS = 5_000_000
BOUNDS = (64 << 20, 240 << 20)
DEFAULTS = OutcomeOptions()
SECOND = 10**9
START = 1_790_000_000 * SECOND
CHECKPOINT_ROWS = 20_000


def fill(rows: int, max_bytes: int) -> bool:
    """One row a millisecond; whether all are accounted for within the bound."""
    joiner = Joiner(max_bytes, DEFAULTS.label_ttl, DEFAULTS.prediction_ttl, DEFAULTS.max_waiting_labels)
    before, began, state = resident_bytes(), time.process_time(), 0
    evicted = kept = 0
    for n in range(rows):
        joiner.advance(START + n * SECOND // 1000)
        joiner.predicted(PredictedRows(f"prediction-{n}", "churn", "7", 0, [Answer("yes", 0.5)]))
        if n % CHECKPOINT_ROWS == 0:
            state += sum(len(value or b"") for _, value in joiner.open.checkpoint())
            _, _, counts = joiner.taken()
            evicted += counts["churn", "7", "evicted"]
            kept += counts["churn", "7", "kept"]
    _, _, counts = joiner.taken()
    evicted += counts["churn", "7", "evicted"]
    kept += counts["churn", "7", "kept"]
    rose, spent = resident_bytes() - before, time.process_time() - began
    waiting = len(joiner.open)
    print(
        f"{max_bytes >> 20:6} MiB {waiting:12,} wait {evicted:12,} evicted {rose / 2**20:8.0f} MiB rose"
        f" {rose / max(waiting, 1):6.1f} bytes a row {state / 2**20:8.0f} MiB committed {spent:8.1f} CPU s",
        flush=True,
    )
    return kept == rows and waiting + evicted == rows and rose <= max_bytes * 1.1


def main(arguments: list[str]) -> int:
    rows = int(arguments[0]) if arguments else ROWS
    found = [fill(rows, max_bytes) for max_bytes in BOUNDS]
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
