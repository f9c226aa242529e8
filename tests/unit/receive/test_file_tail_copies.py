"""Copies of files that begin alike: as logrotate makes them, compressed or not, and as somebody makes them by hand."""

from __future__ import annotations

import gzip
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.tailing import START, Make, append, compressed, counted, lines, settle, texts

from sidecar.receive.file_tail.copies import CUT_SECONDS, LEFT_OUT_SECONDS
from sidecar.receive.file_tail.file_registry import REMOVED_GRACE

BANNER = b"".join(b"banner line %d\n" % n for n in range(200))

pytestmark = pytest.mark.usefixtures("_births")
births_known = pytest.mark.parametrize("_births", ["births"], indirect=True)
"""What cannot be known on the other file systems."""


def test_the_copies_of_files_that_are_gone_take_their_own_checkpoints(make: Make, logs: Path) -> None:
    """Two with the same content, given up one after the other: a copy that waits for the second leaves the first
    one's checkpoint to its own copy, which is older than the second."""
    file, first, second = logs / "app.log", logs / "app.log.2.gz", logs / "app.log.1.gz"
    file.write_bytes(START)
    tailing = make()
    tailing.cycle()
    compressed(file, first)
    later = logs / "later"
    while not later.exists() or later.stat().st_mtime_ns < first.stat().st_mtime_ns + 10_000_000:
        later.write_bytes(b"")  # Until the clock of the file system has moved.
    file.write_bytes(START)
    second.write_bytes(gzip.compress(START))
    tailing.cycle()
    file.unlink()
    file.touch()
    for _ in range(8):
        tailing.cycle(REMOVED_GRACE / 4)
    assert settle(tailing) == counted(START, START)


@births_known
def test_the_inode_of_a_removed_generation_is_given_to_the_next(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(START)
    inode = file.stat().st_ino
    tailing = make()
    tailing.cycle()

    def replace() -> None:
        file.unlink()
        spare = []
        for n in range(1000):
            file.write_bytes(START + b"failed\n")
            if file.stat().st_ino == inode:
                return
            spare.append(file.rename(logs / f"spare{n}"))
        pytest.skip("the file system gives no inode again")

    tailing.restart(replace)
    assert Counter(tailing.bodies) == counted(START, START, b"failed\n")


def test_a_copy_is_taken_for_one_once_also_after_a_restart(make: Make, logs: Path) -> None:
    """The cut file is still empty, and has no new mark, when the next run is written, copied and cut."""
    file = logs / "app.log"
    file.write_bytes(START)
    tailing = make()
    tailing.cycle()
    for generation in range(1, 4):
        shutil.copyfile(file, logs / f"app.log.{generation}")
        os.truncate(file, 0)
        tailing.cycle()
        tailing.restart(lambda: append(file, START))
    assert settle(tailing) == counted(*[START] * 4)

    def unseen() -> None:
        shutil.copyfile(file, logs / "app.log.4")
        os.truncate(file, 0)

    tailing.restart(unseen)
    append(file, START)
    shutil.copyfile(file, logs / "app.log.5")
    os.truncate(file, 0)
    tailing.restart()
    assert settle(tailing) == counted(*[START] * 5)


@pytest.mark.parametrize("lost", [0, 100, 1_000, 1_000_000_000])
def test_a_compressed_copy_with_a_time_that_is_less_exact(make: Make, logs: Path, lost: int) -> None:
    """Copied, cut, compressed, removed: logrotate's copytruncate with compress, which sets the time it found."""
    file, copy, compressed = logs / "app.log", logs / "app.log.1", logs / "app.log.1.gz"
    file.write_bytes(START)
    tailing = make()
    tailing.cycle()
    shutil.copyfile(file, copy)
    os.truncate(file, 0)
    tailing.cycle()
    compressed.write_bytes(gzip.compress(copy.read_bytes()))
    time = copy.stat().st_mtime_ns
    os.utime(compressed, ns=(time, time - time % lost if lost else time))
    copy.unlink()
    assert settle(tailing) == counted(START)
    tailing.cycle(70)
    tailing.cycle(1)
    assert settle(tailing) == counted(START)


@pytest.mark.parametrize("seconds", [0.0, 3.0, 20.0])
def test_copytruncate_of_files_that_begin_alike(make: Make, logs: Path, seconds: float) -> None:
    """Copied, and cut some time after; there is always a copy of an earlier run with the same lines."""
    file = logs / "app.log"
    file.write_bytes(START)
    tailing = make()
    tailing.cycle()
    for generation in range(1, 4):
        append(file, b"run %d\n" % generation)
        tailing.cycle(1)
        append(file, b"last of %d\n" % generation)
        shutil.copyfile(file, logs / f"app.log.{generation}")
        tailing.cycle()
        tailing.cycle(seconds)
        os.truncate(file, 0)
        tailing.cycle()
        append(file, START)
        tailing.cycle(1)
    runs = [START + b"run %d\nlast of %d\n" % (n, n) for n in range(1, 4)]
    assert settle(tailing) == counted(*runs, START)
    assert tailing.losses() == []
    tailing.restart()
    assert settle(tailing) == counted(*runs, START)


def test_a_copy_that_grows_while_it_is_made_at_the_first_start(make: Make, logs: Path) -> None:
    file, copy = logs / "app.log", logs / "app.log.1"
    file.write_bytes(lines(0, 400))
    content = file.read_bytes()
    tailing = make()
    for end in (100, 4000, len(content)):
        copy.write_bytes(content[:end])
        os.utime(copy, (4_000_000_000 + end,) * 2)
        tailing.cycle(CUT_SECONDS - 1)
    os.truncate(file, 0)
    append(file, lines(400, 402))
    assert settle(tailing) == Counter(texts(0, 402))


@pytest.mark.parametrize("compress", [False, True])
def test_a_copy_that_somebody_makes_is_left_out_and_that_is_said(make: Make, logs: Path, compress: bool) -> None:
    file = logs / "app.log"
    file.write_bytes(START)
    tailing = make()
    tailing.cycle()
    copy = logs / ("app.log.gz" if compress else "app.log.bak")
    copy.write_bytes(gzip.compress(START) if compress else START)
    with capture_logs() as logged:
        for _ in range(5):
            append(file, b"more\n")
            tailing.cycle(LEFT_OUT_SECONDS / 2)
    assert Counter(tailing.bodies) == counted(START, b"more\n" * 5)
    assert [(e["event"], e["path"], e["of"]) for e in logged] == [("file_tail_copy_skipped", str(copy), str(file))]
    assert tailing.tailer.registry.left_out == 1
    copy.unlink()
    tailing.cycle()
    assert tailing.tailer.registry.left_out == 0


def test_a_file_that_differs_somewhere_is_no_copy(make: Make, logs: Path) -> None:
    """The first kilobyte and the last are the same; what is between is not."""
    file = logs / "app.log"
    file.write_bytes(BANNER + b"run one\n" + BANNER)
    tailing = make()
    tailing.cycle()
    (logs / "app.log.1").write_bytes(BANNER + b"run two\n" + BANNER)
    tailing.cycle()
    assert Counter(tailing.bodies) == counted(*[BANNER] * 4, b"run one\nrun two\n")


def test_one_that_is_kept_beside_its_compressed_form_is_read_once(make: Make, logs: Path) -> None:
    """As gzip --keep leaves it; both are there at the first start."""
    (logs / "app.log").write_bytes(b"other\n")
    (logs / "app.log.1").write_bytes(START)
    (logs / "app.log.1.gz").write_bytes(gzip.compress(START))
    tailing = make()
    assert settle(tailing) == counted(b"other\n", START)
    (logs / "app.log.1").unlink()
    for _ in range(4):
        tailing.cycle(40)
    assert settle(tailing) == counted(b"other\n", START)
