"""The frameworks that models are made with, in environments of their own outside the tree; a recording OTLP server; and
the bundle that instruments them."""

from __future__ import annotations

import atexit
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from sidecar.instrument import bundle as bundles
from support.engines.cache import ROOT, EngineUnavailable, command, entry, need
from support.engines.toolchains import with_lists
from support.environments import byte_compile, folder_of_packages, pip, python_with

PINNED = (
    "absl-py==2.5.1",
    "fastapi==0.165.0",
    "flask==3.1.3",
    "gunicorn==27.0.1",
    "jax==0.10.2",
    "keras==3.15.1",
    "lightgbm==4.7.0",
    "mlflow-skinny==3.17.2",
    "numpy==2.4.6",
    "onnx==1.23.2",
    "onnxruntime==1.31.1",
    "pandas==3.1.1",
    "scikit-learn==1.9.1",
    "six==1.17.0",
    "skl2onnx==1.20.0",
    "structlog==26.1.0",
    "uvicorn==0.54.0",
    "xgboost-cpu==3.2.0",
)
ALONE = ("catboost==1.2.10",)
"""Installed without what they ask for, which is for drawing."""


def frameworks_python() -> Path:
    """A Python with `PINNED` and `ALONE`, about 1.1 GB; nothing of OpenTelemetry's but what MLflow brings."""
    return python_with("frameworks", PINNED, ("--no-deps", *ALONE))


WEB = (
    "aiohttp==3.14.5",
    "celery==5.7.0",
    "daphne==4.2.3",
    "django==5.2.19",
    "fastapi==0.165.0",
    "flask==3.1.3",
    "gevent==26.9.0",
    "grpcio==1.85.3",
    "gunicorn==27.0.1",
    "hypercorn==0.18.0",
    "starlette==1.10.0",
    "tornado==6.6.1",
    "uvicorn==0.54.0",
    "waitress==3.0.2",
)
BUILT = ("uwsgi==2.0.31",)
"""Only where there is a C compiler."""


def web_python() -> Path:
    """A Python with `WEB`, and `BUILT` where that is possible, about 200 MB."""

    def build(home: Path) -> None:
        with suppress(EngineUnavailable):
            pip(home / "bin" / "python", "pip install of uwsgi", *BUILT)

    return python_with("web", WEB, then=build)


def installed_pythons() -> list[Path]:
    """Other Pythons from 3.9 on that are at hand, oldest first."""
    base = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [(int(path.parts[-3].split(".")[1]), path) for path in base.glob("3.*/bin/python")]
    return [path for minor, path in sorted(found) if minor >= 9]


def installed_python(minor: int) -> Path:
    """Raises `EngineUnavailable` where there is none of 3.<minor>."""
    found = next((path for path in installed_pythons() if f"/3.{minor}." in str(path)), None)
    if found is None:
        raise EngineUnavailable(f"Python 3.{minor} is not here")
    return found


def packages_for(python: str, packages: Sequence[str]) -> Path:
    """A folder with these, and what they ask for, for PYTHONPATH of that Python."""
    return folder_of_packages(python, "old", *packages)


def bundle(folder: Path) -> Path:
    """`sidecar instrument bundle`; the packages from the index are fetched once, what is ours is as it is now."""

    def fetch(target: Path, version: str) -> None:
        key = hashlib.sha256("\n".join((version, *bundles.REQUIREMENTS)).encode()).hexdigest()[:12]

        def make(at: Path) -> None:
            try:
                bundles.fetch_with_pip(at / "packages", version)
            except bundles.BundleError as error:
                raise EngineUnavailable(str(error)) from error

        shutil.copytree(entry(f"agent-packages-{version}-{key}", make) / "packages", target)

    bundles.make(folder, fetch=fetch)
    byte_compile(folder)
    return folder


EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Event:
    """A log record as it came."""

    name: str
    attributes: dict[str, Any]
    body: Any
    trace_id: bytes
    span_id: bytes
    resource: dict[str, Any]


@dataclass
class Recorded:
    """What an OTLP/HTTP server was sent."""

    port: int = 0
    events: list[Event] = field(default_factory=list)
    spans: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    """Span and its attributes."""
    metrics: dict[str, list[Any]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    """Requests that could not be read."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def predictions(self) -> list[Event]:
        with self.lock:
            return [event for event in self.events if event.name == "ml.prediction"]

    def loaded(self) -> list[Event]:
        with self.lock:
            return [event for event in self.events if event.name == "ml.model.loaded"]

    def rows(self) -> int:
        """Predicted rows, as their attributes say."""
        return sum(event.attributes["ml.prediction.count"] for event in self.predictions())

    def classes(self) -> dict[str, int]:
        """Rows by class, over the events that count."""
        counts: dict[str, int] = {}
        for event in self.predictions():
            if event.body["counted"]:
                for name, count in event.body.get("class_counts", {}).items():
                    counts[name] = counts.get(name, 0) + count
        return counts

    def take(self, path: str, body: bytes) -> None:
        with self.lock:
            if path == "/v1/logs":
                self._logs(ExportLogsServiceRequest.FromString(body))
            elif path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        self.spans += [(span, plain_map(span.attributes)) for span in scope.spans]
            else:
                for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    for scope in resource.scope_metrics:
                        for metric in scope.metrics:
                            self.metrics.setdefault(metric.name, []).append(metric)

    def _logs(self, request: ExportLogsServiceRequest) -> None:
        for resource in request.resource_logs:
            about = plain_map(resource.resource.attributes)
            for scope in resource.scope_logs:
                for r in scope.log_records:
                    made = Event(
                        r.event_name, plain_map(r.attributes), plain_value(r.body), r.trace_id, r.span_id, about
                    )
                    self.events.append(made)


def plain_value(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [plain_value(v) for v in value.array_value.values]
        case "kvlist_value":
            return plain_map(value.kvlist_value.values)
        case kind:
            return getattr(value, kind)


def plain_map(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: plain_value(pair.value) for pair in pairs}


@contextmanager
def recording(forward: str = "") -> Iterator[Recorded]:
    """An OTLP/HTTP server on a free port of 127.0.0.1 that keeps what it gets, and sends it on to the address `forward`
    as it came."""
    recorded = Recorded()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                recorded.take(self.path, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                if forward:
                    copy = {k: v for k, v in self.headers.items() if k.lower() in ("content-type", "content-encoding")}
                    urllib.request.urlopen(urllib.request.Request(forward + self.path, body, copy), timeout=60).close()
            except (DecodeError, OSError) as error:
                recorded.broken.append(f"{self.path}: {error}")
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    recorded.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield recorded
    finally:
        server.shutdown()
        server.server_close()
    assert not recorded.broken


@cache
def _home() -> str:
    """Of the programs of this process, not that of who runs the tests: gunicorn has a socket there, each by the same
    name."""
    folder = tempfile.TemporaryDirectory(prefix="home-")
    atexit.register(folder.cleanup)
    return folder.name


def environment(bundle_folder: Path, endpoint: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of a container with the bundle: nothing of this process's but what a program needs to run."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": _home(),
        "PYTHONPATH": str(bundle_folder),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_SERVICE_NAME": "model",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        # Where nothing is slow this changes nothing; on a loaded machine the last export takes longer than a second.
        "SIDECAR_EXIT_TIMEOUT": "20",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **(more or {}),
    }


def run(python: Path, arguments: list[str], env: Mapping[str, str], cwd: Path | None = None) -> str:
    """Output of a script that must end well, and must not have complained of the capture."""
    done = subprocess.run(
        [str(python), *arguments], env=dict(env), cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not captured" not in done.stderr, done.stderr
    assert "not instrumented" not in done.stderr, done.stderr
    return done.stdout


TORCH_PINNED = ("numpy==1.26.4", "transformers==4.40.2", "typing-extensions==4.16.0")


@dataclass(frozen=True)
class Torch:
    """Python with a torch for CPUs and transformers; `env` has what it needs beside it."""

    python: Path
    env: Mapping[str, str]


def torch_python() -> Torch:
    """Debian's python3-torch and the libraries that it needs, unpacked and not installed (650 MB): PyPI's builds for
    this platform bring gigabytes for GPUs. Only where its Python is this one, and where apt-get has it."""
    if sys.version_info[:2] != (3, 11):
        raise EngineUnavailable("Debian's python3-torch is for Python 3.11")
    tree = entry("debian-python3-torch", _unpack_torch)

    def link(home: Path) -> None:
        modules = tree / "usr/lib/python3/dist-packages"
        byte_compile(modules)
        for path in modules.glob("*torch*"):
            (next(home.glob("lib/python3*/site-packages")) / path.name).symlink_to(path)

    python = python_with("torch", TORCH_PINNED, then=link)
    libraries = tree / "usr/lib/x86_64-linux-gnu"
    path = [libraries, libraries / "lapack", libraries / "blas", tree / "lib/x86_64-linux-gnu", tree / "usr/lib"]
    return Torch(python, {"LD_LIBRARY_PATH": ":".join(map(str, path))})


def _unpack_torch(folder: Path) -> None:
    apt, dpkg = need("apt-get", "python3-torch"), need("dpkg", "python3-torch")
    packages = folder / "packages"
    (packages / "partial").mkdir(parents=True)
    options = ["-q", "-y", "--no-install-recommends", "--download-only", "-o", f"Dir::Cache::archives={packages}"]
    fetch = [apt, *options, "-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1", "install", "python3-torch"]
    with_lists(lambda: command(fetch, "apt-get download of python3-torch", 600))
    for package in sorted(packages.glob("*.deb")):
        command([dpkg, "-x", package, folder], f"unpack {package.name}", 120)
    shutil.rmtree(packages)
