"""Logs with the errors of real libraries: which lines become one record, and of what type.

golden/traces: what the programs of tests/support/traces wrote (see its `regenerate.py`), with the records that the
lines must become: 1 for a line by itself, else [lines, type, message of the exception].
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.traces.regenerate import records

from sidecar.decode.logs import multiline
from sidecar.decode.logs.colours import without_colours
from sidecar.decode.logs.json_record import read_line
from sidecar.decode.logs.trace_lines import blank
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder

GOLDEN = Path(__file__).parents[2] / "golden/traces"
RECORDS: dict[str, list[Any]] = json.loads((GOLDEN / "records.json").read_text("utf-8"))
CHATTY = ("python_lightgbm_fatal", "python_ray_task")
"""These libraries write a line of their own beside the log."""


def _log(name: str) -> str:
    return (GOLDEN / f"{name}.log").read_text("utf-8")


@pytest.mark.parametrize("name", RECORDS)
def test_a_log_becomes_its_records(name: str) -> None:
    assert records(_log(name)) == RECORDS[name]


@pytest.mark.parametrize("name", [name for name in RECORDS if name.startswith("python_")])
def test_an_error_of_python_is_one_record_between_ordinary_ones(name: str) -> None:
    """before, the line of the log call, its traceback, after; blank lines that end a message are no records."""
    lines, begin, found = _log(name).encode().splitlines(), 0, []
    for end in multiline.group(lines, final=True).ends:
        if not blank(b"".join(lines[begin:end])):
            found.append(end - begin)
        begin = end
    if name in CHATTY:
        found.pop(1)
    assert [count > 1 for count in found] == [False, False, True, False]


@pytest.mark.parametrize("name", RECORDS)
def test_a_trace_is_seen_at_a_quick_look_and_has_a_severity(name: str) -> None:
    log = _log(name).encode()
    assert multiline.may_be_in(log, len(log))
    lines = log.removesuffix(b"\n").split(b"\n")
    ends = multiline.group(lines, final=True).ends
    for begin, end in zip([0, *ends], ends, strict=False):
        if end - begin > 1:
            assert read_line(multiline.as_record(lines[begin:end])).severity_number == 17


def test_the_native_core_reads_every_trace_alike() -> None:
    native = native_decoder()
    if native is None:
        pytest.skip("the native core is not installed")
    for name in RECORDS:
        text = json.dumps({"level": "error", "exception": _log(name)}).encode()
        assert native.json_lines(text, 5) == ReferenceDecoder().json_lines(text, 5), name


PYTHON = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: bad'


@pytest.mark.parametrize(
    "ordinary",
    [
        'INFO:     127.0.0.1:52114 - "GET /score HTTP/1.1" 500',
        "2026-11-21 15:50:20,180 a message without a level",
        "[2026-11-21 15:50:20 +0000] [812] worker exiting",
        "21/Nov/2026 15:50:20 done",
        '127.0.0.1 - - [21/Nov/2026:15:50:20 +0000] "GET / HTTP/1.1" 200 5',
        "I1121 15:49:01.100000 812 server.cc:7] ready",
        "ts=1795276220.18 caller=main.go:3 msg=ready",
        "<14>Nov 21 15:50:20 pod scorer: ready",
        "[main] ready",
        "info: Microsoft.Hosting.Lifetime[14]",
        "\x1b[32mINFO\x1b[0m:     ready",
        "Exception in thread Thread-2 (score):",
        '{"message": "ready"}',
    ],
)
def test_an_ordinary_line_behind_a_trace_stays_alone(ordinary: str) -> None:
    text = f"INFO before\n{PYTHON}\na note\n{ordinary}\nINFO after"
    found = records(text)
    assert found == [1, [4, "ValueError", "bad"], 1, 1]


def test_lines_of_a_log_without_marks_are_not_taken_for_a_message() -> None:
    assert records(f"loading\nloaded\n{PYTHON}\nscoring\nscored") == [1, 1, [3, "ValueError", "bad"], 1, 1]


def test_a_log_with_some_marks_is_judged_by_most_of_its_lines() -> None:
    """A start line of a library among the lines that a program prints says nothing of those."""
    assert records(f"INFO ready\nloading\n{PYTHON}\nscoring") == [1, 1, [3, "ValueError", "bad"], 1]
    assert records(f"INFO ready\nINFO up\nloading\n{PYTHON}\na note") == [1, 1, 1, [4, "ValueError", "bad"]]


@pytest.mark.parametrize(
    ("seen", "joined"),
    [
        ([], 2),
        ([b"loading", b"loaded"], 0),
        ([b"INFO up", b"2026-11-21 15:50:20 GET /"], 2),
        (PYTHON.encode().splitlines(), 2),
        ([b"loaded", *PYTHON.encode().splitlines(), b"scoring"], 0),
        ([b'{"message": "ready"}'], 2),
    ],
)
def test_what_was_read_before_shows_whether_lines_have_marks(seen: list[bytes], joined: int) -> None:
    lines = f"{PYTHON}\nrequest 1\nrequest 2".encode().splitlines()
    first, *others = multiline.group(lines, final=True, seen=seen).ends
    assert first == 3 + joined
    assert len(others) == 2 - joined


@pytest.mark.parametrize("more", ["[1 2]\ngot:\n[3 4]", "[0.5 -1.25]", "[ 1.  2.]\n 3", "[[1 2]\n [3 4]]"])
def test_arrays_in_a_message_begin_no_record(more: str) -> None:
    count = more.count("\n") + 4
    assert records(f"INFO a\n{PYTHON}\n{more}\nINFO b") == [1, [count, "ValueError", "bad"], 1]


def test_messages_of_several_lines_in_an_uncaught_group() -> None:
    """Python 3.11 writes no border before their further lines."""
    group = (
        '  + Exception Group Traceback (most recent call last):\n  |   File "a.py", line 1, in f\n'
        "  | ExceptionGroup: two (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n"
        "    | ValueError: v\nw\n\nx\n    +---------------- 2 ----------------\n    | TypeError: t\n"
        "    +------------------------------------"
    )
    expected = [group.count("\n") + 1, "ExceptionGroup", "two (2 sub-exceptions)"]
    for around in ("INFO {}", "{}"):
        text = f"{around.format('before')}\n{group}\n{around.format('after')}\n{around.format('more')}"
        assert records(text) == [1, expected, 1, 1]


def test_known_forms_are_taken_in_a_log_without_marks() -> None:
    fields = "price\n  Input should be a valid number\nrows.1\n  Field required"
    assert records(f"loading\n{PYTHON}\n{fields}\nscoring\nscored") == [1, [7, "ValueError", "bad"], 1, 1]


def test_many_lines_without_marks_are_not_a_message() -> None:
    most = multiline.MAX_MESSAGE_LINES
    for lines, joined in ((most, most), (most + 1, 0)):
        found = records("INFO a\n" + PYTHON + "\nline" * lines + "\nINFO b")
        assert found == [1, [3 + joined, "ValueError", "bad"], *[1] * (lines - joined), 1]


def test_a_name_of_an_error_without_frames_is_no_trace() -> None:
    assert records("FooError: no\nsecond line\n\nthird") == [1, 1, 1, 1]
    assert records("FooError: no\n" + "line\n" * 30 + "\tat a.B.c(B.java:1)")[:3] == [1, 1, 1]


def test_two_tracebacks_that_follow_each_other_are_two() -> None:
    assert records(f"{PYTHON}\n{PYTHON}") == [[3, "ValueError", "bad"]] * 2
    assert records(f"INFO a\n{PYTHON}\n\n{PYTHON}")[1] == [3, "ValueError", "bad"]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            "Unhandled exception. System.InvalidOperationException: no model\nin /models\n"
            " ---> System.IO.FileNotFoundException: model.onnx\n   at Shop.Model.Open() in /src/Model.cs:line 5\n"
            "   --- End of inner exception stack trace ---\n   at Shop.Model.Load() in /src/Model.cs:line 9\n"
            "--- End of stack trace from previous location ---\n   at Shop.Program.Main()",
            "System.InvalidOperationException",
            "no model",
        ),
        (
            "app.rb:3:in `f': no (A::Error)\nsecond line\n\tfrom app.rb:7:in `<main>'\n"
            "app.rb:1:in `g': inner (KeyError)\n\tfrom app.rb:2:in `f'",
            "A::Error",
            "no",
        ),
        (
            "terminate called after throwing an instance of 'std::runtime_error'\n  what():  no model",
            "std::runtime_error",
            "no model",
        ),
        (
            "Fatal Python error: Segmentation fault\n\nCurrent thread 0x00007f0000000000 (most recent call first):\n"
            "  File \"a.py\", line 1 in f\n\nExtension modules: numpy (total: 1)",
            None,
            None,
        ),
        ("  File \"a.py\", line 1\n    def f(:\n          ^\nSyntaxError: bad", "SyntaxError", "bad"),
        ("main.score\n\t/app/main.go:5\nmain.main\n\t/app/main.go:9", None, None),
    ],
    ids=["dotnet", "ruby", "terminate", "fault", "syntax", "zap"],
)  # fmt: skip
def test_forms_that_are_known_from_documentation(text: str, kind: str | None, message: str | None) -> None:
    count = text.count("\n") + 1
    assert records(f"INFO a\n{text}\nINFO b") == [1, [count, kind, message], 1]


def test_colours_do_not_matter() -> None:
    coloured = (
        b"\x1b[1mTraceback (most recent call last):\x1b[0m\n\x1b[2m  File \"a\"\x1b[0m\n\x1b[31mKeyError\x1b[0m: 'a'"
    )
    assert records(coloured.decode()) == [[3, "KeyError", "'a'"]]
    assert multiline.may_be_in(coloured + b"\n", len(coloured) + 1)
    assert without_colours(b"\x1b]8;id=1;file:///a\x1b\\a.py\x1b]8;;\x07:\x1b[1;31m3\x1b[") == b"a.py:3\x1b["


@pytest.mark.parametrize(
    "part",
    ["a.", "a", "a:1:in `b': ", "(a", "\x1b[", "\x1b]", "panicked at ", "thread '", "x=y ", ": ", "Error ", "| "],
)
def test_work_is_linear_in_a_hostile_line(part: str) -> None:
    """Were it not, this would take minutes."""
    line = part * (300_000 // len(part)) + "!"
    text = f"{line}\n\tat a.B\n{PYTHON}\n{line}\n  {line}"
    assert sum(found if found == 1 else found[0] for found in records(text)) == 7
    assert multiline.may_be_in(text.encode(), len(text))
