"""The Collectors of collector-config/: a gateway that samples whole traces, an agent in front of the sidecar."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from support.clients import Ingest, ingest
from support.engines import Child, answers, free_port, sidecar_process, wait_for
from support.engines.gateway import gateway_binary
from support.load import samples, scrape, total

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(1500)]

FOLDER = Path(__file__).resolve().parents[2] / "collector-config"
COLLECTORS = sorted(FOLDER.glob("collector-*.yaml"))
TRACES, SPANS = 60, 4


@contextmanager
def collector(config: Path, environ: Mapping[str, str], home: Path) -> Iterator[Child]:
    health = f"127.0.0.1:{free_port()}"
    home.mkdir()
    child = Child(
        config.stem,
        [gateway_binary(), f"--config={config}"],
        home / "output.log",
        {**os.environ, "HEALTH_ENDPOINT": health, **environ},
        home,
    )
    try:
        child.start()
        child.wait_until(lambda: answers(f"http://{health}"), 60)
        yield child
    finally:
        child.stop()


def payload(trace: int, part: int, error: bool) -> bytes:
    """One span of a trace; a trace comes in as many requests as it has spans, as from several services."""
    export = ExportTraceServiceRequest()
    spans = export.resource_spans.add()
    spans.resource.attributes.add(key="service.name").value.string_value = f"service-{part}"
    start = 1_700_000_000 * 10**9
    span = spans.scope_spans.add().spans.add(
        trace_id=trace.to_bytes(16, "big"), span_id=(trace * 100 + part + 1).to_bytes(8, "big"), name="predict"
    )
    span.kind = Span.SPAN_KIND_SERVER
    span.start_time_unix_nano, span.end_time_unix_nano = start, start + 10**6
    if error and part == SPANS - 1:
        span.status.code = Status.STATUS_CODE_ERROR
    return export.SerializeToString()


def spans_by_trace(backend: Ingest) -> dict[bytes, set[bytes]]:
    found: dict[bytes, set[bytes]] = defaultdict(set)
    for kept in backend.spans():
        found[kept.record.trace_id].add(kept.record.span_id)
    return found


@pytest.mark.parametrize("config", COLLECTORS, ids=lambda p: p.stem)
def test_the_collector_accepts_each_file_as_it_is(config: Path) -> None:
    done = subprocess.run(
        [gateway_binary(), "validate", f"--config={config}"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_gateway_keeps_every_trace_with_an_error_whole(tmp_path: Path) -> None:
    """Sidecars that each have a part of a trace, a load balancer, two samplers, a backend."""
    with ExitStack() as stack:
        backend = stack.enter_context(ingest())
        samplers = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        for number, address in enumerate(samplers):
            environ = {"OTLP_GRPC_ENDPOINT": address, "BACKEND": backend.grpc, "DECISION_WAIT": "3s"}
            home = tmp_path / f"sampler-{number}"
            stack.enter_context(collector(FOLDER / "collector-tail-sampling.yaml", environ, home))
        front = f"127.0.0.1:{free_port()}"
        balancer = {"OTLP_GRPC_ENDPOINT": front, "OTLP_HTTP_ENDPOINT": f"127.0.0.1:{free_port()}"}
        config = with_static_samplers(tmp_path, samplers)
        stack.enter_context(collector(config, balancer, tmp_path / "balancer"))
        ours = gateway_sidecar(f"http://{front}")
        sidecars = [stack.enter_context(sidecar_process(ours)) for _ in range(2)]
        for part in range(SPANS):
            for trace in range(1, TRACES + 1):
                post(f"{sidecars[part % 2].otlp_url}/v1/traces", payload(trace, part, error=trace % 3 == 0))
        errors = {trace.to_bytes(16, "big") for trace in range(3, TRACES + 1, 3)}
        wait_for(lambda: errors <= spans_by_trace(backend).keys(), 60, "the traces with errors")
        stored = spans_by_trace(backend)
    assert {len(spans) for trace, spans in stored.items() if trace in errors} == {SPANS}, "whole traces"
    others = len(stored.keys() - errors)
    assert others < TRACES // 3, f"of {TRACES - len(errors)} traces without an error 5 % are kept, not {others}"


def gateway_sidecar(endpoint: str) -> dict[str, str]:
    """`sidecar-to-gateway.yaml`, with the gateway here and no Elasticsearch."""
    return {
        "SIDECAR_CONFIG": str(FOLDER / "sidecar-to-gateway.yaml"),
        "GATEWAY_ENDPOINT": endpoint,
        "SIDECAR_DELIVER__ELASTICSEARCH__ENABLED": "false",
    }


def with_static_samplers(folder: Path, samplers: list[str]) -> Path:
    """The load balancer's file as it is, but for how it finds the second layer: here is no DNS with two addresses."""
    config: dict[str, Any] = yaml.safe_load((FOLDER / "collector-load-balancer.yaml").read_text("utf-8"))
    config["exporters"]["loadbalancing"]["resolver"] = {"static": {"hostnames": samplers}}
    path = folder / "load-balancer.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_an_agent_in_front_of_the_sidecar_loses_nothing_while_the_sidecar_is_away(tmp_path: Path) -> None:
    with sidecar_process() as sidecar, ExitStack() as stack:
        http = f"127.0.0.1:{free_port()}"
        environ = {
            "OTLP_HTTP_ENDPOINT": http,
            "OTLP_GRPC_ENDPOINT": f"127.0.0.1:{free_port()}",
            "SIDECAR_ENDPOINT": sidecar.grpc_target,
            "QUEUE_DIRECTORY": str(tmp_path / "queue"),
        }
        stack.enter_context(collector(FOLDER / "collector-agent.yaml", environ, tmp_path / "agent"))
        post(f"http://{http}/v1/traces", payload(1, 0, error=False))
        sidecar.stop()
        for trace in range(2, 12):
            post(f"http://{http}/v1/traces", payload(trace, 0, error=False))
        sidecar.start()
        wait_for(lambda: received(sidecar.serve_url) == 11, 60, "all spans in the sidecar")


def received(url: str) -> float:
    return total(samples(scrape(url) or ""), "sidecar_received_items_total", 'signal="spans"')


def post(url: str, body: bytes) -> None:
    request = Request(url, body, {"content-type": "application/x-protobuf"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200
