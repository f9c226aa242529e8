"""Exception type and message out of stack traces."""

from __future__ import annotations

import traceback

import pytest

from sidecar.decode.logs.tracebacks import read_traceback

PYTHON = 'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    1/0\n    ~^~\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PYTHON + "ZeroDivisionError: division by zero", ("ZeroDivisionError", "division by zero")),
        (PYTHON + "ZeroDivisionError: division by zero\n", ("ZeroDivisionError", "division by zero")),
        (PYTHON + "requests.exceptions.Timeout: a: b\nmore", ("requests.exceptions.Timeout", "a: b")),
        (PYTHON + "KeyboardInterrupt", ("KeyboardInterrupt", "")),
        (PYTHON + "ValueError:", ("ValueError", "")),
        (PYTHON, ("", "")),
        ("ERROR it broke\n" + PYTHON + "E: x", ("E", "x")),
        (
            PYTHON + "KeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\n"
            + PYTHON + "app.errors.NotFound: no a",
            ("app.errors.NotFound", "no a"),
        ),
        (
            "java.lang.IllegalStateException: no: model\n\tat com.acme.A.b(A.java:1)\nCaused by: x.Y: z",
            ("java.lang.IllegalStateException", "no: model"),
        ),
        ('Exception in thread "main" a.B\n\tat a.C.d(C.java:3)', ("a.B", "")),
        ("TypeError: x is undefined\n    at f (/app/a.js:1:2)", ("TypeError", "x is undefined")),
        ("Uncaught Error: x\n    at a.js:1:2", ("Error", "x")),
        ("System.IOException: no\r\n   at A.B() in a.cs:line 1", ("System.IOException", "no")),
        ("a sentence, then\n    at f (a.js:1:2)", ("", "")),
        ("panic: no\n\ngoroutine 1 [running]:\nmain.main()\n\t/a/main.go:7 +0x1d", ("panic", "no")),
        ("main.f\n\t/a/main.go:12\nmain.main\n\t/a/main.go:7", ("", "")),
        ("app.rb:3:in `f': no: 0 (A::Error)\n\tfrom app.rb:7:in `<main>'", ("A::Error", "no: 0")),
        ("thread 'main' panicked at src/main.rs:2:5:\nboom", ("panic", "boom")),
        ("thread 'main' panicked at 'boom', src/main.rs:2:5", ("panic", "'boom', src/main.rs:2:5")),
        ("thread 'main' (812) panicked at a.rs:2:5:", ("panic", "a.rs:2:5:")),
        (PYTHON + "ray.exceptions.RayTaskError(ValueError): \x1b[36mray::f()\x1b[39m", (
            "ray.exceptions.RayTaskError(ValueError)", "ray::f()",
        )),
        (PYTHON + "f(x y): z", ("", "")),
        ("\x1b[1mTraceback (most recent call last):\x1b[0m\n\x1b[31mValueError\x1b[0m: bad", ("ValueError", "bad")),
        (
            "  + Exception Group Traceback (most recent call last):\n  |   File\n"
            "  | ExceptionGroup: two (2 sub-errors)\n"
            "  +-+---------------- 1 ----------------\n    | Traceback (most recent call last):\n    |   File\n"
            "    | ValueError: a\n    +------------------------------------",
            ("ExceptionGroup", "two (2 sub-errors)"),
        ),
    ],
)  # fmt: skip
def test_read(text: str, expected: tuple[str, str]) -> None:
    assert read_traceback(text) == expected


@pytest.mark.parametrize("text", ["", "boom", "ValueError: boom", "line\nline at noon", "true", "a\n\tb"])
def test_no_stack_trace(text: str) -> None:
    assert read_traceback(text) is None


def test_what_python_itself_prints() -> None:
    class ModelError(Exception):
        pass

    try:
        try:
            {}["weights"]
        except KeyError as error:
            raise ModelError("no weights: 7") from error
    except ModelError:
        kind, message = read_traceback(traceback.format_exc()) or ("", "")
    assert kind.endswith(".<locals>.ModelError")
    assert message == "no weights: 7"
