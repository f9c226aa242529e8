"""The journal on disk: how a transaction is written to SQLite and read back. Knows nothing of threads or futures."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import structlog

from sidecar.journal import dead_letters, schema
from sidecar.journal.ledger import IngestCounts
from sidecar.journal.rows import IndexRow, StoredRow
from sidecar.journal.transaction import RECEIVERS, Delta, Loaded, LoadedConsumer, StoreError, Transaction

log = structlog.get_logger("journal")

_READ_AT_ONCE = 200
_COMMIT_PAGES = 6
"""Pages that a transaction writes beside its payloads and states: as measured, of tables and pointer maps."""
_VACUUM_PAGES = 256
_VACUUM_SLACK = 1024
"""Free pages that are left for the next entries (8 MiB)."""

Connect = Callable[[Path], sqlite3.Connection]
"""How the writing connection is made; tests put one in that fails on demand."""


class SqliteStore:
    """The database `journal.db` in a directory. `commit` is for one thread; readers are independent of it."""

    def __init__(self, directory: Path, connect: Connect = schema.connect) -> None:
        """Opens the file, which must have the schema. `sqlite3.Error` if it cannot be read as such."""
        self._path = directory / schema.FILE
        self._connect = connect
        self._db: sqlite3.Connection | None = connect(self._path)
        self._dead_letter_counts: dict[str, int] = {}
        self._pages_to_copy = 0.0
        """In the write-ahead log, about."""

    def load(self) -> Loaded:
        """Everything but the payloads. `sqlite3.Error` if a page is damaged."""
        db = self._open()
        meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
        loaded = Loaded(str(meta["id"]), int(meta["number"]), int(meta["head"]))
        for signal, *counts in db.execute("SELECT signal, received, rejected, duplicates FROM ingest"):
            loaded.ingest.by_signal[signal] = IngestCounts(*counts)
        for name, low_water_mark, signals in db.execute("SELECT name, low_water_mark, signals FROM consumers"):
            loaded.consumers[name] = LoadedConsumer(low_water_mark, tuple(signals.split()))
        for name, signal, items in db.execute("SELECT consumer, signal, items FROM bases"):
            loaded.consumers[name].base[signal] = items
        for name, signal, outcome, reason, items in db.execute(
            "SELECT consumer, signal, outcome, reason, items FROM counts"
        ):
            loaded.consumers[name].counts[(signal, outcome, reason)] = items
        loaded.digests = db.execute("SELECT seq, time, digest FROM digests ORDER BY seq").fetchall()
        loaded.checkpoints = dict(
            db.execute("SELECT key, value FROM state WHERE consumer = ?", (RECEIVERS,)).fetchall()
        )
        size = db.execute("SELECT total(length(document) + length(reason)) FROM dead_letters").fetchone()[0]
        loaded.dead_letter_bytes = int(size)
        return loaded

    def index_rows(self) -> Iterator[IndexRow]:
        db = self._open()
        query = "SELECT seq, time, signal, items, events, size, disk_cost FROM entries ORDER BY seq"
        for row in db.execute(query):
            yield IndexRow(*row)

    def was_closed(self) -> bool:
        """True if the last run closed the file properly; every commit takes that back."""
        return bool(self._open().execute("SELECT value FROM meta WHERE key = 'clean'").fetchone()[0])

    def commit(self, tx: Transaction) -> None:
        try:
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            _write(db, tx)
            db.execute("COMMIT")
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.Error as error:
            landed = self._undo(tx.number)
            raise StoreError(str(error), landed, schema.is_corrupt(error)) from error
        self._pages_to_copy += _COMMIT_PAGES + _payload_bytes(tx) / schema.PAGE

    def checkpoint_wal(self) -> None:
        if self._pages_to_copy < schema.CHECKPOINT_PAGES:
            return
        self._pages_to_copy = 0.0  # Where it fails, it is not tried again with every commit.
        try:
            _, pages, copied = self._open().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            raise StoreError(str(error), corrupt=schema.is_corrupt(error)) from error
        self._pages_to_copy = float(pages - copied)

    def _undo(self, number: int) -> bool:
        """Roll back. If even that fails, open the file again; True if the transaction turns out to be in it."""
        try:
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")
            return self._number() == number
        except sqlite3.Error:
            self._drop()
        try:
            return self._number() == number
        except sqlite3.Error:
            self._drop()
            return False

    def _number(self) -> int:
        return int(self._open().execute("SELECT value FROM meta WHERE key = 'number'").fetchone()[0])

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = self._connect(self._path)
        return self._db

    def _drop(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def reader(self) -> SqliteReader:
        return SqliteReader(self._path)

    def dead_letters(self) -> dict[str, int]:
        """As last read, where the file does not answer now (a scrape must not fail for it)."""
        query = "SELECT consumer, count(*) FROM dead_letters GROUP BY consumer"
        try:
            with closing(schema.connect(self._path, read_only=True)) as db:
                self._dead_letter_counts = dict(db.execute(query).fetchall())
        except sqlite3.Error as error:
            log.warning("dead_letters_count_failed", error=str(error))
        return self._dead_letter_counts

    def expire_dead_letters(self, before_ns: int, most: int) -> tuple[int, int]:
        try:
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            gone, left = dead_letters.expire(db, before_ns, most)
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self._drop()  # Which rolls back.
            raise StoreError(str(error), corrupt=schema.is_corrupt(error)) from error
        return gone, left

    def bytes_on_disk(self) -> int:
        total = 0
        for suffix in ("", "-wal"):
            path = self._path.with_name(self._path.name + suffix)
            total += path.stat().st_size if path.exists() else 0
        return total

    def vacuum(self) -> bool:
        """Give up to 2 MiB of free pages back to the file system; True if there is more to give."""
        try:
            db = self._open()
            free = schema.pragma(db, "freelist_count") - _VACUUM_SLACK
            if free <= 0:
                return False
            # Not `execute`: this pragma answers a row without columns for each page, and that stops at the first.
            db.executescript(f"PRAGMA incremental_vacuum({min(free, _VACUUM_PAGES)})")
            if free <= _VACUUM_PAGES:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            raise StoreError(str(error), corrupt=schema.is_corrupt(error)) from error
        return free > _VACUUM_PAGES

    def close(self) -> None:
        """Checkpoint, note that all is well, close. Raises `StoreError` if that could not be written."""
        if self._db is None:
            return
        try:
            self._db.execute("UPDATE meta SET value = 1 WHERE key = 'clean'")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise StoreError(str(error), corrupt=schema.is_corrupt(error)) from error
        finally:
            self._drop()

    def abandon(self) -> None:
        """Close without a note in the file (it is to be replaced)."""
        self._drop()


class SqliteReader:
    """A read-only connection, made at the first use, and again when the file was replaced by a rebuilt one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._inode = 0

    def _open(self) -> sqlite3.Connection:
        try:
            inode = self._path.stat().st_ino
        except OSError as error:
            raise StoreError(f"cannot read the journal: {error}") from error
        if self._db is not None and inode != self._inode:
            self.close()
        if self._db is None:
            self._db, self._inode = schema.connect(self._path, read_only=True), inode
        return self._db

    def rows(self, seqs: Sequence[int]) -> dict[int, StoredRow]:
        found: dict[int, StoredRow] = {}
        for start in range(0, len(seqs), _READ_AT_ONCE):
            part = seqs[start : start + _READ_AT_ONCE]
            try:
                found |= self._read(part)
            except sqlite3.Error as error:
                if not schema.is_corrupt(error):
                    self.close()
                    raise StoreError(f"cannot read the journal: {error}") from error
                for seq in part:
                    found |= self._read_one(seq)
        return found

    def _read(self, seqs: Sequence[int]) -> dict[int, StoredRow]:
        columns = "seq, time, signal, items, events, size, disk_cost, codec, crc, payload"
        places = ",".join("?" * len(seqs))
        rows = self._open().execute(f"SELECT {columns} FROM entries WHERE seq IN ({places})", seqs)
        return {row[0]: StoredRow(*row) for row in rows}

    def _read_one(self, seq: int) -> dict[int, StoredRow]:
        try:
            return self._read([seq])
        except sqlite3.Error:
            self.close()
            return {}

    def state(self, consumer: str) -> Iterator[tuple[bytes, bytes]]:
        query = "SELECT key, value FROM state WHERE consumer = ? ORDER BY key"
        yield from self._open().execute(query, (consumer,))

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _payload_bytes(tx: Transaction) -> int:
    """Bytes of what may be large in a transaction."""
    states = [tx.checkpoints, *(delta.state for delta in tx.deltas.values())]
    return sum(len(row.blob) for row in tx.rows) + sum(
        len(value or b"") for state in states for value in state.values()
    )


def _write(db: sqlite3.Connection, tx: Transaction) -> None:
    if tx.rows:
        db.executemany(
            "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (r.seq, r.time_ns, r.signal, r.items, r.events, r.codec, r.size, r.crc, r.disk_cost, r.blob)
                for r in tx.rows
            ],
        )
    if tx.digests:
        db.executemany("INSERT INTO digests VALUES (?, ?, ?)", tx.digests)
    if tx.acknowledged:
        db.executemany("DELETE FROM digests WHERE seq = ?", [(seq,) for seq in tx.acknowledged])
    if tx.expire_digests:
        db.execute("DELETE FROM digests WHERE seq <= ?", (tx.expire_digests,))
    for signal, counts in tx.ingest.by_signal.items():
        db.execute(
            "INSERT INTO ingest VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET received = received + ?2, "
            "rejected = rejected + ?3, duplicates = duplicates + ?4",
            (signal, counts.received, counts.rejected, counts.duplicates),
        )
    for name, delta in tx.deltas.items():
        _write_delta(db, name, delta)
    _write_state(db, RECEIVERS, tx.checkpoints)
    for name in tx.prune:
        for table, column in (("consumers", "name"), ("bases", "consumer"), ("counts", "consumer")):
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (name,))
        db.execute("DELETE FROM state WHERE consumer = ?", (name,))
    if tx.trim is not None:
        db.execute("DELETE FROM entries WHERE seq BETWEEN ? AND ?", tx.trim)
    db.executemany("UPDATE meta SET value = ? WHERE key = ?", ((tx.number, "number"), (tx.head, "head"), (0, "clean")))


def _write_delta(db: sqlite3.Connection, name: str, delta: Delta) -> None:
    if delta.registration is not None:
        signals = " ".join(delta.registration.signals)
        db.execute(
            "INSERT INTO consumers VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET low_water_mark = ?2, signals = ?3",
            (name, delta.low_water_mark, signals),
        )
        db.executemany(
            "INSERT OR REPLACE INTO bases VALUES (?, ?, ?)",
            [(name, signal, items) for signal, items in delta.registration.base.items()],
        )
    else:
        db.execute("UPDATE consumers SET low_water_mark = ? WHERE name = ?", (delta.low_water_mark, name))
    db.executemany(
        "INSERT INTO counts VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET items = items + ?5",
        [(name, *key, items) for key, items in delta.counts.items()],
    )
    _write_state(db, name, delta.state)
    if delta.dead:
        db.executemany(
            "INSERT OR IGNORE INTO dead_letters (consumer, doc_id, signal, target, reason, document, seq, time) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(name, d.doc_id, d.signal, d.index, d.reason, d.document, d.seq, d.time_ns) for d in delta.dead],
        )


def _write_state(db: sqlite3.Connection, name: str, state: Mapping[bytes, bytes | None]) -> None:
    removed = [(name, key) for key, value in state.items() if value is None]
    if removed:
        db.executemany("DELETE FROM state WHERE consumer = ? AND key = ?", removed)
    stored = [(name, key, value) for key, value in state.items() if value is not None]
    if stored:
        db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", stored)
