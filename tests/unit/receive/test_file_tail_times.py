"""Files with the same content are told apart by their times of change, which what compresses a file keeps."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from pathlib import Path

import pytest
from support.tailing import START, Make, append, counted, settle

from sidecar.receive.file_tail.birth import birth_of
from sidecar.receive.file_tail.checkpoint import any_same_time, same_time
from sidecar.receive.file_tail.copies import COARSE_NS, lost_when_set
from sidecar.receive.file_tail.file_registry import REMOVED_GRACE

LONG_AGO = 1_764_000_000_000_000_000
FIRST = next(
    time
    for time in range(LONG_AGO + 1, LONG_AGO + 10**6, 37)
    if round((LONG_AGO // 10**9 + 1e-9 * (time - LONG_AGO)) * 1e6) != round(time / 1e3)
)
"""`st_mtime` rounds to another microsecond."""
SECOND = FIRST + 60 * 10**9


def put(file: Path, content: bytes, time: int) -> None:
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
    os.utime(file, ns=(time, time))


@pytest.mark.parametrize("later", [False, True], ids=["at once", "a scan later"])
def test_a_compressed_form_leaves_the_mark_to_that_with_its_time(make: Make, logs: Path, later: bool) -> None:
    """That of the file that was there last is seen beside, or before, that of one that was removed long ago."""
    live = logs / "app.log"
    put(live, START, FIRST)
    tailing = make()
    tailing.cycle()

    def between() -> None:
        live.unlink()
        put(live, START, SECOND)

    tailing.restart(between)
    assert Counter(tailing.bodies) == counted(START, START)
    live.unlink()
    live.touch()
    put(logs / "app.log.1.gz", START, SECOND)
    if later:
        tailing.cycle()
    put(logs / "app.log.2.gz", START, FIRST)
    assert settle(tailing) == counted(START, START)


def test_a_compressed_form_that_has_a_later_name_already(make: Make, logs: Path) -> None:
    """Of a file that was found before it was compressed, in the same look for files."""
    (logs / "app.log").touch()
    put(logs / "app.log.1", START, FIRST)
    tailing = make()
    assert Counter(tailing.cycle()) == counted(START)
    put(logs / "app.log.2.gz", START, FIRST)
    assert not tailing.cycle()
    (logs / "app.log.1").unlink()
    assert settle(tailing) == counted(START)
    tailing.cycle(2 * REMOVED_GRACE)
    tailing.restart()
    assert settle(tailing) == counted(START)


def test_what_was_read_to_its_end_compressed_is_not_the_beginning_of_another(make: Make, logs: Path) -> None:
    (logs / "app.log").touch()
    put(logs / "app.log.1.gz", START, FIRST)
    tailing = make()
    assert settle(tailing) == counted(START)

    def between() -> None:
        (logs / "app.log.1.gz").unlink()
        put(logs / "app.log.2.gz", START + b"failed\n", SECOND)

    tailing.restart(between)
    assert settle(tailing) == counted(START, START, b"failed\n")


def test_a_time_that_is_round_by_chance_proves_that_a_file_is_no_copy(make: Make, logs: Path) -> None:
    """One of a hundred times is a multiple of 100 ns."""
    append(logs / "app.log", START + b"failed\n")
    with (logs / "app.log").open("rb") as opened:
        born = birth_of(opened.fileno())
    put(logs / "app.log.1", START, (born - 10**6) // 100 * 100)
    assert Counter(make().cycle()) == counted(START, START, b"failed\n")


@pytest.mark.parametrize(
    ("time", "lost"),
    [
        (LONG_AGO, COARSE_NS),
        (LONG_AGO + 500_000_000, 100_000_000),
        (LONG_AGO + 123_000_000, 1_000_000),
        (LONG_AGO + 123_456_000, 1_000),
        (LONG_AGO + 123_456_700, 1_000),
        (LONG_AGO + 123_456_789, 1_000),
    ],
)
def test_what_a_time_may_have_lost(time: int, lost: int) -> None:
    assert lost_when_set(time) == lost


def test_times_that_went_through_a_floating_point_number_are_the_same() -> None:
    through = int(FIRST / 1e9 * 1e9)
    assert through != FIRST
    assert same_time(through, FIRST)
    assert not same_time(FIRST, FIRST + 1_000)
    assert any_same_time([1, FIRST, SECOND], through)
    assert any_same_time([FIRST], FIRST + 999)
    assert any_same_time([FIRST], FIRST - 999)
    assert not any_same_time([FIRST - 1_000, FIRST + 1_000], FIRST)
    assert not any_same_time([], FIRST)
