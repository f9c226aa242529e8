"""The file sink of the installed program: killed again and again, read by a shipper that tails, on standard output, and
beside the real Collector's file exporter."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from support.delivery import logs_payload, spans_payload
from support.engines import free_port, run_collector, sidecar_process, wait_for
from support.load import Sender, make_logs, make_spans, sending, status, waiting
from support.otlp_cases import logs_request, metrics_request, trace_request

QUIET = {"SIDECAR_DELIVER__STORE__ENABLED": "false"}


class Tail(threading.Thread):
    """Reads as shippers do: follows a file by its inode to its end, then the one that took its name; whole lines only.
    A file that became shorter than what was read of it is a mistake."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path, self.lines, self.mistakes = path, list[bytes](), list[str]()
        self._ending = threading.Event()

    def finish(self) -> None:
        self._ending.set()
        self.join(300)

    def run(self) -> None:
        while not self.path.exists():
            if self._ending.wait(0.01):
                return
        stream, rest = self.path.open("rb"), b""
        while True:
            ending = self._ending.is_set()
            found = stream.read()
            rest += found
            *whole, rest = rest.split(b"\n")
            self.lines += whole
            if found:
                continue
            inode, size = _identity(stream.fileno())
            if size < stream.tell():
                self.mistakes.append(f"the file shrank to {size} of {stream.tell()} bytes")
            if self.path.exists() and self.path.stat().st_ino != inode:
                stream.close()
                stream = self.path.open("rb")
            elif ending:
                stream.close()
                return
            else:
                time.sleep(0.005)


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_ino, found.st_size


@pytest.mark.slow
def test_every_line_is_there_once_and_whole_through_kills_and_rotation(tmp_path: Path) -> None:
    file = tmp_path / "out" / "documents.ndjson"
    environ = {
        "SIDECAR_DELIVER__FILE__PATH": str(file),
        "SIDECAR_DELIVER__FILE__MAX_BYTES": "60000",
        "SIDECAR_DELIVER__FILE__MAX_FILES": "10000",
        "SIDECAR_DELIVER__FILE__BATCH_TIMEOUT": "100ms",
        **QUIET,
    }
    tail = Tail(file)
    tail.start()
    with sidecar_process(environ) as sidecar, contextlib.ExitStack() as stack:
        spans_to = OTLPSpanExporter(endpoint=f"http://{sidecar.grpc_target}", insecure=True, timeout=60)
        logs_to = OTLPLogExporter(endpoint=f"http://{sidecar.grpc_target}", insecure=True, timeout=60)
        senders = (
            Sender(spans_to.export, lambda n: make_spans("file", 20), 0.005),
            Sender(logs_to.export, lambda n: make_logs("file", 20 * n, 20), 0.005),
        )
        stack.enter_context(sending(*senders))
        for rotated in (2, 4, 6):
            before = len(senders[0].acknowledged)
            wait_for(lambda before=before: len(senders[0].acknowledged) > before + 150, 30, "load to flow")  # type: ignore[misc]
            # A file grows past its size by what waits for it, so a slow machine rotates less often: go on until it did.
            wait_for(lambda rotated=rotated: len(_rotated(file)) >= rotated, 30, "files to be rotated")  # type: ignore[misc]
            sidecar.kill9()
            sidecar.start()
        for sender in senders:
            sender.stop()
        wait_for(lambda: waiting(sidecar.serve_url) == 0, 60, "everything to be written")
        ledger = status(sidecar.serve_url)["ledger"]
    assert ledger["problems"] == []
    tail.finish()
    assert tail.mistakes == []
    for lines in (tail.lines, list(_written(file))):
        documents = [json.loads(line) for line in lines]
        assert max(Counter(d["_id"] for d in documents).values()) == 1
        got = Counter(_kind(d) for d in documents)
        assert got == {
            "span": len(senders[0].acknowledged),
            "event": len(senders[0].acknowledged),
            "log": len(senders[1].acknowledged),
        }
    assert len(_rotated(file)) >= 6


def _rotated(file: Path) -> list[Path]:
    return list(file.parent.glob("documents-*.ndjson"))


def _written(file: Path) -> list[bytes]:
    return b"".join(p.read_bytes() for p in sorted(file.parent.glob("documents*.ndjson"))).splitlines()


def _kind(document: dict[str, Any]) -> str:
    if document["data_stream"]["type"] == "traces":
        return "span"
    return "event" if document.get("event_name") == "scored" else "log"


def test_standard_output_has_lines_and_nothing_else(tmp_path: Path) -> None:
    output = tmp_path / "stdout"
    with (
        sidecar_process({"SIDECAR_DELIVER__FILE__PATH": "-", **QUIET}, start=False) as sidecar,
        output.open("wb") as out,
    ):
        process = subprocess.Popen(
            sidecar.child.arguments, env=sidecar.child.env, stdout=out, stderr=subprocess.DEVNULL, cwd=tmp_path
        )
        try:
            wait_for(lambda: _post(f"{sidecar.otlp_url}/v1/logs", logs_payload("one", "two")) == 200, 30, "a start")
            wait_for(lambda: output.read_bytes().count(b"\n") == 2, 20, "two lines")
        finally:
            process.terminate()
            process.wait(300)
    assert [json.loads(line)["body"]["text"] for line in output.read_bytes().splitlines()] == ["one", "two"]


def _post(url: str, payload: bytes) -> int:
    request = urllib.request.Request(url, payload, {"Content-Type": "application/x-protobuf"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return int(reply.status)


COLLECTOR = """
extensions:
  health_check: {{endpoint: 127.0.0.1:{health}}}
receivers:
  otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:{http}}}}}}}
exporters:
  file: {{path: {file}, flush_interval: 50ms}}
service:
  extensions: [health_check]
  telemetry: {{logs: {{level: warn}}, metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [file]}}
    logs: {{receivers: [otlp], exporters: [file]}}
    metrics: {{receivers: [otlp], exporters: [file]}}
"""


@pytest.mark.engine
def test_otlp_json_lines_say_what_the_collectors_file_exporter_says(tmp_path: Path) -> None:
    payloads = {
        "traces": [spans_payload(3, events=2, rows=5), trace_request(1).SerializeToString()],
        "logs": [logs_payload("a", "b", trace=1, n=3), logs_request().SerializeToString()],
        "metrics": [metrics_request().SerializeToString()],
    }
    ports = {"health": free_port(), "http": free_port()}
    theirs, ours = tmp_path / "theirs.jsonl", tmp_path / "ours.jsonl"
    environ = {"SIDECAR_DELIVER__FILE__PATH": str(ours), "SIDECAR_DELIVER__FILE__FORMAT": "otlp_json", **QUIET}
    environ["SIDECAR_DELIVER__EXPORT_FEATURES"] = "true"
    collector = run_collector(COLLECTOR.format(**ports, file=theirs), f"http://127.0.0.1:{ports['health']}/")
    with sidecar_process(environ) as sidecar, collector:
        for path, bodies in payloads.items():
            for body in bodies:
                assert _post(f"http://127.0.0.1:{ports['http']}/v1/{path}", body) == 200
                assert _post(f"{sidecar.otlp_url}/v1/{path}", body) == 200
        wait_for(lambda: ours.exists() and ours.read_bytes().count(b"\n") == 5, 20, "our lines")
        wait_for(lambda: theirs.exists() and theirs.read_bytes().count(b"\n") == 5, 20, "the Collector's lines")
    assert sorted(_plain(ours)) == sorted(_plain(theirs))


def _plain(file: Path) -> list[str]:
    """The lines without members that say nothing: both may write or leave out what has its default."""
    return [json.dumps(_bare(json.loads(line)), sort_keys=True) for line in file.read_bytes().splitlines()]


def _bare(value: Any) -> Any:
    if isinstance(value, list):
        return [_bare(element) for element in value]
    if not isinstance(value, dict):
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    members = {key: _bare(element) for key, element in value.items()}
    return {k: v for k, v in members.items() if k.endswith("Value") or v not in ("", "0", 0, [], {}, False)}
