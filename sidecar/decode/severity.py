"""Names and numbers of log levels → OTLP severity numbers."""

from __future__ import annotations

from collections.abc import Mapping

#: Lower-case level name -> OTLP severity number. Names of log4j, logback, java.util.logging, Python, structlog, loguru,
#: .NET, Serilog, Go (slog, zap, zerolog, logrus), Rust, bunyan, pino, winston, npm, glog, Ruby, PHP and syslog.
NAMES: Mapping[str, int] = {
    "all": 1, "trace": 1, "finest": 1, "silly": 1, "verbose": 1, "vrb": 1, "trc": 1, "t": 1, "v": 1,
    "finer": 3,
    "debug": 5, "dbg": 5, "fine": 5, "d": 5,
    "config": 8,
    "info": 9, "information": 9, "informational": 9, "inf": 9, "i": 9, "http": 9, "log": 9, "ok": 9,
    "notice": 10, "success": 10,
    "warn": 13, "warning": 13, "wrn": 13, "w": 13,
    "error": 17, "err": 17, "exception": 17, "severe": 17, "eror": 17, "e": 17,
    "critical": 18, "crit": 18, "dpanic": 18,
    "alert": 19, "panic": 19,
    "fatal": 21, "ftl": 21, "emergency": 21, "emerg": 21, "f": 21,
    "c": 18,
}  # fmt: skip

#: Number of a level field -> severity number: bunyan and pino (10 trace … 60 fatal) agree with Python (10 debug …
#: 50 critical) nowhere; those of a JavaScript logger come with its own `time`/`pid`/`hostname`, see `json_log`.
PINO: Mapping[int, int] = {10: 1, 20: 5, 30: 9, 40: 13, 50: 17, 60: 21}
PYTHON: Mapping[int, int] = {5: 1, 10: 5, 20: 9, 25: 10, 30: 13, 40: 17, 50: 18}

_RANGES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
UNSPECIFIED = "UNSPECIFIED"


def from_name(name: str) -> int:
    """Severity number of a level name in any (ASCII) case; 0 where the name says nothing."""
    return NAMES.get(_ascii_lower(name.strip(" \t")), 0)


def range_name(number: int, name: str) -> str:
    """TRACE, DEBUG, INFO, WARN, ERROR or FATAL by number, by name where the number is 0, else UNSPECIFIED."""
    number = number or from_name(name)
    return _RANGES[(number - 1) // 4] if number else UNSPECIFIED


def _ascii_lower(text: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)
