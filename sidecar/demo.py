"""`sidecar demo`: an ordinary model server under zero-code instrumentation, real traffic, the sidecar beside it.

The model server is the one in `examples/fastapi_sklearn`; all that joins it to the sidecar is `ENVIRONMENT` below and
its standard output, which is sent to the JSON intake as a container's log agent would.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from sidecar.errors import SidecarError

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "fastapi_sklearn"
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
}
REQUESTS = 300


class DemoError(SidecarError):
    """The demo could not run, or did not see what it should have seen."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of the demo listen, on loopback."""

    grpc: int
    http: int
    serve: int
    model: int


@dataclass(slots=True)
class Sent:
    """What the driver sent, by the status that came back."""

    by_status: dict[int, int] = field(default_factory=dict)
    rows: int = 0
    """Rows of the requests that were answered with predictions."""

    @property
    def total(self) -> int:
        return sum(self.by_status.values())


def run(once: bool) -> None:
    """Run the demo; raises `DemoError` with what is missing. With `once` it ends by itself."""
    if not (EXAMPLE / "server.py").exists():
        raise DemoError(
            f"{EXAMPLE} is missing: the demo runs from a checkout of the source tree (git clone, make demo)"
        )
    with tempfile.TemporaryDirectory(prefix="sidecar-demo-") as folder, contextlib.ExitStack() as stack:
        at = Addresses(*(_port(p) for p in (4317, 4318, 9464, 8000)))
        stack.enter_context(_terminated_in_order())
        click.echo("1/4 starting the sidecar and the model server", err=True)
        log = Path(folder) / "sidecar.log"
        command = [sys.executable, "-m", "sidecar.cli", "run"]
        sidecar = stack.enter_context(_process(command, _sidecar_env(at, folder), log))
        _wait(lambda: _status_of(at.serve, "/startupz") == 200, 30, sidecar, "the sidecar to start", log)
        log = Path(folder) / "model.log"
        model = stack.enter_context(_model(at, log))
        _wait(lambda: _status_of(at.model, "/health") == 200, 90, model, "the model server to start", log)
        sent = _drive(at, REQUESTS)
        seen = _gather(at, sent)
        _show(at, sent, seen)
        missing = _missing(sent, seen)
        if missing:
            raise DemoError("the demo is missing: " + "; ".join(missing))
        if not once:
            _keep_on(at)


def _sidecar_env(at: Addresses, folder: str) -> dict[str, str]:
    return {
        "SIDECAR_JOURNAL__PATH": f"{folder}/data",
        "SIDECAR_RECEIVE__OTLP_GRPC__PORT": str(at.grpc),
        "SIDECAR_RECEIVE__OTLP_HTTP__PORT": str(at.http),
        "SIDECAR_SERVE__HOST": "127.0.0.1",
        "SIDECAR_SERVE__PORT": str(at.serve),
        "SIDECAR_DELIVER__STORE__ENABLED": "true",
    }


@contextlib.contextmanager
def _terminated_in_order() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: with both processes, not leaving them behind."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what would send the demo's telemetry elsewhere, such as the address of a real Elasticsearch."""
    return {name: value for name, value in environ.items() if not name.startswith(("SIDECAR_", "OTEL_"))}


@contextlib.contextmanager
def _process(command: list[str], env: dict[str, str], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        options.setdefault("stdout", output)
        process = subprocess.Popen(command, env={**clean(os.environ), **env}, stderr=output, **options)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


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
    with _process(command, env, log, stdout=subprocess.PIPE, cwd=EXAMPLE) as process:
        threading.Thread(target=_ship, args=(process, at.http), daemon=True).start()
        yield process


def _ship(process: subprocess.Popen[bytes], port: int) -> None:
    """The model's standard output to the JSON intake, a line at a time."""
    assert process.stdout is not None
    for line in process.stdout:
        with contextlib.suppress(OSError):
            _request("POST", port, "/v1/json", line, {"Content-Type": "application/x-ndjson"})


def _drive(at: Addresses, requests: int) -> Sent:
    rows, sent = _rows(), Sent()
    with click.progressbar(range(requests), label="2/4 sending requests", file=sys.stderr) as numbers:
        for n in numbers:
            status, count = _predict(at, rows, n)
            sent.by_status[status] = sent.by_status.get(status, 0) + 1
            sent.rows += count if status == 200 else 0
    return sent


def _rows() -> list[list[float]]:
    from sklearn.datasets import load_wine  # type: ignore[import-untyped,unused-ignore]

    rows: list[list[float]] = load_wine().data.tolist()
    return rows


def _predict(at: Addresses, rows: Sequence[list[float]], n: int) -> tuple[int, int]:
    """The `n`th request: rows of the wine data set; of twenty requests one is empty and one has rows too short.
    Gives the status of the answer, and how many rows were sent."""
    if n % 20 == 7:
        body: list[list[float]] = []
    elif n % 20 == 13:
        body = [rows[n % len(rows)][:3]]
    else:
        body = [rows[(n + k) % len(rows)] for k in range(1 + n % 4)]
    payload = json.dumps({"rows": body}).encode()
    return _request("POST", at.model, "/predict", payload, {"Content-Type": "application/json"})[0], len(body)


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
    """Predicted class -> rows; None where the instrumentation that tells of them is not installed."""
    trace: dict[str, Any]
    """One failed request's trace: spans and logs."""
    ledger: dict[str, Any]


def _gather(at: Addresses, sent: Sent) -> Seen:
    click.echo("3/4 waiting until everything sent has been seen", err=True)
    seen = _look(at)
    deadline = time.monotonic() + 30
    while _missing(sent, seen) and time.monotonic() < deadline:
        time.sleep(0.5)
        seen = _look(at)
    return seen


def _look(at: Addresses) -> Seen:
    _, raw = _request("GET", at.serve, "/metrics")
    metrics = list(_samples(raw.decode()))
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
        if name == "model_predictions_by_class_total"
    }
    predictions = classes if importlib.util.find_spec("model_sidecar_instrumentation") else None
    status, body = _request("GET", at.serve, "/status")
    ledger = json.loads(body).get("ledger", {}) if status == 200 else {}
    return Seen(requests, _percentiles(metrics), logs, predictions, _failed_trace(at), ledger)


def _failed_trace(at: Addresses) -> dict[str, Any]:
    """The first recent trace that has spans and a log line with an exception."""
    status, body = _request("GET", at.serve, f"/api/traces?service={SERVICE}&limit=100")
    if status != 200:
        return {}
    for summary in json.loads(body)["traces"]:
        if not summary.get("error"):
            continue
        status, one = _request("GET", at.serve, f"/api/traces/{summary['traceId']}")
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


def _show(at: Addresses, sent: Sent, seen: Seen) -> None:
    click.secho(f"\n4/4 what the sidecar saw of {sent.total} requests", bold=True)
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
    click.echo(f"  http://127.0.0.1:{at.serve}/metrics")
    click.echo(f"  http://127.0.0.1:{at.serve}/status")
    if seen.trace:
        click.echo(f"  http://127.0.0.1:{at.serve}/api/traces/{seen.trace['traceId']}")


def _short(record: dict[str, Any]) -> str:
    body = record.get("body", "")
    return body if isinstance(body, str) else record.get("eventName") or "…"


def _keep_on(at: Addresses) -> None:
    click.echo("\nTraffic goes on at about 5 requests a second; Ctrl-C ends the demo.")
    with contextlib.suppress(KeyboardInterrupt):
        rows = _rows()
        for n in itertools.count():
            _predict(at, rows, n)
            time.sleep(0.2)


_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match:
            yield match.group(1), dict(_LABEL.findall(match.group(2) or "")), float(match.group(3))


def _request(
    method: str, port: int, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _status_of(port: int, path: str) -> int:
    try:
        return _request("GET", port, path)[0]
    except OSError:
        return 0


def _wait(good: Callable[[], bool], seconds: float, process: subprocess.Popen[bytes], what: str, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while not good():
        if process.poll() is not None:
            raise DemoError(f"waiting for {what}: it ended with exit code {process.returncode}{_end_of(log)}")
        if time.monotonic() > deadline:
            raise DemoError(f"waiting for {what}: not there after {seconds:g} s{_end_of(log)}")
        time.sleep(0.1)


def _end_of(log: Path) -> str:
    """The last lines of a process's output, which is gone with the demo's directory."""
    lines = log.read_text("utf-8", "replace").splitlines()[-15:]
    return "".join(f"\n  {line}" for line in lines)


def _port(wanted: int) -> int:
    """The usual port if it is free, else any free one."""
    for candidate in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", candidate))
            return int(probe.getsockname()[1])
    raise DemoError("no free port on 127.0.0.1")
