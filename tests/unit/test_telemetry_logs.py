"""The program's own lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from sidecar.telemetry import configure_logging


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_every_line_is_json_with_time_level_logger_and_event(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    structlog.get_logger("sidecar.deliver").info("ours", sink="file", error=None)
    structlog.get_logger("sidecar.deliver").debug("below the level")
    logging.getLogger("urllib3.connectionpool").warning("a library's, %d", 7)
    structlog.get_logger().bind(receiver="json").warning("without a name")
    reported = lines(capsys)
    assert [(line["logger"], line["level"], line["event"]) for line in reported] == [
        ("sidecar.deliver", "info", "ours"),
        ("urllib3.connectionpool", "warning", "a library's, 7"),
        ("sidecar", "warning", "without a name"),
    ]
    assert all(str(line["timestamp"]).endswith("Z") for line in reported)
    assert (reported[0]["sink"], reported[2]["receiver"]) == ("file", "json")


def test_an_exception_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        structlog.get_logger("a").exception("ours")
        logging.getLogger("b").exception("a library's")
    assert [(line["logger"], "two\nlines" in str(line["exception"])) for line in lines(capsys)] == [
        ("a", True),
        ("b", True),
    ]
