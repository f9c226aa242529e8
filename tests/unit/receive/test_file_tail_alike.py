"""Files that begin alike, as programs write that fail at once: each is read, and copies are not."""

from __future__ import annotations

import gzip
import os
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from support.tailing import START, Make, append, compressed, counted, settle

from sidecar.receive.file_tail import file_registry
from sidecar.receive.file_tail import source as module
from sidecar.receive.file_tail.checkpoint import PREFIX, Checkpoint, decode
from sidecar.receive.file_tail.copies import CUT_SECONDS, LEFT_OUT_SECONDS
from sidecar.receive.file_tail.file_registry import REMOVED_GRACE
from sidecar.receive.file_tail.tailed_file import TailedFile

BANNER = b"".join(b"banner line %d\n" % n for n in range(200))
Ages = Callable[[], None]


pytestmark = pytest.mark.usefixtures("_births")
births_known = pytest.mark.parametrize("_births", ["births"], indirect=True)
"""What cannot be known on the other file systems."""


@pytest.mark.parametrize("order", list(permutations(["app.log", "app.log.1", "app.log.2"]))[::2])
@pytest.mark.parametrize(
    ("live", "first", "second"),
    [
        (START + b"failed\n", START, START),
        (START, START, START),
        (START, START + b"failed\n", START + b"out of memory\n"),
        (b"starting\n", START, b"starting\nfailed\n"),
        (BANNER + b"up\n", BANNER, BANNER + b"up\n"),
    ],
)
def test_generations_that_begin_alike(
    make: Make, logs: Path, live: bytes, first: bytes, second: bytes, order: tuple[str, ...]
) -> None:
    """In whatever order they were made: files that are restored or mounted have any times."""
    contents = {"app.log": live, "app.log.1": first, "app.log.2": second}
    for name in order:
        (logs / name).write_bytes(contents[name])
    tailing = make()
    assert settle(tailing) == counted(*contents.values())
    tailing.restart()
    assert settle(tailing) == counted(*contents.values())


@pytest.mark.parametrize("name", ["app.log.1", "app.log.2.gz", "app.log-20260101", "app.log-20260101.gz"])
@pytest.mark.parametrize("kill_at", [0.0, 1.0, CUT_SECONDS])
def test_names_and_kills_while_it_waits(make: Make, logs: Path, name: str, kill_at: float) -> None:
    (logs / "app.log").write_bytes(START + b"failed\n")
    (logs / name).write_bytes(gzip.compress(START) if name.endswith("gz") else START)
    tailing = make()
    tailing.cycle()
    tailing.cycle(kill_at)
    tailing.restart()
    assert settle(tailing) == counted(START, START, b"failed\n")


def test_names_of_the_kubelet_and_of_docker(make: Make, logs: Path, tmp_path: Path) -> None:
    pod = tmp_path / "pods" / "shop_web_0b1c" / "model"
    pod.mkdir(parents=True)
    at = b"2026-01-02T03:04:05Z stdout F "
    same = at + b"starting\n" + at + b"ready\n"
    for name in ("0.log", "0.log.20261128-170000", "1.log"):
        (pod / name).write_bytes(same)
    (pod / "0.log.20261128-160000.gz").write_bytes(gzip.compress(same))
    for name in ("c-json.log", "c-json.log.1"):
        (logs / name).write_bytes(b'{"log":"starting\\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}\n')
    tailing = make(include=[f"{tmp_path}/pods/*/*/*.log", f"{logs}/*-json.log"])
    assert settle(tailing) == Counter({"starting": 6, "ready": 4})


@births_known
def test_a_file_that_was_written_before_the_live_one_is_read_at_once(make: Make, logs: Path) -> None:
    file = logs / "app.log.1"
    file.write_bytes(START)
    os.utime(file, (1_700_000_000, 1_700_000_000))
    (logs / "app.log").write_bytes(START)
    assert Counter(make().cycle()) == counted(START, START)


@pytest.mark.parametrize(
    ("_births", "compress"), [("births", False), ("births", True), ("none", False)], indirect=["_births"]
)
def test_crashes_one_after_the_other(make: Make, logs: Path, compress: bool) -> None:
    """Renamed, and compressed in the next round, as logrotate's delaycompress does; the sidecar misses some. Without
    births, an inode that is given again when a generation is compressed is not told apart from the file that had it."""
    file, written = logs / "app.log", []
    tailing = make()
    for n in range(12):
        content = START + b"failed\n" * (n % 3)
        if file.exists():
            for old in range(20, 0, -1):
                for end in ("", ".gz"):
                    if (logs / f"app.log.{old}{end}").exists():
                        (logs / f"app.log.{old}{end}").rename(logs / f"app.log.{old + 1}{end}")
            if compress and (logs / "app.log.2").exists():
                (logs / "app.log.2.gz").write_bytes(gzip.compress((logs / "app.log.2").read_bytes()))
                shutil.copystat(logs / "app.log.2", logs / "app.log.2.gz")
                (logs / "app.log.2").unlink()
            file.rename(logs / "app.log.1")
        file.write_bytes(content)
        written.append(content)
        match n % 4:
            case 0:
                tailing.cycle(1)
            case 1:
                settle(tailing)
            case 2:
                tailing.restart()
    for _ in range(3):
        tailing.cycle(LEFT_OUT_SECONDS + 5)
    assert settle(tailing) == counted(*written)
    tailing.restart()
    assert settle(tailing) == counted(*written)


@pytest.mark.parametrize("look", ["when it is gone", "while both are there", "while it is made"])
def test_seen_empty_then_written_and_compressed(make: Make, logs: Path, look: str) -> None:
    """What the compressed form is of was not read yet when that is found."""
    file, target = logs / "app.log", logs / "app.log.1.gz"
    file.touch()
    tailing = make()
    tailing.cycle()
    append(file, START)
    if look == "while both are there":
        target.write_bytes(gzip.compress(START))
        tailing.cycle()
    elif look == "while it is made":
        target.write_bytes(gzip.compress(START)[:12])
        tailing.tailer.scan()
    compressed(file, target)
    file.touch()
    tailing.cycle()
    assert Counter(tailing.bodies) == counted(START)
    tailing.cycle(REMOVED_GRACE + 1)
    assert settle(tailing) == counted(START)
    assert tailing.losses() == []


def test_seen_empty_then_written_copied_and_cut(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.touch()
    tailing = make()
    tailing.cycle()
    append(file, START)
    shutil.copyfile(file, logs / "app.log.1")
    tailing.cycle()
    os.truncate(file, 0)
    append(file, b"next\n")
    assert settle(tailing) == counted(START, b"next\n")


@pytest.mark.parametrize("rotated", [START, START + b"failed\n"])
def test_a_part_of_a_file_that_is_gone_is_no_copy_of_it(make: Make, logs: Path, rotated: bytes) -> None:
    """It is read at once: it may be removed before the file that is gone is given up."""
    file = logs / "app.log"
    file.write_bytes(START + b"failed\nended\n")
    tailing = make()
    tailing.cycle()
    compressed(file, logs / "app.log.1.gz")
    (logs / "app.log.1").write_bytes(rotated)
    file.write_bytes(b"other\n")
    assert Counter(tailing.cycle()) == counted(rotated, b"other\n")
    tailing.cycle(REMOVED_GRACE + 1)
    assert settle(tailing) == counted(START + b"failed\nended\n", rotated, b"other\n")


@pytest.mark.parametrize("name", ["app.log.1", "app.log.2.gz"])
def test_what_is_written_after_a_file_was_removed_is_no_copy_of_it(make: Make, logs: Path, name: str) -> None:
    file, later = logs / "app.log", logs / name
    file.write_bytes(START)
    tailing = make()
    tailing.cycle()
    file.unlink()
    file.touch()
    later.write_bytes(gzip.compress(START) if name.endswith("gz") else START)
    later_ns = later.stat().st_mtime_ns + 1_000_000_000  # More than a tick of the clock of the file system.
    os.utime(later, ns=(later_ns, later_ns))
    assert Counter(tailing.cycle()) == counted(START)
    tailing.cycle(REMOVED_GRACE + 1)
    assert settle(tailing) == counted(START, START)


def test_of_two_compressed_forms_of_a_file_that_is_gone_one_is_another_file(make: Make, logs: Path) -> None:
    """Two generations with the same content; nobody saw what the older one was compressed from."""
    file = logs / "app.log"
    file.write_bytes(b"other\n")
    tailing = make()
    tailing.cycle()
    file.unlink()
    (logs / "app.log.2.gz").write_bytes(gzip.compress(START))
    file.write_bytes(START)
    keep_out = logs / "app.log.2.gz.tmp"  # It is renamed, and not found, while the files are looked for.
    (logs / "app.log.2.gz").rename(keep_out)
    assert Counter(tailing.cycle()) == counted(START)
    keep_out.rename(logs / "app.log.2.gz")
    compressed(file, logs / "app.log.1.gz")
    file.touch()
    assert Counter(tailing.cycle()) == counted(START)
    tailing.cycle(REMOVED_GRACE + 1)
    assert settle(tailing) == counted(b"other\n", START, START)


def test_one_that_waits_is_looked_at_again_when_the_other_is_removed(make: Make, logs: Path) -> None:
    file, copy = logs / "app.log", logs / "app.log.1"
    file.write_bytes(START + b"failed\n")
    tailing = make()
    tailing.cycle()
    copy.write_bytes(START)
    assert tailing.cycle() == []
    file.unlink()
    file.touch()
    assert Counter(tailing.cycle()) == counted(START)


@births_known
@pytest.mark.parametrize(("before_ns", "at_once"), [(1_000_000_001, True), (-1, False)])
def test_times_of_change_that_are_exact_tell_what_was_written_before(
    make: Make, logs: Path, before_ns: int, at_once: bool
) -> None:
    """Also of what was written less than 2 s before: the time was not set to whole seconds."""
    live, older = logs / "app.log", logs / "app.log.1"
    live.write_bytes(START)
    with live.open("rb") as opened:
        made = module.birth_of(opened.fileno())
    older.write_bytes(START)
    time = made - made % 100 + 1 - before_ns // 100 * 100
    os.utime(older, ns=(time, time))
    assert Counter(make().cycle()) == counted(*[START] * (2 if at_once else 1))


@pytest.mark.parametrize("before", ["read_start", "begins_alike", "may_be_copy"])
def test_cut_while_it_is_compared_with_its_copy(
    make: Make, logs: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """What was read of it before is not read again from the copy."""
    file, copy = logs / "app.log", logs / "app.log.1"
    file.write_bytes(START)
    tailing = make()
    tailing.cycle()
    owner: Any = TailedFile if before == "read_start" else file_registry
    original = getattr(owner, before)

    def cut_first(*args: Any) -> Any:
        if copy.exists():
            os.truncate(file, 0)
        return original(*args)

    append(file, b"failed\n")
    shutil.copyfile(file, copy)
    monkeypatch.setattr(owner, before, cut_first)
    tailing.tailer.scan()
    monkeypatch.setattr(owner, before, original)
    assert file.stat().st_size == 0
    append(file, b"next\n")
    assert settle(tailing) == counted(START, b"failed\n", b"next\n")
    assert tailing.losses() == []


@pytest.mark.parametrize("before", ["read_start", "read_recent", "matches"])
def test_cut_while_it_is_resumed(make: Make, logs: Path, monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    file, copy = logs / "app.log", logs / "app.log.1.gz"
    file.write_bytes(START)
    tailing = make()
    tailing.cycle()
    owner: Any = Checkpoint if before == "matches" else TailedFile
    original = getattr(owner, before)

    def cut_first(*args: Any) -> Any:
        os.truncate(file, 0)
        return original(*args)

    copy.write_bytes(gzip.compress(START))
    monkeypatch.setattr(owner, before, cut_first)
    tailing.restart()
    monkeypatch.setattr(owner, before, original)
    assert file.stat().st_size == 0
    append(file, b"next\n")
    assert settle(tailing) == counted(START, b"next\n")


def test_one_that_waits_and_is_missed_once_waits_on(make: Make, logs: Path) -> None:
    """It was renamed while files were looked for. It is no copy of what was cut meanwhile, though it begins alike."""
    file, waits, moved = logs / "app.log", logs / "app.log.1.gz", logs / "moved"
    file.write_bytes(START)
    tailing = make()
    tailing.cycle()
    compressed(file, waits)
    file.touch()
    tailing.cycle()
    append(file, START + b"failed\n")
    tailing.cycle()
    waits.rename(moved)
    os.truncate(file, 0)
    tailing.cycle()
    moved.rename(logs / "app.log.2.gz")
    tailing.cycle()
    waits.write_bytes(gzip.compress(START + b"failed\n"))
    tailing.cycle()
    tailing.cycle(REMOVED_GRACE + 1)
    assert settle(tailing) == counted(START, START + b"failed\n")


def test_marks_of_an_earlier_version_are_read() -> None:
    checkpoint = decode(b'["/l/app.log","/l/app.log",5,5,"h","t",0,0]')
    assert checkpoint is not None
    assert (checkpoint.offset, checkpoint.birth) == (5, 0)
    assert PREFIX == b"file_tail/"
