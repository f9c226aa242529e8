"""The page of an installed `sidecar run`, as a browser asks for it: with the token as password."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.request
from functools import partial
from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from support.engines import wait_for
from support.engines.sidecar import SidecarProcess, sidecar_process
from support.lookup_traces import SERVER, pairs, request, span, trace_hex

PASSWORD = {"Authorization": "Basic " + base64.b64encode(b"me:secret").decode()}


def log_payload(body: str) -> bytes:
    message = ExportLogsServiceRequest()
    of_service = message.resource_logs.add()
    of_service.resource.attributes.extend(pairs({"service.name": "shop"}))
    record = LogRecord(severity_text="INFO", body=AnyValue(string_value=body))
    of_service.scope_logs.add().log_records.append(record)
    return message.SerializeToString()


def post(sidecar: SidecarProcess, signal_path: str, body: bytes) -> None:
    asked = urllib.request.Request(
        f"{sidecar.otlp_url}/v1/{signal_path}", body, {"Content-Type": "application/x-protobuf"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert answer.status == 200


def get(sidecar: SidecarProcess, path: str) -> str:
    with urllib.request.urlopen(
        urllib.request.Request(sidecar.serve_url + path, headers=PASSWORD), timeout=30
    ) as answer:
        return str(answer.read().decode())


VIEWS = {
    "/": "GET /cart",
    "/ui/traces": trace_hex(1),
    f"/ui/traces/{trace_hex(1)}": "GET /cart",
    "/ui/logs": "first",
    "/ui/models": "No model has been seen",
    "/ui/pipeline": "store/spans: received 1 = delivered 1 + waiting 0",
}
"""Path -> what is on it in the end."""


def test_every_view_shows_what_was_sent_and_a_live_tail_what_comes(tmp_path: Path) -> None:
    with sidecar_process({"SIDECAR_SERVE__AUTH__TOKEN": "secret"}, tmp_path) as sidecar:
        post(sidecar, "traces", request("shop", [span(1, 1, "GET /cart", SERVER)]))
        post(sidecar, "logs", log_payload("first"))
        for path, shown in VIEWS.items():
            wait_for(partial(_is_shown, sidecar, path, shown), 30, f"{shown} at {path}")
        tail = http.client.HTTPConnection("127.0.0.1", sidecar.serve_port, timeout=30)
        tail.request("GET", "/ui/logs/live?service=shop", headers=PASSWORD)
        events = tail.getresponse()
        assert events.headers.get_content_type() == "text/event-stream"
        assert events.readline() == b"retry: 3000\n"
        post(sidecar, "logs", log_payload("<b>second</b>"))
        lines = iter(events.readline, b"")
        row = next(json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: "))
        assert "&lt;b&gt;second&lt;/b&gt;" in row
        assert "first" not in row
        # A tail that is open does not keep the program from ending well.
        assert sidecar.stop() == 0
        assert "Exception" not in sidecar.log.read_text()
        tail.close()


def _is_shown(sidecar: SidecarProcess, path: str, shown: str) -> bool:
    return shown in get(sidecar, path)
