"""What capturing costs the thread that predicts: scikit-learn `predict` with and without it, one row and 1,000.

`python bench/capture.py [--calls N]` starts one process without instrumentation and one for each mode of capture; each
does the same calls, in rounds that alternate between the two sizes. Spans and events go to batch processors whose
exporters drop them, so that queueing is in the figures and the network is not. The medians of the differences and the
target (60 µs + 5 %) are printed; the exit code is 1 if a median is above it.

`thread` is the CPU time of the calling thread alone. In `wall` there is also waiting: for the interpreter lock that the
threads of the batch processors hold meanwhile, and for the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

MODES = ("off", "none", "predictions", "features")
SIZES = (1, 1000)
COLUMNS = 20
FIXED_US, SHARE = 60.0, 0.05
ROUND = 50


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--mode", choices=MODES, help="Only measure, in this process; for the bench's own use.")
    options = parser.parse_args()
    if options.mode is not None:
        print(json.dumps(measure(options.mode, options.calls)))
        return 0
    results = {mode: _in_a_process(mode, options.calls) for mode in MODES}
    return _report(results)


def _in_a_process(mode: str, calls: int) -> dict[str, dict[str, float]]:
    env = {**os.environ, "SIDECAR_CAPTURE": mode if mode != "off" else "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--mode", mode, "--calls", str(calls)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def measure(mode: str, calls: int) -> dict[str, dict[str, float]]:
    """µs of a call by model, rows and clock: p50 and p99."""
    if mode != "off":
        _instrument()
    import numpy
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    random = numpy.random.default_rng(7)
    rows = random.random((1000, COLUMNS))
    target = (rows[:, 0] * 3).astype(int)
    models = {
        "logistic": (LogisticRegression(max_iter=500).fit(rows, target), calls),
        "forest": (RandomForestClassifier(n_estimators=20, max_depth=6).fit(rows, target), calls // 4),
    }
    found = {}
    for name, (model, count) in models.items():
        parts = {size: rows[:size].copy() for size in SIZES}
        for size, taken in _times(model.predict, parts, count).items():
            for clock, values in taken.items():
                values.sort()
                found[f"{name} {size} {clock}"] = {
                    "p50": values[len(values) // 2] / 1e3,
                    "p99": values[len(values) * 99 // 100] / 1e3,
                }
    return found


def _times(predict: Callable[[Any], Any], parts: dict[int, Any], count: int) -> dict[int, dict[str, list[int]]]:
    taken: dict[int, dict[str, list[int]]] = {size: {"thread": [], "wall": []} for size in parts}
    for _ in range(count // ROUND + 1):
        for size, part in parts.items():
            for _ in range(ROUND):
                wall, thread = time.perf_counter_ns(), time.thread_time_ns()
                predict(part)
                thread, wall = time.thread_time_ns() - thread, time.perf_counter_ns() - wall
                taken[size]["thread"].append(thread)
                taken[size]["wall"].append(wall)
    return taken


def _instrument() -> None:
    from importlib.metadata import entry_points

    from opentelemetry import trace
    from opentelemetry._logs import set_logger_provider
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    logs, spans = LoggerProvider(), TracerProvider()
    logs.add_log_record_processor(BatchLogRecordProcessor(_Dropped()))  # type: ignore[arg-type]
    spans.add_span_processor(BatchSpanProcessor(_Dropped()))  # type: ignore[arg-type]
    set_logger_provider(logs)
    trace.set_tracer_provider(spans)
    for point in entry_points(group="opentelemetry_instrumentor", name="model_sidecar_sklearn"):
        point.load()().instrument(skip_dep_check=True)


class _Dropped:
    """An exporter of any signal that takes everything and does nothing with it."""

    def export(self, batch: Sequence[Any]) -> None:
        return None

    def shutdown(self) -> None:
        return None

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


def _report(results: dict[str, dict[str, dict[str, float]]]) -> int:
    failed = 0
    print(
        f"{'µs of a predict':24} {'':>6} " + " ".join(f"{mode:>12}" for mode in MODES) + f" {'added':>8} {'target':>8}"
    )
    for what, plain in results["off"].items():
        for share in ("p50", "p99"):
            added = results["features"][what][share] - plain[share]
            target = FIXED_US + SHARE * plain[share]
            values = " ".join(f"{results[mode][what][share]:12.1f}" for mode in MODES)
            over = added > target
            failed += over and share == "p50"
            print(f"{what:24} {share:>6} {values} {added:8.1f} {target:8.1f}{' !' if over else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
