"""Files that are renamed, copied, cut, replaced and deleted while they are read, or while nobody reads them."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.tailing import Make, append, lines, texts


def test_rename(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 5))
    tailing = make()
    tailing.cycle()
    append(file, lines(5, 8))
    file.rename(logs / "app.log.1")
    file.write_bytes(lines(8, 10))
    append(logs / "app.log.1", lines(100, 101))
    assert sorted(tailing.cycle()) == sorted([*texts(5, 10), "line 100"])
    assert tailing.losses() == []


def test_rename_many_times_while_the_sidecar_is_down(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 5))
    tailing = make()
    tailing.cycle()

    def rotate() -> None:
        append(file, lines(5, 10))
        for generation in range(3):
            for n in range(4, 0, -1):
                if (logs / f"app.log.{n}").exists():
                    (logs / f"app.log.{n}").rename(logs / f"app.log.{n + 1}")
            file.rename(logs / "app.log.1")
            file.write_bytes(lines(10 + 5 * generation, 15 + 5 * generation))

    tailing.restart(rotate)
    assert sorted(tailing.bodies) == sorted(texts(0, 25))


def test_copytruncate(make: Make, logs: Path) -> None:
    """What was written between our last look and the cut is read from the copy."""
    file = logs / "app.log"
    file.write_bytes(lines(0, 5))
    tailing = make()
    tailing.cycle()
    append(file, lines(5, 8))
    shutil.copyfile(file, logs / "app.log.1")
    os.truncate(file, 0)
    append(file, lines(8, 9))
    assert sorted(tailing.cycle()) == texts(5, 9)
    tailing.restart(lambda: append(file, lines(9, 10)))
    assert tailing.bodies[-1:] == texts(9, 10)
    assert len(tailing.bodies) == 10
    assert tailing.losses() == []


def test_copytruncate_grown_past_the_old_place(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 5))
    tailing = make()
    tailing.cycle()
    shutil.copyfile(file, logs / "app.log.1")
    os.truncate(file, 0)
    append(file, lines(5, 50))
    assert tailing.cycle() == texts(5, 50)


def test_copytruncate_is_not_read_twice_while_the_original_is_whole(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 5))
    tailing = make()
    tailing.cycle()
    shutil.copyfile(file, logs / "app.log.1")
    assert tailing.cycle() == []
    append(file, lines(5, 7))
    assert tailing.cycle() == texts(5, 7)
    os.truncate(file, 0)
    assert tailing.cycle() == []
    assert tailing.losses() == []


@pytest.mark.parametrize("compress", [False, True])
def test_copytruncate_while_the_sidecar_is_down(make: Make, logs: Path, compress: bool) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 50))
    tailing = make()
    tailing.cycle()

    def rotate() -> None:
        append(file, lines(50, 60))
        if compress:
            (logs / "app.log.1.gz").write_bytes(gzip.compress(file.read_bytes()))
        else:
            shutil.copyfile(file, logs / "app.log.1")
        os.truncate(file, 0)
        append(file, lines(60, 62))

    tailing.restart(rotate)
    assert sorted(tailing.bodies) == sorted(texts(0, 62))
    tailing.restart()
    assert len(tailing.bodies) == 62


def test_truncated_without_a_copy_is_counted(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 5))
    tailing = make(rotated=False)
    tailing.cycle()
    append(file, lines(5, 8) + b"part of a line")
    tailing.cycle()
    os.truncate(file, 0)
    append(file, lines(8, 9))
    assert tailing.cycle() == texts(8, 9)
    assert tailing.losses() == [("truncated", len(b"part of a line"))]


@pytest.mark.parametrize("grown", [0, 2, 80])
def test_cut_while_the_sidecar_is_down_without_a_copy_is_counted_once(make: Make, logs: Path, grown: int) -> None:
    """The copy is in another directory (logrotate's `olddir`)."""
    file = logs / "app.log"
    file.write_bytes(lines(0, 50))
    tailing = make()
    tailing.cycle()

    def rotate() -> None:
        append(file, lines(50, 60))
        os.truncate(file, 0)
        append(file, lines(60, 60 + grown))

    with capture_logs() as logged:
        tailing.restart(rotate)
    assert tailing.losses() == [("truncated", 1)]
    lost = next(entry for entry in logged if entry["event"] == "file_tail_lines_lost")
    assert (lost["path"], lost["at_least"], lost["log_level"]) == (str(file), True, "warning")
    assert tailing.bodies == texts(0, 50) + texts(60, 60 + grown)
    for _ in range(2):
        tailing.restart()
        assert tailing.losses() == []


def test_cut_when_all_was_read_is_no_loss_after_a_restart_either(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 5))
    tailing = make()
    tailing.cycle()
    os.truncate(file, 0)
    tailing.cycle()
    tailing.restart()
    assert tailing.losses() == []


@pytest.mark.parametrize("name", ["app.1.log", "app-20261128.log", "app.2026-11-28.0.log", "app.1.log.gz"])
@pytest.mark.parametrize("down", [True, False])
def test_copies_that_keep_the_extension(make: Make, logs: Path, name: str, down: bool) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 50))
    tailing = make(include=[str(file)])
    tailing.cycle()

    def rotate() -> None:
        append(file, lines(50, 60))
        content = file.read_bytes()
        (logs / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        os.truncate(file, 0)
        append(file, lines(60, 62))

    if down:
        tailing.restart(rotate)
    else:
        rotate()
        tailing.cycle()
    assert sorted(tailing.bodies) == sorted(texts(0, 62))
    assert tailing.losses() == []
    tailing.restart()
    assert len(tailing.bodies) == 62


@pytest.mark.parametrize("name", ["app-2.log", "app-worker.log", "apple.1.log", "app.1.txt", "app.v1.log"])
def test_other_files_with_the_extension_are_no_copies(make: Make, logs: Path, name: str) -> None:
    (logs / "app.log").write_bytes(lines(0, 1))
    (logs / name).write_bytes(lines(1, 2))
    assert make(include=[f"{logs}/app.log"]).cycle() == texts(0, 1)


def test_symlink_swap(make: Make, logs: Path, tmp_path: Path) -> None:
    """As the kubelet does: the path leads to another file from one moment to the next."""
    pods = tmp_path / "pods"
    pods.mkdir()
    first, second = pods / "0.log", pods / "1.log"
    first.write_bytes(lines(0, 5))
    link = logs / "app.log"
    link.symlink_to(first)
    tailing = make()
    assert tailing.cycle() == texts(0, 5)
    append(first, lines(5, 8))
    second.write_bytes(lines(8, 10))
    (logs / "new").symlink_to(second)
    (logs / "new").rename(link)
    assert sorted(tailing.cycle()) == sorted(texts(5, 10))

    def swap() -> None:
        append(second, lines(10, 12))
        (pods / "2.log").write_bytes(lines(12, 14))
        (logs / "new").symlink_to(pods / "2.log")
        (logs / "new").rename(link)

    tailing.restart(swap)
    assert sorted(tailing.bodies) == sorted(texts(0, 14))


def test_inode_reuse(make: Make, logs: Path) -> None:
    """Another file with the device and inode of one that was read is not taken for it."""
    file = logs / "app.log"
    file.write_bytes(lines(0, 5))
    tailing = make()
    tailing.cycle()
    inode = file.stat().st_ino

    def replace() -> None:
        # In place: the same inode with other content, as after a removal the next file often has.
        file.write_bytes(lines(50, 70, "other"))
        assert file.stat().st_ino == inode

    tailing.restart(replace)
    assert tailing.bodies == texts(0, 5) + texts(50, 70, "other")


def test_inode_reuse_with_the_same_beginning(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    banner = b'{"message":"%s"}\n' % (b"banner " * 200)
    file.write_bytes(banner + lines(0, 5))
    tailing = make()
    tailing.cycle()
    tailing.restart(lambda: file.write_bytes(banner + lines(50, 70)))
    assert tailing.bodies[6:] == [("banner " * 200), *texts(50, 70)]


def test_a_file_made_again_with_the_same_first_line_is_read_from_its_beginning(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 1))
    tailing = make()
    tailing.cycle()
    keeper = logs / "kept"
    file.rename(keeper)  # So that its inode is not given again.
    file.write_bytes(lines(0, 1) + lines(1, 2))
    assert tailing.cycle() == texts(0, 2)


def test_file_deleted(make: Make, logs: Path) -> None:
    """A file that is deleted while it is open is read to its end, also what is written afterwards."""
    file = logs / "app.log"
    file.write_bytes(lines(0, 5))
    tailing = make()
    tailing.cycle()
    with file.open("ab") as writer:
        writer.write(lines(5, 8))
        writer.flush()
        file.unlink()
        assert tailing.cycle() == texts(5, 8)
        writer.write(lines(8, 9) + b'{"message":"without an end"}')
        writer.flush()
        assert tailing.cycle(1) == texts(8, 9)
    assert tailing.cycle(6) == ["without an end"]
    tailing.cycle(61)
    assert tailing.tailer.registry.files == {}
    assert tailing.losses() == []
