"""Type and message of an exception from the text of its stack trace."""

from __future__ import annotations

import re

from sidecar.decode.logs.colours import text_without_colours

_PYTHON = "Traceback (most recent call last):"
#: `package.Type: message` or `Type` alone; Python's local classes have `<locals>` in their names, Ray's errors of tasks
#: the type of the cause, `RayTaskError(ValueError)`.
_HEAD = re.compile(r"([A-Za-z_$][A-Za-z0-9_.$<>]*(?:\([A-Za-z0-9_.]*\))?)(?:: ?(.*))?")
_JAVA_THREAD = re.compile(r'(?:Exception in thread "[^"]*" |Uncaught )')
_AT = re.compile(r"[ \t]+at [^ ]")
_RUBY_TYPE = re.compile(r"(.*) \(([A-Za-z_][A-Za-z0-9_:]*)\)")
_RUBY_PLACE = re.compile(r":[0-9]+:in ")
_GO_FRAME = re.compile(r"\t.+:[0-9]+( \+0x[0-9a-f]+)?")
_RUST_PANIC = re.compile(r"thread '[^']*'(?: \([0-9]+\))? panicked at (.*)")


def read_traceback(text: str) -> tuple[str, str] | None:
    """(type, message) of the stack trace, each empty where the text does not say; None if it is no stack trace.

    Python: the last exception of a chain (the one that was raised), of a group the group. Java, JavaScript, .NET, Ruby:
    the first line. Go and Rust: type `panic`. Of a message of several lines the first. Colours do not matter.
    """
    text = text_without_colours(text)
    lines = text.split("\n")
    first = lines[0]
    if _PYTHON in text:
        return _python(lines)
    if first.startswith("panic: "):
        return "panic", first[len("panic: ") :]
    if found := _RUST_PANIC.fullmatch(first):
        # The message stands behind the place, or below it where the place ends in a colon.
        return "panic", lines[1] if found[1].endswith(":") and len(lines) > 1 else found[1]
    if ruby := _ruby(first):
        return ruby
    if any(_AT.match(line) for line in lines[1:]):
        return _head(_JAVA_THREAD.sub("", first, count=1))
    if any(_GO_FRAME.fullmatch(line) for line in lines[1:]):
        return "", ""
    return None


def _ruby(line: str) -> tuple[str, str] | None:
    """`FILE:LINE:in METHOD: MESSAGE (TYPE)` as (type, message).

    Not one expression: a line with many places would have it search the rest of the line again for each of them.
    """
    found = _RUBY_TYPE.fullmatch(line)
    if not found:
        return None
    before, kind = found.groups()
    last_colon = before.rfind(": ")
    for place in reversed(list(_RUBY_PLACE.finditer(before, 1))):
        if place.end() < last_colon:
            return kind, before[before.find(": ", place.end() + 1) + 2 :]
    return None


def _python(lines: list[str]) -> tuple[str, str]:
    """Behind the last header come indented frames, then the line that names the exception. The headers within a group
    have its border; the line that names the group has the border too."""
    headers = [i for i, line in enumerate(lines) if _PYTHON in line]
    header = next((i for i in reversed(headers) if not lines[i].lstrip(" ").startswith("|")), headers[-1])
    grouped = lines[header].lstrip(" ").startswith("+ ")
    for line in lines[header + 1 :]:
        bare = line.lstrip(" ").removeprefix("| ") if grouped else line
        if bare and bare[0] not in " \t|+":
            return _head(bare)
    return "", ""


def _head(line: str) -> tuple[str, str]:
    found = _HEAD.fullmatch(line.rstrip("\r"))
    return (found[1], found[2] or "") if found else ("", "")
