"""The live tail: events of a store that a test writes to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence

import pytest

from sidecar.lookup.model import LogRecord
from sidecar.lookup.store import Deadline, StoreFailure
from sidecar.serve.pages.live import MAX_AT_ONCE, MAX_TAILS, LiveTails
from sidecar.serve.pages.logs import LogFilter


def record(body: str, severity: int = 9) -> LogRecord:
    return LogRecord(1, None, "", severity, "", "", "", body, "shop")


class Records:
    """A store of records in a list."""

    def __init__(self) -> None:
        self.kept = [record("before")]
        self.failure = ""

    def position(self) -> int:
        return len(self.kept)

    def after(self, position: int, limit: int) -> tuple[list[LogRecord], int, int]:
        if self.failure:
            raise StoreFailure(self.failure)
        fresh = self.kept[position:]
        return fresh[:limit], len(self.kept), max(0, len(fresh) - limit)

    def newest(self, deadline: Deadline) -> Iterator[Sequence[LogRecord]]:
        yield self.kept[::-1]


def write(records: Sequence[LogRecord], passed: int) -> str:
    return ",".join(str(r.body) for r in records) + f"+{passed}"


async def _next_rows(events: object) -> str:
    async for event in events:  # type: ignore[attr-defined]
        if event.startswith("event: rows"):
            return str(json.loads(event.split("data: ")[1]))
    raise AssertionError("the tail ended")


def test_new_records_come_and_older_ones_do_not() -> None:
    async def run() -> list[str]:
        store = Records()
        events = LiveTails(store, write).events(LogFilter(level="WARN"), poll=0)
        assert (await anext(events)).startswith("retry: ")
        store.kept += [record("calm"), record("loud", 13)]
        got = [await _next_rows(events)]
        store.kept += [record(str(n), 17) for n in range(MAX_AT_ONCE + 3)]
        got.append((await _next_rows(events)).rpartition("+")[2])
        await events.aclose()  # type: ignore[attr-defined]
        return got

    assert asyncio.run(run()) == ["loud+0", "3"]


def test_tails_are_counted_while_they_are_open() -> None:
    async def run() -> None:
        tails = LiveTails(Records(), write)
        opened = [tails.events(LogFilter(), poll=0) for _ in range(MAX_TAILS)]
        for one in opened:
            await anext(one)
        assert tails.full
        await opened[0].aclose()  # type: ignore[attr-defined]
        assert (tails.full, tails.open) == (False, MAX_TAILS - 1)
        for one in opened[1:]:
            await one.aclose()  # type: ignore[attr-defined]
        assert tails.open == 0

    asyncio.run(run())


def test_tails_end_when_the_program_stops() -> None:
    async def run() -> list[str]:
        stopping: list[bool] = []
        events = LiveTails(Records(), write, lambda: bool(stopping)).events(LogFilter(), poll=0)
        got = [await anext(events)]
        stopping.append(True)
        return got + [event async for event in events]

    assert asyncio.run(run()) == ["retry: 3000\n\n"]


def test_a_store_that_fails_ends_the_tail_with_the_reason() -> None:
    async def run() -> list[str]:
        store = Records()
        tails = LiveTails(store, write)
        events = tails.events(LogFilter(), poll=0)
        await anext(events)
        store.failure = "disk full\n\nevent: rows"
        got = [event async for event in events]
        assert tails.open == 0
        return got

    assert asyncio.run(run()) == ['event: trouble\ndata: "disk full\\n\\nevent: rows"\n\n']


@pytest.mark.parametrize(
    ("number", "text", "shown"), [(17, "", True), (0, "Warning", True), (0, "", False), (9, "ERROR", False)]
)
def test_a_level_is_taken_from_the_number_and_else_from_the_text(number: int, text: str, shown: bool) -> None:
    one = LogRecord(1, None, text, number, "", "", "", "x", "shop")
    assert LogFilter(level="WARN").takes(one) is shown
