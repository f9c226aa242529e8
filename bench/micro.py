"""Single steps of the path in one process: CPU time per item, the best of several rounds.

`python bench/micro.py [NAME...]` runs the steps whose names contain one of the words.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

import numpy as np  # noqa: E402
from support.engines import EngineUnavailable, payload_dir  # noqa: E402
from timing import cpu_seconds  # noqa: E402

from sidecar.decode.api import Decoder  # noqa: E402
from sidecar.decode.python import ReferenceDecoder  # noqa: E402
from sidecar.decode.select import native_decoder  # noqa: E402
from sidecar.derive.red import RedDeriver, RedOptions  # noqa: E402
from sidecar.derive.series import Arrival, Budget  # noqa: E402
from sidecar.derive.target_info import Targets  # noqa: E402
from sidecar.journal.opening import open_journal  # noqa: E402
from sidecar.journal.options import JournalOptions  # noqa: E402
from sidecar.journal.submission import Submission  # noqa: E402
from sidecar.serve.exposition import render  # noqa: E402
from sidecar.telemetry import Telemetry  # noqa: E402

ITEMS = 512
LINES = 3000
ROUNDS = 5
NOW = 1_800_000_000_000_000_000


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    unit: str
    items: float
    """The result is divided by it: items of one call, or what turns it into the unit."""
    run: Callable[[], object]


def main(words: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="sidecar-micro-") as directory:
        for step in _steps(_payloads(), Path(directory)):
            if not words or any(word in step.name for word in words):
                print(
                    f"{step.name:32} {cpu_seconds(step.run, ROUNDS) / step.items * 1e6:10.3f} µs/{step.unit}",
                    flush=True,
                )
    return 0


def _payloads() -> dict[str, list[bytes]]:
    directory = payload_dir(ITEMS)
    return {s: [p.read_bytes() for p in sorted(directory.glob(f"{s}-*"))] for s in ("traces", "logs", "ndjson")}


def _steps(payloads: dict[str, list[bytes]], directory: Path) -> Iterator[Step]:
    native = native_decoder()
    if native is None:
        print("the native core is not installed: only the reference decoder is timed", file=sys.stderr)
    for decoder in [d for d in (native, ReferenceDecoder()) if d is not None]:
        yield from _decoding(decoder, payloads)
    yield from _deriving(native or ReferenceDecoder(), payloads["traces"])
    yield from _keeping(payloads["traces"], directory)


def _decoding(decoder: Decoder, payloads: dict[str, list[bytes]]) -> Iterator[Step]:
    spans, logs, lines = payloads["traces"][0], payloads["logs"][0], payloads["ndjson"][0]
    dimensions = RedOptions().attributes()
    name = decoder.name
    yield Step(f"{name} check_spans", "span", ITEMS, lambda: decoder.check_spans(spans))
    yield Step(f"{name} spans", "span", ITEMS, lambda: decoder.spans([spans], dimensions))
    yield Step(f"{name} span_lines", "span", ITEMS, lambda: decoder.span_lines([spans]))
    yield Step(f"{name} check_logs", "record", ITEMS, lambda: decoder.check_logs(logs))
    yield Step(f"{name} logs", "record", ITEMS, lambda: decoder.logs([logs], ()))
    yield Step(f"{name} log_lines", "record", ITEMS, lambda: decoder.log_lines([logs], ["0123456789abcdef-1"]))
    yield Step(f"{name} json_lines", "line", LINES, lambda: decoder.json_lines(lines, NOW))
    yield Step(f"{name} digest", "span", ITEMS, lambda: decoder.digest(spans, 1))


def _deriving(decoder: Decoder, payloads: list[bytes]) -> Iterator[Step]:
    options, telemetry = RedOptions(), Telemetry()
    red = RedDeriver(options, Budget(), Targets(2000), telemetry)
    for per_batch in (1, 8):
        batch = red.decode(decoder, payloads[:per_batch])
        arrival = Arrival(np.arange(1, per_batch + 1, dtype=np.int64) * ITEMS, np.full(per_batch, NOW, np.int64), NOW)
        yield Step(
            f"RED, {per_batch} payload(s) a batch",
            "span",
            per_batch * ITEMS,
            lambda batch=batch, arrival=arrival: red.apply(batch, arrival),
        )
    for n in range(0, len(payloads), 8):
        part = payloads[n : n + 8]
        red.apply(red.decode(decoder, part), Arrival(np.array([len(part) * ITEMS]), np.array([NOW]), NOW))
    samples = sum(1 for line in render(red.collect(), True).splitlines() if not line.startswith(b"#"))
    for openmetrics in (True, False):
        kind = "OpenMetrics" if openmetrics else "text"
        yield Step(
            f"exposition, {kind}, 10,000 samples",
            "scrape",
            samples / 10_000,
            lambda openmetrics=openmetrics: render(red.collect(), openmetrics),
        )


def _keeping(payloads: list[bytes], directory: Path) -> Iterator[Step]:
    with closing(open_journal(JournalOptions(path=directory), time.time_ns, Telemetry())) as journal:
        for at_once in (1, 8):

            def append(at_once: int = at_once) -> None:
                submissions = [Submission("spans", payload, ITEMS) for payload in payloads[:at_once]]
                for future in [journal.append(submission) for submission in submissions]:
                    future.result(30)

            yield Step(f"journal, {at_once} payload(s) at once", "payload", at_once, append)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EngineUnavailable as error:
        print(f"the payloads cannot be made: {error}", file=sys.stderr)
        sys.exit(2)
