"""A log line that names no service gets the resource of the container's own spans, and leads to its trace and back."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from support.engines import sidecar_process, wait_for
from support.load import make_spans


def test_a_line_and_its_trace(tmp_path: Any) -> None:
    file = tmp_path / "app.log"
    environ = {
        "SIDECAR_RECEIVE__FILE_TAIL__INCLUDE": str(file),
        "SIDECAR_RECEIVE__FILE_TAIL__START_AT": "beginning",
    }
    with sidecar_process(environ) as sidecar:
        spans = make_spans("scorer", 1)
        OTLPSpanExporter(endpoint=f"http://{sidecar.grpc_target}", insecure=True).export(spans)
        ids = {
            "trace_id": format(spans[0].context.trace_id, "032x"),
            "span_id": format(spans[0].context.span_id, "016x"),
        }
        posted = [{"message": "posted", **ids}, {"message": "theirs", "service": "other", **ids}]
        request = urllib.request.Request(
            f"{sidecar.otlp_url}/v1/json", json.dumps(posted).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=60).close()
        file.write_text(json.dumps({"message": "tailed", **ids}) + "\n")

        def logs() -> list[dict[str, Any]]:
            with urllib.request.urlopen(f"{sidecar.serve_url}/lookup/traces/{ids['trace_id']}", timeout=60) as reply:
                return list(json.load(reply)["logs"])

        wait_for(lambda: len(logs()) >= 3, 30, "the lines beside their trace")
        found = {record["body"]: record["resource"]["service.name"] for record in logs() if record["body"]}
        assert found == {"posted": "scorer", "theirs": "other", "tailed": "scorer"}
        assert {record["spanId"] for record in logs()} == {ids["span_id"]}
