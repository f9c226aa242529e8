"""The tables of the embedded store.

`block` has the payloads. The rest serves look-ups. `summary` says in a kilobyte what a block of spans may hold; its
`failed` is `Summary.failed_ns`.
`trace_keys` says which traces are in a block, until some tens of thousands of keys have come together: then they become
a `segment`, whose keys lie in buckets (`segment_keys`), so that a look-up reads one bucket of each segment.
"""

from __future__ import annotations

import sqlite3

VERSION = 3
PAGE_BYTES = 16_384
_ROW_BYTES = 80
"""Of a block beside its payload."""

_TABLES = """
CREATE TABLE IF NOT EXISTS block (
    id INTEGER PRIMARY KEY, log TEXT NOT NULL, seq INTEGER NOT NULL, signal TEXT NOT NULL, time_ns INTEGER NOT NULL,
    items INTEGER NOT NULL, size INTEGER NOT NULL, payload BLOB NOT NULL, UNIQUE (log, seq));
CREATE TABLE IF NOT EXISTS trace_keys (block INTEGER PRIMARY KEY, keys BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS summary (
    block INTEGER PRIMARY KEY, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, longest_ns INTEGER NOT NULL,
    failed INTEGER NOT NULL, terms BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS segment (
    id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, bits INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS segment_keys (id INTEGER PRIMARY KEY, keys BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS operation (
    service TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, last_ns INTEGER NOT NULL,
    PRIMARY KEY (service, name, kind)) WITHOUT ROWID;
"""
_WIDENED = f"UPDATE summary SET terms = x'FF', failed = (failed > 0) * {(1 << 63) - 1};"


def bytes_in_file(payload: int) -> int:
    """What a payload of so many bytes takes: a row is in one page, of which it may leave half empty, and what is too
    much for a page in pages of its own (https://sqlite.org/fileformat2.html#b_tree_pages)."""
    row = payload + _ROW_BYTES
    most, least = PAGE_BYTES - 35, (PAGE_BYTES - 12) * 32 // 255 - 23
    if row <= most:
        return PAGE_BYTES // (PAGE_BYTES // row)
    local = least + (row - least) % (PAGE_BYTES - 4)
    local = local if local <= most else least
    return PAGE_BYTES // (PAGE_BYTES // local) + -(-(row - local) // (PAGE_BYTES - 4)) * PAGE_BYTES


def prepare(db: sqlite3.Connection) -> None:
    """Settings and tables of a connection that writes. Files of earlier versions are kept. Blocks of version 1 have no
    summary, so that their traces are found by id only until retention deletes them; filters of version 2 do not have
    how texts begin, nor do its summaries say how long spans in error are, so that both are made to leave less out."""
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    # Freed pages can be given back a few at a time; has an effect on a new file only.
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA wal_autocheckpoint = 256")
    db.executescript(_TABLES)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version < VERSION:
        db.executescript(f"BEGIN; {_WIDENED} PRAGMA user_version = {VERSION}; COMMIT;")
