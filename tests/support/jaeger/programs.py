"""The real Jaeger 1.76, both of it: v1 (`all-in-one`) and v2 (`jaeger`, built from the Collector), built with Go into
the cache of the engine tests (some ten minutes, once)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.engines import cache
from support.engines.ports import free_port
from support.engines.processes import Child, answers

VERSION = "v1.76.0"
_MODULES = {
    "all-in-one": "github.com/jaegertracing/jaeger/cmd/all-in-one",
    "jaeger": "github.com/jaegertracing/jaeger/cmd/jaeger",
}
_SARAMA = "github.com/Shopify/sarama"
_MEMORY = {"memory": {"max_traces": 100_000}}
READY_SECONDS = 60


def binaries() -> Path:
    """The folder with `all-in-one` and `jaeger`. Raises `EngineUnavailable`."""

    def make(directory: Path) -> None:
        go = cache.need("go", "Jaeger")
        for arguments in (
            ["mod", "init", "x"],
            ["mod", "edit", f"-replace={_SARAMA}={_SARAMA}@v1.33.0"],
            ["get", "-tool", *(f"{module}@{VERSION}" for module in _MODULES.values())],
            *(["build", "-o", name, module] for name, module in _MODULES.items()),
        ):
            cache.command([go, *arguments], f"build Jaeger {VERSION}", 3600, cwd=directory)

    return cache.entry(f"jaeger-{VERSION}-v1-v2", make)


@dataclass(frozen=True, slots=True)
class Jaeger:
    """One that runs. Addresses are URLs without a path."""

    query: str
    otlp: str
    pid: int


@contextmanager
def run_v1(environ: Mapping[str, str] | None = None) -> Iterator[Jaeger]:
    """Version 1; in memory unless `environ` (`SPAN_STORAGE_TYPE` and what belongs to it) says more."""
    names = (
        "query.http-server.host-port", "query.grpc-server.host-port", "collector.otlp.http.host-port",
        "collector.otlp.grpc.host-port", "admin.http.host-port", "collector.grpc-server.host-port",
        "collector.http-server.host-port",
    )  # fmt: skip
    ports = {name: free_port() for name in names}
    flags = [f"--{name}=127.0.0.1:{port}" for name, port in ports.items()]
    with _running(
        [binaries() / "all-in-one", *flags],
        f"http://127.0.0.1:{ports['query.http-server.host-port']}",
        f"http://127.0.0.1:{ports['collector.otlp.http.host-port']}",
        environ or {},
    ) as jaeger:
        yield jaeger


@contextmanager
def run_v2(backend: Mapping[str, Any] | None = None) -> Iterator[Jaeger]:
    """Version 2, which is a Collector; `backend` of its storage, by default memory."""
    query, grpc, otlp, health = (free_port() for _ in range(4))
    config = {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query", "healthcheckv2"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
            "telemetry": {"metrics": {"level": "none"}},
        },
        "extensions": {
            "healthcheckv2": {"use_v2": True, "http": {"endpoint": f"127.0.0.1:{health}"}},
            "jaeger_query": {
                "storage": {"traces": "some"},
                "http": {"endpoint": f"127.0.0.1:{query}"},
                "grpc": {"endpoint": f"127.0.0.1:{grpc}"},
            },
            "jaeger_storage": {"backends": {"some": backend or _MEMORY}},
        },
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{otlp}"}}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "some"}},
    }
    with tempfile.TemporaryDirectory(prefix="jaeger-") as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(json.dumps(config), "utf-8")
        command = [binaries() / "jaeger", "--config", path]
        with _running(command, f"http://127.0.0.1:{query}", f"http://127.0.0.1:{otlp}", {}) as jaeger:
            yield jaeger


@contextmanager
def _running(command: list[str | Path], query: str, otlp: str, environ: Mapping[str, str]) -> Iterator[Jaeger]:
    with tempfile.TemporaryDirectory(prefix="jaeger-") as folder:
        child = Child(
            "jaeger", command, Path(folder) / "output.log", {"PATH": "/usr/bin:/bin", **environ}, Path(folder)
        )
        child.start()
        try:
            child.wait_until(lambda: answers(f"{query}/api/services"), READY_SECONDS)
            yield Jaeger(query, otlp, child.pid)
        finally:
            child.stop()
