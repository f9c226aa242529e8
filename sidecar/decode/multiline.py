"""Stack traces in text logs: which lines belong together, and the one record that they become.

Known: Python (chained, exception groups), Java and the like (`Caused by`, `Suppressed`), Node.js (with the source lines
before an uncaught error and the properties behind it), .NET, Ruby, Go panics with their goroutines.

A line that begins with `{` is a record of its own and ends what was open.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sidecar.decode.json_fields import UNPARSED
from sidecar.decode.tracebacks import read_traceback

MAX_LINES = 1000
MAX_BYTES = 512 << 10
"""One stack trace; what goes beyond begins a record of its own."""

State = str
"""Where in a trace we are. A state that ends in `?` is a guess: unless a later line confirms it, the lines since the
last state without one are not part of the trace."""

_PYTHON = re.compile(rb".*Traceback \(most recent call last\):\s*$")
_PYTHON_GROUP = re.compile(rb"\s+\+ Exception Group Traceback \(most recent call last\):\s*$")
_CHAINED = (b"During handling of the above exception", b"The above exception was the direct cause")
_FRAME = re.compile(
    rb"\s+at \S|\s*(?:Caused by|Suppressed): |\s*\.\.\. \d+ (?:more|common frames)|\s+--- End of |\tfrom .+:\d+:in "
)
_GO = re.compile(rb"panic: |fatal error: |.*\bpanic serving .+: |goroutine \d+ .*\[.+\]:\s*$")
_GO_MORE = re.compile(
    rb"goroutine \d+ |\[(?:signal|originating|recovered)|\t|created by |panic: |[^\s(]+\(.*\)\s*$|\.\.\..* elided"
)
_GO_BEHIND_GAP = re.compile(rb"goroutine \d+ |\[signal |r[a-z0-9]{1,2} +0x|runtime stack:")
_NODE_SOURCE = re.compile(rb"(?:file://)?/?\S+\.[cm]?[jt]sx?:\d+\s*$")
_NODE_ERROR = re.compile(rb"(?:Uncaught )?(?:\[?[A-Za-z_$][\w$.]*(?:Error|Exception)\b|Error\b)")
_MAY_BE_HEAD = re.compile(rb"Exception|Error|Throwable|: .* \([A-Za-z:]+\)\s*$")
_HEAD = re.compile(r"((?:[A-Za-z_$][\w$]*\.)*[A-Za-z_$][\w$]*(?:Exception|Error|Throwable)\w*)(?:: ?(.*))?$")
_GROUP_HEAD = re.compile(r"\s+\| ([A-Za-z_][\w.]*(?:Group|Error|Exception|Interrupt|Exit)\w*): ?(.*)$")


_SIGNS = (
    b"\n ", b"\n\t", b"Traceback (", b"panic: ", b"panic serving", b"fatal error: ", b"goroutine ", b"Caused by: ",
    b"Suppressed: ", b"... ",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Groups:
    """Lines by record."""

    ends: list[int]
    """End (exclusive) of each record's lines, in order; together they cover all lines."""
    open: bool
    """The last record may go on in lines that are not here yet."""


def may_be_in(piece: bytes, end: int) -> bool:
    """Whether whole lines `piece[:end]` may have a stack trace in them, or the beginning of one. Quick, and false only
    where `group` would leave each line by itself."""
    if piece[:1] in (b" ", b"\t") or any(piece.find(sign, 0, end) >= 0 for sign in _SIGNS):
        return True
    last = piece[piece.rfind(b"\n", 0, end - 1) + 1 : end - 1]
    return bool(_MAY_BE_HEAD.search(last)) or _start(last) is not None


def group(lines: Sequence[bytes]) -> Groups:
    """Lines (without their line ends) by record. Work is linear in the lines."""
    walk = _Walk()
    for number, line in enumerate(lines):
        walk.add(number, line)
    return walk.finish(lines)


class _Walk:
    def __init__(self) -> None:
        self._ends: list[int] = []
        self._begin = 0
        """First line of the record that is open."""
        self._sure = 0
        """End of those of its lines that are surely part of it."""
        self._size = 0
        self._state: State | None = None
        self._may_be_head = False

    def add(self, number: int, line: bytes) -> None:
        state = None if line[:1] == b"{" else self._next(number, line)
        if state is None:
            self._close(number)
            state = None if line[:1] == b"{" else _start(line)
        self._state = state
        self._may_be_head = state is None and line[:1] != b"{" and not _blank(line)
        self._size += len(line)
        if state is None or not state.endswith("?"):
            self._sure = number + 1

    def _next(self, number: int, line: bytes) -> State | None:
        if self._state is not None:
            if number - self._begin >= MAX_LINES or self._size >= MAX_BYTES:
                return None
            return _STEPS[self._state](line)
        # A frame makes the line before it the head of a trace.
        return "frames" if self._may_be_head and _FRAME.match(line) else None

    def _close(self, number: int) -> None:
        """The record ends before this line; what was only guessed to be part of it are records of their own."""
        if self._sure > self._begin:
            self._ends.append(self._sure)
        self._ends.extend(range(self._sure + 1, number + 1))
        self._begin = self._sure = number
        self._size = 0

    def finish(self, lines: Sequence[bytes]) -> Groups:
        """A trace may go on; so may a line that looks like the head of one."""
        last = lines[-1] if lines else b""
        is_open = self._state is not None or (bool(last) and last[:1] != b"{" and bool(_MAY_BE_HEAD.search(last)))
        # What is only guessed stays with an open trace: a later look, with more lines, tells.
        self._sure = len(lines) if is_open else self._sure
        self._close(len(lines))
        return Groups(self._ends, is_open)


def _start(line: bytes) -> State | None:
    """The state after the first line of a record; None for a line that stands alone."""
    if _PYTHON_GROUP.match(line):
        return "group"
    if _PYTHON.match(line):
        return "python"
    if _GO.match(line):
        return "go"
    if _NODE_SOURCE.match(line):
        return "source?"
    return None


def _indented(line: bytes) -> bool:
    return line[:1] in (b" ", b"\t")


def _blank(line: bytes) -> bool:
    return not line.strip()


def _python(line: bytes) -> State | None:
    """Frames are indented; the first line that is not names the exception."""
    if _indented(line) or _blank(line):
        return "python"
    return "raised"


def _raised(line: bytes) -> State | None:
    if _blank(line):
        return "gap?"
    return "raised" if _indented(line) else None


def _gap(line: bytes) -> State | None:
    return "chained" if line.startswith(_CHAINED) else None


def _chained(line: bytes) -> State | None:
    if _blank(line):
        return "chained"
    return _start(line) if _PYTHON.match(line) else None


def _group(line: bytes) -> State | None:
    """Every line of an exception group has its border."""
    if _blank(line):
        return "gap?"
    return "group" if line.lstrip()[:1] in (b"|", b"+") else None


def _frames(line: bytes) -> State | None:
    if line.rstrip().endswith(b" {") and _FRAME.match(line):
        return "properties"
    return "frames" if _FRAME.match(line) else None


def _properties(line: bytes) -> State | None:
    """What Node.js shows of an error's own members, until the brace at the line's beginning."""
    if line.startswith(b"}"):
        return "frames"
    return "properties" if _indented(line) else None


def _source(line: bytes) -> State | None:
    """The line of source that threw, and a caret below it."""
    if _NODE_ERROR.match(line):
        return "error?"
    return "source?" if _indented(line) or _blank(line) else None


def _go(line: bytes) -> State | None:
    if _blank(line):
        return "go_gap?"
    return "go" if _GO_MORE.match(line) else None


def _go_gap(line: bytes) -> State | None:
    return "go" if _GO_BEHIND_GAP.match(line) else None


_STEPS: dict[State, Callable[[bytes], State | None]] = {
    "python": _python,
    "raised": _raised,
    "gap?": _gap,
    "chained": _chained,
    "group": _group,
    "frames": _frames,
    "properties": _properties,
    "source?": _source,
    "error?": _frames,
    "go": _go,
    "go_gap?": _go_gap,
}


def as_record(lines: Sequence[bytes]) -> bytes:
    """The lines of one trace as a JSON log line: severity by guess, the text under `exception.stacktrace`."""
    text = b"\n".join(lines).decode("utf-8", "replace").rstrip()
    kind, message = _exception(text)
    members: dict[str, str | bool] = {"level": "error", "message": _title(text, kind, message)}
    if kind:
        members["exception.type"] = kind
        if message:
            members["exception.message"] = message
    members["exception.stacktrace"] = text
    members[UNPARSED] = True
    return json.dumps(members, ensure_ascii=False).encode("utf-8", "replace")


def as_text(line: bytes) -> bytes:
    """A line that is to be kept as text, whatever it looks like, as a JSON log line."""
    return json.dumps({"message": line.decode("utf-8", "replace").rstrip("\r"), UNPARSED: True}).encode()


def _title(text: str, kind: str, message: str) -> str:
    first = text.split("\n", 1)[0]
    if not kind or (kind in first or first.startswith("panic: ")):
        return first
    return f"{kind}: {message}" if message else kind


def _exception(text: str) -> tuple[str, str]:
    lines = text.split("\n")
    if "+ Exception Group Traceback" in lines[0]:
        found = next((m for m in map(_GROUP_HEAD.match, lines) if m), None)
        if found:
            return found[1], found[2]
    kind, message = read_traceback(text) or ("", "")
    if kind:
        return kind, message
    for line in lines[:8]:
        if head := _HEAD.search(line):
            return head[1], head[2] or ""
    return "", ""
