"""The thread around the tailer: it waits while the journal refuses, begins again after a fault, and ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.journals import Disk, journal, take
from support.receive_fakes import Counted
from support.tailing import append, lines

from sidecar.decode.python import ReferenceDecoder
from sidecar.receive.credentials import Credentials
from sidecar.receive.file_tail import receiver as module
from sidecar.receive.file_tail.options import Options
from sidecar.receive.file_tail.receiver import FileTailReceiver
from sidecar.receive.ingest import Ingest, IngestOptions


@contextmanager
def _tailing(tmp_path: Path, **more: Any) -> Iterator[tuple[Path, Disk, Callable[[int], None], Counted]]:
    logs, disk, counted = tmp_path / "logs", Disk(), Counted()
    logs.mkdir()
    log = journal(tmp_path / "journal", disk=disk)
    consumer = log.consumer("test", frozenset({"logs"}))
    options = Options(include=(f"{logs}/*.log",), poll_interval=0.05, batch_delay=0.01, **more)
    ingest = Ingest(ReferenceDecoder(), log, counted.telemetry, IngestOptions(), seed=1)
    tail = FileTailReceiver(options, ingest, Credentials(), counted.telemetry)
    seen = 0

    def until(count: int) -> None:
        nonlocal seen
        end = time.monotonic() + 20
        while seen < count and time.monotonic() < end:
            seen += sum(entry.items for entry in take(consumer))
            time.sleep(0.01)
        assert seen == count

    asyncio.run(tail.start())
    try:
        yield logs, disk, until, counted
    finally:
        asyncio.run(tail.stop(5))
        ingest.close()
        log.close()


@pytest.mark.parametrize("watch", ["auto", "poll"])
def test_lines_come_by_themselves(tmp_path: Path, watch: str) -> None:
    with _tailing(tmp_path, watch=watch, scan_interval=0.2) as (logs, _, until, counted):
        append(logs / "a.log", lines(0, 3))
        until(3)
        (logs / "a.log").rename(logs / "a.log.1")
        append(logs / "a.log", lines(3, 5))
        until(5)
        assert counted.values("sidecar_file_tail_files")[("open",)] == 2


def test_reading_waits_for_the_journal(tmp_path: Path) -> None:
    with _tailing(tmp_path) as (logs, disk, until, counted):
        append(logs / "a.log", lines(0, 3))
        until(3)
        disk.full = True
        append(logs / "a.log", lines(3, 8))
        time.sleep(0.3)
        until(3)
        disk.full = False
        until(8)
        outcomes = counted.values("sidecar_receiver_requests_total")
        assert any("unavailable" in labels for labels in outcomes)


def test_a_fault_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECOVER_SECONDS", 0.05)
    real, faults = module.Tailer.read, [ZeroDivisionError("a bug")]

    def read(self: Any, files: Any) -> Any:
        if faults:
            raise faults.pop()
        return real(self, files)

    monkeypatch.setattr(module.Tailer, "read", read)
    with _tailing(tmp_path) as (logs, _, until, _):
        append(logs / "a.log", lines(0, 3))
        until(3)
    assert faults == []
