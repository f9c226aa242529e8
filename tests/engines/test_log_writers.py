"""What real loggers of Python, Node and Go write, tailed by a real sidecar: severity, trace and exception of a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.engines import sidecar_process, wait_for
from support.log_writers import write_all

WRITERS = ("structlog", "structlog_span", "python_json_logger", "loguru", "pino", "winston", "zap")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Writer -> its two documents, in the order of its lines."""
    folder = tmp_path_factory.mktemp("writers")
    logs, out = folder / "logs", folder / "out.ndjson"
    logs.mkdir()
    write_all(logs)
    environ = {
        "SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": f"{logs}/*.log",
        "SIDECAR_RECEIVE__FILE_TAIL__START_AT": "beginning",
        "SIDECAR_DELIVER__FILE__PATH": str(out),
    }
    with sidecar_process(environ):
        wait_for(lambda: out.exists() and len(out.read_bytes().splitlines()) == 2 * len(WRITERS), 30, "all lines")
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in WRITERS}
    for line in out.read_text().splitlines():
        document = json.loads(line)
        path = document["resource"]["attributes"]["log.file.path"]
        found[Path(path).stem.removeprefix("by_")].append(document)
    return found


@pytest.mark.parametrize("writer", WRITERS)
def test_a_line_with_a_trace(documents: dict[str, list[dict[str, Any]]], writer: str) -> None:
    line, _ = documents[writer]
    assert line["body"] == {"text": "scored"}
    assert (line["severity_number"], line["severity_text"].lower()[:4]) == (13, "warn")
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert line["span_id"] == "b7ad6b7169203331"
    assert line["attributes"].get("rows", line["attributes"].get("record.extra.rows")) == 3
    assert not line["@timestamp"].startswith("0")


@pytest.mark.parametrize("writer", WRITERS)
def test_a_line_with_an_exception(documents: dict[str, list[dict[str, Any]]], writer: str) -> None:
    _, line = documents[writer]
    attributes = line["attributes"]
    assert line["severity_number"] == 17
    assert attributes["exception.message"] == "bad row"
    kind = {"pino": "TypeError", "winston": "TypeError", "zap": None}.get(writer, "ValueError")
    assert attributes.get("exception.type") == kind
    # loguru's own text of the trace stays in its member `text`.
    assert "exception.stacktrace" in attributes or writer == "loguru"
