"""What drift and data quality of 20 features cost beside Evidently and whylogs, on the same rows in one run: CPU s a
million rows, and memory a feature.

`python bench/drift.py [ROWS]` (default 100,000). Each runs in a process of its own. The sidecar derives metrics from
events as they come from the zero-code instrumentation, as fast as it can, once without drift and quality (`base`) and
once with them (`whole`), in turns; what they add is the difference. Times of arrival are those of a million rows a day,
checked every hour. The others get data frames that are in memory already, and compare once; their environments are
those of `make oracles`. Memory of the sidecar is by how much resident memory rose with what its deriver keeps, of the
others by how much its peak did.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "tests"))

import numpy as np  # noqa: E402
from drift_peers import resident_bytes  # noqa: E402
from support.derive_fakes import FakeLog  # noqa: E402
from support.drift_data import HOUR, START, at, events_request, reference  # noqa: E402
from support.drift_oracles.golden import LIBRARIES, python_of  # noqa: E402
from support.engines.cache import EngineUnavailable  # noqa: E402

from sidecar.decode.api import Decoder  # noqa: E402
from sidecar.decode.select import decoder as own_decoder  # noqa: E402
from sidecar.derive.drift.deriver import DriftDeriver  # noqa: E402
from sidecar.derive.drift.options import DriftOptions  # noqa: E402
from sidecar.derive.engine import DeriveEngine  # noqa: E402
from sidecar.derive.prediction_events import PredictionEvents  # noqa: E402
from sidecar.derive.registry import DeriveOptions  # noqa: E402
from sidecar.derive.series import Budget  # noqa: E402
from sidecar.telemetry import Telemetry  # noqa: E402

FEATURES, TRAINED, ROWS = 20, 10_000, 100_000
PAYLOAD_ROWS = 100
"""Rows of a payload; the engine takes up to 32 payloads together."""
DAY = 86_400 * 10**9
ROWS_A_DAY = 1_000_000
REPETITIONS = 5
SOME, MANY, HOURLY = 500, 1000, 500
"""Features (of the difference between two numbers of them, so that what a process takes once is not in it), and rows in
an hour, of which memory is measured."""
MODES = ("reference", "learn", "previous_window", "same_window_last_week", "expectations")
"""What memory is measured of; the last is `reference`, and two expectations of each feature."""
PEERS = ("evidently", "whylogs")


def columns(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    """Sixteen of numbers, four of categories."""
    numbers = {f"n{place:02d}": rng.normal(place, 1 + place, rows) for place in range(FEATURES - 4)}
    texts = {f"c{place}": rng.choice(["basic", "pro", "free"], rows, p=[0.6, 0.3, 0.1]) for place in range(4)}
    return numbers | texts


def payloads(found: dict[str, Any], rows_an_event: int) -> Iterator[bytes]:
    """Requests of many events."""
    rows = len(found["n00"])
    for begin in range(0, rows, PAYLOAD_ROWS):
        parts = range(begin, min(begin + PAYLOAD_ROWS, rows), rows_an_event)
        yield events_request(
            [({name: of[part : part + rows_an_event].tolist() for name, of in found.items()}, {}) for part in parts]
        )


class Engine:
    """Derives metrics of the same payloads again and again, each time as those of a later time."""

    def __init__(self, requests: list[bytes], drift: Mapping[str, Any], decoder: Decoder) -> None:
        self.requests, self.now = requests, START
        self.log = FakeLog()
        options = DeriveOptions.model_validate({"drift": drift})
        self.engine = DeriveEngine(self.log.consumer(), decoder, options, Telemetry())  # type: ignore[arg-type]

    def run(self) -> float:
        """CPU seconds of all payloads and a checkpoint."""
        for request in self.requests:
            self.log.append("logs", request, self.now)
            self.now += DAY * PAYLOAD_ROWS // ROWS_A_DAY
        before = time.process_time()
        while self.engine.pull():
            pass
        self.engine.checkpoint()
        return time.process_time() - before

    @property
    def drift(self) -> DriftDeriver:
        return next(one for one in self.engine._derivers if isinstance(one, DriftDeriver))


def sidecar(rows_an_event: int, options: Mapping[str, Any], live: dict[str, Any]) -> dict[str, float]:
    """CPU seconds without and with drift and quality, of a check and of a checkpoint."""
    decoder = own_decoder()
    requests = list(payloads(live, rows_an_event))
    sides = [Engine(requests, one, decoder) for one in ({}, options)]
    for side in sides:
        side.run()
    times = [[side.run() for side in sides] for _ in range(REPETITIONS)]
    drift = sides[1].drift
    (state,) = drift.models.values()
    assert len(state.decisions) == FEATURES, "a column was not compared"
    check = state.progress.check
    return {
        "base": median(base for base, _ in times),
        "whole": median(whole for _, whole in times),
        "adds": median(whole - base for base, whole in times),
        "check": median(timed(lambda: state._run_check(check)) for _ in range(REPETITIONS)),
        "checkpoint": median(timed(lambda: checkpoint(drift)) for _ in range(REPETITIONS)),
    }


def timed(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def checkpoint(drift: DriftDeriver) -> None:
    """As if every column had changed."""
    for state in drift.models.values():
        for window in state.windows.values():
            window._dirty = True
    for _ in drift.checkpoint():
        pass


def write_inputs(folder: Path, features: int) -> None:
    """A reference of many features, and an hour's requests. By a process of its own: what is made on the way would
    leave memory behind, which is free for what is measured."""
    rng = np.random.default_rng(20)
    names = (
        [f"n{place:04d}" for place in range(features * 8 // 10)],
        [f"c{place:04d}" for place in range(features * 2 // 10)],
    )
    rows = rng.normal(10, 3, (HOURLY, len(names[0]))), rng.choice(["basic", "pro", "free"], (HOURLY, len(names[1])))
    live = {name: of[:, n].tolist() for some, of in zip(names, rows, strict=True) for n, name in enumerate(some)}
    write_reference(folder, live)
    write_suite(folder, live)
    for at_row in range(0, HOURLY, 100):
        part = {name: of[at_row : at_row + 100] for name, of in live.items()}
        (folder / f"{at_row:05d}.request").write_bytes(events_request([(part, {})]))


def memory(mode: str, folder: Path, features: int) -> float:
    """kB of resident memory that came with the deriver's state of so many features, over days of hourly rows."""
    days = {"previous_window": 3, "same_window_last_week": 9}.get(mode, 2)
    options: dict[str, Any] = {"max_features": features}
    if mode == "learn":
        options["learn"] = HOURLY
    else:
        options["reference"] = folder / "reference.json"
    if mode == "expectations":
        options |= {"suites": folder / "suite.json", "max_expectations": 2 * features}
    elif mode != "learn":
        options["compare_with"] = mode
    requests = [file.read_bytes() for file in sorted(folder.glob("*.request"))]
    decoder = own_decoder()
    for request in requests:
        decoder.predictions([request], True)
    before = settled_bytes()
    deriver = DriftDeriver(DriftOptions(**options), Budget(), events=PredictionEvents())
    for hour in range(24 * days):
        for n, request in enumerate(requests):
            deriver.apply(deriver.decode(decoder, [request]), at(START + hour * HOUR + n * HOUR // len(requests)))
        for _ in deriver.checkpoint():
            pass
    (state,) = deriver.models.values()
    assert len(state.decisions) == features, "a column was not compared"
    return (settled_bytes() - before) / 1000


def settled_bytes() -> int:
    """Resident memory without what is free."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return resident_bytes()


def write_reference(folder: Path, trained: Mapping[str, Any]) -> Path:
    file = folder / "reference.json"
    file.write_text(reference({name: list(of) for name, of in trained.items()}).dump())
    return file


def write_suite(folder: Path, names: Iterable[str]) -> Path:
    """An expectation of each feature, and one of all values of it."""
    file = folder / "suite.json"
    expectations: list[dict[str, Any]] = []
    for name in names:
        expectations.append({"type": "expect_column_values_to_not_be_null", "kwargs": {"column": name}})
        limits: dict[str, Any] = {"min_value": -500, "max_value": 500, "mostly": 0.99}
        kind = "between" if name[0] == "n" else "in_set"
        given = limits if name[0] == "n" else {"value_set": ["basic", "pro", "free"]}
        expectations.append({"type": f"expect_column_values_to_be_{kind}", "kwargs": {"column": name, **given}})
    file.write_text(json.dumps({"name": "bench", "expectations": expectations, "meta": {}}))
    return file


def in_a_process(arguments: list[str], environment: Mapping[str, str]) -> dict[str, float]:
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | dict(environment))
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def own_part(arguments: list[str]) -> dict[str, float]:
    """What `main` asks of a process of its own."""
    if arguments[0] == "inputs":
        write_inputs(Path(arguments[1]), int(arguments[2]))
        return {}
    if arguments[0] == "memory":
        return {"kilobytes": memory(arguments[1], Path(arguments[2]), int(arguments[3]))}
    rows_an_event, suite, file = int(arguments[1]), arguments[2] == "suite", arguments[3]
    with np.load(file, allow_pickle=False) as kept:
        trained, live = ({name[2:]: kept[name] for name in kept.files if name[0] == side} for side in "tl")
    with tempfile.TemporaryDirectory(prefix="sidecar-bench-drift-") as folder:
        options = {"reference": str(write_reference(Path(folder), trained))}
        if suite:
            options["suites"] = str(write_suite(Path(folder), live))
        return sidecar(rows_an_event, options, live)


def resident(own: list[str], mode: str, features: int) -> float:
    with tempfile.TemporaryDirectory(prefix="sidecar-bench-drift-") as folder:
        in_a_process([*own, "inputs", folder, str(features)], {})
        return in_a_process([*own, "memory", mode, folder, str(features)], {})["kilobytes"]


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--part"]:
        print(json.dumps(own_part(arguments[1:])))
        return 0
    rows = int(arguments[0]) if arguments else ROWS
    rng = np.random.default_rng(20)
    sides = {"t": columns(rng, TRAINED), "l": columns(rng, rows)}
    own = [sys.executable, str(Path(__file__)), "--part"]
    with tempfile.TemporaryDirectory(prefix="sidecar-bench-drift-") as folder:
        file = Path(folder) / "rows.npz"
        np.savez(file, **{f"{side}_{name}": of for side, all_of in sides.items() for name, of in all_of.items()})
        print(f"{rows:,} rows of {FEATURES} features, {TRAINED:,} of the reference; CPU s / million rows")
        print(f"{'':44} {'adds':>8} {'base':>8} {'whole':>8} {'check, ms':>10} {'checkpoint, ms':>15}")
        for size, suite in ((1, "plain"), (10, "plain"), (1, "suite"), (10, "suite")):
            found = in_a_process([*own, "rows", str(size), suite, str(file)], {})
            name = f"events of {size}" + (", 40 expectations" if suite == "suite" else "")
            shown = "".join(f"{found[part] / rows * 1e6:9.2f}" for part in ("adds", "base", "whole"))
            print(f"{name:44}{shown} {found['check'] * 1e3:10.2f} {found['checkpoint'] * 1e3:15.2f}", flush=True)
        for library in (one for one in LIBRARIES if one.name in PEERS):
            try:
                command = [str(python_of(library)), str(HERE / "drift_peers.py"), library.name, str(file)]
            except EngineUnavailable as error:
                print(f"without {library.name}: {error}", file=sys.stderr)
                continue
            found = in_a_process(command, library.environment)
            taken = f"{found['bytes'] / FEATURES / 1000:,.0f} kB a feature"
            print(f"{library.packages[0]:44} {found['cpu'] / rows * 1e6:8.2f} {taken:>20}", flush=True)
    for mode in MODES:
        found = [resident(own, mode, features) for features in (SOME, MANY)]
        each = (found[1] - found[0]) / (MANY - SOME)
        print(f"{mode:44} {each:8.1f} kB a feature, and {found[0] - each * SOME:6,.0f} kB once", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
