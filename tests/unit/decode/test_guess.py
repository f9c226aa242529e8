"""The severity of plain text and colours in levels: both decoders say the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.logs import severity
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder

PARTS = (
    "\x1b[31m", "\x1b[0m", "\x1b[1;", "\x1b]8;;a\x1b\\", "\x1b]8;b\x07", "\x1b", " ", "  ", ":", "|", "[",
    "]", "\t", "(", "10:00:00", "5:48PM", "2026-11-21T15:50:20Z", "2026-11-21 15:50:20.180482: ", "I ", "E",
    "W1121 ", "[W 2", "INFO", "info", "Info", "warning", "WRN", "ERRO", "ERR", "fail", "FAIL", "Error",
    "error", "SUCCESS", "level=", "lvl=", "severity=", 'level":', "levelname':", '"', "'", "=",
    "é", "x", "T", "x" * 120,
)  # fmt: skip
LINES = st.lists(st.sampled_from(PARTS), max_size=9).map("".join)


@given(LINES)
def test_both_decoders_guess_alike(line: str) -> None:
    native = native_decoder()
    if native is None:
        pytest.skip("the native core is not installed")
    as_level = json.dumps({"level": line, "exception": f"{line}: a\n\tat b"})
    for text in (line.encode(), as_level.encode()):
        assert native.json_lines(text, 5) == ReferenceDecoder().json_lines(text, 5)


@pytest.mark.parametrize(
    ("line", "number", "word"),
    [
        (b"[info     ] ready", 9, "info"),
        (b"2026-11-21 15:50:20.180 | SUCCESS  | a:b:1 - ready", 10, "SUCCESS"),
        (b"a | error | b", 17, "error"),
        (b"10:00AM WRN slow", 13, "WRN"),
        (b"warn: slow", 13, "warn"),
        (b"dbug: Scorer[0]", 5, "dbug"),
        (b"Warn: slow", 0, ""),
        (b"http: no", 0, ""),
        (b"loss INF", 0, ""),
        (b'{"level":"error","msg":"cut off', 17, "error"),
        (b'{"msg": "m", "level": "warning",}', 13, "warning"),
        (b"{'severity': 'debug', 'ok': True}", 5, "debug"),
        (b'10:00:00 app {"levelname":"critical"} sent', 18, "critical"),
        (b'ts=1 level="error" msg="x"', 17, "error"),
        (b"{ level: 'fatal', message: 'm' }", 21, "fatal"),
        (b"log level: debug", 0, ""),
        (b'{"levels":"error"}{', 0, ""),
        (b'{"label":"error","n":00}', 0, ""),
        (b"an error | or two", 0, ""),
        (b"2026-11-21 15:50:20.180482: W tensorflow/core/a.cc:3] slow", 13, "WARN"),
        (b"[E 15:50:20 server] failed", 17, "ERROR"),
        (b"2026-11-21 I think so", 0, ""),
        (b"\x1b[38;5;9mERROR\x1b[0m failed", 17, "ERROR"),
        (b"\x1b[90m" * 20 + b"ERROR failed", 17, "ERROR"),
    ],
)
def test_guess(line: bytes, number: int, word: str) -> None:
    assert severity.guess(line) == (number, word)
