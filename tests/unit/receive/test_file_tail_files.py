"""Which lines of a file are taken, of which files, and in what form: every line once."""

from __future__ import annotations

import gzip
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.tailing import Make, append, lines, texts

from sidecar.decode.otlp.limits import MAX_LINE_BYTES
from sidecar.errors import Unavailable


def test_lines_are_read_as_they_come_and_only_whole_ones(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 3) + b'{"message":"hal')
    tailing = make()
    assert tailing.cycle() == texts(0, 3)
    append(file, b'f"}\n' + lines(3, 5))
    assert tailing.cycle() == ["half", *texts(3, 5)]
    assert tailing.cycle() == []


def test_names_of_any_bytes(make: Make, logs: Path) -> None:
    odd = [Path(os.fsdecode(os.fsencode(logs) + name)) for name in (b"/caf\xe9.log", b"/\xff\xfe.log", b"/a\nb.log")]
    for file in odd:
        file.write_bytes(lines(0, 1))
    (logs / "app.log").write_bytes(lines(0, 1))
    tailing = make()
    assert tailing.cycle() == texts(0, 1) * 4
    paths = {resource["log.file.path"] for resource in tailing.resources}
    assert {path.rpartition("/")[2] for path in paths} == {"caf\ufffd.log", "\ufffd\ufffd.log", "a\nb.log", "app.log"}
    for file in odd:
        append(file, lines(1, 2))
        file.rename(Path(os.fsdecode(os.fsencode(file) + b".\xe9")))
        file.write_bytes(lines(2, 3))
    tailing.restart()
    assert sorted(tailing.bodies[4:]) == texts(1, 2) * 3 + texts(2, 3) * 3


def test_start_at_end_leaves_out_what_is_there_and_nothing_else(make: Make, logs: Path) -> None:
    (logs / "app.log").write_bytes(lines(0, 3) + b'{"message":"hal')
    (logs / "app.log.1.gz").write_bytes(gzip.compress(lines(90, 95)))
    tailing = make(start_at="end")
    assert tailing.cycle() == []
    append(logs / "app.log", b'f"}\n' + lines(3, 5))
    (logs / "later.log").write_bytes(lines(10, 12))
    assert sorted(tailing.cycle()) == sorted(texts(3, 5) + texts(10, 12))
    tailing.restart(lambda: (logs / "while_down.log").write_bytes(lines(20, 22)))
    assert tailing.bodies[-2:] == texts(20, 22)


def test_restart_reads_on_where_it_was(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 100))
    tailing = make()
    tailing.cycle()
    tailing.restart(lambda: append(file, lines(100, 200)))
    tailing.restart()
    assert tailing.bodies == texts(0, 200)


def test_disk_full_of_the_journal(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 5))
    tailing = make()
    tailing.disk.full = True
    with pytest.raises(Unavailable):
        tailing.cycle()
    append(file, lines(5, 8))
    with pytest.raises(Unavailable):
        tailing.cycle()
    tailing.disk.full = False
    assert tailing.cycle() == texts(0, 8)
    tailing.restart()
    assert tailing.bodies == texts(0, 8)


def test_a_commit_that_landed_though_it_failed_is_not_read_again(make: Make, logs: Path) -> None:
    (logs / "app.log").write_bytes(lines(0, 5))
    tailing = make()
    tailing.tailer.scan()

    def fail() -> None:
        tailing.disk.after_commit = None
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    tailing.disk.after_commit = fail
    tailing.tailer.read(tailing.tailer.due())
    assert tailing.disk.after_commit is None
    assert tailing.cycle() == texts(0, 5)


def test_unreadable_file(make: Make, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (logs / "good.log").write_bytes(lines(0, 2))
    bad = logs / "bad.log"
    bad.write_bytes(lines(2, 4))
    real = os.open

    def refuse(path: Any, *more: Any, **named: Any) -> int:
        if os.fspath(path) == str(bad):
            raise PermissionError(13, "Permission denied", str(bad))
        return real(path, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    tailing = make()
    assert tailing.cycle() == texts(0, 2)
    assert tailing.tailer.registry.unreadable == {str(bad): "Permission denied"}
    monkeypatch.undo()
    assert tailing.cycle() == texts(2, 4)
    assert tailing.tailer.registry.unreadable == {}


def test_a_directory_that_may_not_be_looked_into(make: Make, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != logs)
    tailing = make()
    with capture_logs() as logged:
        tailing.cycle()
        tailing.cycle(5)
    assert [line["path"] for line in logged if line["event"] == "file_tail_directory_unreadable"] == [str(logs)]
    assert tailing.tailer.closed == {str(logs)}
    monkeypatch.undo()
    tailing.cycle(61)
    assert tailing.tailer.closed == set()


def test_compressed_rotated_files_are_read_once(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(30, 32))
    (logs / "app.log.2.gz").write_bytes(gzip.compress(lines(0, 10)) + gzip.compress(lines(10, 20)))
    tailing = make()
    assert sorted(tailing.cycle()) == sorted(texts(0, 20) + texts(30, 32))
    file.rename(logs / "app.log.1")
    file.write_bytes(lines(32, 33))
    assert tailing.cycle() == texts(32, 33)
    (logs / "app.log.1.gz").write_bytes(gzip.compress((logs / "app.log.1").read_bytes()))
    assert tailing.cycle() == [], "while the original is there"
    (logs / "app.log.1").unlink()
    for _ in range(4):
        assert tailing.cycle(40) == []
    tailing.restart()
    assert len(tailing.bodies) == 23
    assert tailing.losses() == []


def test_a_compressed_file_has_what_was_written_and_rotated_while_the_sidecar_was_down(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 200))
    tailing = make()
    tailing.cycle()

    def rotate() -> None:
        (logs / "app.log.1.gz").write_bytes(gzip.compress(file.read_bytes() + lines(200, 300)))
        file.unlink()
        (logs / "other").write_bytes(b"takes the inode")
        file.write_bytes(lines(300, 301))

    tailing.restart(rotate)
    assert sorted(tailing.bodies) == sorted(texts(0, 301))


def test_a_compressed_file_that_is_cut_short_is_counted(make: Make, logs: Path) -> None:
    whole = gzip.compress(os.urandom(5000) + b"\n")
    (logs / "app.log").write_bytes(lines(0, 1))
    (logs / "app.log.1.gz").write_bytes(whole[:4000])
    tailing = make()
    tailing.cycle()
    assert tailing.losses() == []
    tailing.cycle(61)
    tailing.cycle(61)
    assert [reason for reason, _ in tailing.losses()] == ["bad_gzip"]


def test_a_line_over_the_limit_is_cut_and_flagged(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    file.write_bytes(lines(0, 1) + b"x" * (3 * MAX_LINE_BYTES))
    tailing = make()
    tailing.cycle()
    append(file, b"y" * 500_000)
    tailing.restart()
    append(file, b"end\n" + lines(1, 2))
    tailing.cycle()
    assert [len(body) for body in tailing.bodies] == [6, MAX_LINE_BYTES, 6]
    assert tailing.records[1].attributes.values["log.truncated"] is True
    assert tailing.bodies[2] == "line 1"


def test_more_files_than_may_be_open(make: Make, logs: Path) -> None:
    for n in range(40):
        (logs / f"f{n:02}.log").write_bytes(lines(n, n + 1))
    tailing = make(max_open_files=5)
    tailing.cycle()
    for n in range(40):
        append(logs / f"f{n:02}.log", lines(100 + n, 101 + n))
    tailing.cycle()
    assert sorted(tailing.bodies) == sorted(texts(0, 40) + texts(100, 140))
    opened = [f for f in tailing.tailer.registry.files.values() if f.source is not None]
    assert len(opened) <= 5


def test_excluded_files_and_other_compressions_are_left_alone(make: Make, logs: Path) -> None:
    for name in ("app.log", "debug.log", "app.log.1", "app.log.2.zst", "app.log-20260101", "application.log.1"):
        (logs / name).write_bytes(b'{"message":"%s"}\n' % name.encode())
    tailing = make(exclude=[f"{logs}/debug*"])
    assert sorted(tailing.cycle()) == ["app.log", "app.log-20260101", "app.log.1"]


def test_a_stack_trace_waits_for_its_end_or_the_time_out(make: Make, logs: Path) -> None:
    file = logs / "app.log"
    trace = b'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    1/0\n'
    file.write_bytes(lines(0, 1) + trace)
    tailing = make()
    assert tailing.cycle() == texts(0, 1)
    append(file, b"ZeroDivisionError: division by zero\n")
    assert tailing.cycle(0.5) == [], "another one may be chained to it"
    tailing.restart()
    assert tailing.bodies == texts(0, 1), "what is held back is held back again"
    assert tailing.cycle(1.1) == ["ZeroDivisionError: division by zero"]
    values = tailing.records[-1].attributes.values
    assert values["exception.type"] == "ZeroDivisionError"
    assert values["exception.message"] == "division by zero"
    assert str(values["exception.stacktrace"]).startswith("Traceback")
    append(file, lines(1, 2))
    assert tailing.cycle() == texts(1, 2)


def test_what_a_program_prints_behind_a_stack_trace_stays_alone(make: Make, logs: Path) -> None:
    """What it printed before, read long ago, shows that its lines have no marks."""
    file = logs / "app.log"
    file.write_bytes(b"loading\n")
    tailing = make()
    assert tailing.cycle() == ["loading"]
    for restart in (False, True):
        if restart:
            tailing.restart()
        append(file, b'Traceback (most recent call last):\n  File "a.py", line 1, in f\nKeyError: 1\nrequest 1 done\n')
        tailing.cycle()
        tailing.cycle(1.1)
        assert tailing.bodies[-2:] == ["KeyError: 1", "request 1 done"]


def test_container_logs_have_their_pod_and_their_times(make: Make, tmp_path: Path) -> None:
    place = tmp_path / "pods" / "shop_web-5d_0b1c" / "model"
    place.mkdir(parents=True)
    file = place / "0.log"
    file.write_bytes(
        b'2026-01-02T03:04:05.000000006Z stdout F {"message":"one","level":"info"}\n'
        b"2026-01-02T03:04:06Z stderr P par\n"
        b'2026-01-02T03:04:07Z stdout F {"message":"two","timestamp":"2020-01-01T00:00:00Z"}\n'
    )
    tailing = make(include=[f"{tmp_path}/pods/*/*/*.log"], resource={"deployment.environment.name": "test"})
    assert tailing.cycle() == ["one"], "what comes after a part waits with it"
    append(file, b"2026-01-02T03:04:08Z stderr F tial\n")
    assert tailing.cycle() == ["partial", "two"]
    one, partial, two = tailing.records
    assert one.time_unix_nano == 1767323045_000000006
    assert partial.time_unix_nano == 1767323046_000000000
    assert two.time_unix_nano == 1577836800_000000000, "a line's own time is better"
    streams = [r.attributes.values["log.iostream"] for r in tailing.records]
    assert streams == ["stdout", "stderr", "stdout"]
    resource = tailing.resources[0]
    assert resource.pop("log.file.path") == str(file)
    assert resource == {
        "k8s.namespace.name": "shop",
        "k8s.pod.name": "web-5d",
        "k8s.pod.uid": "0b1c",
        "k8s.container.name": "model",
        "k8s.container.restart_count": "0",
        "deployment.environment.name": "test",
    }


def test_a_part_of_a_line_that_gets_no_end_is_taken_after_the_time_out(make: Make, logs: Path) -> None:
    (logs / "app.log").write_bytes(b"2026-01-02T03:04:06Z stderr P par\n2026-01-02T03:04:06Z stdout F out\n")
    tailing = make()
    assert tailing.cycle() == []
    assert tailing.cycle(1.1) == ["par", "out"]


def test_docker_json_file(make: Make, logs: Path) -> None:
    (logs / "c-json.log").write_bytes(
        b'{"log":"{\\"message\\":\\"one\\"}\\n","stream":"stdout","time":"2026-01-02T03:04:05.6Z"}\n'
        b'{"log":"a long ","stream":"stderr","time":"2026-01-02T03:04:06Z"}\n'
        b'{"log":"line\\n","stream":"stderr","time":"2026-01-02T03:04:07Z"}\n'
    )
    tailing = make()
    assert tailing.cycle() == ["one", "a long line"]
    assert [r.time_unix_nano for r in tailing.records] == [1767323045_600000000, 1767323046_000000000]


def test_plain_keeps_what_looks_like_json_as_text(make: Make, logs: Path) -> None:
    (logs / "app.log").write_bytes(lines(0, 1) + b"text\n\n")
    tailing = make(format="plain")
    assert tailing.cycle() == ['{"message":"line 0"}', "text"]


def test_big_file_is_read_in_pieces(make: Make, logs: Path) -> None:
    word = "long" * 100
    (logs / "app.log").write_bytes(lines(0, 4_000, word))
    tailing = make()
    tailing.tailer.scan()
    more, _ = tailing.tailer.read(tailing.tailer.due())
    assert more
    tailing.restart()
    assert tailing.bodies == texts(0, 4_000, word)
