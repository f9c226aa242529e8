"""Real engines for tests: each is fetched or built once into a cache outside the tree, started on 127.0.0.1 on a free
port, and stopped by its process id. What cannot be had on a machine raises `EngineUnavailable` with the reason.

`python -m support.engines warm` (with `tests` on PYTHONPATH) fetches and builds everything beforehand."""

from __future__ import annotations

from support.engines.cache import EngineUnavailable, cache_dir, need
from support.engines.monitoring import (
    Alertmanager,
    Prometheus,
    amtool,
    node_exporter,
    prometheus,
    prometheus3,
    promtool,
    run_alertmanager,
    run_prometheus,
)
from support.engines.peer import (
    Collector,
    Sink,
    collector_binary,
    loadgen_binary,
    nullsink_binary,
    payload_dir,
    rotel_binary,
    run_collector,
    run_nullsink,
    run_rotel,
)
from support.engines.ports import free_port
from support.engines.processes import Child, answers, http_get, wait_for
from support.engines.search import SearchEngine, elasticsearch8, elasticsearch9, opensearch
from support.engines.sidecar import SidecarProcess, sidecar_command, sidecar_process
from support.engines.toolchains import find_java, go_install, maven_artifact, npm_project, telemetrygen_binary

__all__ = [
    "Alertmanager",
    "Child",
    "Collector",
    "EngineUnavailable",
    "Prometheus",
    "SearchEngine",
    "SidecarProcess",
    "Sink",
    "amtool",
    "answers",
    "cache_dir",
    "collector_binary",
    "elasticsearch8",
    "elasticsearch9",
    "find_java",
    "free_port",
    "go_install",
    "http_get",
    "loadgen_binary",
    "maven_artifact",
    "need",
    "node_exporter",
    "npm_project",
    "nullsink_binary",
    "opensearch",
    "payload_dir",
    "prometheus",
    "prometheus3",
    "promtool",
    "rotel_binary",
    "run_alertmanager",
    "run_collector",
    "run_nullsink",
    "run_prometheus",
    "run_rotel",
    "sidecar_command",
    "sidecar_process",
    "telemetrygen_binary",
    "wait_for",
]
