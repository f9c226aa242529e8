"""Lines as real loggers write them, and hostile ones, each with the record that it becomes.

golden/layouts/layouts.json: lines written by the libraries that `layout` names (structlog 25, python-json-logger 4,
loguru 0.7, ecs-logging 2, json-log-formatter 1, pino, winston, bunyan, zap, zerolog, slog, logrus, logback 1.5 with
its own, Logstash's and Elastic's encoder, log4j2 2.24 with JsonLayout and the templates of JsonTemplateLayout, eliot,
json-logging, google-cloud-logging, log4js, pino-pretty, tracing-subscriber, console forms with colours), paths and host
names replaced; those of services (Google Cloud, Datadog, Triton, TensorFlow Serving, vLLM, gunicorn, journald,
GELF, Serilog, ASP.NET, Optuna) by their documented forms.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sidecar.decode.logs import fields
from sidecar.decode.logs.json_record import read_line
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder

ROOT = Path(__file__).parents[3]
LAYOUTS = json.loads((ROOT / "tests/golden/layouts/layouts.json").read_text("utf-8"))
NOTHING: dict[str, Any] = {
    "body": None,
    "severity": [0, ""],
    "time": 0,
    "service": "",
    "trace_id": "",
    "span_id": "",
    "attributes": {},
}


@pytest.mark.parametrize("case", LAYOUTS, ids=[case["layout"] for case in LAYOUTS])
def test_a_line_becomes_its_record(case: dict[str, Any]) -> None:
    found = read_line(case["line"].encode())
    assert {
        "body": found.body,
        "severity": [found.severity_number, found.severity_text],
        "time": found.time,
        "service": found.service,
        "trace_id": found.trace_id.hex(),
        "span_id": found.span_id.hex(),
        "attributes": dict(found.attributes),
    } == {**NOTHING, **case["record"]}


def test_the_native_core_reads_every_layout_alike() -> None:
    native = native_decoder()
    if native is None:
        pytest.skip("the native core is not installed")
    for case in LAYOUTS:
        line = case["line"].encode()
        assert native.json_lines(line, 5) == ReferenceDecoder().json_lines(line, 5), case["layout"]


def test_every_name_that_is_understood_is_in_the_docs() -> None:
    page = set(re.findall(r"`([^`]+)`", (ROOT / "docs/how-to/log-layouts.md").read_text("utf-8")))
    lists = (
        fields.BODY,
        fields.TIME,
        [name for name, _ in fields.LEVEL],
        fields.TRACE_ID,
        fields.SPAN_ID,
        fields.SERVICE,
        fields.EXCEPTION_TYPE,
        fields.EXCEPTION_MESSAGE,
        fields.STACKTRACE,
        fields.OBJECTS,
    )
    assert {name for names in lists for name in names} <= page
