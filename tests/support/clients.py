"""Foreign clients run against the receivers, and what of theirs the log then holds."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sidecar.decode.select import decoder
from sidecar.journal.memory import MemoryJournal
from sidecar.journal.options import JournalOptions
from sidecar.pipeline import Entry
from support.receiving import Receiving, receiving

FOREIGN = Path(__file__).parents[1] / "e2e" / "foreign"
_REQUESTS: Mapping[str, Any] = {
    "spans": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}


@dataclass(frozen=True, slots=True)
class Kept:
    """One record that the log holds, with its service."""

    service: str
    record: Any
    """`Span`, `LogRecord` or `Metric` of opentelemetry-proto."""


@dataclass(frozen=True, slots=True)
class Ingest:
    """The receivers over a memory journal."""

    at: Receiving
    journal: MemoryJournal

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.at.grpc_port}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.at.http_port}"

    def spans(self) -> list[Kept]:
        return [
            Kept(_service(resource), span)
            for request in self._requests("spans")
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def logs(self) -> list[Kept]:
        return [
            Kept(_service(resource), record)
            for request in self._requests("logs")
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def metrics(self) -> list[Kept]:
        return [
            Kept(_service(resource), metric)
            for request in self._requests("metrics")
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def outcomes(self) -> set[str]:
        """Every outcome that a request had so far."""
        counted = self.at.counted.values("sidecar_receiver_requests_total")
        return {outcome for _, _, outcome in counted}

    def _requests(self, signal: str) -> list[Any]:
        return [_REQUESTS[signal].FromString(e.payload) for e in self._entries() if e.signal == signal]

    def _entries(self) -> list[Entry]:
        # A consumer of its own each time begins at the oldest entry.
        name = f"test-{time.monotonic_ns()}"
        consumer = self.journal.consumer(name, frozenset({"spans", "logs", "metrics"}))
        entries: list[Entry] = []
        while batch := consumer.next(64 << 20, 10_000, 0.1):
            entries += batch
        return entries


def _service(resource: Any) -> str:
    values = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
    return values[0] if values else ""


@contextmanager
def ingest(**options: Any) -> Iterator[Ingest]:
    """The receivers with the decoder that an installation would use, over a memory journal."""
    journal = MemoryJournal(JournalOptions(backend="memory"), time.time_ns)
    try:
        with receiving(journal, decoder(), **options) as at:
            yield Ingest(at, journal)
    finally:
        journal.close()


def run(command: list[str | Path], environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a client to its end and return what it printed; its last words are in the error if it fails."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "JAVA_TOOL_OPTIONS"))}
    done = subprocess.run(
        [str(part) for part in command],
        env={**clean, **(environment or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout + done.stderr
