"""The Collector, the load generator and the counting sink, as `bench/peer/build.sh` builds them; rotel."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.engines.cache import ROOT, EngineUnavailable, command, content_key, entry, need
from support.engines.charts import python_tool
from support.engines.ports import free_port
from support.engines.processes import Child, answers
from support.engines.toolchains import GO_BUILD_SECONDS

PEER = ROOT / "bench" / "peer"


def collector_binary() -> Path:
    """OpenTelemetry Collector 0.155 with the parts of `bench/peer/manifest.yaml`. The first build takes minutes."""
    return _build("collector", PEER / "manifest.yaml") / "otelcol"


def loadgen_binary() -> Path:
    """`loadgen gen` writes payload files, `loadgen send` replays them."""
    return _build("loadgen", PEER / "loadgen") / "loadgen"


def nullsink_binary() -> Path:
    """Counts documents sent to `_bulk`, `/v1/traces`, `/v1/logs`; `GET /count`."""
    return _build("nullsink", PEER / "nullsink") / "nullsink"


def payload_dir(size: int = 512) -> Path:
    """Files made by `loadgen gen`: 50 payloads of `size` spans, 50 of `size` log records, 50 of 3,000 JSON lines."""
    binary = loadgen_binary()
    key = content_key(PEER / "loadgen" / "gen.go")

    def make(directory: Path) -> None:
        command([binary, "gen", "-dir", directory, "-size", str(size)], "make payloads", 120)

    return entry(f"payloads-{size}-{key}", make)


def _build(target: str, source: Path) -> Path:
    def make(directory: Path) -> None:
        need("go", target)
        command([need("bash"), PEER / "build.sh", target, directory], f"build {target}", GO_BUILD_SECONDS)

    return entry(f"{target}-{content_key(source, PEER / 'build.sh')}", make)


@dataclass(frozen=True, slots=True)
class Collector:
    child: Child
    home: Path


@contextmanager
def run_collector(config_text: str, ready_url: str, flags: Sequence[str] = ()) -> Iterator[Collector]:
    """A Collector with that configuration; `ready_url` answers below 300 once it is up (its health_check extension)."""
    binary = collector_binary()
    home = Path(tempfile.mkdtemp(prefix="otelcol-"))
    (home / "config.yaml").write_text(config_text)
    child = Child("otelcol", [binary, f"--config={home / 'config.yaml'}", *flags], home / "output.log", cwd=home)
    started = False
    try:
        child.start()
        child.wait_until(lambda: answers(ready_url), 60)
        started = True
        yield Collector(child, home)
    finally:
        child.stop()
        if started and os.environ.get("SIDECAR_TEST_KEEP") != "1":
            shutil.rmtree(home, ignore_errors=True)


def rotel_binary() -> Path:
    """rotel, an OTLP forwarder in Rust, of the package on PyPI: it has no queue on disk and derives no metrics."""
    found = list(python_tool("rotel==0.0.1a15").parent.glob("lib/python*/site-packages/rotel/rotel-agent"))
    if not found:
        raise EngineUnavailable("the package rotel has no program for this platform")
    return found[0]


@contextmanager
def run_rotel(grpc: str, http: str, sink_url: str) -> Iterator[Child]:
    """rotel between two addresses of its own and an OTLP/HTTP receiver, with its defaults."""
    home = Path(tempfile.mkdtemp(prefix="rotel-"))
    receiver = ["--otlp-grpc-endpoint", grpc, "--otlp-http-endpoint", http]
    exporter = ["--exporter", "otlp", "--otlp-exporter-endpoint", sink_url, "--otlp-exporter-protocol", "http"]
    child = Child("rotel", [rotel_binary(), "start", *receiver, *exporter], home / "output.log", cwd=home)
    host, port = grpc.split(":")
    try:
        child.start()
        child.wait_until(lambda: _listens(host, int(port)), 60)
        yield child
    finally:
        child.stop()
        shutil.rmtree(home, ignore_errors=True)


def _listens(host: str, port: int) -> bool:
    with socket.create_connection((host, port), 5):
        return True


@dataclass(frozen=True, slots=True)
class Sink:
    url: str
    child: Child


@contextmanager
def run_nullsink() -> Iterator[Sink]:
    """The counting sink on a free port."""
    binary = nullsink_binary()
    port = free_port()
    home = Path(tempfile.mkdtemp(prefix="nullsink-"))
    child = Child("nullsink", [binary, "-addr", f"127.0.0.1:{port}"], home / "output.log")
    try:
        child.start()
        child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/count"), 20)
        yield Sink(f"http://127.0.0.1:{port}", child)
    finally:
        child.stop()
        shutil.rmtree(home, ignore_errors=True)
