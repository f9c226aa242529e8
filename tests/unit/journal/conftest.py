"""Journals in a directory of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.journals import Clock, Disk, Make, journal

from sidecar.journal.journal import Journal


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Make]:
    opened: list[Journal] = []

    def open_one(**more: Any) -> Journal:
        opened.append(journal(tmp_path / "j", clock, backend=request.param, **more))
        return opened[-1]

    yield open_one
    for log in opened:
        log.close()


@pytest.fixture
def disk_journal(tmp_path: Path, clock: Clock) -> Iterator[Make]:
    opened: list[Journal] = []

    def open_one(disk: Disk | None = None, **more: Any) -> Journal:
        opened.append(journal(tmp_path / "j", clock, disk, **more))
        return opened[-1]

    yield open_one
    for log in opened:
        log.close()
