"""The images that compose.yaml names, under those names: ours from their Dockerfiles, those of other projects from the
programs that tests have. They are in stores, which podman reads where they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from sidecar import __version__
from support.engines import find_java, prometheus3
from support.engines.cache import ROOT, command, content_key, entry
from support.engines.containers import Containers, containers
from support.engines.monitoring import alertmanager
from support.engines.search import ELASTICSEARCH_9
from support.engines.toolchains import debian_package, go_install, maven_distribution
from support.secure_engine import install_plugin

_OWN = "docker.io/library/model-sidecar"
"""A name without a registry is one of Docker's own."""
SIDECAR, BUNDLE, MODEL = (f"{_OWN}{name}:{__version__}" for name in ("", "-bundle", "-demo"))
PROMETHEUS, ALERTMANAGER = "docker.io/prom/prometheus:v3.16.0", "docker.io/prom/alertmanager:v0.28.1"
NODE_EXPORTER = "docker.io/prom/node-exporter:v1.9.1"
ELASTICSEARCH = f"docker.elastic.co/elasticsearch/elasticsearch:{ELASTICSEARCH_9.version}"
_EXAMPLE = ROOT / "examples" / "fastapi_sklearn"
_HERE = Path(__file__).parent
_DOCKERFILE, _ENTRYPOINT = _HERE / "Dockerfile", _HERE / "elasticsearch-entrypoint.py"


def _store(name: str, build: Callable[[Containers, Path], None]) -> Path:
    """The folder of a store in the cache; `build` is given an empty folder for its context."""

    def make(directory: Path) -> None:
        context = directory / "context"
        context.mkdir()
        with containers() as tools:
            build(tools, context)
            tools.keep(directory / "store")
        shutil.rmtree(context)

    return entry(f"stack-{name}", make) / "store"


def model() -> Path:
    """The demo model, by the Dockerfile that compose.yaml builds it with."""

    def build(tools: Containers, context: Path) -> None:
        tools.build(_EXAMPLE, MODEL, file=Path("Dockerfile"))

    return _store(f"model-{__version__}-{content_key(_EXAMPLE)}", build)


def others() -> Path:
    """Prometheus, Alertmanager, node-exporter and Elasticsearch, in the versions of compose.yaml."""

    def build(tools: Containers, context: Path) -> None:
        _programs(context)
        _elasticsearch(context)
        for tag in (PROMETHEUS, ALERTMANAGER, NODE_EXPORTER, ELASTICSEARCH):
            target = tag.rpartition("/")[2].partition(":")[0]
            tools.build(context, tag, file=Path("Dockerfile"), target=target)

    return _store(f"others-{content_key(_DOCKERFILE, _ENTRYPOINT)}", build)


def _programs(context: Path) -> None:
    shutil.copy(_DOCKERFILE, context)
    shutil.copy(_ENTRYPOINT, context)
    (context / "empty").mkdir()
    for program in (
        *(prometheus3("prometheus"), prometheus3("promtool"), alertmanager()),
        go_install("github.com/prometheus/alertmanager/cmd/amtool@v0.28.1"),
        go_install("github.com/prometheus/node_exporter@v1.9.1"),
    ):
        shutil.copy(program, context)
    # The published images of these projects have busybox.
    shutil.copy(debian_package("busybox-static") / "bin/busybox", context / "wget")


def _elasticsearch(context: Path) -> None:
    """The distribution with what the published image has beside it: its own settings, and a Java."""
    java = find_java(ELASTICSEARCH_9.java, ELASTICSEARCH_9.java_tried)
    shutil.copytree(java, context / "java", symlinks=True, ignore=shutil.ignore_patterns("src.zip", "jmods", "man"))
    home = context / "elasticsearch"
    shutil.copytree(maven_distribution(ELASTICSEARCH_9.coordinates, ELASTICSEARCH_9.sha256), home)
    install_plugin(home)
    shutil.rmtree(home / "classes")
    for name in ("data", "logs"):
        (home / name).mkdir(exist_ok=True)
    (home / "config" / "elasticsearch.yml").write_text("cluster.name: docker-cluster\nnetwork.host: 0.0.0.0\n")
    command(["chmod", "-R", "g=u", home], "files that the group may write", 60)
