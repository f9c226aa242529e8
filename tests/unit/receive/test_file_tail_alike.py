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
from structlog.testing import capture_logs
from support.tailing import Make, Tailing, append, lines, texts

from sidecar.receive.file_tail import file_registry
from sidecar.receive.file_tail import source as module
from sidecar.receive.file_tail.checkpoint import PREFIX, Checkpoint, decode
from sidecar.receive.file_tail.copies import CUT_SECONDS, LEFT_OUT_SECONDS
from sidecar.receive.file_tail.file_registry import REMOVED_GRACE
from sidecar.receive.file_tail.tailed_file import TailedFile

START = b"starting\nready\n"
BANNER = b"".join(b"banner line %d\n" % n for n in range(200))
Ages = Callable[[], None]


@pytest.fixture(params=["births", "none"])
def _births(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows when files were made, and one that does not."""
    if request.param == "none":
        monkeypatch.setattr(module, "birth_of", lambda fd: 0)


pytestmark = pytest.mark.usefixtures("_births")
births_known = pytest.mark.parametrize("_births", ["births"], indirect=True)
"""What cannot be known on the other file systems."""


def settle(tailing: Tailing) -> Counter[str]:
    """Everything that is read in the time after which copies are told apart from others."""
    for _ in range(4):
        tailing.cycle(CUT_SECONDS / 2)
    return Counter(tailing.bodies)


def counted(*contents: bytes) -> Counter[str]:
    return Counter(line for content in contents for line in content.decode().splitlines())


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


def compressed(file: Path, target: Path) -> None:
    """As a program does it that rotates its own file."""
    target.write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()


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


def test_marks_of_an_earlier_version_are_read() -> None:
    checkpoint = decode(b'["/l/app.log","/l/app.log",5,5,"h","t",0,0]')
    assert checkpoint is not None
    assert (checkpoint.offset, checkpoint.birth) == (5, 0)
    assert PREFIX == b"file_tail/"
