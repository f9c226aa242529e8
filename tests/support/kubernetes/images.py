"""The images of a node, as archives that containerd imports: ours from docker/Dockerfile, the example's, and those of
the programs that tests run in the cluster. There is no registry: a pod's image is there or the pod does not start."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sidecar import __version__
from support.engines import prometheus3
from support.engines.cache import ROOT, cache_dir, command, content_key, entry, need
from support.engines.containers import Containers, containers
from support.engines.monitoring import alertmanager
from support.kubernetes import programs
from support.packaging import build_wheels, sources

SIDECAR, BUNDLE = f"localhost/model-sidecar:{__version__}", f"localhost/model-sidecar-bundle:{__version__}"
WINE, PAUSE = "localhost/wine:1", "localhost/pause:1"
PROMETHEUS, OPERATOR = "localhost/prometheus:1", "localhost/prometheus-operator:1"
ALERTMANAGER = "localhost/alertmanager:1"
_ARCHIVE = "images.tar"
_EXAMPLE = ROOT / "examples" / "fastapi_sklearn"
_EXAMPLE_FILE = ROOT / "examples" / "kubernetes" / "Dockerfile"
_PAUSE = Path(__file__).with_name("pause")


def ours() -> Path:
    """Sidecar and bundle of this tree."""
    with tempfile.TemporaryDirectory() as folder:
        context = sources(Path(folder) / "sources")
        name = f"node-images-ours-{content_key(context)}"

        def make(directory: Path) -> None:
            build_wheels(context)
            with containers() as tools:
                tools.build(context, SIDECAR, target="sidecar")
                tools.build(context, BUNDLE, target="bundle")
                _save(tools, directory, [SIDECAR, BUNDLE])

        made = entry(name, make)
    for old in cache_dir().glob("node-images-ours-*"):
        if old != made:
            shutil.rmtree(old)
    return made / _ARCHIVE


def example() -> Path:
    """The example's model, and the pod's first process."""

    def make(directory: Path) -> None:
        with containers() as tools:
            context = directory / "context"
            shutil.copytree(_EXAMPLE, context, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(_EXAMPLE_FILE, context)
            tools.build(context, WINE, file=Path("Dockerfile"))
            pause = directory / "pause"
            build = ["build", "-trimpath", "-ldflags=-s -w", "-o", pause, "."]
            command([need("go"), *build], "build the pod's first process", 300, {"CGO_ENABLED": "0"}, _PAUSE)
            _of_programs(tools, directory, PAUSE, [pause])
            _save(tools, directory, [WINE, PAUSE])
            shutil.rmtree(context)

    return entry(f"node-images-example-{content_key(_EXAMPLE / 'server.py', _EXAMPLE_FILE, _PAUSE)}", make) / _ARCHIVE


def monitoring() -> Path:
    """The Prometheus Operator, its Prometheus, and an Alertmanager."""

    def make(directory: Path) -> None:
        with containers() as tools:
            _of_programs(tools, directory, PROMETHEUS, [prometheus3("prometheus")])
            _of_programs(tools, directory, OPERATOR, sorted(programs.operator().iterdir()))
            _of_programs(tools, directory, ALERTMANAGER, [alertmanager()])
            _save(tools, directory, [PROMETHEUS, OPERATOR, ALERTMANAGER])

    return entry("node-images-monitoring-2", make) / _ARCHIVE


def _of_programs(tools: Containers, directory: Path, tag: str, paths: Sequence[Path]) -> None:
    """An image of static programs in /bin, the first of which it runs."""
    context = directory / "programs"
    context.mkdir()
    for path in paths:
        shutil.copy(path, context)
    lines = ["FROM scratch", *(f"COPY {path.name} /bin/{path.name}" for path in paths)]
    (context / "Dockerfile").write_text("\n".join([*lines, f'ENTRYPOINT ["/bin/{paths[0].name}"]', ""]))
    tools.build(context, tag, file=Path("Dockerfile"))
    shutil.rmtree(context)


def _save(tools: Containers, directory: Path, tags: Sequence[str]) -> None:
    archive = ["--format", "docker-archive", "--multi-image-archive", "--output", directory / _ARCHIVE]
    tools.run("podman", "save", "--quiet", *archive, *tags)
