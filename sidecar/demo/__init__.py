"""`sidecar demo`: an ordinary model server under zero-code instrumentation, real traffic, the sidecar beside it.

The model server is the one in `examples/fastapi_sklearn`; all that joins it to the sidecar is `ENVIRONMENT` below and
its standard output, which is sent to the JSON ingest as a container's log agent would.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sidecar.demo import experiment, model_health, sampling
from sidecar.demo.ask import request, samples, status_of
from sidecar.demo.processes import DemoError, port, process, terminated_in_order, wait
from sidecar.demo.traffic import Sent, Wines, drive, predict, wines

_CHECKOUT = Path(__file__).resolve().parents[2] / "examples" / "fastapi_sklearn"
_INSTALLED = Path(sys.prefix) / "share" / "model-sidecar" / "example"
EXAMPLE = next((folder for folder in (_CHECKOUT, _INSTALLED) if (folder / "server.py").exists()), _INSTALLED)
"""The model server: that of the source tree, else what the wheel brings."""
SERVICE = "wine-classifier"
#: Everything that the model server is given; its code knows nothing of it.
ENVIRONMENT = {
    "OTEL_SERVICE_NAME": SERVICE,
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    "OTEL_PYTHON_LOG_CORRELATION": "true",
    "OTEL_BSP_SCHEDULE_DELAY": "300",
    "OTEL_BLRP_SCHEDULE_DELAY": "300",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
    "SIDECAR_RESPONSE_HEADER": model_health.HEADER,
}
REQUESTS = 300


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of the demo listen, on loopback."""

    grpc: int
    http: int
    serve: int
    model: int


def run(once: bool) -> None:
    """Run the demo; raises `DemoError` with what is missing. With `once` it ends by itself."""
    if not (EXAMPLE / "server.py").exists():
        raise DemoError(
            f"{EXAMPLE} is missing: install the wheel of model-sidecar, or run `make demo` in its source tree"
        )
    with tempfile.TemporaryDirectory(prefix="sidecar-demo-") as folder, contextlib.ExitStack() as stack:
        at = Addresses(*(port(p) for p in (4317, 4318, 9464, 8000)))
        known = wines()
        stack.enter_context(terminated_in_order())
        click.echo("1/7 starting the sidecar and the model server", err=True)
        log = Path(folder) / "sidecar.log"
        command = [sys.executable, "-m", "sidecar.cli.main", "run"]
        sidecar = stack.enter_context(process(command, _sidecar_env(at, Path(folder), known), log))
        wait(lambda: status_of(at.serve, "/startupz") == 200, 30, sidecar, "the sidecar to start", log)
        log = Path(folder) / "model.log"
        model = stack.enter_context(_model(at, log))
        wait(lambda: status_of(at.model, "/health") == 200, 90, model, "the model server to start", log)
        sent = drive(at.model, known.rows, REQUESTS, "2/7 sending requests")
        seen = _gather(at, sent)
        further = _further(at, Path(folder), known) if _instrumented() else None
        _show(at, sent, seen, further)
        missing = _missing(sent, seen) + (further.missing if further is not None else [])
        if missing:
            raise DemoError("the demo is missing: " + "; ".join(missing))
        if not once:
            _keep_on(at, known)


@dataclass(frozen=True, slots=True)
class Further:
    """What only the instrumentation of models shows."""

    story: model_health.Story
    sampled: sampling.Counts
    compared: experiment.Comparison

    @property
    def missing(self) -> list[str]:
        return model_health.missing(self.story) + sampling.missing(self.sampled) + experiment.missing(self.compared)


def _further(at: Addresses, folder: Path, known: Wines) -> Further:
    story = model_health.run(at.model, at.http, at.serve, known)
    sampled = sampling.run(at.http, at.serve, port(0), folder, EXAMPLE, known)
    return Further(story, sampled, experiment.run(at.http, at.serve, folder, EXAMPLE, known))


def _sidecar_env(at: Addresses, folder: Path, known: Wines) -> dict[str, str]:
    return {
        "SIDECAR_JOURNAL__PATH": f"{folder}/data",
        "SIDECAR_RECEIVE__OTLP_GRPC__PORT": str(at.grpc),
        "SIDECAR_RECEIVE__OTLP_HTTP__PORT": str(at.http),
        "SIDECAR_SERVE__HOST": "127.0.0.1",
        "SIDECAR_SERVE__PORT": str(at.serve),
        "SIDECAR_DELIVER__STORE__ENABLED": "true",
        **model_health.environment(model_health.profile(known, folder)),
        **experiment.ENVIRONMENT,
    }


@contextlib.contextmanager
def _model(at: Addresses, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    tool = Path(sys.executable).with_name("opentelemetry-instrument")
    if not tool.exists():
        raise DemoError("opentelemetry-instrument is not installed: pip install 'model-sidecar[demo]'")
    command = [
        str(tool),
        sys.executable,
        "-m",
        "uvicorn",
        "server:app",
        "--host",
        "127.0.0.1",
        "--port",
        str(at.model),
        "--no-access-log",
    ]
    env = {**ENVIRONMENT, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{at.grpc}", "PYTHONDONTWRITEBYTECODE": "1"}
    with process(command, env, log, stdout=subprocess.PIPE, cwd=EXAMPLE) as server:
        threading.Thread(target=_ship, args=(server, at.http), daemon=True).start()
        yield server


def _instrumented() -> bool:
    return importlib.util.find_spec("model_sidecar_instrumentation") is not None


def _ship(server: subprocess.Popen[bytes], port: int) -> None:
    """The model's standard output to the JSON ingest, a line at a time."""
    assert server.stdout is not None
    for line in server.stdout:
        with contextlib.suppress(OSError):
            request("POST", port, "/v1/json", line, {"Content-Type": "application/x-ndjson"})


@dataclass(frozen=True, slots=True)
class Seen:
    """What the sidecar shows of it."""

    requests: dict[tuple[str, str], int]
    """(span name, HTTP status) -> calls of server spans."""
    p95: dict[str, float]
    """Span name -> upper edge in seconds of the bucket that holds the 95th percentile."""
    logs: dict[str, int]
    """Severity -> records."""
    predictions: dict[str, int] | None
    """Predicted class -> rows; None where the instrumentation that reports them is not installed."""
    trace: dict[str, Any]
    """One failed request's trace: spans and logs."""
    ledger: dict[str, Any]
    decoder: str
    """What decoded it: `native`, or `python` where the native core is not installed."""


def _gather(at: Addresses, sent: Sent) -> Seen:
    click.echo("3/7 waiting until everything sent has been seen", err=True)
    seen = _look(at)
    deadline = time.monotonic() + 30
    while _missing(sent, seen) and time.monotonic() < deadline:
        time.sleep(0.5)
        seen = _look(at)
    return seen


def _look(at: Addresses) -> Seen:
    _, raw = request("GET", at.serve, "/metrics")
    metrics = list(samples(raw.decode()))
    requests: dict[tuple[str, str], int] = {}
    logs: dict[str, int] = {}
    for name, labels, value in metrics:
        if labels.get("service_name", labels.get("service")) != SERVICE:
            continue
        if name == "traces_span_metrics_calls_total" and labels["span_kind"] == "SPAN_KIND_SERVER":
            key = (labels["span_name"], labels.get("http_response_status_code", ""))
            requests[key] = requests.get(key, 0) + int(value)
        elif name == "log_records_total":
            logs[labels["severity"]] = logs.get(labels["severity"], 0) + int(value)
    classes = {
        f"{labels['model']} {labels.get('class', '')}": int(value)
        for name, labels, value in metrics
        if name == "model_predictions_by_class_total" and labels["model"] != sampling.MODEL
    }
    predictions = classes if _instrumented() else None
    status, body = request("GET", at.serve, "/status")
    own = json.loads(body) if status == 200 else {}
    ledger, decoder = own.get("ledger", {}), own.get("decoder", "")
    return Seen(requests, _percentiles(metrics), logs, predictions, _failed_trace(at), ledger, decoder)


def _failed_trace(at: Addresses) -> dict[str, Any]:
    """The first recent trace that has spans and a log line with an exception."""
    status, body = request("GET", at.serve, f"/lookup/traces?service={SERVICE}&limit=100")
    if status != 200:
        return {}
    for summary in json.loads(body)["traces"]:
        if not summary.get("error"):
            continue
        status, one = request("GET", at.serve, f"/lookup/traces/{summary['traceId']}")
        trace: dict[str, Any] = json.loads(one) if status == 200 else {}
        if trace.get("spans") and trace.get("logs"):
            return trace
    return {}


def _percentiles(metrics: list[tuple[str, dict[str, str], float]]) -> dict[str, float]:
    buckets: dict[str, dict[float, float]] = {}
    for name, labels, value in metrics:
        if name == "traces_span_metrics_duration_seconds_bucket" and labels.get("span_kind") == "SPAN_KIND_SERVER":
            edges = buckets.setdefault(labels["span_name"], {})
            edge = float(labels["le"])
            edges[edge] = edges.get(edge, 0) + value
    return {
        name: next(edge for edge, count in sorted(edges.items()) if count >= 0.95 * max(edges.values()))
        for name, edges in buckets.items()
    }


def _missing(sent: Sent, seen: Seen) -> list[str]:
    """What should be there and is not; empty when all is well."""
    gone = []
    for status, count in sorted(sent.by_status.items()):
        got = seen.requests.get(("POST /predict", str(status)), 0)
        if got != count:
            gone.append(f"RED for POST /predict with status {status}: {got} calls, {count} were sent")
    wanted = {
        "INFO": sent.by_status.get(200, 0),
        "WARN": sent.by_status.get(400, 0),
        "ERROR": sent.by_status.get(500, 0),
    }
    for level, count in wanted.items():
        if seen.logs.get(level, 0) < count:
            gone.append(f"{level} log records: {seen.logs.get(level, 0)}, at least {count} were written")
    if seen.predictions is not None and sum(seen.predictions.values()) != sent.rows:
        gone.append(f"predictions by class: {sum(seen.predictions.values())} rows, {sent.rows} were predicted")
    if not seen.trace:
        gone.append("a failed request's trace with its spans and log lines")
    if not seen.ledger or seen.ledger.get("problems"):
        gone.append(f"a balanced ledger: {seen.ledger.get('problems', 'none shown')}")
    for name, consumer in seen.ledger.get("consumers", {}).items():
        # Metrics never come to rest: the model server goes on exporting them.
        waiting = sum(items for signal_, items in consumer["waiting"].items() if signal_ != "metrics")
        if waiting:
            gone.append(f"{waiting} items that {name} has not finished with")
    return gone


def _show(at: Addresses, sent: Sent, seen: Seen, further: Further | None) -> None:
    click.secho(f"\n7/7 what the sidecar saw of {sent.total} requests (decoder: {seen.decoder})", bold=True)
    click.echo("\nRED per route")
    for (name, status), calls in sorted(seen.requests.items()):
        click.echo(f"  {name:<28} {status or '-':>4}  {calls:>6} calls   p95 <= {seen.p95.get(name, float('nan')):g} s")
    click.echo("\nLogs by level")
    for level, count in sorted(seen.logs.items()):
        click.echo(f"  {level:<28} {count:>12}")
    if seen.predictions is not None:
        click.echo("\nPredictions by model and class (the model's code says nothing of them)")
        for name, rows in sorted(seen.predictions.items()):
            click.echo(f"  {name:<28} {rows:>12}")
    if further is not None:
        model_health.show(further.story)
        sampling.show(further.sampled)
        experiment.show(further.compared)
    if seen.trace:
        spans = {span["spanId"]: span["name"] for span in seen.trace["spans"]}
        click.echo(f"\nA failed request: trace {seen.trace['traceId']}")
        for span in seen.trace["spans"]:
            click.echo(f"  span  {span.get('kind', ''):<10} {span.get('name', '')}")
        for record in seen.trace["logs"]:
            inside = spans.get(record.get("spanId"), "")
            click.echo(f"  log   {record.get('severityText', ''):<10} {_short(record)}   (in span {inside})")
            kind, message = (record["attributes"].get(f"exception.{part}") for part in ("type", "message"))
            if kind:
                click.echo(f"        {'':<10} {kind}: {message}")
    click.echo("\nLedger (received = finished + waiting, for each consumer)")
    for line in seen.ledger.get("lines", []):
        click.echo(f"  {line}")
    click.echo("\nOpen")
    click.echo(f"  http://127.0.0.1:{at.serve}/ui   (the page, in a browser)")
    click.echo(f"  http://127.0.0.1:{at.serve}/ui/models   (drift and outcomes)")
    click.echo(f"  http://127.0.0.1:{at.serve}/metrics")
    click.echo(f"  http://127.0.0.1:{at.serve}/status")
    if seen.trace:
        click.echo(f"  http://127.0.0.1:{at.serve}/ui/traces/{seen.trace['traceId']}")
        click.echo(f"  http://127.0.0.1:{at.serve}/lookup/traces/{seen.trace['traceId']}")


def _short(record: dict[str, Any]) -> str:
    body = record.get("body", "")
    return body if isinstance(body, str) else record.get("eventName") or "…"


def _keep_on(at: Addresses, known: Wines) -> None:
    click.echo("\nTraffic goes on at about 5 requests a second; Ctrl-C ends the demo.")
    with contextlib.suppress(KeyboardInterrupt):
        for n in itertools.count():
            predict(at.model, known.rows, n)
            time.sleep(0.2)
