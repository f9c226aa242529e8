"""Real OpenSearch and Elasticsearch nodes, from the distributions that both projects publish for integration tests.

What they lack (measured): OpenSearch has no ISM and no security plugin. Elasticsearch has no `GET /`, no ingest
processors, no painless, no GET/PUT/DELETE of `_data_stream` and no ILM. `_bulk`, templates and
search are the real ones.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.engines.cache import EngineUnavailable, need
from support.engines.ports import free_port
from support.engines.processes import Child, answers
from support.engines.toolchains import find_java, maven_distribution

READY_SECONDS = 120
JAVA = "-Xms512m -Xmx512m -XX:TieredStopAtLevel=1"
"""A node is stopped before the better compiler has paid for itself: without it a start takes half of the CPU."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """One engine's version: where it comes from, which Java it runs on."""

    engine: str
    """`opensearch` or `elasticsearch`."""
    version: str
    sha256: str
    java: range
    java_tried: int
    """The major version that it was seen to run on; others of the range are used where that one is not installed."""
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def coordinates(self) -> str:
        return f"org.{self.engine}.distribution.integ-test-zip:{self.engine}:{self.version}:zip"

    @property
    def label(self) -> str:
        return f"{self.engine} {self.version}"


OPENSEARCH = Distribution(
    "opensearch", "3.6.0", "a91faa1dc1cadc78cb278b4f63847e19e1627a4e9de698e14e7efc14ee37b286", range(21, 26), 25
)
ELASTICSEARCH_9 = Distribution(
    "elasticsearch",
    "9.5.3",
    "bec49f3b8d00e75c8d1cec85c35298635ec9fbd3ae80ef5aeb6bc05abdb3db2d",
    range(21, 27),
    25,
    (("xpack.security.enabled", False),),
)
ELASTICSEARCH_8 = Distribution(
    "elasticsearch",
    "8.19.21",
    "215d5f3dbf0609a149f6218a9e47b6ae2df34ebbff3c5754e35f15a5e5393c8a",
    range(17, 25),
    17,
    (("xpack.security.enabled", False),),
)


class SearchEngine:
    """One node with its own data directory. `stop` and `start` keep the data and the address (an outage)."""

    def __init__(
        self,
        distribution: Distribution,
        settings: Mapping[str, Any] | None = None,
        host: str = "127.0.0.1",
        java_options: str = JAVA,
    ) -> None:
        self.distribution = distribution
        self.host = host
        java = find_java(distribution.java, distribution.java_tried)
        source = maven_distribution(distribution.coordinates, distribution.sha256)
        self.home = Path(tempfile.mkdtemp(prefix=f"{distribution.engine}-"))
        self.home.chmod(0o755)
        self.port = free_port()
        self.url = f"http://{host}:{self.port}"
        _populate(source, self.home)
        self._configure(settings or {})
        engine = distribution.engine
        self.child = Child(
            distribution.label,
            [*_unprivileged(self.home), self.home / "bin" / engine],
            self.home / "output.log",
            {
                "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                "HOME": str(self.home),
                "LANG": "C.UTF-8",
                ("ES" if engine == "elasticsearch" else "OPENSEARCH") + "_JAVA_HOME": str(java),
                ("ES" if engine == "elasticsearch" else "OPENSEARCH") + "_JAVA_OPTS": java_options,
                ("ES" if engine == "elasticsearch" else "OPENSEARCH") + "_TMPDIR": str(self.home / "tmp"),
            },
            self.home,
        )

    def _configure(self, settings: Mapping[str, Any]) -> None:
        chosen: dict[str, Any] = {
            "cluster.name": f"tests-{self.port}",
            "network.host": self.host,
            "http.port": self.port,
            "transport.port": free_port(),
            "discovery.type": "single-node",
            "cluster.routing.allocation.disk.threshold_enabled": False,
            "action.auto_create_index": True,
            **dict(self.distribution.settings),
            **settings,
        }
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in chosen.items())
        (self.home / "config" / f"{self.distribution.engine}.yml").write_text(text)
        for name in ("data", "logs", "tmp"):
            (self.home / name).mkdir(exist_ok=True)
        if os.geteuid() == 0:
            for path in [self.home, self.home / "config", *(self.home / "config").rglob("*")]:
                shutil.chown(path, "nobody", "nogroup")
            for name in ("data", "logs", "tmp"):
                shutil.chown(self.home / name, "nobody", "nogroup")

    @property
    def pid(self) -> int:
        return self.child.pid

    def start(self) -> None:
        """Start, and wait until it has an elected master and takes requests."""
        self.child.start()
        health = f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=1s"
        self.child.wait_until(lambda: answers(health), READY_SECONDS)

    def stop(self) -> None:
        """Stop; the data stays."""
        self.child.stop(timeout=60)

    def remove(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)


def _populate(source: Path, home: Path) -> None:
    """The distribution's tree below `home`: its own copy of `config`, links to the rest (copies across file systems).
    Links, because the engine runs as another user, for whom the cache's directory need not be open."""

    def link(a: str, b: str) -> None:
        try:
            os.link(a, b)
        except OSError:
            shutil.copy2(a, b)

    for path in source.iterdir():
        if path.name in ("data", "logs"):
            continue
        if path.is_dir():
            shutil.copytree(path, home / path.name, copy_function=shutil.copy2 if path.name == "config" else link)
        else:
            link(str(path), str(home / path.name))


def _unprivileged(directory: Path) -> list[str]:
    """Both engines refuse to run as root: the prefix of a command that runs it as nobody."""
    if os.geteuid() != 0:
        return []
    for parent in directory.parents:
        if not parent.stat().st_mode & 0o001:
            raise EngineUnavailable(f"{parent} is closed to the user nobody, as whom the engine must run; set TMPDIR")
    return [need("setpriv", "an engine that refuses root"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@contextmanager
def search_engine(
    distribution: Distribution, settings: Mapping[str, Any] | None = None, java_options: str = JAVA
) -> Iterator[SearchEngine]:
    """A running node. Its directory, log included, is kept if it did not start, or with `SIDECAR_TEST_KEEP=1`."""
    engine = SearchEngine(distribution, settings, java_options=java_options)
    keep = True
    try:
        engine.start()
        keep = os.environ.get("SIDECAR_TEST_KEEP") == "1"
        yield engine
    finally:
        engine.child.stop(timeout=60)
        if not keep:
            engine.remove()


@contextmanager
def opensearch(settings: Mapping[str, Any] | None = None) -> Iterator[SearchEngine]:
    """A running OpenSearch 3.6, with extra `settings` for its `opensearch.yml`."""
    with search_engine(OPENSEARCH, settings) as engine:
        yield engine


@contextmanager
def elasticsearch9(settings: Mapping[str, Any] | None = None) -> Iterator[SearchEngine]:
    """Elasticsearch 9.5, likewise."""
    with search_engine(ELASTICSEARCH_9, settings) as engine:
        yield engine


@contextmanager
def elasticsearch8(settings: Mapping[str, Any] | None = None) -> Iterator[SearchEngine]:
    """Elasticsearch 8.19, likewise."""
    with search_engine(ELASTICSEARCH_8, settings) as engine:
        yield engine
