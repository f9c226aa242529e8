"""The two programs under the same load, each with the same few handles: where to send, what to measure."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from support.engines import free_port, http_get, run_collector, run_rotel, sidecar_process

OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.5", "Accept-Encoding": "gzip"}
ROTEL = "rotel"
PIPELINES = ("spanmetrics", "spanmetrics-json", "spanmetrics-proto-fsync", "logs-json")

DESTINATIONS: Mapping[str, Mapping[str, str]] = {
    "elasticsearch": {"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": "{sink}"},
    "otlp": {"SIDECAR_DELIVER__OTLP__ENDPOINT": "{sink}", "SIDECAR_DELIVER__OTLP__PROTOCOL": "http/protobuf"},
    "logstash": {"SIDECAR_DELIVER__LOGSTASH__HOSTS": "{sink}"},
}
"""What the counting sink may be to the sidecar, and the settings for it."""


@dataclass(frozen=True, slots=True)
class System:
    name: str
    pid: int
    grpc_address: str
    http_address: str
    metrics_url: str
    delivers: bool
    event_documents: bool
    """Span events arrive as documents of their own."""
    counters: Mapping[str, str]
    """Signal of the load -> the derived counter that must equal what was accepted; empty where it comes late."""


@contextmanager
def sidecar(settings: Mapping[str, str], sink_url: str | None, destination: str = "elasticsearch") -> Iterator[System]:
    """The installed program, with its embedded store off."""
    environment = {"SIDECAR_DELIVER__STORE__ENABLED": "false", "SIDECAR_LOG__LEVEL": "warning", **settings}
    if sink_url:
        environment |= {name: value.format(sink=sink_url) for name, value in DESTINATIONS[destination].items()}
    with sidecar_process(environment) as process:
        yield System(
            "sidecar",
            process.pid,
            process.grpc_target,
            process.otlp_url.removeprefix("http://"),
            f"{process.serve_url}/metrics",
            sink_url is not None,
            destination != "otlp",
            {
                "traces": "traces_span_metrics_calls_total",
                "logs": "log_records_total",
                "ndjson": "log_records_total",
            },
        )


@contextmanager
def collector(pipeline: str, sink_url: str) -> Iterator[System]:
    """The OpenTelemetry Collector with one of `PIPELINES`."""
    grpc, http, metrics, health = (free_port() for _ in range(4))
    text = _collector_config(pipeline, sink_url, grpc, http, metrics, health)
    with run_collector(text, f"http://127.0.0.1:{health}/") as running:
        yield System(
            f"collector {pipeline}",
            running.child.pid,
            f"127.0.0.1:{grpc}",
            f"127.0.0.1:{http}",
            f"http://127.0.0.1:{metrics}/metrics",
            pipeline != "spanmetrics",
            False,
            {},
        )


@contextmanager
def rotel(sink_url: str) -> Iterator[System]:
    """rotel, which only forwards, from memory: what is left to save by anything that does more."""
    grpc, http = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with run_rotel(grpc, http, sink_url) as child:
        yield System(ROTEL, child.pid, grpc, http, "", True, False, {})


def _collector_config(pipeline: str, sink_url: str, grpc: int, http: int, metrics: int, health: int) -> str:
    """Batches by the Collector's defaults; the same dimensions as the sidecar's; nothing that the case does not use."""
    red, fsync = pipeline.startswith("spanmetrics"), pipeline.endswith("-fsync")
    delivers = pipeline != "spanmetrics"
    storage = ", storage: file_storage" if fsync else ""
    lines = [
        "extensions:",
        f"  health_check: {{endpoint: 127.0.0.1:{health}}}",
        *(["  file_storage: {directory: ./queue, fsync: true, create_directory: true}"] if fsync else []),
        "receivers:",
        f"  otlp: {{protocols: {{grpc: {{endpoint: 127.0.0.1:{grpc}}}, http: {{endpoint: 127.0.0.1:{http}}}}}}}",
        "processors:",
        "  memory_limiter: {check_interval: 1s, limit_mib: 1024, spike_limit_mib: 256}",
        "  batch: {}",
        "exporters:",
    ]
    if delivers:
        lines += [
            "  otlp_http:",
            f"    endpoint: {sink_url}",
            f"    encoding: {'json' if pipeline.endswith('-json') else 'proto'}",
            "    compression: gzip",
            f"    sending_queue: {{enabled: true, num_consumers: 4, queue_size: 32, block_on_overflow: true{storage}}}",
        ]
    if red:
        lines += [
            f"  prometheus: {{endpoint: 127.0.0.1:{metrics}, enable_open_metrics: true}}",
            "connectors:",
            "  span_metrics:",
            "    metrics_flush_interval: 15s",
            "    dimensions: [{name: http.route}, {name: http.response.status_code}, {name: model.name}, "
            "{name: model.version}]",
            "    exemplars: {enabled: true}",
        ]
    exporters = [*(["span_metrics"] if red else []), *(["otlp_http"] if delivers else [])]
    signal = "logs" if pipeline.startswith("logs") else "traces"
    processors = "[memory_limiter, batch]"
    lines += [
        "service:",
        f"  extensions: [health_check{', file_storage' if fsync else ''}]",
        "  telemetry: {logs: {level: warn}, metrics: {level: none}}",
        "  pipelines:",
        f"    {signal}: {{receivers: [otlp], processors: {processors}, exporters: [{', '.join(exporters)}]}}",
        *(["    metrics: {receivers: [span_metrics], exporters: [prometheus]}"] if red else []),
    ]
    return "\n".join(lines) + "\n"


def scrape(url: str) -> tuple[int, int]:
    """(bytes on the wire, samples) of one fetch as Prometheus asks for it."""
    status, body = http_get(url, OPENMETRICS, timeout=30)
    if status != 200:
        raise RuntimeError(f"{url} answered {status}")
    return len(body), sum(1 for line in text_of(body).splitlines() if line and not line.startswith("#"))


def text_of(body: bytes) -> str:
    """The exposition, unpacked where it came as gzip."""
    return (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode()


def counter_total(url: str, name: str) -> float:
    """The sum over all series of a counter."""
    text = text_of(http_get(url, {"Accept": "text/plain"}, timeout=30)[1])
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)", text, re.MULTILINE))
