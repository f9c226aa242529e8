from __future__ import annotations

import errno
import gzip
import os
import zlib
from pathlib import Path

import pytest
from support.journals import Clock

from sidecar.deliver.file.rotation import Rotation
from sidecar.deliver.file.writer import Block, FileWriter, Locked, StreamWriter

NEVER = Rotation(0, 0, 5, False)


def block(seq: int, lines: int = 2) -> Block:
    return Block(seq, b"".join(b'{"seq":%d,"line":%d}\n' % (seq, n) for n in range(lines)))


def text(*blocks: Block) -> bytes:
    return b"".join(b.lines for b in blocks)


def opened(path: Path, rotation: Rotation = NEVER, journal_id: str = "log", clock: Clock | None = None) -> FileWriter:
    return FileWriter(path, journal_id, rotation, clock or Clock(), fsync=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "spans.ndjson"


A, B, C, D = (block(n) for n in range(1, 5))


def test_blocks_are_appended_in_order(path: Path) -> None:
    file = opened(path)
    assert file.append([A, B]) == frozenset()
    assert file.append([C]) == frozenset()
    assert path.read_bytes() == text(A, B, C)
    assert file.size == len(text(A, B, C))
    file.close()


def test_what_was_written_before_a_restart_is_not_written_again(path: Path) -> None:
    file = opened(path)
    file.append([A, B])
    file.close()
    retry = opened(path)
    assert retry.append([B, C]) == {2}
    assert path.read_bytes() == text(A, B, C)
    retry.close()


@pytest.mark.parametrize("cut", range(0, len(text(B, C)) + 1, 7))
@pytest.mark.parametrize("groups", [[[B, C, D]], [[B], [C], [D]], [[B, C], [D]]])
def test_a_kill_anywhere_between_writing_and_noting_leaves_every_line_once(
    path: Path, cut: int, groups: list[list[Block]]
) -> None:
    file = opened(path)
    file.append([A])
    file.close()
    with path.open("ab") as stream:
        stream.write(text(B, C)[:cut])
    retry = opened(path)
    there = [retry.append(group) for group in groups]
    assert path.read_bytes() == text(A, B, C, D)
    assert frozenset().union(*there) == {seq for seq, end in ((2, len(B.lines)), (3, len(text(B, C)))) if end <= cut}
    retry.close()


def test_a_line_that_was_cut_off_is_removed_where_something_else_comes_next(path: Path) -> None:
    file = opened(path)
    file.append([A])
    file.close()
    with path.open("ab") as stream:
        stream.write(B.lines + b'{"other":')
    retry = opened(path)
    retry.append([C])
    assert path.read_bytes() == text(A, B, C)
    retry.close()


@pytest.mark.parametrize("record", [None, b"", b"nothing", b"00000000 {}"])
def test_without_a_position_every_line_is_whole_all_the_same(path: Path, record: bytes | None) -> None:
    file = opened(path)
    file.append([A, B])
    file.close()
    position = path.with_name(".spans.ndjson.position")
    if record is None:
        position.unlink()
    else:
        position.write_bytes(record)
    os.truncate(path, len(text(A, B)) - 3)
    retry = opened(path)
    retry.append([B, C])
    assert path.read_bytes() == text(A) + B.lines[: len(B.lines) // 2] + text(B, C)
    retry.close()


def test_a_position_under_the_former_name_of_the_journal_s_id_is_read(path: Path) -> None:
    file = opened(path)
    file.append([A, B])
    file.close()
    position = path.with_name(".spans.ndjson.position")
    body = position.read_bytes().partition(b" ")[2].strip().replace(b'"journal_id"', b'"log_id"')
    assert b'"log_id"' in body
    position.write_bytes(b"%08x %s\n" % (zlib.crc32(body), body))
    retry = opened(path)
    assert retry.append([A]) == {A.seq}
    assert path.read_bytes() == text(A, B)
    retry.close()


def test_the_position_of_another_journal_is_none(path: Path) -> None:
    file = opened(path, journal_id="old")
    file.append([A, B])
    file.close()
    retry = opened(path, journal_id="new")
    assert retry.append([A]) == frozenset()
    assert path.read_bytes() == text(A, B, A)
    retry.close()


def test_a_full_disk_leaves_what_fits_and_goes_on_from_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = opened(path)
    file.append([A])
    write, room = os.write, [10, 5]

    def full(descriptor: int, data: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "no space left on device")
        return write(descriptor, data[: room.pop()])

    monkeypatch.setattr(os, "write", full)
    for _ in range(2):
        with pytest.raises(OSError, match="no space"):
            file.append([B, C])
    assert path.read_bytes() == text(A) + text(B, C)[:15]
    monkeypatch.undo()
    assert file.append([B, C]) == frozenset()
    assert path.read_bytes() == text(A, B, C)
    file.close()


def test_others_may_move_cut_or_remove_the_file(path: Path) -> None:
    file = opened(path)
    file.append([A])
    path.rename(path.with_suffix(".moved"))
    file.append([B])
    assert path.read_bytes() == text(B)
    path.unlink()
    file.append([C])
    assert path.read_bytes() == text(C)
    os.truncate(path, 0)
    file.append([D])
    assert path.read_bytes() == text(D)
    file.close()


def test_lines_of_others_in_the_file_stay(path: Path) -> None:
    file = opened(path)
    file.append([A])
    with path.open("ab") as stream:
        stream.write(b"note\n")
    file.append([B])
    assert path.read_bytes() == text(A) + b"note\n" + text(B)
    file.close()


def test_two_cannot_write_to_one_file(path: Path) -> None:
    file, other = opened(path), opened(path)
    file.append([A])
    with pytest.raises(Locked):
        other.append([B])
    file.close()
    other.append([B])
    other.close()


def test_rotation_by_size_keeps_as_many_as_it_is_given(path: Path) -> None:
    clock = Clock()
    file = opened(path, Rotation(len(text(A, B)), 0, 2, True), clock=clock)
    for seq in range(1, 10):
        clock.forward(1)
        file.append([block(seq)])
    file.close()
    assert path.read_bytes() == text(block(9))
    older, newer = Rotation(0, 0, 2, True).moved(path)
    assert gzip.decompress(older.read_bytes()) == text(block(5), block(6))
    assert newer.read_bytes() == text(block(7), block(8))
    names = {p.name for p in path.parent.iterdir()}
    assert names == {".spans.ndjson.position", older.name, newer.name, "spans.ndjson"}
    assert older.name == "spans-20231114T221327.000000Z.ndjson.gz"
    assert newer.name == "spans-20231114T221329.000000Z.ndjson"


def test_rotation_by_age(path: Path) -> None:
    clock = Clock()
    file = opened(path, Rotation(0, 60, 5, False), clock=clock)
    file.append([A])
    clock.forward(59)
    file.append([B])
    clock.forward(1)
    file.append([C])
    assert path.read_bytes() == text(C)
    file.close()
    retry = opened(path, Rotation(0, 60, 5, False), clock=clock)
    clock.forward(61)
    retry.append([D])
    assert path.read_bytes() == text(D)
    retry.close()


def test_two_rotations_in_one_instant_have_names_of_their_own(path: Path) -> None:
    file = opened(path, Rotation(1, 0, 9, False))
    for seq in range(1, 6):
        file.append([block(seq)])
    file.close()
    moved = Rotation(1, 0, 9, False).moved(path)
    assert b"".join(p.read_bytes() for p in moved) == text(*(block(n) for n in range(1, 5)))


def test_a_kill_between_moving_and_beginning_again_loses_nothing(path: Path) -> None:
    file = opened(path)
    file.append([A])
    file.close()
    path.rename(path.with_name("spans-20260101T000000.000000Z.ndjson"))
    retry = opened(path)
    assert retry.append([A, B]) == {1}
    assert path.read_bytes() == text(B)
    retry.close()


def test_output_goes_on_where_a_write_stopped() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    output = StreamWriter(write)
    large = [Block(1, b"x" * 100_000 + b"\n"), Block(2, b"y" * 100_000 + b"\n")]
    got = b""
    while True:
        try:
            output.append(large)
            break
        except BlockingIOError:
            got += os.read(read, 1 << 20)
    os.close(write)
    while part := os.read(read, 1 << 20):
        got += part
    os.close(read)
    assert got == text(*large)
    assert output.size == len(got)
