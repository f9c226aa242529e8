"""What `sidecar.structured` writes is what the JSON log decoder reads."""

from __future__ import annotations

import datetime
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider

from sidecar import structured
from sidecar.decode.logs.json_record import LogLine, read_line


def read(line: str) -> LogLine:
    assert "\n" not in line
    return read_line(line.encode())


@pytest.fixture
def written() -> Iterator[list[str]]:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Keep()
    handler.setFormatter(structured.JsonFormatter("churn", "7"))
    logger = logging.getLogger("app.model")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lines
    logger.removeHandler(handler)


logger = logging.getLogger("app.model")


def test_a_record_of_the_standard_library(written: list[str]) -> None:
    logger.warning("slow %s", "request", extra={"rows": 3})
    found = read(written[0])
    assert (found.body, found.severity_number, found.severity_text) == ("slow request", 13, "warning")
    assert abs(found.time / 1e9 - datetime.datetime.now().timestamp()) < 60
    assert found.attributes == {
        "logger": "app.model",
        "rows": 3,
        "ml.model.name": "churn",
        "ml.model.version": "7",
    }


def test_trace_and_prediction(written: list[str]) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
    with tracer.start_as_current_span("s") as span, structured.prediction("order-17"):
        logger.info("scored")
    logger.info("after")
    inside, after = map(read, written)
    context = span.get_span_context()
    assert inside.trace_id == context.trace_id.to_bytes(16, "big")
    assert inside.span_id == context.span_id.to_bytes(8, "big")
    assert inside.attributes["ml.prediction.id"] == "order-17"
    assert after.trace_id == b""
    assert "ml.prediction.id" not in after.attributes


def test_an_exception(written: list[str]) -> None:
    try:
        raise KeyError("age")
    except KeyError:
        logger.exception("failed")
    found = read(written[0])
    assert found.attributes["exception.type"] == "KeyError"
    assert found.attributes["exception.message"] == "'age'"
    assert str(found.attributes["exception.stacktrace"]).startswith("Traceback (most recent call last)")


def test_arguments_that_do_not_fit_lose_nothing() -> None:
    record = logging.makeLogRecord({"msg": "%d rows", "args": ("three",)})
    assert read(structured.JsonFormatter().format(record)).body == "%d rows ('three',)"


class Awkward:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.arange(3), [0, 1, 2]),
        (float("nan"), "nan"),
        ({"a": [float("inf")]}, {"a": ["inf"]}),
        (b"caf\xc3\xa9\xff", "café�"),
        (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "2026-01-02T00:00:00+00:00"),
        (Awkward(), "<Awkward>"),
        ({1: {2}}, {"1": [2]}),
        ("two\nlines\u2028", "two\nlines\u2028"),
    ],
)
def test_any_value_becomes_strict_json(value: Any, expected: Any) -> None:
    found = read(structured.line({"message": "m", "value": value}))
    assert found.attributes == {"value": expected}


def test_a_value_that_holds_itself_ends() -> None:
    value: list[Any] = []
    value.append(value)
    assert json.loads(structured.line({"value": value}))["value"]


def test_structlog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(structured.MODEL_NAME, "churn")
    lines: list[str] = []

    class Keep:
        def __getattr__(self, name: str) -> Any:
            return lines.append

    log = structlog.wrap_logger(Keep(), processors=structured.processors(version="8"))
    with structlog.contextvars.bound_contextvars(tenant="a"):
        log.info("scored", rows=2)
    try:
        raise ValueError("bad row")
    except ValueError:
        log.exception("failed")
    first, second = map(read, lines)
    assert (first.body, first.severity_number) == ("scored", 9)
    assert first.attributes == {"rows": 2, "tenant": "a", "ml.model.name": "churn", "ml.model.version": "8"}
    assert (second.severity_number, second.attributes["exception.type"]) == (17, "ValueError")


def test_it_needs_nothing_of_the_program() -> None:
    code = (
        "import sys, sidecar.structured as s; s.line({'a': 1}); "
        "heavy = {'grpc', 'numpy', 'structlog', 'opentelemetry', 'pydantic'}; "
        "print(*sorted({m.split('.')[0] for m in sys.modules} & heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


class Silent:
    """Whatever is asked of it raises."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__
    tolist = isoformat = __str__


class Closed(dict[str, int]):
    def items(self) -> Any:
        raise OSError("closed")


ODD: list[Any] = [Silent(), Closed(a=1), {Silent(): Silent()}, 10**5000, "caf\udce9", {"n": [Silent(), float("nan")]}]


@pytest.mark.parametrize("value", ODD, ids=lambda v: type(v).__name__)
def test_no_value_raises_into_the_program_or_costs_the_line(value: Any) -> None:
    about = {"levelname": "INFO", "value": value}
    for message in ({"msg": "with %s", "args": ("a value",)}, {"msg": "of %s", "args": (value,)}):
        line = structured.JsonFormatter().format(logging.makeLogRecord({**about, **message}))
        line.encode()  # as a handler for a file does
        found = read(line)
        assert (found.severity_text.upper(), str(found.body).split()[0]) == ("INFO", message["msg"].split()[0])
        assert "value" in json.loads(line)


@pytest.mark.parametrize(
    "about",
    [
        {"msg": "%d", "args": ("a",)},
        {"msg": "%s", "args": (Silent(),)},
        {"msg": Silent()},
        {"created": -1e300},
        {"created": "yesterday"},
        {"levelname": 7},
        {"exc_info": (1, 2)},
        {"exc_info": (ValueError, ValueError(Silent()), None)},
        {1: 2},
    ],
    ids=range(9),
)
def test_no_record_raises_into_the_program(about: dict[Any, Any]) -> None:
    record = logging.makeLogRecord({"msg": "m", "levelname": "INFO", **about})
    assert json.loads(structured.JsonFormatter().format(record))["message"]
