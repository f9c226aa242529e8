from __future__ import annotations

import json

import pytest

from sidecar.decode.logs import multiline
from sidecar.decode.logs.json_record import read_line

PYTHON = """Traceback (most recent call last):
  File "x.py", line 3, in <module>
    1/0
    ~^~
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "x.py", line 5, in <module>
    raise ValueError("bad")
ValueError: bad"""
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "a.py", line 1, in <module>
  |     raise ExceptionGroup("eg", [ValueError(1), TypeError(2)])
  | ExceptionGroup: eg (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +---------------- 2 ----------------
    | TypeError: 2
    +------------------------------------"""
JAVA = """Exception in thread "main" java.lang.IllegalStateException: outer
\tat shop.Model.load(Model.java:10)
\tat shop.Main.main(Main.java:3)
\tSuppressed: java.io.IOException: close
\t\tat shop.Model.close(Model.java:20)
Caused by: java.io.FileNotFoundException: model.onnx
\tat shop.Model.open(Model.java:15)
\t... 2 more"""
GO = """panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.(*Server).score(0xc000010000, {0x1, 0x2})
\t/app/main.go:8 +0x1d
main.main()
\t/app/main.go:20 +0x5

goroutine 4 [select]:
created by main.main in goroutine 1
\t/app/main.go:10 +0x3"""
NODE = """/app/server.js:2
    throw new TypeError("boom");
    ^

TypeError: boom
    at score (/app/server.js:2:9)
    at Object.<anonymous> (/app/server.js:5:1) {
  code: 'E_SCORE'
}"""
DOTNET = """Unhandled exception. System.InvalidOperationException: no model
   at Shop.Model.Load() in /src/Model.cs:line 5
   at Shop.Program.Main() in /src/Program.cs:line 9"""


def _records(text: str) -> list[list[str]]:
    lines = text.encode().split(b"\n")
    ends, begin, found = multiline.group(lines).ends, 0, []
    for end in ends:
        found.append([line.decode() for line in lines[begin:end]])
        begin = end
    assert begin == len(lines)
    return found


@pytest.mark.parametrize(
    ("trace", "kind", "message"),
    [
        (PYTHON, "ValueError", "bad"),
        (GROUP, "ExceptionGroup", "eg (2 sub-exceptions)"),
        (JAVA, "java.lang.IllegalStateException", "outer"),
        (GO, "panic", "runtime error: index out of range [5] with length 3"),
        (NODE, "TypeError", "boom"),
        (DOTNET, "System.InvalidOperationException", "no model"),
    ],
    ids=["python", "group", "java", "go", "node", "dotnet"],
)
def test_a_trace_is_one_record_with_its_exception(trace: str, kind: str, message: str) -> None:
    around = f'before\n{{"a":1}}\n{trace}\nafter\n{{"b":2}}'
    assert _records(around) == [["before"], ['{"a":1}'], trace.split("\n"), ["after"], ['{"b":2}']]
    line = read_line(multiline.as_record(trace.encode().split(b"\n")))
    assert line.attributes["exception.type"] == kind
    assert line.attributes["exception.message"] == message
    assert line.attributes["exception.stacktrace"] == trace
    assert line.severity_number == 17
    assert multiline.may_be_in(around.encode() + b"\n", len(around) + 1)


@pytest.mark.parametrize("trace", [PYTHON, GROUP, JAVA, GO, NODE], ids=["python", "group", "java", "go", "node"])
def test_a_trace_that_is_not_all_there_is_open(trace: str) -> None:
    lines = trace.encode().split(b"\n")
    for count in range(1, len(lines) + 1):
        found = multiline.group(lines[:count])
        assert found.open, lines[:count]
        assert found.ends == [count], "it is held as a whole"


def test_other_lines_stay_alone() -> None:
    text = "one\n  indented\n\n{\n  at the top\nat last\nTraceback of nothing\n/app/x.js:2\nno source here"
    assert all(len(record) == 1 for record in _records(text))
    assert not multiline.group([b"plain"]).open


def test_what_follows_a_trace_after_a_blank_line_is_not_part_of_it() -> None:
    text = 'Traceback (most recent call last):\n  File "x"\nValueError: bad\n\nnext'
    assert _records(text) == [text.split("\n")[:3], [""], ["next"]]


def test_a_trace_has_bounds() -> None:
    lines = [b"Traceback (most recent call last):"] + [b"  frame"] * 5000
    ends = multiline.group(lines).ends
    assert ends[0] == multiline.MAX_LINES
    assert ends[-1] == len(lines)


def test_quick_look_is_never_wrong_about_plain_text() -> None:
    piece = b"one line\nanother: with words\n" * 5
    assert not multiline.may_be_in(piece, len(piece))
    assert multiline.may_be_in(piece + b"java.lang.FooException: x\n", len(piece) + 26)


def test_bytes_that_are_not_utf8_do_not_matter() -> None:
    record = json.loads(multiline.as_record([b"panic: \xff", b"goroutine 1 [running]:"]))
    assert record["message"] == "panic: \ufffd"
