"""Files with NULs, blanks and byte order marks where text is expected."""

from __future__ import annotations

import gzip
import os
from codecs import BOM_UTF8
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.tailing import Make, append, lines, texts

from sidecar.decode.otlp.limits import MAX_LINE_BYTES
from sidecar.receive.file_tail import blank

AT = "2026-01-02T03:04:05"
CRI = f'{AT}Z stdout F {{"message":"one","level":"info"}}\n{AT}Z stderr F two\n'.encode()
DOCKER = (
    f'{{"log":"{{\\"message\\":\\"one\\",\\"level\\":\\"info\\"}}\\n","stream":"stdout","time":"{AT}Z"}}\n'
    f'{{"log":"two\\n","stream":"stderr","time":"{AT}Z"}}\n'
).encode()
BLANKS = [
    b"\0",
    b"\0" * 5000,
    b"\n\n",
    b"  \t\r\n\n",
    b"\0\0\0\n\0",
    b"\0" * (MAX_LINE_BYTES + 100_000),
    b"\n" * 70_000,
    BOM_UTF8,
    BOM_UTF8 + b"\r\n",
]


def write_hole(file: Path, size: int, data: bytes) -> None:
    """What a writer without O_APPEND leaves that is at `size` when its file is cut."""
    with file.open("r+b" if file.exists() else "wb") as out:
        out.truncate(0)
        out.seek(size)
        out.write(data)


@pytest.mark.parametrize("begin", BLANKS, ids=range(len(BLANKS)))
@pytest.mark.parametrize("content", [CRI, DOCKER], ids=["cri", "docker"])
@pytest.mark.parametrize("compress", [False, True])
def test_a_container_s_file_that_begins_with_nothing(
    make: Make, logs: Path, begin: bytes, content: bytes, compress: bool
) -> None:
    (logs / "app.log").write_bytes(b"")
    file = logs / ("app.log.1.gz" if compress else "app.log")
    file.write_bytes(gzip.compress(begin + content) if compress else begin + content)
    tailing = make()
    assert tailing.cycle() == ["one", "two"]
    streams = [r.attributes.values.get("log.iostream") for r in tailing.records]
    assert streams == ["stdout", "stderr"]
    assert tailing.records[0].severity_number == 9
    assert tailing.records[1].time_unix_nano == 1767323045_000000000


@pytest.mark.parametrize("begin", BLANKS, ids=range(len(BLANKS)))
@pytest.mark.parametrize("kind", ["auto", "json", "plain"])
def test_lines_behind_nothing(make: Make, logs: Path, begin: bytes, kind: str) -> None:
    (logs / "app.log").write_bytes(begin + lines(0, 2))
    tailing = make(format=kind)
    got = tailing.cycle()
    assert got == (['{"message":"line 0"}', '{"message":"line 1"}'] if kind == "plain" else texts(0, 2))


def test_a_damaged_first_line_does_not_hide_the_envelope(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(b"3:04Z stdo\n")
    tailing = make()
    assert tailing.cycle() == ["3:04Z stdo"]
    append(file, CRI)
    assert tailing.cycle() == ["one", "two"]
    assert tailing.records[1].attributes.values["log.iostream"] == "stdout"


@pytest.mark.parametrize("size", [1, 4095, 4096, 70_000, 3 << 20, 5 << 30])
def test_cut_under_a_writer_that_goes_on_at_its_place(make: Make, logs: Path, size: int) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 3))
    tailing = make()
    tailing.cycle()
    write_hole(file, size, lines(3, 5))
    assert tailing.cycle() == texts(3, 5)
    append(file, lines(5, 6))
    tailing.restart()
    assert tailing.bodies == texts(0, 6)
    write_hole(file, size * 2 + 200, lines(6, 8))
    assert tailing.cycle() == texts(6, 8)
    assert tailing.losses() == []


@pytest.mark.parametrize("size", [8, 100, 2 << 20])
def test_nuls_between_lines_and_in_them(make: Make, logs: Path, size: int) -> None:
    """After a crash of the machine: what was written last is gone, and the file goes on behind it."""
    file = logs / "app.log"
    file.write_bytes(lines(0, 2) + b'{"message":"bro' + b"\0" * size + lines(2, 3) + b"\0" * size + lines(3, 4))
    tailing = make()
    assert tailing.cycle() == [*texts(0, 2), '{"message":"bro', *texts(2, 4)]


def test_a_nul_in_a_line_stays(make: Make, logs: Path) -> None:
    (logs / "app.log").write_bytes(b"a\0b\n\0c\n")
    assert make().cycle() == ["a\0b", "c"]


def test_space_that_was_set_aside_is_read_when_it_is_filled(
    make: Make, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blank, "STEP_BYTES", 1 << 20)
    file = logs / "app.log"
    file.write_bytes(b"\0" * (3 << 20))
    tailing = make()
    assert tailing.cycle() == []
    with file.open("r+b") as out:
        out.write(lines(0, 2) + b'{"message":"li')
        out.flush()
        assert tailing.cycle() == texts(0, 2)
        out.write(b'ne 2"}\n')
        out.flush()
        assert tailing.cycle() == texts(2, 3)
    tailing.restart()
    assert tailing.bodies == texts(0, 3)


def test_nuls_that_are_really_there_are_passed_in_bounded_steps(
    make: Make, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blank, "STEP_BYTES", 1 << 20)
    (logs / "app.log").write_bytes(lines(0, 1) + b"\0" * (5 << 20) + lines(1, 2))
    assert make().cycle() == texts(0, 2)


def test_a_mark_before_the_first_line_also_after_rotation(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(BOM_UTF8 + lines(0, 2))
    tailing = make(format="plain")
    assert tailing.cycle() == ['{"message":"line 0"}', '{"message":"line 1"}']
    os.rename(file, logs / "app.log.1")
    file.write_bytes(BOM_UTF8 + b"text\n")
    assert tailing.cycle() == ["text"]
    tailing.restart()
    assert len(tailing.bodies) == 3


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_utf16_is_said_once_and_nothing_is_lost(make: Make, logs: Path, codec: str) -> None:
    file = logs / "app.log"
    file.write_bytes("\ufeffone\ntwo\n".encode(codec))
    tailing = make()
    with capture_logs() as logged:
        found = tailing.cycle()
        append(file, "three\n".encode(codec))
        found += tailing.cycle()
    assert [(e["path"], e["event"] == "encoding_not_utf8") for e in logged] == [(str(file), True)]
    assert [text.replace("\0", "").strip("\ufffd") for text in found if text.strip("\0")] == ["one", "two", "three"]
