"""What Evidently or whylogs takes for the rows of `drift.py`; runs in an environment that has it, and imports nothing
of ours: `python drift_peers.py evidently|whylogs ROWS.npz` prints CPU seconds and bytes as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def resident_bytes() -> int:
    """Of this process now, from /proc."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measured(work: Callable[[], object]) -> dict[str, float]:
    """CPU seconds of all threads, and by how much the peak of resident memory is above what there was before."""
    before, at_first = resource.getrusage(resource.RUSAGE_SELF), resident_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # The peak counts from here.
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "bytes": float(max(0, peak_bytes() - at_first))}


def peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def evidently(trained: Any, live: Any) -> Callable[[], object]:
    """A report of the drift of all columns by PSI."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [name for name in trained if name[0] == "n"]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=[n for n in trained if n[0] == "c"])

    def run() -> object:
        reference, current = (Dataset.from_pandas(side, data_definition=definition) for side in (trained, live))
        return Report([DataDriftPreset(method="psi")]).run(current, reference).dict()

    return run


def whylogs(trained: Any, live: Any) -> Callable[[], object]:
    """A profile of the rows beside that of the reference, by Kolmogorov-Smirnov and chi-squared."""
    import whylogs as library
    from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

    reference = library.log(trained).view()

    def run() -> object:
        return calculate_drift_scores(library.log(live).view(), reference)

    return run


def main(name: str, file: str) -> None:
    import pandas

    with np.load(file, allow_pickle=False) as kept:
        trained, live = (
            pandas.DataFrame({name[2:]: kept[name] for name in kept.files if name[0] == side}) for side in "tl"
        )
    of = {"evidently": evidently, "whylogs": whylogs}[name]
    of(trained, live[: len(live) // 10])()
    print(json.dumps(measured(of(trained, live))))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
