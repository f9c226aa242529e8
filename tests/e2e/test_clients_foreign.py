"""Clients that are not ours and not Python: telemetrygen (Go), the JavaScript SDK (HTTP JSON), the Java agent."""

import json
import math
from pathlib import Path

import pytest
from support.clients import FOREIGN, ingest, run
from support.engines import find_java, maven_artifact, need, npm_project, telemetrygen_binary

JAVASCRIPT = {
    "@opentelemetry/api": "1.9.0",
    "@opentelemetry/api-logs": "0.208.0",
    "@opentelemetry/exporter-logs-otlp-http": "0.208.0",
    "@opentelemetry/exporter-metrics-otlp-http": "0.208.0",
    "@opentelemetry/exporter-trace-otlp-http": "0.208.0",
    "@opentelemetry/resources": "2.2.0",
    "@opentelemetry/sdk-logs": "0.208.0",
    "@opentelemetry/sdk-metrics": "2.2.0",
    "@opentelemetry/sdk-trace-base": "2.2.0",
}
JAVA_AGENT = "io.opentelemetry.javaagent:opentelemetry-javaagent:2.33.1:jar"
JAVA_AGENT_SHA256 = "e43a270df53c6f423e0ab157be9c27ccc01d5dc3232e162fe54777573db2f149"

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("way", ["grpc", "http"])
@pytest.mark.parametrize(("command", "count"), [("traces", 40), ("logs", 20), ("metrics", 20)])
def test_telemetrygen(way: str, command: str, count: int) -> None:
    telemetrygen = telemetrygen_binary()
    with ingest() as at:
        endpoint = at.grpc if way == "grpc" else at.http.removeprefix("http://")
        how = ["--otlp-insecure", "--otlp-endpoint", endpoint, *(["--otlp-http"] if way == "http" else [])]
        run([telemetrygen, command, f"--{command}", "20", "--workers", "1", "--rate", "0", *how])
        kept = {"traces": at.spans, "logs": at.logs, "metrics": at.metrics}[command]()
        assert at.outcomes() == {"accepted"}
    # A trace of telemetrygen is a client and a server span.
    assert [k.service for k in kept] == ["telemetrygen"] * count
    if command == "traces":
        assert len({k.record.trace_id for k in kept}) == 20


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_javascript_sdk_over_http_json(compression: str) -> None:
    modules = npm_project(JAVASCRIPT)
    with ingest() as at:
        reported = run(
            [need("node", "the JavaScript SDK"), FOREIGN / "send.js", at.http, compression],
            {"NODE_PATH": str(modules)},
        )
        spans = {k.record.name: k for k in at.spans()}
        logs = [k.record for k in at.logs()]
        metrics = {k.record.name: k.record for k in at.metrics()}
        assert at.outcomes() == {"accepted"}
    assert json.loads(reported) == {"traces": "ok", "logs": "ok", "metrics": "ok"}
    assert set(spans) == {"POST /predict", "inference"}
    child = spans["inference"].record
    assert spans["inference"].service == "js-client"
    assert child.trace_id == spans["POST /predict"].record.trace_id
    assert child.parent_span_id == spans["POST /predict"].record.span_id
    assert (child.status.code, child.status.message) == (2, "no such class")
    attributes = {a.key: a.value for a in child.attributes}
    # JavaScript has one kind of number: what it writes as an integer and no int64 holds is taken as a double.
    assert attributes["huge"].double_value == 1e300
    assert attributes["negative"].int_value == -5
    assert attributes["half"].double_value == 0.5
    assert attributes["yes"].bool_value is True
    assert [v.string_value for v in attributes["list"].array_value.values] == ["a", "b"]
    assert "nan" in attributes
    assert "infinite" in attributes
    assert [e.name for e in child.events] == ["scored"]
    assert logs[0].body.string_value == "slow"
    assert logs[0].attributes[0].value.double_value == 1e21
    nested = logs[1].body.kvlist_value.values[0].value.kvlist_value.values
    assert {v.key for v in nested} == {"score", "n"}
    assert metrics["requests"].sum.data_points[0].as_double == 3 or metrics["requests"].sum.data_points[0].as_int == 3
    assert metrics["latency"].histogram.data_points[0].count == 1
    [temperature] = metrics["temperature"].gauge.data_points
    assert math.isnan(temperature.as_double) or temperature.WhichOneof("value") is None


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_java_agent(protocol: str, tmp_path: Path) -> None:
    agent = maven_artifact(JAVA_AGENT, JAVA_AGENT_SHA256)
    binaries = find_java(range(11, 30), 17) / "bin"
    run([binaries / "javac", "-d", tmp_path, FOREIGN / "Scorer.java"])
    with ingest() as at:
        run(
            [binaries / "java", f"-javaagent:{agent}", "-cp", tmp_path, "Scorer"],
            {
                "OTEL_SERVICE_NAME": "java-client",
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{at.grpc}" if protocol == "grpc" else at.http,
                "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
                "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            },
            tmp_path,
        )
        spans, logs, metrics = at.spans(), at.logs(), at.metrics()
        assert at.outcomes() == {"accepted"}
    assert {k.service for k in (*spans, *logs, *metrics)} == {"java-client"}
    served = [k.record for k in spans if k.record.kind == 2]
    called = [k.record for k in spans if k.record.kind == 3]
    assert len(served) == len(called) == 5
    assert {s.parent_span_id for s in served} == {s.span_id for s in called}
    bodies = [k.record.body.string_value for k in logs]
    assert bodies.count("scored") == 5
    assert "no such class" in bodies
    assert {k.record.trace_id for k in logs if k.record.body.string_value == "scored"} == {s.trace_id for s in served}
    [durations] = [k.record for k in metrics if k.record.name == "http.server.request.duration"]
    assert sum(point.count for point in durations.histogram.data_points) == 5
