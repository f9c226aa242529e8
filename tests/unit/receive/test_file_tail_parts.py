"""Lines that container runtimes cut into parts, of which the last are in the next file."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.tailing import Make, append

from sidecar.errors import Unavailable

Part = Callable[[str, str, str], bytes]
AT = "2026-01-02T03:04:05"


def cri(stream: str, flag: str, text: str) -> bytes:
    return f"{AT}Z {stream} {flag} {text}\n".encode()


def docker(stream: str, flag: str, text: str) -> bytes:
    line = {"log": text + ("\n" if flag == "F" else ""), "stream": stream, "time": f"{AT}Z"}
    return json.dumps(line).encode() + b"\n"


@pytest.fixture(params=[cri, docker])
def part(request: pytest.FixtureRequest) -> Part:
    return request.param  # type: ignore[no-any-return]


RECORD = '{"message":"' + "m" * 40_000 + '","level":"warn"}'
PIECES = [RECORD[n : n + 16_384] for n in range(0, len(RECORD), 16_384)]


@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("how", ["running", "restarted", "down", "empty at first", "gone"])
def test_a_line_goes_on_in_the_next_file(make: Make, logs: Path, part: Part, cut: int, how: str) -> None:
    file = logs / "0.log"
    old = part("stdout", "F", "before") + b"".join(part("stdout", "P", text) for text in PIECES[:cut])
    new = b"".join(part("stdout", "P", text) for text in PIECES[cut:-1])
    new += part("stdout", "F", PIECES[-1]) + part("stdout", "F", "behind")
    tailing = make()

    def rotate() -> None:
        if how == "gone":
            file.unlink()
        else:
            file.rename(logs / "0.log.20261128-170000")
        file.write_bytes(b"" if how == "empty at first" else new)

    if how == "down":
        file.write_bytes(part("stdout", "F", "seen"))
        tailing.cycle()
        append(file, old)
        tailing.restart(rotate)
    else:
        file.write_bytes(old)
        assert tailing.cycle() == ["before"]
        if how == "restarted":
            tailing.restart(rotate)
        else:
            rotate()
        tailing.cycle(0.5)
        if how == "empty at first":
            tailing.cycle(2)
            append(file, new)
        tailing.cycle(0.5)
    assert [body for body in tailing.bodies if body != "seen"] == ["before", "m" * 40_000, "behind"]
    record = tailing.records[-2]
    assert record.severity_number == 13
    assert record.attributes.values["log.iostream"] == "stdout"
    tailing.restart()
    tailing.cycle(20)
    assert len(tailing.bodies) == 3 + (how == "down")


def test_each_stream_by_itself(make: Make, logs: Path, part: Part) -> None:
    file = logs / "0.log"
    file.write_bytes(part("stdout", "P", "out ") + part("stderr", "P", "err ") + part("stdout", "F", "whole"))
    tailing = make()
    tailing.cycle()
    file.rename(logs / "0.log.20261128-170000")
    file.write_bytes(part("stderr", "F", "end") + part("stdout", "F", "next"))
    assert sorted(tailing.cycle(0.1)) == ["err end", "next", "out whole"]
    streams = {str(r.body): r.attributes.values["log.iostream"] for r in tailing.records}
    assert streams == {"err end": "stderr", "out whole": "stdout", "next": "stdout"}


def test_through_three_files_that_were_rotated_while_the_sidecar_was_down(make: Make, logs: Path) -> None:
    file = logs / "0.log"
    file.write_bytes(cri("stdout", "F", "one") + cri("stdout", "P", "a"))
    tailing = make()
    tailing.cycle()

    def rotate() -> None:
        for n, text in enumerate((cri("stdout", "F", "b") + cri("stdout", "P", "c"), cri("stdout", "F", "d"))):
            file.rename(logs / f"0.log.2026112{n}-170000")
            os.utime(logs / f"0.log.2026112{n}-170000", (1_795_000_000 + n,) * 2)
            file.write_bytes(text)

    tailing.restart(rotate)
    tailing.cycle(0.1)
    assert tailing.bodies == ["one", "ab", "cd"]


@pytest.mark.parametrize("files", [3, 4, 7])
@pytest.mark.parametrize("how", ["running", "restarted", "at once", "gzip is older"])
def test_one_line_in_several_files(make: Make, logs: Path, part: Part, files: int, how: str) -> None:
    file = logs / "0.log"
    texts = [f"part {n} " for n in range(files)]
    tailing = None if how == "at once" else make()
    if how == "gzip is older":
        (logs / "0.log.20261127-170000.gz").write_bytes(gzip.compress(part("stdout", "F", "older")))
    for n, text in enumerate(texts):
        if n:
            file.rename(logs / f"0.log.2026112{n}-170000")
        last = n == files - 1
        file.write_bytes((b"" if n else part("stdout", "F", "before")) + part("stdout", "F" if last else "P", text))
        os.utime(file, (1_795_000_000 + n,) * 2)
        if tailing is not None:
            tailing.cycle(0.3)
            if how == "restarted":
                tailing.restart()
    append(file, part("stdout", "F", "behind"))
    tailing = tailing or make()
    tailing.cycle(0.1)
    expected = ["before", "".join(texts), "behind"]
    assert sorted(tailing.bodies) == sorted(expected + ["older"] * (how == "gzip is older"))
    tailing.restart()
    tailing.cycle(20)
    assert len(tailing.bodies) == 3 + (how == "gzip is older")


def test_streams_in_several_files(make: Make, logs: Path, part: Part) -> None:
    file = logs / "0.log"
    pieces = [
        ("stdout", "P", "o1 "),
        ("stderr", "P", "e1 "),
        ("stdout", "P", "o2 "),
        ("stderr", "F", "e2"),
        ("stdout", "F", "o3"),
    ]
    for n, piece in enumerate(pieces):
        if n:
            file.rename(logs / f"0.log.2026112{n}-170000")
        file.write_bytes(part(*piece))
        os.utime(file, (1_795_000_000 + n,) * 2)
    assert sorted(make().cycle()) == ["e1 e2", "o1 o2 o3"]


def test_a_stack_trace_goes_on_in_the_next_file(make: Make, logs: Path) -> None:
    file = logs / "0.log"
    file.write_bytes(cri("stderr", "F", "Traceback (most recent call last):") + cri("stderr", "F", '  File "a.py"'))
    tailing = make()
    tailing.cycle()
    file.rename(logs / "0.log.20261128-170000")
    file.write_bytes(cri("stderr", "F", "ValueError: bad") + cri("stderr", "F", "INFO next"))
    assert tailing.cycle(0.1) == ["ValueError: bad", "INFO next"]
    assert tailing.records[0].attributes.values["exception.type"] == "ValueError"


def test_without_a_next_file_the_parts_are_taken_as_they_are(make: Make, logs: Path, part: Part) -> None:
    file = logs / "0.log"
    file.write_bytes(part("stdout", "P", "part"))
    tailing = make()
    assert tailing.cycle() == []
    file.rename(logs / "0.log.20261128-170000")
    assert tailing.cycle(2) == []
    assert tailing.cycle(4) == ["part"]
    file.write_bytes(part("stdout", "F", "other"))
    assert tailing.cycle() == ["other"]


def test_nothing_is_lost_or_doubled_where_the_journal_fails(make: Make, logs: Path) -> None:
    file = logs / "0.log"
    file.write_bytes(cri("stdout", "F", "one") + cri("stdout", "P", "a"))
    tailing = make()
    tailing.cycle()
    file.rename(logs / "0.log.20261128-170000")
    file.write_bytes(cri("stdout", "F", "b"))
    tailing.disk.full = True
    with pytest.raises(Unavailable):
        tailing.cycle()
    tailing.disk.full = False
    assert tailing.cycle() == ["ab"]
    tailing.restart()
    append(file, cri("stdout", "F", "c"))
    tailing.cycle()
    assert tailing.bodies == ["one", "ab", "c"]


def test_a_torn_line_in_the_file_before_does_not_hold_the_next_up(make: Make, logs: Path) -> None:
    file = logs / "0.log"
    file.write_bytes(cri("stdout", "F", "one") + b"2026-01-02T03:04:05Z std")
    tailing = make()
    tailing.cycle()
    file.rename(logs / "0.log.20261128-170000")
    file.write_bytes(cri("stdout", "F", "two"))
    tailing.cycle(1)
    tailing.cycle(6)
    assert tailing.bodies == ["one", "2026-01-02T03:04:05Z std", "two"]


def test_a_file_before_that_cannot_be_read_does_not_hold_the_next_up(
    make: Make, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = logs / "0.log.20261128-170000", logs / "0.log"
    old.write_bytes(cri("stdout", "F", "one"))
    os.utime(old, (1_700_000_000, 1_700_000_000))
    new.write_bytes(cri("stdout", "F", "two"))
    real = os.open

    def refuse(path: object, *more: int, **named: int) -> int:
        if os.fspath(path) == str(old):  # type: ignore[call-overload]
            raise PermissionError(13, "Permission denied", str(old))
        return real(path, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    tailing = make()
    assert tailing.cycle() == ["two"]
    monkeypatch.undo()
    assert tailing.cycle() == ["one"]


def test_files_of_other_containers_are_not_joined(make: Make, logs: Path) -> None:
    (logs / "0.log").write_bytes(cri("stdout", "P", "a"))
    (logs / "1.log").write_bytes(cri("stdout", "F", "b"))
    tailing = make()
    assert tailing.cycle() == ["b"]
    assert tailing.cycle(2) == ["a"]
