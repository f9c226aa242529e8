"""Files that wait, as they may be copies of others, and are removed before they are read: counted, named, once."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.tailing import Make, Tailing, append, lines

from sidecar.receive.file_tail.copies import CUT_SECONDS
from sidecar.receive.file_tail.file_registry import MISSING_GRACE, REMOVED_GRACE

START = b"starting\nready\n"
LONG = b"".join(b"banner line %d\n" % n for n in range(400))


def _gone(tailing: Tailing) -> list[tuple[str, int]]:
    """What is lost when it is certain that the file does not come back."""
    for _ in range(4):
        tailing.cycle(MISSING_GRACE / 2 + 1)
    return tailing.losses()


def _waits(tailing: Tailing, file: Path) -> bool:
    return file.stat().st_ino not in {key[1] for key in tailing.tailer.registry.files}


@pytest.mark.parametrize(
    ("name", "content"),
    [("app.log.1", START), ("app.log-20260101", LONG), ("app.1.log", b"no end"), ("app.log.2.gz", LONG)],
)
def test_one_that_was_there_from_the_start(make: Make, logs: Path, name: str, content: bytes) -> None:
    file = logs / name
    (logs / "app.log").write_bytes(content)
    file.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    size = file.stat().st_size
    tailing = make(include=[f"{logs}/app.log"])
    tailing.cycle()
    assert _waits(tailing, file)
    file.unlink()
    with capture_logs() as logged:
        assert _gone(tailing) == [("maybe_copy", size)]
    named = [(entry["path"], entry["reason"]) for entry in logged if entry["event"] == "file_tail_lines_lost"]
    assert named == [(str(file), "maybe_copy")]
    tailing.restart()
    assert _gone(tailing) == [], "it is counted once"


@pytest.mark.parametrize("content", [START, LONG, b"{}\n"])
def test_one_beside_a_file_that_was_removed(make: Make, logs: Path, content: bytes) -> None:
    """logrotate's `rotate 1` between two looks: the generation that is known is removed after its equal was written."""
    live, old = logs / "app.log", logs / "app.log.1"
    live.write_bytes(content)
    tailing = make()
    tailing.cycle(1)
    live.rename(old)
    live.write_bytes(content)
    old.unlink()
    live.rename(old)
    live.write_bytes(b"up\n")
    tailing.cycle(1)
    assert _waits(tailing, old)
    old.unlink()
    assert _gone(tailing) == [("maybe_copy", len(content))]


@pytest.mark.parametrize("name", ["app.log.1", "app.log.1.gz"])
def test_one_that_is_removed_while_the_sidecar_is_down(make: Make, logs: Path, name: str) -> None:
    file = logs / name
    (logs / "app.log").write_bytes(START)
    file.write_bytes(gzip.compress(START) if name.endswith("gz") else START)
    tailing = make()
    tailing.cycle()
    tailing.restart(file.unlink)
    assert tailing.losses() == []
    assert _gone(tailing) == [("maybe_copy", 1)], "nobody knows any more how large it was"
    tailing.restart()
    assert _gone(tailing) == []


def _cp(logs: Path, tailing: Tailing) -> Path:
    shutil.copyfile(logs / "app.log", logs / "app.log.bak")
    tailing.cycle(1)
    return logs / "app.log.bak"


def _copytruncate(logs: Path, tailing: Tailing) -> Path:
    """The copy is there, and is removed before the file is cut."""
    shutil.copyfile(logs / "app.log", logs / "app.log.1")
    tailing.cycle(1)
    append(logs / "app.log", lines(0, 2))
    tailing.cycle()
    return logs / "app.log.1"


def _compressed(logs: Path, tailing: Tailing) -> Path:
    """The original is gone, and its compressed form waits for it to be given up."""
    old, made = logs / "app.log.1", logs / "app.log.1.gz"
    (logs / "app.log").rename(old)
    (logs / "app.log").write_bytes(b"up\n")
    tailing.cycle()
    made.write_bytes(gzip.compress(old.read_bytes()))
    shutil.copystat(old, made)
    tailing.cycle(1)
    old.unlink()
    tailing.cycle()
    return made


def _renamed(logs: Path, tailing: Tailing) -> Path:
    return _compressed(logs, tailing).rename(logs / "app.log.2.gz")


@pytest.mark.parametrize("made", [_cp, _copytruncate, _compressed, _renamed])
def test_copies_are_not_counted(make: Make, logs: Path, made: Callable[[Path, Tailing], Path]) -> None:
    (logs / "app.log").write_bytes(LONG)
    tailing = make()
    tailing.cycle(CUT_SECONDS)
    copy = made(logs, tailing)
    tailing.cycle(1)
    copy.unlink()
    assert _gone(tailing) == []
    tailing.restart()
    assert _gone(tailing) == []
    assert tailing.bodies.count("banner line 7") == 1


def test_one_that_comes_back_in_time_is_read(make: Make, logs: Path) -> None:
    """It is renamed while files are looked for."""
    file = logs / "app.log.1"
    for one in (logs / "app.log", file):
        one.write_bytes(START)
    tailing = make()
    tailing.cycle()
    aside = file.rename(logs / "elsewhere")
    tailing.cycle(MISSING_GRACE / 2)
    aside.rename(logs / "app.log.2")
    for _ in range(4):
        tailing.cycle(CUT_SECONDS)
    assert sorted(tailing.bodies) == ["ready", "ready", "starting", "starting"]
    assert _gone(tailing) == []


@pytest.mark.parametrize("count", [2, 5])
def test_compressed_files_that_were_not_opened_yet(make: Make, logs: Path, count: int) -> None:
    """More files than may be open: those that wait for their turn are closed, and a removed one is counted."""
    for number in range(count):
        (logs / f"app-{number}.log.1.gz").write_bytes(gzip.compress(lines(0, 3, f"file {number}")))
        (logs / f"app-{number}.log").write_bytes(b"")
    tailing = make(max_open_files=1)
    tailing.tailer.scan()
    for file in logs.glob("*.gz"):
        file.unlink()
    tailing.cycle()
    lost = _gone(tailing)
    tailing.cycle(REMOVED_GRACE + 1)
    read = len(tailing.bodies) // 3
    assert [reason for reason, _ in lost + tailing.losses()] == ["deleted"] * (count - read)
    assert read < count
