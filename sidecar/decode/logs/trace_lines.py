"""The lines of stack traces: which state a line leads to from the one before. `multiline` walks them.

A state that ends in `?` is a guess: unless a later line confirms it, the lines since the last state without one are not
part of the trace.
"""

from __future__ import annotations

import re
from collections.abc import Callable

State = str

RAISED: State = "raised"
"""Behind the line that names the exception, whose message may have further lines."""
GAP: State = "gap?"
"""Blank lines behind that."""
MESSAGES = frozenset({"head?", "cause_more?", "group_more?"})
"""In further lines of a message that frames, or the border of a group, must follow."""

_PYTHON = re.compile(rb".*Traceback (?:of TorchScript )?\(most recent call last\):\s*$")
_PYTHON_GROUP = re.compile(rb"\s+\+ Exception Group Traceback \(most recent call last\):\s*$")
_PYTHON_RICH = "╭─".encode()
_RICH_LINES = tuple("╭│╰┌└├".encode()[i : i + 3] for i in range(0, 18, 3))
_PYTHON_PLACE = re.compile(rb'  File ".+", line \d+\s*$')
_PYTHON_SYNTAX = (b"SyntaxError: ", b"IndentationError: ", b"TabError: ")
_REMOTE = re.compile(rb"[\w.]*RemoteTraceback:\s*$")
_QUOTES = b'"""'
_CHAINED = (b"During handling of the above exception", b"The above exception was the direct cause")
#: What goes on with a message in whatever log: Rust's backtrace, Python's errors in workers, the end of gRPC's status.
_GOES_ON = re.compile(rb'stack backtrace:\s*$|note: |"""\s*$|>\s*$|Original Traceback|Traceback of TorchScript')
_FAULT_MORE = (b"Current thread", b"Thread 0x", b"Extension modules: ", b"Python runtime state", b"<no Python frame>")
_FRAME = re.compile(
    rb"\s+at \S|\s*(?:Caused by|Suppressed|Wrapped by): |\s*\.\.\. \d+ (?:more|common frames|frames|lines matching)"
    rb"|\s*--- End of |\s+---> |\tfrom .+:\d+:in |\s+\[CIRCULAR REFERENCE"
)
_CAUSE = re.compile(rb"\s*(?:Caused by|Suppressed|Wrapped by): |\s+---> ")
_REPORT = re.compile(rb"Caused by:\s*$")
_REPORT_MORE = re.compile(rb"(?:Stack backtrace|Backtrace|Location):\s*$")
_GO = re.compile(rb"panic: |fatal error: |.*\bpanic serving .+: |goroutine \d+ .*\[.+\]:\s*$")
_GO_MORE = re.compile(
    rb"goroutine \d+ |\[(?:signal|originating|recovered)|\t|created by |panic: |[^\s(]+\(.*\)\s*$|\.\.\..* elided"
)
_GO_BEHIND_GAP = re.compile(rb"goroutine \d+ |\[signal |r[a-z0-9]{1,2} +0x|runtime stack:")
_GO_FUNCTION = re.compile(rb"(?=[\w/()*-]*\.)[\w./()*-]+\s*$")
_GO_PLACE = re.compile(rb"\t\S+:\d+\s*$")
_NODE_SOURCE = re.compile(rb"(?:file://)?/?\S+\.[cm]?[jt]sx?:\d+\s*$|node:\S+:\d+\s*$")
_NODE_CODE = re.compile(rb"\s|.*[;(){}=]")
_NODE_CARET = re.compile(rb"\s*\^+\s*$")
_NODE_BEHIND_GAP = b"Node.js v"
_RUST = re.compile(rb"thread '.*' (?:\(\d+\) )?panicked at (.*)")
_TERMINATE = b"terminate called "
_RUBY = re.compile(rb"[^\s:]+:\d+:in [`'][^'\s]+': .*\([A-Za-z_][\w:]*\)\s*$")
_ERROR = re.compile(
    rb'(?:Exception in thread "[^"]*" |Uncaught |Unhandled exception[.:] |\[)?'
    rb"(?:[A-Za-z_$][\w$]*[.+])*(?:[A-Za-z_$][\w$]*)?(?:Exception|Error|Throwable|Fail|Fault|Reject|Abort)[\w$]*(?::|\]?\s*$)"
)


def is_frame(line: bytes) -> bool:
    """A line that makes the one before it the head of a trace."""
    return bool(_FRAME.match(line))


def start(line: bytes) -> State | None:
    """The state after the first line of a trace; None for a line that begins none."""
    found = _sure_start(line)
    if found is not None:
        return found
    if _PYTHON_PLACE.match(line):
        return "syntax?"
    if _NODE_SOURCE.match(line):
        return "source?"
    if _ERROR.match(line) or _RUBY.match(line):
        return "head?"
    return "function?" if _GO_FUNCTION.match(line) else None


def _sure_start(line: bytes) -> State | None:
    if _PYTHON_GROUP.match(line):
        return "group"
    if _PYTHON.match(line):
        return "python"
    if line.lstrip().startswith(_PYTHON_RICH) and b"Traceback (most recent call last)" in line:
        return "rich"
    if _REMOTE.match(line):
        return "remote"
    if line.startswith(b"Fatal Python error: "):
        return "fault"
    if _GO.match(line):
        return "go"
    if panic := _RUST.match(line):
        return "panicked" if panic[1].rstrip().endswith(b":") else RAISED
    return RAISED if line.startswith(_TERMINATE) else None


def begins_trace(line: bytes) -> bool:
    """Whether the line begins a trace whatever stood before it."""
    return _sure_start(line) is not None


def indented(line: bytes) -> bool:
    return line[:1] in (b" ", b"\t")


def blank(line: bytes) -> bool:
    return not line.strip()


def step(state: State, line: bytes) -> State | None:
    """The state after one more line; None if it is not part of the trace."""
    return _STEPS[state](line)


def _python(line: bytes) -> State | None:
    """Frames are indented; the first line that is not names the exception."""
    return "python" if indented(line) or blank(line) else RAISED


def _raised(line: bytes) -> State | None:
    if blank(line):
        return GAP
    if _GOES_ON.match(line):
        return "python" if b"Traceback" in line else RAISED
    return RAISED if indented(line) else None


def _gap(line: bytes) -> State | None:
    if blank(line):
        return GAP
    return "chained" if line.lstrip().startswith(_CHAINED) else None


def _chained(line: bytes) -> State | None:
    return "chained" if blank(line) else _sure_start(line)


def _field(line: bytes) -> State | None:
    """A line of a message is known by an indented one below it: pydantic's field and what is wrong with it."""
    return RAISED if indented(line) and not blank(line) else None


def _group(line: bytes) -> State | None:
    """Every line of an exception group has its border, but for further lines of messages where Python 3.11 prints it at
    its end."""
    if blank(line):
        return "group_gap?"
    return "group" if line.lstrip()[:1] in (b"|", b"+") else "group_more?"


def _group_gap(line: bytes) -> State | None:
    return _gap(line) if line.startswith(_CHAINED) else _group(line)


def _rich(line: bytes) -> State | None:
    """A box, and below it the line that names the exception."""
    return "rich" if line.lstrip().startswith(_RICH_LINES) else RAISED


def _remote(line: bytes) -> State | None:
    return "quoted" if line.startswith(_QUOTES) else None


def _quoted(line: bytes) -> State | None:
    return RAISED if line.startswith(_QUOTES) else "quoted"


def _syntax(line: bytes) -> State | None:
    if line.startswith(_PYTHON_SYNTAX):
        return RAISED
    return "syntax?" if indented(line) else None


def _fault(line: bytes) -> State | None:
    if blank(line):
        return "fault_gap?"
    return "fault" if indented(line) or line.startswith(_FAULT_MORE) else None


def _panicked(line: bytes) -> State | None:
    """Rust's message stands below the place."""
    return RAISED


def _head(line: bytes) -> State | None:
    if _REPORT.match(line):
        return "report"
    return _frames(line) if _FRAME.match(line) else "head?"


def _frames(line: bytes) -> State | None:
    if _CAUSE.match(line):
        return "cause"
    if _FRAME.match(line):
        return "properties" if line.rstrip().endswith(b" {") else "frames"
    if blank(line):
        return "frames_gap?"
    return "head?" if _RUBY.match(line) else None


def _frames_gap(line: bytes) -> State | None:
    return "frames" if line.startswith(_NODE_BEHIND_GAP) else None


def _cause(line: bytes) -> State | None:
    """The message of a cause may have further lines; so may that of the first exception."""
    return _frames(line) if _FRAME.match(line) else "cause_more?"


def _properties(line: bytes) -> State | None:
    """What Node.js shows of an error's own members, until the brace at the line's beginning."""
    if line.startswith(b"}"):
        return "frames"
    return "properties" if indented(line) else None


def _report(line: bytes) -> State | None:
    """Rust's error of `main` with its causes."""
    if blank(line):
        return "report_gap?"
    return "report" if indented(line) or _REPORT_MORE.match(line) else None


def _source(line: bytes) -> State | None:
    """The line of source that threw, then a caret below it."""
    return "code?" if _NODE_CODE.match(line) else None


def _code(line: bytes) -> State | None:
    return "caret?" if _NODE_CARET.match(line) else None


def _caret(line: bytes) -> State | None:
    if blank(line):
        return "caret?"
    return "head?" if _ERROR.match(line) else "thrown?"


def _thrown(line: bytes) -> State | None:
    """What was thrown is no error and has no frames."""
    return "frames" if line.startswith((b"(Use `node", b"Thrown at:")) else None


def _go(line: bytes) -> State | None:
    if blank(line):
        return "go_gap?"
    return "go" if _GO_MORE.match(line) else None


def _go_gap(line: bytes) -> State | None:
    return "go" if _GO_BEHIND_GAP.match(line) else None


def _function(line: bytes) -> State | None:
    """zap's stack: a function, and its place below it."""
    return "place" if _GO_PLACE.match(line) else None


def _place(line: bytes) -> State | None:
    return "function?" if _GO_FUNCTION.match(line) else None


_STEPS: dict[State, Callable[[bytes], State | None]] = {
    "python": _python,
    RAISED: _raised,
    "free?": _raised,
    "field?": _field,
    GAP: _gap,
    "chained": _chained,
    "group": _group,
    "group_more?": _group,
    "group_gap?": _group_gap,
    "rich": _rich,
    "remote": _remote,
    "quoted": _quoted,
    "syntax?": _syntax,
    "fault": _fault,
    "fault_gap?": lambda line: _fault(line) if not blank(line) else None,
    "panicked": _panicked,
    "head?": _head,
    "frames": _frames,
    "frames_gap?": _frames_gap,
    "cause": _cause,
    "cause_more?": _cause,
    "properties": _properties,
    "report": _report,
    "report_gap?": lambda line: _report(line) if not blank(line) else None,
    "source?": _source,
    "code?": _code,
    "caret?": _caret,
    "thrown?": _thrown,
    "go": _go,
    "go_gap?": _go_gap,
    "function?": _function,
    "place": _place,
}
