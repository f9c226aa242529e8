"""What drift of 20 features costs beside Evidently and whylogs, on the same rows in one run: CPU seconds a million
rows, and memory a feature.

`python bench/drift.py [ROWS]` (default 100,000). Each runs in a process of its own, with a tenth of the rows first that
is not measured. The sidecar reads events as they come from the zero-code instrumentation, spread over a day, and checks
them every hour, which costs the same for any number of rows, or once; the others get data frames that are in memory
already, and compare once.
Their environments are those of `make oracles`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "tests"))

import numpy as np  # noqa: E402
from drift_peers import measured  # noqa: E402
from support.drift_data import HOUR, START, at, events_request, reference  # noqa: E402
from support.drift_oracles.golden import LIBRARIES, python_of  # noqa: E402
from support.engines.cache import EngineUnavailable  # noqa: E402

from sidecar.decode.python import ReferenceDecoder  # noqa: E402
from sidecar.decode.select import native_decoder  # noqa: E402
from sidecar.derive.drift.deriver import DriftDeriver  # noqa: E402
from sidecar.derive.drift.options import DriftOptions  # noqa: E402
from sidecar.derive.series import Budget  # noqa: E402

FEATURES, TRAINED, ROWS = 20, 10_000, 100_000
PAYLOAD_ROWS, AT_ONCE = 500, 32
"""Rows of a payload, and payloads that the engine decodes together."""
PEERS = ("evidently", "whylogs")


def columns(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    """Sixteen of numbers, four of categories."""
    numbers = {f"n{place:02d}": rng.normal(place, 1 + place, rows) for place in range(FEATURES - 4)}
    texts = {f"c{place}": rng.choice(["basic", "pro", "free"], rows, p=[0.6, 0.3, 0.1]) for place in range(4)}
    return numbers | texts


def payloads(found: dict[str, Any], rows_an_event: int) -> Iterator[bytes]:
    """Requests of many events."""
    rows = len(found["n00"])
    step = PAYLOAD_ROWS
    for begin in range(0, rows, step):
        parts = range(begin, min(begin + step, rows), rows_an_event)
        yield events_request(
            [({name: of[part : part + rows_an_event].tolist() for name, of in found.items()}, {}) for part in parts]
        )


def sidecar(rows_an_event: int, check: str, trained: dict[str, Any], live: dict[str, Any]) -> dict[str, float]:
    """What the deriver costs, decoding with it; `bytes` is what its windows hold."""
    decoder = native_decoder() or ReferenceDecoder()
    folder = tempfile.TemporaryDirectory(prefix="sidecar-bench-drift-")
    with folder:
        file = Path(folder.name) / "reference.json"
        file.write_text(reference({name: of.tolist() for name, of in trained.items()}).dump())
        requests = list(payloads(live, rows_an_event))
        deriver = DriftDeriver(DriftOptions(reference=file, warm_up=0, check_interval=check), Budget())

        def take(some: list[bytes], first: int) -> None:
            for place in range(0, len(some), AT_ONCE):
                part = some[place : place + AT_ONCE]
                times = [START + (first + place + n) * 25 * HOUR // len(requests) for n in range(len(part))]
                deriver.apply(deriver.decode(decoder, part), at(*times))

        tenth = len(requests) // 10
        take(requests[:tenth], 0)
        found = measured(lambda: take(requests[tenth:], tenth))
        (state,) = deriver.models.values()
        assert len(state.decisions) == FEATURES, "a column was not compared"
        windows = sum(window.memory_bytes() for window in state.windows.values())
        return {"cpu": found["cpu"] / (1 - tenth / len(requests)), "bytes": float(windows)}


def in_a_process(arguments: list[str], environment: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | environment)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--sidecar"]:
        with np.load(arguments[3], allow_pickle=False) as kept:
            sides = [{name[2:]: kept[name] for name in kept.files if name[0] == side} for side in "tl"]
        print(json.dumps(sidecar(int(arguments[1]), arguments[2], *sides)))
        return 0
    rows = int(arguments[0]) if arguments else ROWS
    rng = np.random.default_rng(20)
    sides = {"t": columns(rng, TRAINED), "l": columns(rng, rows)}
    with tempfile.TemporaryDirectory(prefix="sidecar-bench-drift-") as folder:
        file = Path(folder) / "rows.npz"
        np.savez(file, **{f"{side}_{name}": of for side, all_of in sides.items() for name, of in all_of.items()})
        print(f"{rows:,} rows of {FEATURES} features, {TRAINED:,} of the reference")
        print(f"{'':34} {'CPU s / million rows':>22} {'kB a feature':>14}")
        for size, check in ((1, "1h"), (10, "1h"), (1, "1d"), (10, "1d")):
            own = [sys.executable, str(Path(__file__)), "--sidecar", str(size), check, str(file)]
            show(f"sidecar, events of {size}, a check in {check}", in_a_process(own, {}), rows)
        for library in (one for one in LIBRARIES if one.name in PEERS):
            try:
                command = [str(python_of(library)), str(HERE / "drift_peers.py"), library.name, str(file)]
            except EngineUnavailable as error:
                print(f"without {library.name}: {error}", file=sys.stderr)
                continue
            show(library.packages[0], in_a_process(command, dict(library.environment)), rows)
    return 0


def show(name: str, found: dict[str, float], rows: int) -> None:
    print(f"{name:34} {found['cpu'] / rows * 1e6:22.2f} {found['bytes'] / FEATURES / 1000:14.1f}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
