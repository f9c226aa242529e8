"""Prometheus and promtool, from the Debian package."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.engines.cache import EngineUnavailable
from support.engines.processes import Child, answers, free_port
from support.engines.toolchains import debian_package


def prometheus() -> Path:
    """The server's binary."""
    return _binary("prometheus")


def promtool() -> Path:
    """The checker's binary."""
    return _binary("promtool")


def _binary(name: str) -> Path:
    """An installed one wins; else Debian's package, unpacked in the cache."""
    installed = shutil.which(name)
    if installed:
        return Path(installed)
    path = debian_package("prometheus") / "usr/bin" / name
    if not path.exists():
        raise EngineUnavailable(f"the Debian package prometheus has no {name}")
    return path


@dataclass(frozen=True, slots=True)
class Prometheus:
    url: str
    child: Child


@contextmanager
def run_prometheus(config_text: str, flags: Sequence[str] = ()) -> Iterator[Prometheus]:
    """A Prometheus with that configuration, ready. Exemplars: `flags=["--enable-feature=exemplar-storage"]`."""
    binary = prometheus()
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
        child.wait_until(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), 60)
        started = True
        yield Prometheus(f"http://127.0.0.1:{port}", child)
    finally:
        child.stop()
        if started:
            shutil.rmtree(home, ignore_errors=True)
