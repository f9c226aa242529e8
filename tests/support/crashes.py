"""Entries derived in parts of any size, by engines that crash: what was not committed is read again."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.engine import DeriveEngine
from sidecar.telemetry import Telemetry
from support.derive_fakes import FakeConsumer, FakeLog, lines

CHANCE = 0.3
"""Of a commit, and of a crash, after each pull."""


def derived(
    options: Any, payloads: Sequence[tuple[bytes, int]], now: int, cuts: random.Random | None
) -> dict[str, str]:
    """Series -> value after all payloads of logs, each with its time in Unix ns. `now` is the engine's clock. Without
    `cuts` entries come one by one, and nothing crashes."""
    log = FakeLog()
    for payload, time in payloads:
        log.append("logs", payload, time)
    sizes = iter(lambda: cuts.randrange(1, 6) if cuts else 1, 0)
    engine, consumer = _begun(log, options, now, sizes)
    while log.cursor < len(payloads):
        engine.pull()
        if cuts and cuts.random() < CHANCE:
            engine.checkpoint()
        if cuts and cuts.random() < CHANCE:
            engine, consumer = _begun(log, options, now, sizes)
        if consumer.position == len(payloads):
            engine.checkpoint()
    engine, _ = _begun(log, options, now, sizes)
    return lines(engine.collect(""))


def _begun(log: FakeLog, options: Any, now: int, sizes: Iterator[int]) -> tuple[DeriveEngine, FakeConsumer]:
    consumer = log.consumer(sizes)
    engine = DeriveEngine(consumer, ReferenceDecoder(), options, Telemetry(), lambda: now)
    engine.restore()
    return engine, consumer
