"""Stack traces in text logs: which lines belong together, and the one record that they become.

Known: Python (chained, exception groups, of workers, rich's, with notes and messages of several lines), Java and the
like (`Caused by`, `Suppressed`), Node.js (with the source lines before an uncaught error and the properties behind it),
.NET, Ruby, Go panics with their goroutines, Rust panics and error reports.

A line that begins with `{` is a record of its own and ends what was open. Further lines of a message have nothing that
marks them: they are recognised by what a logger puts first in its lines (see `record_starts`). In a log
whose other lines mostly have no such thing, only those of known forms are taken for part of a trace.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.decode.logs import trace_lines
from sidecar.decode.logs.colours import text_without_colours, without_colours
from sidecar.decode.logs.fields import UNPARSED
from sidecar.decode.logs.record_starts import begins_record, introduces_error
from sidecar.decode.logs.trace_lines import GAP, MESSAGES, RAISED, State, blank
from sidecar.decode.logs.tracebacks import read_traceback

MAX_LINES = 1000
MAX_BYTES = 512 << 10
"""One stack trace; what goes beyond begins a record of its own."""
MAX_MESSAGE_LINES = 16
"""Lines of a message in a row that nothing marks as part of the trace; where there are more, none of them is."""
_LOOKED_AT = 32
"""Text lines of a piece by which its log is judged."""
_SEARCHED = 1000
"""Characters of a line in which a name is looked for at every place."""
_FREE: State = "free?"
_BEHIND_MESSAGE = (RAISED, _FREE, GAP)

_MAY_BE_HEAD = re.compile(rb"Exception|Error|Throwable|: .* \([A-Za-z:]+\)\s*$")
_HEAD = re.compile(r"((?:[A-Za-z_$][\w$]*\.)*[\w$]*(?:Exception|Error|Throwable)\w*)(?:: ?(.*))?$")
#: What Node.js prints before an uncaught error: the place, the line of source and a caret.
_NODE_SOURCE = re.compile(r"\A\S+:[0-9]+\n.*\n[ \t]*\^+[ \t]*\n\n?")
_TERMINATE = re.compile(r"terminate called after throwing an instance of '(.+)'")

_SIGNS = (
    b"\n ", b"\n\t", b"Traceback (", b"panic: ", b"panic serving", b"fatal error: ", b"goroutine ", b"Caused by:",
    b"Suppressed: ", b"... ", b" panicked at ", b"terminate called ", b"Fatal Python error: ", b"\n(Use `node ",
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
    if piece.find(b"\x1b", 0, end) >= 0:
        piece = without_colours(piece[:end])
        end = len(piece)
    if piece[:1] in (b" ", b"\t") or any(piece.find(sign, 0, end) >= 0 for sign in _SIGNS):
        return True
    last = piece[piece.rfind(b"\n", 0, end - 1) + 1 : end - 1]
    return bool(_MAY_BE_HEAD.search(last)) or trace_lines.start(last) is not None


def group(lines: Sequence[bytes], final: bool = False, seen: Sequence[bytes] = ()) -> Groups:
    """Lines (without their line ends) by record. Work is linear in the lines. `final`: no more lines will follow.
    `seen`: lines before these, by which the log is judged too."""
    walk = _Walk(_Walk.of(seen))
    for number, line in enumerate(lines):
        walk.add(number, without_colours(line))
    return walk.finish(lines, final)


class _Walk:
    @classmethod
    def of(cls, lines: Sequence[bytes]) -> _Walk:
        walk = cls()
        for number, line in enumerate(lines):
            walk.add(number, without_colours(line))
        return walk

    def __init__(self, before: _Walk | None = None) -> None:
        """`before`: the way through lines that were read before."""
        self._ends: list[int] = []
        self._begin = 0
        """First line of the record that is open."""
        self._sure = 0
        """End of those of its lines that are surely part of it."""
        self._size = 0
        self._state: State | None = None
        self._may_be_head = False
        self._unmarked = 0
        """Lines in a row, the last ones, that nothing marks as part of the trace."""
        self._records: int = before._records if before else 0
        self._bare: int = before._bare if before else 0
        """Text lines that have, and that have not, what loggers put first."""

    def add(self, number: int, line: bytes) -> None:
        state = None if line[:1] == b"{" else self._next(number, line)
        if self._state == _FREE and state != _FREE and self._unmarked <= MAX_MESSAGE_LINES:
            self._sure = number
        if state is None:
            self._close(number)
            state = None if line[:1] == b"{" else trace_lines.start(line)
            self._judge(line, state)
        self._unmarked = self._unmarked + 1 if state == _FREE or state in MESSAGES else 0
        self._state = state
        self._may_be_head = state is None and line[:1] != b"{" and not blank(line)
        self._size += len(line)
        if state is None or not state.endswith("?"):
            self._sure = number + 1

    def _next(self, number: int, line: bytes) -> State | None:
        if self._state is None:
            # A frame makes the line before it the head of a trace.
            return trace_lines.step("frames", line) if self._may_be_head and trace_lines.is_frame(line) else None
        if number - self._begin >= MAX_LINES or self._size >= MAX_BYTES:
            return None
        if self._state in _BEHIND_MESSAGE and trace_lines.indented(line) and begins_record(line):
            return None
        state = trace_lines.step(self._state, line)
        if state in MESSAGES or state == "quoted":
            return None if self._is_no_message(line) else state
        if state is None and self._state in _BEHIND_MESSAGE:
            return self._message(line)
        return state

    def _is_no_message(self, line: bytes) -> bool:
        if self._state == "quoted":
            return begins_record(line)
        return self._unmarked >= MAX_MESSAGE_LINES or begins_record(line) or trace_lines.begins_trace(line)

    def _message(self, line: bytes) -> State | None:
        """Whether a line that nothing marks goes on with the message of the exception."""
        if begins_record(line):
            return None
        marked_log = self._records > self._bare
        if trace_lines.begins_trace(line):
            # Where a record has a mark, what has none is the last one's: errors quote the traces of others.
            return trace_lines.start(line) if marked_log and self._state == _FREE else None
        unknown_log = self._records == self._bare == 0
        if marked_log or (self._state != GAP and unknown_log):
            if self._unmarked < MAX_MESSAGE_LINES:
                return _FREE
            self._unmarked += 1
            return None
        return "field?" if self._state == RAISED else None

    def _judge(self, line: bytes, state: State | None) -> None:
        if state is not None or line[:1] == b"{" or blank(line) or self._records + self._bare >= _LOOKED_AT:
            return
        if begins_record(line):
            self._records += 1
        elif not trace_lines.indented(line) and not introduces_error(line):
            self._bare += 1

    def _close(self, number: int) -> None:
        """The record ends before this line; what was only guessed to be part of it are records of their own."""
        if self._sure > self._begin:
            self._ends.append(self._sure)
        self._ends.extend(range(self._sure + 1, number + 1))
        self._begin = self._sure = number
        self._size = 0

    def finish(self, lines: Sequence[bytes], final: bool) -> Groups:
        """A trace may go on; so may a line that looks like the head of one."""
        last = lines[-1] if lines else b""
        is_open = self._state is not None or (bool(last) and last[:1] != b"{" and bool(_MAY_BE_HEAD.search(last)))
        # What is only guessed stays with an open trace: a later look, with more lines, decides.
        if (is_open and not final) or self._state == _FREE:
            self._sure = len(lines)
        self._close(len(lines))
        return Groups(self._ends, is_open and not final)


def as_record(lines: Sequence[bytes]) -> bytes:
    """The lines of one trace as a JSON log line: severity by guess, the text under `exception.stacktrace`."""
    text = b"\n".join(lines).decode("utf-8", "replace").rstrip()
    plain = text_without_colours(text)
    kind, message = _exception(plain)
    members: dict[str, str | bool] = {"level": "error", "message": _title(plain, kind, message)}
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
    text = _NODE_SOURCE.sub("", text, count=1)
    kind, message = read_traceback(text) or ("", "")
    if kind:
        return kind, message
    lines = text.split("\n")
    if named := _TERMINATE.match(lines[0]):
        return named[1], lines[1].partition("what():")[2].strip()
    # Below the box of rich stands the exception; else it is near the beginning, or below the line of a syntax error.
    box = max((i for i, line in enumerate(lines) if line.lstrip().startswith("╰")), default=-1)
    for line in [*lines[box + 1 :][:8], *reversed(lines)]:
        if head := _HEAD.match(line.strip()) or _HEAD.search(line[:_SEARCHED]):
            return head[1], head[2] or ""
    return "", ""
