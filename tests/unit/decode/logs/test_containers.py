from __future__ import annotations

import json

import pytest

from sidecar.decode.logs.annotate import annotate
from sidecar.decode.logs.containers import Format, detect, take
from sidecar.decode.logs.json_record import json_lines
from sidecar.decode.otlp import records

AT = "2026-01-02T03:04:05"
SECOND = 1_000_000_000
BASE = 1767323045 * SECOND


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"{AT}.000000001Z stdout F x", "cri"),
        (f"{AT}+01:00 stderr P", "cri"),
        (json.dumps({"log": "x\n", "stream": "stdout", "time": f"{AT}Z"}), "docker"),
        ('{"log":"x","level":"info"}', "json"),
        ("text", "plain"),
        ("", "plain"),
    ],
)
def test_the_first_line_says_the_format(line: str, kind: str) -> None:
    assert detect(line.encode()) == kind


def test_lines_pass_as_they_are() -> None:
    piece = b'{"a":1}\n\ntext\r\n{"b":2}\n{"c":'
    taken = take(piece, "json", join=True)
    assert taken.body.split() == [b'{"a":1}', b"text", b'{"b":2}']
    assert taken.consumed == len(piece) - 5
    assert take(b"no end", "json", join=True).consumed == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{AT}Z", BASE),
        (f"{AT}.5Z", BASE + SECOND // 2),
        (f"{AT}.000000007Z", BASE + 7),
        (f"{AT}.5+01:30", BASE + SECOND // 2 - 5400 * SECOND),
        (f"{AT}-02:00", BASE + 7200 * SECOND),
        ("2026-13-02T03:04:05Z", 0),
    ],
)
def test_times_of_the_runtime(text: str, expected: int) -> None:
    taken = take(f"{text} stdout F {{}}\n".encode(), "cri", join=True)
    assert taken.times == (expected,)


def test_parts_of_two_streams_interleave() -> None:
    piece = (
        f"{AT}Z stdout F first\n{AT}Z stdout P a\n{AT}Z stderr P x\n{AT}Z stdout F b\n{AT}Z stderr F y\n"
        f"{AT}Z stdout P open\n{AT}Z stderr F behind\n"
    ).encode()
    taken = take(piece, "cri", join=True)
    assert taken.body == b"first\nab\nxy\n"
    assert taken.streams == (b"stdout", b"stdout", b"stderr")
    assert taken.held
    rest = piece[taken.consumed :]
    assert take(rest, "cri", join=True).consumed == 0
    assert take(rest, "cri", join=True, final=True).body == b"open\nbehind\n"
    assert take(rest + f"{AT}Z stdout F ed\n".encode(), "cri", join=True).body == b"opened\nbehind\n"


def test_a_trace_in_one_stream_is_joined_across_the_other() -> None:
    trace = ["Traceback (most recent call last):", '  File "x"', "ValueError: bad"]
    lines = [f"{AT}Z stderr F {t}\n{AT}Z stdout F out {n}\n" for n, t in enumerate(trace)]
    piece = "".join([*lines, f"{AT}Z stderr F INFO end\n"]).encode()
    taken = take(piece, "cri", join=True)
    bodies = taken.body.splitlines()
    assert json.loads(bodies[0])["exception.type"] == "ValueError"
    assert bodies[1:] == [b"out 0", b"out 1", b"out 2", b"INFO end"]
    assert taken.consumed == len(piece)


@pytest.mark.parametrize("kind", ["plain", "cri", "docker"])
@pytest.mark.parametrize(("before", "records"), [("loading", 3), ("INFO loading", 1)])
def test_what_was_read_before_says_whether_a_line_is_part_of_a_trace(kind: Format, before: str, records: int) -> None:
    def line(text: str) -> str:
        docker = json.dumps({"log": f"{text}\n", "stream": "stderr", "time": f"{AT}Z"})
        return {"plain": text, "cri": f"{AT}Z stderr F {text}", "docker": docker}[kind] + "\n"

    trace = ["Traceback (most recent call last):", '  File "x"', "ValueError: bad", "request 1", "request 2"]
    piece = "".join(map(line, trace)).encode()
    taken = take(piece, kind, join=True, final=True, seen=line(before).encode())
    assert taken.body.count(b"\n") == records


def test_every_cut_gives_the_same_records() -> None:
    """Whatever has been written when we look: each line in one record, none lost, none twice."""
    trace = ["Traceback (most recent call last):", '  File "x"', "ValueError: bad", "plain", '{"a": 1}', ""]
    piece = "".join(
        f"{AT}Z {'stderr' if n % 3 else 'stdout'} {'P' if n % 4 == 1 else 'F'} {trace[n % 6]}\n" for n in range(40)
    ).encode()
    whole = take(piece, "cri", join=True, final=True).body
    for step in (7, 31, 64, 200):
        place, end, got = 0, 0, b""
        while end < len(piece):
            end = min(end + step, len(piece))
            taken = take(piece[place:end], "cri", join=True)
            place += taken.consumed
            got += taken.body
        got += take(piece[place:], "cri", join=True, final=True).body
        assert got == whole, step


def test_lines_without_the_envelope_are_kept_as_they_are() -> None:
    piece = f"{AT}Z stdout F in\nout of it\n".encode()
    taken = take(piece, "cri", join=True)
    assert (taken.body, taken.times) == (b"in\nout of it\n", (BASE, 0))
    docker = take(
        b'{"log":1}\n{"log":"a\\nb\\n","stream":"stdout","time":"%s"}\n' % f"{AT}Z".encode(), "docker", join=True
    )
    first, second = docker.body.splitlines()
    assert first == b'{"log":1}'
    assert json.loads(second)["message"] == "a\nb"


def test_annotating_adds_what_is_missing() -> None:
    lines = (
        b'{"message":"a","service":"x"}',
        b'{"message":"b","timestamp":"2020-01-01T00:00:00Z"}',
        b'{"message":"c","service":"x"}',
    )
    payload = json_lines(b"\n".join(lines), 5).payload
    more = {"service.name": "mine", "k8s.pod.name": "p" * 200}
    found = annotate(payload, more, (1, 2, 0), (b"stdout", b"", b"stderr"))
    placed = list(records.log_records(found))
    assert [p.record.body for p in placed] == ["a", "b", "c"]
    assert [p.record.time_unix_nano for p in placed] == [1, 1577836800 * SECOND, 0]
    assert [p.record.attributes.values.get("log.iostream") for p in placed] == ["stdout", None, "stderr"]
    assert [p.resource.attributes.values["service.name"] for p in placed] == ["x", "mine", "x"]
    assert {p.resource.attributes.values["k8s.pod.name"] for p in placed} == {"p" * 200}
    assert annotate(payload, {}) is payload
