"""Prometheus, promtool, amtool and node-exporter from Debian's packages; with Go, Alertmanager and Prometheus 3."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from support.engines.cache import EngineUnavailable
from support.engines.ports import free_port
from support.engines.processes import Child, answers
from support.engines.toolchains import debian_package, go_install


def prometheus() -> Path:
    """The server's binary."""
    return _binary("prometheus")


def promtool() -> Path:
    """The checker's binary."""
    return _binary("promtool")


def prometheus3(command: Literal["prometheus", "promtool"]) -> Path:
    """A binary of Prometheus 3, with Kubernetes discovery; built once, about six minutes."""
    return go_install(f"github.com/prometheus/prometheus/cmd/{command}@v0.316.0")


def alertmanager() -> Path:
    """The server. Debian's looks for its own templates in /usr/share, where an unpacked package has none."""
    return go_install("github.com/prometheus/alertmanager/cmd/alertmanager@v0.28.1")


def amtool() -> Path:
    """Alertmanager's checker."""
    return _binary("amtool", "prometheus-alertmanager")


def node_exporter() -> Path:
    """The exporter of a host's metrics."""
    return _binary("prometheus-node-exporter", "prometheus-node-exporter")


def _binary(name: str, package: str = "prometheus") -> Path:
    """An installed one wins; else Debian's package, unpacked in the cache."""
    installed = shutil.which(name)
    if installed:
        return Path(installed)
    path = debian_package(package) / "usr/bin" / name
    if not path.exists():
        raise EngineUnavailable(f"the Debian package {package} has no {name}")
    return path


@dataclass(frozen=True, slots=True)
class Prometheus:
    url: str
    child: Child


@contextmanager
def run_prometheus(
    config_text: str,
    flags: Sequence[str] = (),
    binary: Path | None = None,
    scheme: str = "http",
    ready: Callable[[str], bool] = answers,
) -> Iterator[Prometheus]:
    """A Prometheus with that configuration, ready. Exemplars: `flags=["--enable-feature=exemplar-storage"]`. `scheme`,
    `ready`: where a file of `flags` puts TLS or credentials before it; `ready` is asked about its `/-/ready`."""
    binary = binary or prometheus()
    home = Path(tempfile.mkdtemp(prefix="prometheus-"))
    port = free_port()
    (home / "prometheus.yml").write_text(config_text)
    child = Child(
        "prometheus",
        [
            binary,
            f"--config.file={home / 'prometheus.yml'}",
            f"--storage.tsdb.path={home / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            *flags,
        ],
        home / "output.log",
    )
    started = False
    try:
        child.start()
        url = f"{scheme}://127.0.0.1:{port}"
        child.wait_until(lambda: ready(f"{url}/-/ready"), 60)
        started = True
        yield Prometheus(url, child)
    finally:
        child.stop()
        if started:
            shutil.rmtree(home, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Alertmanager:
    url: str
    child: Child


@contextmanager
def run_alertmanager(config: Path) -> Iterator[Alertmanager]:
    """An Alertmanager with that configuration, ready. Paths in it are relative to its folder."""
    binary = alertmanager()
    home = Path(tempfile.mkdtemp(prefix="alertmanager-"))
    port = free_port()
    child = Child(
        "alertmanager",
        [
            binary,
            f"--config.file={config}",
            f"--storage.path={home / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        home / "output.log",
    )
    started = False
    try:
        child.start()
        child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), 60)
        started = True
        yield Alertmanager(f"http://127.0.0.1:{port}", child)
    finally:
        child.stop()
        if started:
            shutil.rmtree(home, ignore_errors=True)
