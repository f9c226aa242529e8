"""The embedded store: the payloads of the last hours in one SQLite file.

A block is one payload as it was received, compressed. What finds the blocks of a trace is `trace_index`; by `summary` a
search leaves blocks alone; `traces` reads. The tables are in `schema`.

Blocks are keyed by (journal id, sequence number): storing one again changes nothing. A commit is durable when it
returns (WAL, synchronous=FULL), so the journal's cursor never passes what is not here.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from sidecar.deliver.store import schema
from sidecar.deliver.store.block_summary import Summary
from sidecar.deliver.store.operations import OperationTable
from sidecar.deliver.store.options import StoreOptions
from sidecar.deliver.store.trace_index import OpenBlocks
from sidecar.errors import Permanent
from sidecar.pipeline import Clock, Signal
from sidecar.telemetry import Telemetry

FILE = "store.db"
ROW_BYTES = 120
"""What a block costs in the file beside its row, keys and terms, about."""
_SWEEP_ROWS = 64
_SWEEP_ROUNDS = 4
"""Retention deletes at most so many times `_SWEEP_ROWS` blocks with one batch, so that none waits long for it."""
_FREE_SHARE = 8
"""Free pages are given back when they are more than one in so many, ..."""
_FREE_PAGES = 64
"""... so many (a megabyte) with one batch."""
_SECOND = 1_000_000_000
_PASSING = frozenset((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED))

log = structlog.get_logger("deliver.store")


@dataclass(frozen=True, slots=True)
class Block:
    """One payload to be stored."""

    seq: int
    signal: Signal
    time_ns: int
    items: int
    payload: bytes
    """Compressed (zlib)."""
    keys: bytes
    """Keys of the traces in it, 8 bytes each."""
    summary: Summary | None = None
    """Of a payload of spans; None where there is none."""


class StoreUnavailable(Permanent):
    """The file cannot be written now (disk full, I/O error). `reason` says why."""


class Store:
    """The file. Written by one thread at a time, read by any number."""

    def __init__(self, options: StoreOptions, directory: Path, clock: Clock) -> None:
        """Opens or makes `directory`/store.db; a damaged one is set aside. Where there is no room for that now, the
        next batch tries again. Raises `StoreUnavailable` for what does not pass by itself."""
        self._options, self._clock = options, clock
        self._path = directory / FILE
        self._lock = threading.Lock()
        self._damaged = False
        self._bytes = self._spans = 0
        self._db: sqlite3.Connection
        self._opened = False
        with self._lock, self._translated():
            try:
                self._open()
            except (sqlite3.Error, OSError) as error:
                if not _may_pass(error):
                    raise
                log.error("store_not_opened", file=str(self._path), error=str(error))

    def watch(self, telemetry: Telemetry) -> None:
        """Show the store's size in the program's own metrics."""
        telemetry.watch("sidecar_store_bytes", lambda: [(self._bytes, {})])
        telemetry.watch("sidecar_store_spans", lambda: [(self._spans, {})])

    @property
    def size(self) -> int:
        """Bytes of the file that are in use, about."""
        return self._bytes

    @property
    def spans(self) -> int:
        return self._spans

    def add(self, journal_id: str, blocks: Sequence[Block]) -> set[int]:
        """Store blocks and apply retention, in one durable transaction. Returns the sequence numbers that were
        already there. Raises `StoreUnavailable`; nothing of the batch is stored then."""
        with self._lock, self._translated():
            if not self._opened:
                self._open()
            if self._damaged:
                self._restart("found while reading")
            try:
                return self._add(journal_id, blocks)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._restart(str(error))
                return self._add(journal_id, blocks)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own that reads one state of the file: readers neither wait for the writer nor hold it
        up. Raises `StoreUnavailable`; damage is remembered for the next write."""
        with self._translated(), closing(sqlite3.connect(self._path, isolation_level=None, timeout=10)) as db:
            try:
                db.execute("PRAGMA query_only = 1")
                db.execute("BEGIN")
                yield db
            except sqlite3.DatabaseError as error:
                if _is_damage(error):
                    log.error("store_damage_found", file=str(self._path), error=str(error))
                    self._damaged = True
                raise

    @property
    def cutoff_ns(self) -> int:
        """Blocks that came before this time are too old to be shown."""
        return self._clock() - int(self._options.max_age * _SECOND)

    def unreadable(self, seq: int, error: Exception) -> None:
        """A block's payload cannot be read."""
        log.error("store_block_unreadable", file=str(self._path), seq=seq, error=str(error))

    def close(self) -> None:
        with self._lock:
            if self._opened:
                self._db.close()

    # -- writing

    def _add(self, journal_id: str, blocks: Sequence[Block]) -> set[int]:
        added = spans = 0
        there: set[int] = set()
        try:
            with self._transaction():
                for block in blocks:
                    size = self._insert(journal_id, block)
                    if not size:
                        there.add(block.seq)
                        continue
                    added += size
                    spans += block.items if block.signal == "spans" else 0
                self._open_blocks.close_segment(self._db)
                freed, gone = self._sweep(self._bytes + added)
        except BaseException:
            # What is known of the file besides is not of the transaction that was rolled back.
            self._read_state()
            raise
        self._bytes += added - freed
        self._spans += spans - gone
        self._give_back()
        return there

    def _insert(self, journal_id: str, block: Block) -> int:
        """Bytes that the block takes; 0 where it is there."""
        summary = block.summary
        # In a segment each key has the number of its block beside it, 4 bytes to its 8.
        beside = len(block.keys) * 3 // 2 + ROW_BYTES + (len(summary.terms) if summary else 0)
        size = schema.bytes_in_file(len(block.payload)) + beside
        cursor = self._db.execute(
            "INSERT OR IGNORE INTO block (log, seq, signal, time_ns, items, size, payload) VALUES (?,?,?,?,?,?,?)",
            (journal_id, block.seq, block.signal, block.time_ns, block.items, size, block.payload),
        )
        if cursor.rowcount == 0:
            return 0
        number = cursor.lastrowid or 0
        if block.keys:
            self._open_blocks.add(self._db, number, block.keys)
        if summary is not None:
            self._db.execute(
                "INSERT INTO summary VALUES (?,?,?,?,?,?)",
                (number, summary.start_ns, summary.end_ns, summary.longest_ns, summary.failed_ns, summary.terms),
            )
            self._operations.seen(self._db, summary.operations, block.time_ns)
        return size

    def _sweep(self, size: int) -> tuple[int, int]:
        """Delete what is too old, and the oldest while `size` is over the quota, up to a limit. Returns (bytes, spans)
        deleted."""
        cutoff = self.cutoff_ns
        freed = spans = 0
        for _ in range(_SWEEP_ROUNDS):
            rows = self._db.execute(
                "SELECT id, time_ns, size, items, signal FROM block ORDER BY id LIMIT ?", (_SWEEP_ROWS,)
            ).fetchall()
            last = None
            for number, time_ns, row_size, items, signal in rows:
                if time_ns >= cutoff and size - freed <= self._options.max_bytes:
                    break
                last = number
                freed += row_size
                spans += items if signal == "spans" else 0
            if last is None:
                break
            self._db.execute("DELETE FROM block WHERE id <= ?", (last,))
            self._db.execute("DELETE FROM summary WHERE block <= ?", (last,))
            self._open_blocks.deleted(self._db, last)
        if freed:
            self._operations.forget(self._db, cutoff)
        return freed, spans

    def _give_back(self) -> None:
        """Some pages that retention has freed, to the file system. Harmless if it fails: the next batch comes here."""
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        if free > _FREE_PAGES:
            (pages,) = self._db.execute("PRAGMA page_count").fetchone()
            if free * _FREE_SHARE > pages:
                # `execute` would take one step of it, which is one page.
                self._db.executescript(f"PRAGMA incremental_vacuum({_FREE_PAGES});")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # -- the file

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._connect()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._set_aside(str(error))
            self._db = self._connect()
        self._opened = True

    def _connect(self) -> sqlite3.Connection:
        # For its owner only, as the journal is: what models were asked is in it.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            schema.prepare(db)
            self._db = db
            self._read_state()
        except BaseException:
            db.close()
            raise
        return db

    def _read_state(self) -> None:
        self._bytes, self._spans = self._db.execute(
            "SELECT coalesce(sum(size), 0), coalesce(sum(items * (signal = 'spans')), 0) FROM block"
        ).fetchone()
        self._open_blocks = OpenBlocks(self._db)
        self._operations = OperationTable(self._db)

    def _restart(self, why: str) -> None:
        self._damaged = True
        self._db.close()
        self._set_aside(why)
        self._db = self._connect()
        self._damaged = False

    def _set_aside(self, why: str) -> None:
        """Rename the damaged file; one earlier is deleted, so that damage cannot fill the disk."""
        for earlier in self._path.parent.glob(f"{FILE}.damaged-*"):
            earlier.unlink()
        aside = self._path.with_name(f"{FILE}.damaged-{self._clock() // _SECOND}")
        if self._path.exists():
            self._path.rename(aside)
        for suffix in ("-wal", "-shm"):
            self._path.with_name(FILE + suffix).unlink(missing_ok=True)
        log.error("store_damaged", file=str(self._path), set_aside=str(aside), error=why)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error


def _may_pass(error: Exception) -> bool:
    """A full or failing disk, or another process at the file: as where the journal begins to work and writes later."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in _PASSING or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
