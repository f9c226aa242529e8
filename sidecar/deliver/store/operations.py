"""Which operations each service has, and when each was seen last: the lists that people choose from.

Written when an operation is new, and every few minutes after that."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

MAX_OPERATIONS = 10_000
"""Those seen last are kept: a service whose span names hold ids has as many as it has requests."""
_REFRESH_NS = 300 * 1_000_000_000
_SHARE_LEFT = 0.75
Key = tuple[str, str, str]
"""Service, name, kind."""


class OperationTable:
    """The table `operation`. For the thread that writes, inside its transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        rows = db.execute("SELECT service, name, kind, last_ns FROM operation")
        self._last: dict[Key, int] = {(service, name, kind): last for service, name, kind, last in rows}

    def seen(self, db: sqlite3.Connection, operations: Iterable[Key], time_ns: int) -> None:
        """The operations were seen at a time (Unix ns)."""
        for key in operations:
            last = self._last.get(key)
            if last is None or time_ns - last > _REFRESH_NS:
                self._last[key] = time_ns
                db.execute("INSERT OR REPLACE INTO operation VALUES (?,?,?,?)", (*key, time_ns))
        if len(self._last) > MAX_OPERATIONS:
            oldest = sorted(self._last, key=self._last.__getitem__)
            self._delete(db, oldest[: len(oldest) - int(MAX_OPERATIONS * _SHARE_LEFT)])

    def forget(self, db: sqlite3.Connection, before_ns: int) -> None:
        """Delete those that were not seen since (within the few minutes between two notes)."""
        self._delete(db, [key for key, last in self._last.items() if last < before_ns - _REFRESH_NS])

    def _delete(self, db: sqlite3.Connection, keys: list[Key]) -> None:
        for key in keys:
            del self._last[key]
        db.executemany("DELETE FROM operation WHERE service = ? AND name = ? AND kind = ?", keys)
