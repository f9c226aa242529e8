"""Levels as severity numbers."""

from __future__ import annotations

import json
import logging

import pytest

from sidecar.decode.logs import severity
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("TRACE", 1), ("debug", 5), ("Information", 9), ("NOTICE", 10), ("WARNING", 13), ("warn", 13), ("Error", 17),
        ("CRITICAL", 18), ("ALERT", 19), ("fatal", 21), ("emerg", 21), (" info ", 9), ("severe", 17), ("", 0), ("x", 0),
        ("ＩＮＦＯ", 0), ("ınfo", 0),
    ],
)  # fmt: skip
def test_names(name: str, number: int) -> None:
    assert severity.from_name(name) == number


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
def test_python_numbers_agree_with_names(level: str) -> None:
    assert severity.from_python(logging.getLevelNamesMapping()[level]) == severity.from_name(level)


def test_numbers_between_and_beyond() -> None:
    assert [severity.from_python(n) for n in (0, 4, 5, 15, 25, 99, 100, -1)] == [0, 0, 1, 5, 10, 18, 0, 0]
    assert [severity.from_javascript(n) for n in (10, 20, 30, 35, 40, 50, 60, 99, 100)] == [
        1,
        5,
        9,
        9,
        13,
        17,
        21,
        21,
        0,
    ]
    assert [severity.from_javascript(n) for n in range(-1, 10)] == [0, 21, 19, 18, 17, 13, 10, 9, 5, 0, 0]


def test_every_number_has_a_range() -> None:
    assert [severity.range_name(n, "") for n in range(1, 25)] == [r for r in severity.RANGES for _ in range(4)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("error", "ERROR", "Error", "err", "ERR", " e "), "ERROR"),
        (("warn", "warning", "WARNING", "wrn", "W"), "WARN"),
        (("info", "Information", "informational", "INF", "i"), "INFO"),
        (("dbg", "Debug", "d"), "DEBUG"),
        (("critical", "CRIT"), "CRITICAL"),
        (("notice", "Notice"), "NOTICE"),
        (("Schlimm",), "Schlimm"),
        (("größer",), "größer"),
    ],
)
def test_documents_have_one_spelling_for_a_level(names: tuple[str, ...], expected: str) -> None:
    decoders = [decoder for decoder in (ReferenceDecoder(), native_decoder()) if decoder is not None]
    for name in names:
        assert severity.shown(name) == expected
        for decoder in decoders:
            payload = decoder.json_lines(json.dumps({"level": name}).encode(), 1).payload
            document = json.loads(decoder.log_lines([payload], ["id"]).body.split(b"\n")[1])
            assert document["severity_text"] == expected
