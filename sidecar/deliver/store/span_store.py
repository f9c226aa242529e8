"""The embedded store: the payloads of the last hours in one SQLite file, with look-up of a trace by its id.

A block is one payload as it was received, compressed. Beside each block stand the 64-bit keys of the traces in it, as
one array; a look-up searches the arrays (26 MB for a full store of the default size, some 20 ms) and decodes the few
blocks that match. A B-tree from trace to block would answer in 0.1 ms and cost four times as much for every span
written, and eight times for every span that retention deletes (docs/decisions/004-delivery.md).

Blocks are keyed by (journal id, sequence number): storing one again changes nothing. A commit is durable when it
returns (WAL, synchronous=FULL), so the journal's cursor never passes what is not here.
"""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from sidecar.decode.api import Decoder, Lines
from sidecar.deliver.store.options import StoreOptions
from sidecar.deliver.store.trace_key import key_of
from sidecar.deliver.store.trace_view import Recent, TraceBuilder, TraceView, summarise
from sidecar.errors import DecodeError, Permanent
from sidecar.pipeline import Clock, Signal
from sidecar.telemetry import Telemetry

FILE = "store.db"
ROW_BYTES = 160
"""What a block costs in the file beside its payload and keys, about."""
MAX_SPANS = 10_000
"""Spans, and log records, that one look-up returns at most."""
MAX_BLOCKS = 2_000
"""Blocks that one look-up decodes at most."""
RECENT_BLOCKS = 32
"""Newest blocks that a listing reads at most."""
_SWEEP_ROWS = 64
_SECOND = 1_000_000_000
_NOTHING = Lines(b"", np.zeros(0, np.uint32), np.zeros(0, np.uint8), [])

_SCHEMA = """
CREATE TABLE IF NOT EXISTS block (
    id INTEGER PRIMARY KEY, log TEXT NOT NULL, seq INTEGER NOT NULL, signal TEXT NOT NULL, time_ns INTEGER NOT NULL,
    items INTEGER NOT NULL, size INTEGER NOT NULL, payload BLOB NOT NULL, UNIQUE (log, seq));
CREATE TABLE IF NOT EXISTS trace_keys (block INTEGER PRIMARY KEY, keys BLOB NOT NULL);
PRAGMA user_version = 1;
"""

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


class StoreUnavailable(Permanent):
    """The file cannot be written now (disk full, I/O error). `reason` says why."""


class Store:
    """The file. Written by one thread at a time, read by any number."""

    def __init__(self, options: StoreOptions, directory: Path, decoder: Decoder, clock: Clock) -> None:
        """Opens or makes `directory`/store.db; a damaged one is set aside. Raises `StoreUnavailable`."""
        self._options, self._decoder, self._clock = options, decoder, clock
        self._path = directory / FILE
        self._lock = threading.Lock()
        self._damaged = False
        self._bytes = self._spans = 0
        with self._lock, self._translated():
            directory.mkdir(parents=True, exist_ok=True)
            self._db = self._open()

    def watch(self, telemetry: Telemetry) -> None:
        """Show the store's size in the program's own metrics."""
        telemetry.watch("sidecar_store_bytes", lambda: [(self._bytes, {})])
        telemetry.watch("sidecar_store_spans", lambda: [(self._spans, {})])

    @property
    def size(self) -> int:
        """Bytes kept, row overhead included."""
        return self._bytes

    @property
    def spans(self) -> int:
        return self._spans

    def add(self, log_id: str, blocks: Sequence[Block]) -> set[int]:
        """Store blocks and apply retention, in one durable transaction. Returns the sequence numbers that were
        already there. Raises `StoreUnavailable`; nothing of the batch is stored then."""
        with self._lock, self._translated():
            if self._damaged:
                self._begin_anew("found while reading")
            try:
                return self._add(log_id, blocks)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._begin_anew(str(error))
                return self._add(log_id, blocks)

    def trace(self, trace_id: str, limit: int = MAX_SPANS) -> TraceView | None:
        """Everything kept about a trace (32 hex digits, any case), or None. At most `limit` spans and log records each;
        `truncated` says if there were more."""
        wanted = bytes.fromhex(trace_id)
        builder = TraceBuilder(wanted.hex(), limit)
        for log_id, seq, signal, packed in self._blocks_of(key_of(wanted)):
            builder.add(self._lines(log_id, seq, signal, packed))
            if builder.full:
                break
        return builder.view()

    def recent(self, limit: int = 20, service: str | None = None) -> list[Recent]:
        """The traces that were received last, newest first, of `service` where one is named. Looks at the newest
        `RECENT_BLOCKS` blocks of spans only: a listing, not a search."""
        found: dict[str, Recent] = {}
        for log_id, seq, signal, packed in self._newest_blocks():
            summarise(self._lines(log_id, seq, signal, packed), found)
            if sum(service in (None, *r.services) for r in found.values()) >= limit:
                break
        chosen = [r for r in found.values() if service in (None, *r.services)]
        return sorted(chosen, key=lambda r: r.start_ns, reverse=True)[:limit]

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # -- writing

    def _add(self, log_id: str, blocks: Sequence[Block]) -> set[int]:
        added = spans = 0
        there: set[int] = set()
        with self._transaction():
            for block in blocks:
                size = len(block.payload) + len(block.keys) + ROW_BYTES
                row = (log_id, block.seq, block.signal, block.time_ns, block.items, size, block.payload)
                cursor = self._db.execute(
                    "INSERT OR IGNORE INTO block (log, seq, signal, time_ns, items, size, payload)"
                    " VALUES (?,?,?,?,?,?,?)",
                    row,
                )
                if cursor.rowcount == 0:
                    there.add(block.seq)
                    continue
                if block.keys:
                    self._db.execute("INSERT INTO trace_keys VALUES (?,?)", (cursor.lastrowid, block.keys))
                added += size
                spans += block.items if block.signal == "spans" else 0
            freed, gone = self._sweep(self._bytes + added)
        self._bytes += added - freed
        self._spans += spans - gone
        return there

    def _sweep(self, size: int) -> tuple[int, int]:
        """Delete what is too old, and the oldest while `size` is over the quota. Returns (bytes, spans) deleted."""
        cutoff = self._clock() - int(self._options.max_age * _SECOND)
        freed = spans = 0
        while True:
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
                return freed, spans
            self._db.execute("DELETE FROM block WHERE id <= ?", (last,))
            self._db.execute("DELETE FROM trace_keys WHERE block <= ?", (last,))

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

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._set_aside(str(error))
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            db.execute("PRAGMA page_size = 16384")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA wal_autocheckpoint = 256")
            db.executescript(_SCHEMA)
            self._bytes, self._spans = db.execute(
                "SELECT coalesce(sum(size), 0), coalesce(sum(items * (signal = 'spans')), 0) FROM block"
            ).fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def _begin_anew(self, why: str) -> None:
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

    # -- reading

    def _blocks_of(self, key: bytes) -> Iterator[tuple[str, int, Signal, bytes]]:
        return self._read(
            "SELECT log, seq, signal, payload FROM trace_keys JOIN block ON id = block"
            " WHERE instr(keys, ?) > 0 AND time_ns >= ? ORDER BY id LIMIT ?",
            (key, self._cutoff(), MAX_BLOCKS),
        )

    def _newest_blocks(self) -> Iterator[tuple[str, int, Signal, bytes]]:
        return self._read(
            "SELECT log, seq, signal, payload FROM block WHERE signal = 'spans' AND time_ns >= ?"
            " ORDER BY id DESC LIMIT ?",
            (self._cutoff(), RECENT_BLOCKS),
        )

    def _cutoff(self) -> int:
        return self._clock() - int(self._options.max_age * _SECOND)

    def _read(self, query: str, parameters: Iterable[object]) -> Iterator[tuple[str, int, Signal, bytes]]:
        """Rows of a query on a connection of its own: readers neither wait for the writer nor hold it up."""
        with self._translated(), closing(sqlite3.connect(self._path, timeout=10)) as db:
            try:
                db.execute("PRAGMA query_only = 1")
                yield from db.execute(query, tuple(parameters))
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                log.error("store_damage_found", file=str(self._path), error=str(error))
                self._damaged = True

    def _lines(self, log_id: str, seq: int, signal: Signal, packed: bytes) -> Lines:
        try:
            payload = zlib.decompress(packed)
            if signal == "spans":
                return self._decoder.span_lines([payload])
            return self._decoder.log_lines([payload], [f"{log_id}-{seq}"])
        except (zlib.error, DecodeError) as error:
            log.error("store_block_unreadable", file=str(self._path), seq=seq, error=str(error))
            return _NOTHING


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
