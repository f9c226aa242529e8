"""Documents that a destination refused for good: to list, to replay after the mapping is fixed, to delete.

Works on the file beside a running sidecar, or without one: a deletion here is one short transaction, which the
sidecar's own writer waits for (`busy_timeout`), and nothing that the sidecar holds in memory refers to one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.errors import ConfigError, Unavailable
from sidecar.journal import schema
from sidecar.pipeline import DeadLetter

_COLUMNS = "id, consumer, doc_id, signal, target, reason, document, seq, time"
_PAGE = 200


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter and the number to name it by."""

    id: int
    dead_letter: DeadLetter


class DeadLetters:
    """The dead letters of one journal directory. Raises `Unavailable` where the file cannot be read or written."""

    def __init__(self, directory: Path) -> None:
        """`ConfigError` if there is no journal."""
        self._path = directory / schema.FILE
        if not self._path.exists():
            raise ConfigError([f"journal.path: there is no journal in {directory}"])

    def count(self) -> dict[str, int]:
        """consumer -> dead letters."""
        rows = self._read("SELECT consumer, count(*) FROM dead_letters GROUP BY consumer ORDER BY consumer")
        return {str(name): int(n) for name, n in rows}

    def page(self, consumer: str | None = None, limit: int = 100, after: int = 0) -> list[StoredDeadLetter]:
        """Dead letters in order of their number, those beyond `after`."""
        rows = self._read(
            f"SELECT {_COLUMNS} FROM dead_letters WHERE id > ?1 AND (?2 IS NULL OR consumer = ?2) ORDER BY id LIMIT ?3",
            (after, consumer, limit),
        )
        return [_stored(row) for row in rows]

    def show(self, letter_id: int) -> StoredDeadLetter | None:
        rows = self._read(f"SELECT {_COLUMNS} FROM dead_letters WHERE id = ?", (letter_id,))
        return _stored(rows[0]) if rows else None

    def iterate(self, consumer: str | None = None) -> Iterator[StoredDeadLetter]:
        """All dead letters, read in pages, so that those already handled may be deleted on the way."""
        after = 0
        while dead_letters := self.page(consumer, _PAGE, after):
            yield from dead_letters
            after = dead_letters[-1].id

    def delete(self, letter_ids: Iterable[int]) -> int:
        """Delete by number; gives how many there were."""
        return self._write("DELETE FROM dead_letters WHERE id = ?", [(i,) for i in letter_ids])

    def renew(self, letter_id: int, reason: str) -> None:
        """Note why the destination refused it this time."""
        self._write("UPDATE dead_letters SET reason = ? WHERE id = ?", [(reason, letter_id)])

    def expire(self, before_ns: int, most: int) -> int:
        """See the function of that name; gives how many are gone."""
        try:
            with closing(schema.connect(self._path)) as db:
                db.execute("BEGIN IMMEDIATE")
                gone, _ = expire(db, before_ns, most)
                db.execute("COMMIT")
                return gone
        except sqlite3.Error as error:
            raise Unavailable(f"cannot delete dead letters in {self._path}: {error}") from error

    def _write(self, statement: str, rows: list[tuple[object, ...]]) -> int:
        try:
            with closing(schema.connect(self._path)) as db:
                db.execute("BEGIN IMMEDIATE")
                changed = db.executemany(statement, rows).rowcount
                db.execute("COMMIT")
                return max(changed, 0)
        except sqlite3.Error as error:
            raise Unavailable(f"cannot change dead letters in {self._path}: {error}") from error

    def _read(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            with closing(schema.connect(self._path, read_only=True)) as db:
                return db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"cannot read dead letters in {self._path}: {error}") from error


def expire(db: sqlite3.Connection, before_ns: int, most: int) -> tuple[int, int]:
    """Delete dead letters from before `before_ns` (Unix), and the oldest past `most`; gives (how many are gone, bytes
    of those that are left). Within the caller's transaction."""
    gone = db.execute("DELETE FROM dead_letters WHERE time < ?", (before_ns,)).rowcount
    gone += db.execute(
        "DELETE FROM dead_letters WHERE id <= (SELECT id FROM dead_letters ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (most,),
    ).rowcount
    left = db.execute("SELECT total(length(document) + length(reason)) FROM dead_letters").fetchone()[0]
    return gone, int(left)


def _stored(row: tuple[Any, ...]) -> StoredDeadLetter:
    number, consumer, doc_id, signal, target, reason, document, seq, time_ns = row
    return StoredDeadLetter(number, DeadLetter(consumer, doc_id, signal, target, reason, document, seq, time_ns))
