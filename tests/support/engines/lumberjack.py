"""Lumberjack servers: Elastic's own test server `tst-lj`, and one on the same library that keeps what it got."""

from __future__ import annotations

import json
import re
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.certificates import Pair
from support.engines.cache import command, content_key, entry, need
from support.engines.peer import PEER
from support.engines.ports import free_port
from support.engines.processes import Child, http_get, wait_for
from support.engines.toolchains import go_install

_RECEIVED = re.compile(r"Received batch of (\d+) events")


def tst_lj_binary() -> Path:
    """The test server of Elastic's go-lumber, unchanged."""
    return go_install("github.com/elastic/go-lumber/cmd/tst-lj@v0.1.0")


def lumbersink_binary() -> Path:
    """Our own server on go-lumber (`bench/peer/lumbersink`): TLS, and the events in a file."""

    def make(directory: Path) -> None:
        need("go", "lumbersink")
        command([need("bash"), PEER / "build.sh", "lumbersink", directory], "build lumbersink", 600)

    source = PEER / "lumbersink"
    return entry(f"lumbersink-{content_key(source, PEER / 'build.sh')}", make) / "lumbersink"


def lumbersource_binary() -> Path:
    """A client on go-lumber that sends events as Filebeat makes them (`tests/support/lumbersource`)."""
    source = Path(__file__).parents[1] / "lumbersource"

    def make(directory: Path) -> None:
        built = directory / "lumbersource"
        command([need("go", "lumbersource"), "build", "-C", source, "-trimpath", "-o", built, "."], "build it", 600)

    return entry(f"lumbersource-{content_key(source)}", make) / "lumbersource"


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class TstLj:
    """`tst-lj`: acknowledges whole windows, and says in its log how many events each had. The port stays the same."""

    def __init__(self, home: Path, rate: int = 0) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        arguments = [tst_lj_binary(), "-v2", "-bind", self.address, *(["-rate", str(rate)] if rate else [])]
        self.child = Child("tst-lj", [str(a) for a in arguments], home / "tst-lj.log")

    def start(self) -> None:
        self.child.start()
        self.child.wait_until(lambda: accepts(self.port), 20)

    def received(self) -> int:
        """Events of all windows that it has read so far, over restarts."""
        return sum(int(count) for count in _RECEIVED.findall(self.child.log.read_text()))


@contextmanager
def tst_lj(rate: int = 0) -> Iterator[TstLj]:
    """A running `tst-lj`; `rate`: most windows that it acknowledges in a second."""
    home = Path(tempfile.mkdtemp(prefix="tst-lj-"))
    server = TstLj(home, rate)
    try:
        server.start()
        yield server
    finally:
        server.child.kill9()
        shutil.rmtree(home, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a server shows, and the authority of the client certificates that it asks for."""

    pair: Pair
    client_ca: Path | None = None


class LumberSink:
    """A lumberjack server that keeps its events over restarts. The ports stay the same."""

    def __init__(self, home: Path, tls: ServerTls | None, flags: Sequence[str], keep: bool) -> None:
        self.port, self._status = free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.status_url = f"http://127.0.0.1:{self._status}"
        self._file = home / "events.ndjson"
        arguments = [lumbersink_binary(), "-addr", self.address, "-status", f"127.0.0.1:{self._status}", *flags]
        if keep:
            arguments += ["-keep", self._file]
        if tls is not None:
            arguments += ["-cert", tls.pair.cert, "-key", tls.pair.key]
            arguments += ["-client-ca", tls.client_ca] if tls.client_ca else []
        self.child = Child("lumbersink", [str(a) for a in arguments], home / "lumbersink.log")

    def start(self) -> None:
        self.child.start()
        self.child.wait_until(lambda: http_get(f"{self.status_url}/count")[0] == 200, 20)

    def count(self) -> dict[str, int]:
        """Figures since its last start."""
        figures: dict[str, int] = json.loads(http_get(f"{self.status_url}/count")[1])
        return figures

    def events(self) -> list[dict[str, Any]]:
        """Every event that it was about to acknowledge, over restarts, in order."""
        if not self._file.exists():
            return []
        whole = self._file.read_bytes().rpartition(b"\n")[0]
        return [json.loads(line) for line in whole.split(b"\n") if line]

    def ids(self) -> Counter[str]:
        """How often each id arrived."""
        return Counter(event["@metadata"]["_id"] for event in self.events())

    def wait(self, ids: set[str], timeout: float = 60) -> None:
        """Until all of them have arrived."""
        wait_for(lambda: ids <= set(self.ids()), timeout, f"{len(ids)} events")


@contextmanager
def lumbersink(
    *flags: str, tls: ServerTls | None = None, keep: bool = True, start: bool = True
) -> Iterator[LumberSink]:
    """A lumberjack server; `flags` as its source has them (`-delay 1s`)."""
    home = Path(tempfile.mkdtemp(prefix="lumbersink-"))
    server = LumberSink(home, tls, flags, keep)
    try:
        if start:
            server.start()
        yield server
    finally:
        server.child.kill9()
        shutil.rmtree(home, ignore_errors=True)
