"""Receivers' checkpoints: committed with the entry that they belong to, or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.journals import Disk, garbage, journal, keep, submission, take

from sidecar.errors import Overloaded, Unavailable
from sidecar.journal import schema
from sidecar.journal.journal import Journal
from sidecar.journal.submission import Submission

LOGS = frozenset(["logs"])
Make = Callable[..., Journal]


@pytest.fixture(params=["sqlite", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    opened: list[Journal] = []

    def open_one(**more: Any) -> Journal:
        opened.append(journal(tmp_path / "j", backend=request.param, **more))
        return opened[-1]

    yield open_one
    for log in opened:
        log.close()


def test_checkpoints_are_there_with_their_entry_and_by_prefix(make: Make) -> None:
    log = make()
    log.consumer("a", LOGS)
    keep(log, "one", checkpoints={b"f/1": b"3", b"f/2": b"x", b"g/1": b"y"})
    assert log.checkpoints(b"f/") == {b"f/1": b"3", b"f/2": b"x"}
    keep(log, "two", checkpoints={b"f/1": b"6", b"f/2": None})
    assert log.checkpoints(b"f/") == {b"f/1": b"6"}
    assert log.checkpoints(b"") == {b"f/1": b"6", b"g/1": b"y"}


def test_checkpoints_may_come_without_records(make: Make) -> None:
    log = make()
    consumer = log.consumer("a", LOGS)
    assert log.append(Submission("logs", b"", 0, checkpoints={b"k": b"v"})).result(10).duplicate is False
    assert log.checkpoints(b"k") == {b"k": b"v"}
    assert take(consumer) == []
    assert log.ledger().balance() == []


def test_checkpoints_of_a_refused_entry_are_not_kept(make: Make) -> None:
    log = make(quota_bytes=1 << 20, memory_bytes=1 << 20)
    log.consumer("a", LOGS)

    def fill() -> None:
        for n in range(100):
            keep(log, garbage(100_000), checkpoints={b"n": b"%d" % n})

    with pytest.raises(Overloaded):
        fill()
    kept = len(take(log.consumer("a", LOGS)))
    assert log.checkpoints(b"n") == {b"n": b"%d" % (kept - 1)}


def test_a_submission_has_checkpoints_or_a_digest() -> None:
    with pytest.raises(ValueError, match="checkpoints or a digest"):
        Submission("logs", b"p", 1, digest=b"0" * 16, checkpoints={b"k": b"v"})


def test_a_restart_finds_the_marks_of_what_was_committed(tmp_path: Path) -> None:
    disk = Disk()
    log = journal(tmp_path, disk=disk)
    log.consumer("a", LOGS)
    keep(log, "one", checkpoints={b"k": b"1"})
    disk.full = True
    with pytest.raises(Unavailable):
        keep(log, "two", checkpoints={b"k": b"2"})
    assert log.checkpoints(b"k") == {b"k": b"1"}
    disk.full = False
    log.close()
    again = journal(tmp_path)
    assert again.checkpoints(b"") == {b"k": b"1"}
    assert again.prune_absent() == ["a"]
    keep(again, "three")
    again.close()
    third = journal(tmp_path)
    assert third.checkpoints(b"") == {b"k": b"1"}, "consumers that go take no checkpoints with them"
    third.close()


def test_a_commit_that_landed_though_it_failed_shows_in_the_checkpoints(tmp_path: Path) -> None:
    disk = Disk()
    log = journal(tmp_path, disk=disk)

    def fail_afterwards() -> None:
        disk.after_commit = None
        raise _io_error()

    disk.after_commit = fail_afterwards
    with pytest.raises(Unavailable):
        log.append(submission("one", checkpoints={b"k": b"1"})).result(10)
    assert log.checkpoints(b"k") == {b"k": b"1"}
    log.close()


def _io_error() -> Exception:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


def test_checkpoints_survive_a_salvage_at_start_and_while_running(tmp_path: Path) -> None:
    log = journal(tmp_path)
    log.consumer("a", LOGS)
    for n in range(30):
        keep(log, garbage(5000), checkpoints={b"k": b"%d" % n})
    log.close()
    file = tmp_path / schema.FILE
    with file.open("r+b") as f:
        f.write(garbage(schema.PAGE))
    disk = Disk()
    log = journal(tmp_path, disk=disk)
    assert log.checkpoints(b"k") == {b"k": b"29"}
    with file.open("r+b") as f:
        f.write(garbage(file.stat().st_size))
    disk.made[-1].execute("PRAGMA shrink_memory")
    for n in range(30, 40):
        try:
            keep(log, garbage(5000), checkpoints={b"k": b"%d" % n})
        except Unavailable:
            continue
        break
    assert log.checkpoints(b"k") == {b"k": b"%d" % n}
    log.close()
    log = journal(tmp_path)
    assert log.checkpoints(b"k") == {b"k": b"%d" % n}
    log.close()
