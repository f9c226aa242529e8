"""The demo's third part: the same model server keeps one trace in ten, and its predictions stay complete."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from sidecar.demo.ask import request, samples, status_of
from sidecar.demo.processes import process, wait
from sidecar.demo.traffic import Wines

SERVICE = MODEL = "wine-sampled"
SAMPLE = 0.1
REQUESTS = 500
TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Counts:
    """What was sent, and what the sidecar shows of it."""

    requests: int
    rows: int
    spans: int
    """Spans that came and stood for more than themselves."""
    calls: int
    """Calls of all those spans in RED metrics."""
    requests_by_red: int
    predictions: int


def run(ingest: int, serve: int, model: int, folder: Path, example: Path, wines: Wines) -> Counts:
    """Start the example's server on the port `model` with `sidecar instrument --sample`, send it requests, and look at
    the sidecar (ports `ingest`, `serve`) until it shows them or time is up."""
    log = folder / "sampled.log"
    with _server(ingest, model, log, example) as server:
        wait(lambda: status_of(model, "/health") == 200, 90, server, "the sampled model server to start", log)
        sent = _send(model, wines)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    counts = _counts(serve, sent)
    while missing(counts) and time.monotonic() < deadline:
        time.sleep(0.5)
        counts = _counts(serve, sent)
    return counts


@contextlib.contextmanager
def _server(ingest: int, port: int, log: Path, example: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(Path(sys.executable).with_name("sidecar")), "instrument", "--sample", str(SAMPLE)]
    command += ["--endpoint", f"http://127.0.0.1:{ingest}", "--service", SERVICE, "--model", MODEL, "--"]
    command += [sys.executable, "-m", "uvicorn", "server:app", "--host", "127.0.0.1", "--port", str(port)]
    with process(command, {"PYTHONDONTWRITEBYTECODE": "1"}, log, cwd=example) as server:
        yield server


def _send(port: int, wines: Wines) -> int:
    """Rows that were sent, one to four a request."""
    table, sent = wines.rows, 0
    headers = {"Content-Type": "application/json"}
    with click.progressbar(range(REQUESTS), label="5/7 keeping one trace in ten", file=sys.stderr) as numbers:
        for n in numbers:
            body = [table[(n + k) % len(table)] for k in range(1 + n % 4)]
            request("POST", port, "/predict", json.dumps({"rows": body}).encode(), headers)
            sent += len(body)
    return sent


def _counts(serve: int, sent: int) -> Counts:
    spans = calls = by_red = predictions = 0.0
    for name, labels, value in samples(request("GET", serve, "/metrics")[1].decode()):
        if name == "sidecar_spans_scaled_total":
            spans += value
        elif name == "model_predictions_total" and labels.get("model") == MODEL:
            predictions += value
        elif name == "traces_span_metrics_calls_total" and labels.get("service_name") == SERVICE:
            calls += value
            predict = labels.get("span_name") == "POST /predict" and labels.get("span_kind") == "SPAN_KIND_SERVER"
            by_red += value if predict else 0
    return Counts(REQUESTS, sent, int(spans), int(calls), int(by_red), int(predictions))


def missing(counts: Counts) -> list[str]:
    """What should be there and is not; empty when all is well."""
    gone = []
    if counts.predictions != counts.rows:
        gone.append(f"predictions under sampling: {counts.predictions} rows, {counts.rows} were predicted")
    if not 0 < counts.spans * 10 == counts.calls:
        gone.append(f"RED under sampling: {counts.calls} calls of {counts.spans} spans that each stand for ten")
    return gone


def show(counts: Counts) -> None:
    """What it means, for people."""
    click.echo(f"\nOne trace in ten kept (sidecar instrument --sample {SAMPLE})")
    click.echo(f"  {'requests sent':<28} {counts.requests:>12}   with {counts.rows} rows")
    click.echo(f"  {'spans received':<28} {counts.spans:>12}   of the kept traces, each stands for ten")
    click.echo(f"  {'requests by RED, scaled':<28} {counts.requests_by_red:>12}   {_off(counts)}")
    click.echo(f"  {'predictions counted':<28} {counts.predictions:>12}   every one: events are not sampled")


def _off(counts: Counts) -> str:
    """How far a sample of this size may well be off: twice the standard deviation of its count."""
    usual = 2 * ((1 - SAMPLE) / SAMPLE / counts.requests) ** 0.5
    return f"{counts.requests_by_red / counts.requests - 1:+.0%} (within ±{usual:.0%} in 19 runs of 20)"
