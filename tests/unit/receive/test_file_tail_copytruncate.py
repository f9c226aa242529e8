"""copytruncate with compression of programs that write the same lines again and again: every generation is read once,
whichever of its three files (the original, its copy, the compressed copy) is found when."""

from __future__ import annotations

import gzip
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from support.tailing import Make, Tailing, append

from sidecar.receive.file_tail.discovery import Candidate
from sidecar.receive.file_tail.file_registry import REMOVED_GRACE

START = b"starting\nready\n"
LINES = Counter(START.decode().splitlines())


def copied(file: Path) -> Path:
    return Path(shutil.copyfile(file, file.with_name("app.log.1")))


def compressed(copy: Path) -> Path:
    """The copy is still there, as it is until the compressed form is complete."""
    target = copy.with_name(f"{copy.name}.gz")
    target.write_bytes(gzip.compress(copy.read_bytes()))
    time = copy.stat().st_mtime_ns
    os.utime(target, ns=(time, time))
    return target


def settled(tailing: Tailing) -> Counter[str]:
    for _ in range(4):
        tailing.cycle(REMOVED_GRACE / 2 + 1)
    return Counter(tailing.bodies)


def test_a_compressed_copy_leaves_the_checkpoint_of_an_older_generation_to_its_own(make: Make, logs: Path) -> None:
    """Killed while the younger of two compressed copies has its original beside it, and the older has none any more."""
    file = logs / "app.log"
    file.write_bytes(START)
    tailing = make()
    tailing.cycle()
    for generation in (1, 2):
        copy = copied(file)
        os.truncate(file, 0)
        tailing.cycle()
        made = compressed(copy)
        if generation == 1:
            copy.unlink()
            tailing.cycle()
            append(file, START)
            tailing.cycle()
            made.rename(logs / "app.log.2.gz")
    tailing.restart()
    copy.unlink()
    assert settled(tailing) == LINES + LINES
    assert tailing.losses() == []


def test_a_file_that_is_cut_before_anything_of_it_was_read_is_known_to_be_cut(make: Make, logs: Path) -> None:
    """Its copy is read at once, not when the file is written to again."""
    file = logs / "app.log"
    file.touch()
    tailing = make()
    tailing.cycle()
    append(file, START)
    copied(file)
    tailing.tailer.scan()
    os.truncate(file, 0)
    assert Counter(tailing.cycle()) == LINES
    assert settled(tailing) == LINES
    assert tailing.losses() == []


@pytest.mark.parametrize("killed", [False, True])
def test_a_compressed_copy_waits_with_the_copy_it_is_made_of(make: Make, logs: Path, killed: bool) -> None:
    """The file was cut and the copy compressed between two scans."""
    file = logs / "app.log"
    file.write_bytes(START)
    tailing = make()
    tailing.cycle()
    copy = copied(file)
    tailing.cycle()
    os.truncate(file, 0)
    compressed(copy)
    tailing.tailer.scan()
    if killed:
        tailing.restart()
    tailing.cycle()
    copy.unlink()
    assert settled(tailing) == LINES
    assert tailing.losses() == []


def test_a_copy_that_is_made_while_files_are_looked_for_is_found_before_its_compressed_form_is_read(
    make: Make, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = logs / "app.log"
    file.touch()
    tailing = make()
    tailing.cycle()
    append(file, START)
    copy = copied(file)
    os.truncate(file, 0)
    compressed(copy)
    find = tailing.tailer.finder.find

    def without_the_copy() -> list[Candidate]:
        monkeypatch.setattr(tailing.tailer.finder, "find", find)
        return [candidate for candidate in find() if candidate.path != str(copy)]

    monkeypatch.setattr(tailing.tailer.finder, "find", without_the_copy)
    tailing.tailer.scan()
    tailing.cycle()
    copy.unlink()
    assert settled(tailing) == LINES
    assert tailing.losses() == []


def test_a_compressed_file_whose_original_is_not_to_be_read_is_read(make: Make, logs: Path) -> None:
    """It is put off once, not for ever."""
    (logs / "app.log").touch()
    (logs / "app.log.1").write_bytes(b"other\n")
    (logs / "app.log.1.gz").write_bytes(gzip.compress(START))
    tailing = make(exclude=[str(logs / "app.log.1")])
    for _ in range(2):
        tailing.cycle()
    assert Counter(tailing.bodies) == LINES
