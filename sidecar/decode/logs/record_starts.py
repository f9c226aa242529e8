"""Whether a line of a text log begins a record of its own: a time, a level, an address or a key stands first."""

from __future__ import annotations

import re

from sidecar.decode.logs import severity
from sidecar.decode.logs.colours import without_colours

_DATE = (
    rb"\d{4}[-/.]\d\d[-/.]\d\d|\d\d?[-/]\w{2,3}[-/]\d{4}"
    rb"|\d\d?[-/]\d\d?(?:[-/]\d\d)?[ T]\d\d:|(?:[A-Z][a-z]{2},? )?[A-Z][a-z]{2} [ \d]\d "
)
_BEGIN = re.compile(
    rb"[\[(<]?(?:" + _DATE + rb"|\d\d?:\d\d:\d\d\b|\d{10,19}[.\s\])])"  # A date, a time, seconds since 1970.
    rb"|\[(?!NOTE\]|[-\d. ]+[ .][-\d. ]*\])[A-Za-z0-9_. -]{1,40}\]"  # [main], but no array of numpy's.
    rb"|<\d{1,3}>|\[[A-Z] \d|[IWEFD]\d{4} \d"  # syslog, tornado, glog.
    rb"|\d{1,3}(?:\.\d{1,3}){3}[ :]|[a-z][a-z_.]*=\S+ [a-z_.]+="  # An access log, logfmt.
    rb"|(?:Exception|Error|Process|Unhandled|Uncaught|Task|Future) .*:\s*$|Exception ignored "  # What Python says
    rb"|Task exception was never|\*\*\* "  # before a traceback.
)
_RICH = re.compile(rb" {10,}(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) ")
"""rich's handler leaves out a time that is the one of the line before."""
_OF_AN_ERROR = re.compile(rb"(?i)exception|error|fail|traceback|unhandled")


def begins_record(line: bytes) -> bool:
    """Whether the line has what loggers put first."""
    line = without_colours(line)
    if line[:1] in (b" ", b"\t"):
        return bool(_RICH.match(line))
    return bool(_BEGIN.match(line)) or severity.guess(line)[0] > 0


def introduces_error(line: bytes) -> bool:
    """Whether the line is about an error, as what is printed before a stack trace is."""
    return bool(_OF_AN_ERROR.search(line))
