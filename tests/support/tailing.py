"""A tailer on real files and a real journal, with a clock that moves when asked to."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidecar.decode.otlp import records as otlp
from sidecar.decode.python import ReferenceDecoder
from sidecar.journal.journal import Journal
from sidecar.pipeline import Consumer
from sidecar.receive.file_tail.copies import CUT_SECONDS
from sidecar.receive.file_tail.options import Options
from sidecar.receive.file_tail.tailer import Tailer
from sidecar.telemetry import Telemetry
from support.journals import Disk, journal, take


@dataclass
class Tailing:
    """`cycle` looks for files and reads until there is no more; `restart` is what a kill -9 leaves."""

    directory: Path
    options: Options
    disk: Disk = field(default_factory=Disk)
    now: float = 1000.0
    log: Journal = field(init=False)
    consumer: Consumer = field(init=False)
    tailer: Tailer = field(init=False)
    records: list[otlp.LogRecord] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = journal(self.directory, disk=self.disk)
        self.consumer = self.log.consumer("test", frozenset({"logs"}))
        self.start()

    def start(self) -> None:
        self.tailer = Tailer(
            self.options, ReferenceDecoder(), self.log, Telemetry(), lambda: self.now, lambda: int(self.now * 1e9)
        )

    def restart(self, between: Callable[[], object] | None = None) -> None:
        """The tailer's memory is gone; `between` happens while nobody looks."""
        self.tailer.close()
        if between is not None:
            between()
        self.start()
        self.cycle()

    def cycle(self, seconds: float = 0.0) -> list[str]:
        """Let time pass, look and read; gives the new records' texts."""
        self.now += seconds
        again = True
        while again:
            self.tailer.scan()
            more = True
            rescan = False
            while more and not rescan:
                more, rescan = self.tailer.read(self.tailer.due())
            again = rescan
        return self.fetch()

    def fetch(self) -> list[str]:
        new: list[str] = []
        for entry in take(self.consumer):
            for placed in otlp.log_records(entry.payload):
                assert isinstance(placed.record, otlp.LogRecord)
                assert not placed.rejection
                self.records.append(placed.record)
                self.resources.append(dict(placed.resource.attributes.values))
                new.append(str(placed.record.body))
        return new

    @property
    def bodies(self) -> list[str]:
        return [str(record.body) for record in self.records]

    def losses(self) -> list[tuple[str, int]]:
        return [(loss.reason, loss.bytes) for loss in self.tailer.take_losses()]

    def close(self) -> None:
        self.tailer.close()
        self.log.close()


Make = Callable[..., Tailing]
"""Fixture `make`: a tailing of the fixture `logs`, with options."""


def lines(first: int, last: int, word: str = "line") -> bytes:
    return b"".join(b'{"message":"%s %d"}\n' % (word.encode(), n) for n in range(first, last))


def texts(first: int, last: int, word: str = "line") -> list[str]:
    return [f"{word} {n}" for n in range(first, last)]


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


START = b"starting\nready\n"
"""How files of several tests begin."""


def settle(tailing: Tailing) -> Counter[str]:
    """Everything that is read in the time after which copies are told apart from others."""
    for _ in range(4):
        tailing.cycle(CUT_SECONDS / 2)
    return Counter(tailing.bodies)


def counted(*contents: bytes) -> Counter[str]:
    return Counter(line for content in contents for line in content.decode().splitlines())


def compressed(file: Path, target: Path) -> None:
    """As a program does it that rotates its own file."""
    target.write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
