"""100,000 span names: memory keeps within its bound and the culprit is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.engines import sidecar_process, wait_for
from support.load import samples, scrape, total

NAMES = 100_000


def peak_rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


@pytest.mark.slow
def test_a_flood_of_span_names_is_bounded_and_named() -> None:
    with sidecar_process({"SIDECAR_DELIVER__STORE__ENABLED": "false"}) as sidecar:
        exporter = OTLPSpanExporter(endpoint=f"http://{sidecar.grpc_target}", insecure=True, timeout=60)
        for first in range(0, NAMES, 2000):
            memory = InMemorySpanExporter()
            provider = TracerProvider(resource=Resource({"service.name": "flood"}), shutdown_on_exit=False)
            provider.add_span_processor(SimpleSpanProcessor(memory))
            tracer = provider.get_tracer("flood")
            for n in range(first, first + 2000):
                tracer.start_span(f"GET /user/{n}").end()
            assert exporter.export(memory.get_finished_spans()) is SpanExportResult.SUCCESS

        def counted() -> bool:
            return total(samples(scrape(sidecar.serve_url) or ""), "traces_span_metrics_calls_total") == NAMES

        wait_for(counted, 60, "all spans to be counted")
        values = samples(scrape(sidecar.serve_url) or "")
        rss = peak_rss_mib(sidecar.pid)
    assert rss <= 160
    series = [k for k in values if k.startswith("traces_span_metrics_calls_total")]
    assert len(series) <= 2001
    assert any('span_name="__other__"' in k for k in series)
    rejected = total(
        values, "sidecar_series_overflow_total", 'metric="traces_span_metrics_calls_total"', 'label="span_name"'
    )
    assert rejected > 0
