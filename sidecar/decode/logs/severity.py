"""Names and numbers of log levels as OTLP severity numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sidecar.decode.logs.colours import without_colours

#: Lower-case level name -> OTLP severity number. Names of log4j, logback, java.util.logging, Python, structlog, loguru,
#: .NET, Serilog, Go (slog, zap, zerolog, logrus), Rust, bunyan, pino, winston, npm, glog, Ruby, PHP and syslog.
NAMES: Mapping[str, int] = {
    "all": 1, "trace": 1, "finest": 1, "silly": 1, "verbose": 1, "vrb": 1, "trc": 1, "trce": 1, "trac": 1, "t": 1,
    "v": 1,
    "finer": 3,
    "debug": 5, "dbg": 5, "dbug": 5, "debu": 5, "fine": 5, "d": 5,
    "config": 8,
    "info": 9, "information": 9, "informational": 9, "inf": 9, "i": 9, "http": 9, "log": 9, "ok": 9,
    "notice": 10, "success": 10,
    "warn": 13, "warning": 13, "wrn": 13, "w": 13,
    "error": 17, "err": 17, "erro": 17, "fail": 17, "exception": 17, "severe": 17, "e": 17,
    "critical": 18, "crit": 18, "dpanic": 18, "c": 18,
    "alert": 19, "panic": 19, "pani": 19,
    "fatal": 21, "ftl": 21, "fata": 21, "emergency": 21, "emerg": 21, "f": 21,
}  # fmt: skip

#: Lowest level number of a step -> severity number, descending; a number below the last is no level.
PYTHON = ((50, 18), (40, 17), (30, 13), (25, 10), (20, 9), (10, 5), (5, 1))
PINO = ((60, 21), (50, 17), (40, 13), (30, 9), (20, 5), (10, 1))
#: Syslog severity (index) -> severity number.
SYSLOG = (21, 19, 18, 17, 13, 10, 9, 5)

#: Index = (severity number - 1) // 4.
RANGES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
UNSPECIFIED = "UNSPECIFIED"
HIGHEST = 24


def from_name(name: str) -> int:
    """Severity number of a level name in any (ASCII) case; 0 where the name says nothing."""
    return NAMES.get(name.strip(" \t").lower(), 0) if name.isascii() else 0


def from_python(number: int) -> int:
    """Severity number of a level of Python's logging, custom ones by the step they lie on; 0 below 5 or over 99."""
    return _step(number, PYTHON)


def from_javascript(number: int) -> int:
    """Severity number of a level as pino and bunyan (10 trace to 60 fatal) or syslog and GELF (0 emergency to 7 debug)
    write it; 0 for other numbers."""
    return SYSLOG[number] if 0 <= number < len(SYSLOG) else _step(number, PINO)


def range_name(number: int, name: str) -> str:
    """TRACE, DEBUG, INFO, WARN, ERROR or FATAL by number, by name where the number is 0, else UNSPECIFIED."""
    number = number or from_name(name)
    return RANGES[(number - 1) // 4] if number else UNSPECIFIED


#: Short and other spellings (lower case) -> the name that documents have for them. Other names are written in capitals.
SPELLINGS: Mapping[str, str] = {
    "trc": "TRACE", "t": "TRACE", "vrb": "VERBOSE", "v": "VERBOSE", "dbg": "DEBUG", "d": "DEBUG",
    "information": "INFO", "informational": "INFO", "inf": "INFO", "i": "INFO",
    "warning": "WARN", "wrn": "WARN", "w": "WARN", "err": "ERROR", "e": "ERROR", "crit": "CRITICAL", "c": "CRITICAL",
    "ftl": "FATAL", "f": "FATAL", "emerg": "EMERGENCY",
}  # fmt: skip


def shown(name: str) -> str:
    """A level's name as documents have it, one spelling for each; as it is where nobody knows it."""
    if not from_name(name):
        return name
    known = name.strip(" \t").lower()
    return SPELLINGS.get(known, known.upper())


#: Level names that are looked for in text, in capitals.
SPOKEN = frozenset(
    (b"TRACE", b"DEBUG", b"INFO", b"NOTICE", b"WARN", b"WARNING", b"ERROR", b"SEVERE", b"CRITICAL", b"FATAL", b"PANIC")
)
#: Names that are levels at the beginning of a line before a colon, beside those in any case: of .NET, npm and winston.
PREFIXES = frozenset((b"TRCE", b"DBUG", b"FAIL", b"CRIT", b"VERBOSE", b"SILLY"))
#: Names that are levels where only a time stands before them: of zerolog, Serilog, logrus and charmbracelet/log.
ABBREVIATED = frozenset(
    (b"TRC", b"VRB", b"DBG", b"INF", b"WRN", b"ERR", b"FTL", b"TRAC", b"DEBU", b"ERRO", b"FATA", b"PANI")
)
_LOOK_AT = 128
_COLOURS = 128
"""Bytes beside those that colours may take up."""
_WORD = re.compile(rb"[A-Za-z]+")
#: glog (`E1121 15:49:01.1 `), TensorFlow (`2026-11-21 15:49:01.123456: E `), tornado and optuna (`[E 2026-11-21 …`).
_LETTER = re.compile(rb"([IWEF])[0-9]{4} |[0-9:. -]{20,}(?<=: )([DIWEF]) |\[([DIWECF]) [0-9]")
_TIME = re.compile(rb"(?=.*[0-9])[0-9:.,+/ TZAPM|()\[\]\t-]*", re.DOTALL)
#: `level=`, `level="`, and of JSON that is broken elsewhere `"level": "`.
_KEY = re.compile(rb"""(?:level|levelname|lvl|severity)["']?(?:=["']?|: *["'])\Z""")


def guess(line: bytes) -> tuple[int, str]:
    """(severity number, the word that says so) of a line of plain text; (0, "") where nothing says.

    The letter of glog, TensorFlow and tornado, or the first word within 128 bytes that is a level's name in capitals,
    or in any case between brackets or bars, behind `level=`, behind nothing but a time, or at the beginning before a
    colon. Colours do not matter.
    """
    head = without_colours(line[: _LOOK_AT + _COLOURS])[:_LOOK_AT]
    if letter := _LETTER.match(head):
        number = from_name(letter[letter.lastindex or 0].decode())
        return number, range_name(number, "")
    for word in _WORD.finditer(head):
        number = from_name(word[0].decode()) if _is_level(head, word) else 0
        if number:
            return number, word[0].decode()
    return 0, ""


def _is_level(head: bytes, word: re.Match[bytes]) -> bool:
    """Whether a word stands where loggers write a level, or is one by itself."""
    capitals = word[0].upper()
    if word[0] in SPOKEN:
        return True
    before, behind = head[: word.start()], head[word.end() :]
    if _KEY.search(before) or (before[-1:] == b"[" and behind.lstrip(b" ")[:1] == b"]"):
        return True
    if before.rstrip(b" ")[-1:] == b"|" and behind.lstrip(b" ")[:1] == b"|":
        return True
    if not before and behind[:1] == b":":  # `Error: …` is an exception's name.
        return word[0] in (capitals, capitals.lower()) and (capitals in SPOKEN or capitals in PREFIXES)
    if word[0] in ABBREVIATED:
        return bool(_TIME.fullmatch(before)) or (not before and behind[:1] == b"[")
    return capitals in SPOKEN and bool(_TIME.fullmatch(before))


def _step(number: int, steps: tuple[tuple[int, int], ...]) -> int:
    return next((severity for lowest, severity in steps if lowest <= number < 100), 0)
