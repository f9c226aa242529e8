"""Journals for tests: short delays, a clock that stands still, a disk that fails on demand."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidecar.journal import schema
from sidecar.journal.journal import Journal
from sidecar.journal.opening import open_journal
from sidecar.journal.options import JournalOptions
from sidecar.journal.submission import Submission
from sidecar.pipeline import Ack, Consumer, Entry, entry_counts

SECOND = 1_000_000_000
LOGS = frozenset(["logs"])
ALL = frozenset(["spans", "logs", "metrics"])
Make = Callable[..., Journal]
"""Opens a journal with these options (`conftest.py` of the journal's tests)."""


@dataclass
class Clock:
    """Unix nanoseconds that move by `forward` only."""

    now: int = 1_700_000_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


@dataclass
class Disk:
    """Makes writing connections; `full` has every commit fail as on a full disk, `gone` the rollback as well."""

    full: bool = False
    gone: bool = False
    before_commit: Callable[[], None] | None = None
    after_commit: Callable[[], None] | None = None
    before_checkpoint: Callable[[], None] | None = None
    """Of the write-ahead log, when the journal asks for one."""
    made: list[FailingConnection] = field(default_factory=list)

    def connect(self, path: Path) -> sqlite3.Connection:
        if self.gone:
            raise disk_error("disk I/O error", sqlite3.SQLITE_IOERR)
        connection = FailingConnection(schema.connect(path), self)
        self.made.append(connection)
        return connection  # type: ignore[return-value]


class FailingConnection:
    def __init__(self, db: sqlite3.Connection, disk: Disk) -> None:
        self._db = db
        self._disk = disk

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and self._disk.full:
            raise disk_error("database or disk is full", sqlite3.SQLITE_FULL)
        if sql in ("COMMIT", "ROLLBACK") and self._disk.gone:
            raise disk_error("disk I/O error", sqlite3.SQLITE_IOERR)
        if sql == "COMMIT" and self._disk.before_commit is not None:
            self._disk.before_commit()
        if sql == "PRAGMA wal_checkpoint(PASSIVE)" and self._disk.before_checkpoint is not None:
            self._disk.before_checkpoint()
        done = self._db.execute(sql, *values)
        if sql == "COMMIT" and self._disk.after_commit is not None:
            self._disk.after_commit()
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def disk_error(message: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


def options(path: Path, **more: Any) -> JournalOptions:
    return JournalOptions(path=path, **{"commit_delay": 0, "cursor_delay": 0.001, **more})


def journal(path: Path, clock: Callable[[], int] | None = None, disk: Disk | None = None, **more: Any) -> Journal:
    return open_journal(options(path, **more), clock or Clock(), connect=disk.connect if disk else schema.connect)


def submission(text: str | bytes, items: int = 1, **more: Any) -> Submission:
    payload = text.encode() if isinstance(text, str) else text
    return Submission(more.pop("signal", "logs"), payload, items, **more)


def keep(log: Journal, text: str | bytes, items: int = 1, **more: Any) -> int:
    """Append and wait for the receipt; gives the number."""
    return log.append(submission(text, items, **more)).result(120).seq


def take(consumer: Consumer, entries: int = 1000, size: int = 1 << 24) -> list[Entry]:
    return consumer.next(size, entries, 0)


def finish(consumer: Consumer, entries: list[Entry], outcome: Any = "delivered") -> None:
    consumer.done([Ack(e.seq, entry_counts(e, outcome)) for e in entries]).result(120)


def garbage(size: int) -> bytes:
    """Bytes that no two runs share; the seed is printed."""
    seed = random.randrange(1 << 32)
    print(f"garbage: seed {seed}")
    return random.Random(seed).randbytes(size)


def texts(entries: list[Entry]) -> list[str]:
    return [entry.payload.decode() for entry in entries]
