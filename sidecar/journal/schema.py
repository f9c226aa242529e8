"""The journal's file: one SQLite database. Tables are made once, in this order, and only renamed later, so that the
root page of each is the same in every file (with auto_vacuum, roots stay at the front); salvage depends on it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

FILE = "journal.db"
APPLICATION_ID = 0x4D534A31
VERSION = 2
PAGE = 8192
CHECKPOINT_PAGES = 1000
"""Pages of the write-ahead log after which they are copied into the database (8 MB)."""

TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE entries (seq INTEGER PRIMARY KEY, time INTEGER, signal INTEGER, items INTEGER, events INTEGER, "
    "codec INTEGER, size INTEGER, crc INTEGER, disk_cost INTEGER, payload BLOB)",
    "CREATE TABLE digests (seq INTEGER PRIMARY KEY, time INTEGER, digest BLOB)",
    "CREATE TABLE ingest (signal TEXT PRIMARY KEY, received INTEGER, rejected INTEGER, duplicates INTEGER) "
    "WITHOUT ROWID",
    "CREATE TABLE consumers (name TEXT PRIMARY KEY, low_water_mark INTEGER, signals TEXT) WITHOUT ROWID",
    "CREATE TABLE bases (consumer TEXT, signal TEXT, items INTEGER, PRIMARY KEY (consumer, signal)) WITHOUT ROWID",
    "CREATE TABLE counts (consumer TEXT, signal TEXT, outcome TEXT, reason TEXT, items INTEGER, "
    "PRIMARY KEY (consumer, signal, outcome, reason)) WITHOUT ROWID",
    "CREATE TABLE state (consumer TEXT, key BLOB, value BLOB, PRIMARY KEY (consumer, key)) WITHOUT ROWID",
    "CREATE TABLE dead_letters (id INTEGER PRIMARY KEY, consumer TEXT, doc_id TEXT, signal TEXT, target TEXT, "
    "reason TEXT, document BLOB, seq INTEGER, time INTEGER, UNIQUE (consumer, doc_id))",
)

_WORDS_OF_2 = (
    # One word for one fault in all consumers. No count is overwritten, should there be both.
    "INSERT INTO counts SELECT consumer, signal, outcome, 'not_decodable', items FROM counts "
    "WHERE reason = 'undecodable' ON CONFLICT DO UPDATE SET items = items + excluded.items",
    "DELETE FROM counts WHERE reason = 'undecodable'",
)
_MIGRATIONS = {
    1: (
        "ALTER TABLE intake RENAME TO ingest",
        "ALTER TABLE consumers RENAME COLUMN mark TO low_water_mark",
        "ALTER TABLE entries RENAME COLUMN stored TO disk_cost",
        *_WORDS_OF_2,
    ),
}
"""From a version to the next. Only names and words may change: salvage relies on the order of tables and columns."""

_WRITER_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    # Debian builds SQLite with secure_delete on: every freed page would be written once more.
    "secure_delete = OFF",
    # The store makes checkpoints itself, after the answers; this is for what it takes too few pages for.
    f"wal_autocheckpoint = {4 * CHECKPOINT_PAGES}",
    f"journal_size_limit = {32 << 20}",
    "foreign_keys = OFF",
)
_MEMORY_PRAGMAS = ("cache_size = -2000", "mmap_size = 0", "temp_store = MEMORY", "busy_timeout = 5000")


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection without implicit transactions. The file is made (mode 0600) unless `read_only`."""
    if not read_only:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )
    try:
        for pragma in _MEMORY_PRAGMAS:
            db.execute(f"PRAGMA {pragma}").close()
        if not read_only:
            if path.stat().st_size == 0:
                db.execute(f"PRAGMA page_size = {PAGE}").close()
                db.execute("PRAGMA auto_vacuum = INCREMENTAL").close()
            for pragma in _WRITER_PRAGMAS:
                db.execute(f"PRAGMA {pragma}").close()
    except sqlite3.Error:
        db.close()
        raise
    return db


def create(db: sqlite3.Connection, journal_id: str) -> None:
    """The tables of an empty file, in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    for table in TABLES:
        db.execute(table)
    rows = (("id", journal_id), ("number", 0), ("head", 0), ("clean", 1))
    db.executemany("INSERT INTO meta VALUES (?, ?)", rows)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def migrate(db: sqlite3.Connection) -> int:
    """Bring a journal of an earlier version to this one, in one transaction; gives the version that it had."""
    found = pragma(db, "user_version")
    if found < VERSION:
        db.execute("BEGIN IMMEDIATE")
        for version in range(found, VERSION):
            for statement in _MIGRATIONS[version]:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    return found


def rename_words(db: sqlite3.Connection) -> None:
    """In a file of this version, the words of rows that came from one of an earlier version."""
    for statement in _WORDS_OF_2:
        db.execute(statement)


def pragma(db: sqlite3.Connection, name: str) -> int:
    value = db.execute(f"PRAGMA {name}").fetchone()[0]
    return int(value)


def is_empty(db: sqlite3.Connection) -> bool:
    return int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]) == 0


def is_corrupt(error: sqlite3.Error) -> bool:
    """The file itself is damaged, as opposed to a disk that is full or gone."""
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
