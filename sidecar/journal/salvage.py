"""A damaged journal: everything that can be read goes into a new file, the old one is set aside under a name.

Every entry is checked against its checksum on the way. What the damage took is not guessed: `SalvageReport` says
what was read and what was not, and the ledger counts what is missing as dropped.
"""

from __future__ import annotations

import heapq
import secrets
import sqlite3
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidecar.errors import ConfigError
from sidecar.journal import schema
from sidecar.journal.rows import StoredRow, disk_cost
from sidecar.journal.transaction import RECEIVERS, Loaded

_NEW = "journal.new.db"
_PROBES = 200_000
"""Reads spent on the ranges between damaged pages: some seconds."""
_STEP_BYTES = 32 << 20
"""Copied in one transaction, so that the write-ahead log of the new file stays small."""
_ENTRY = "seq, time, signal, items, events, size, 0, codec, crc, payload"
_TABLES = {
    "digests": "seq, time, digest",
    "ingest": "signal, received, rejected, duplicates",
    "consumers": "name, low_water_mark, signals",
    "bases": "consumer, signal, items",
    "counts": "consumer, signal, outcome, reason, items",
    "state": "consumer, key, value",
    "dead_letters": "id, consumer, doc_id, signal, target, reason, document, seq, time",
}


@dataclass(slots=True)
class SalvageReport:
    """What a salvage found."""

    aside: str
    """Where the damaged file is now."""
    entries: int = 0
    items: int = 0
    damaged_entries: int = 0
    """Entries that were there but failed their checksum."""
    unreadable: list[str] = field(default_factory=list)
    """Tables of which something could not be read."""
    same_id: bool = False
    """The log stored its id. If not, logs delivered again are not recognised by their document id."""


def salvage(directory: Path, known: Loaded | None = None) -> SalvageReport:
    """Replace `journal.db` by a new file with all that can be read of it. `known` gives what is still in
    memory when the damage shows while running. `ConfigError` if the directory cannot be written."""
    damaged = directory / schema.FILE
    new = directory / _NEW
    try:
        _remove(new)
        aside = _set_aside(directory, damaged)
        report = _copy(aside, new, known)
        _move(new, damaged)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(
            [f"journal.path: {directory} holds a damaged journal and no new one can be written there: {error}"]
        ) from error
    return report


def finish_interrupted(directory: Path) -> None:
    """A salvage that was killed before its last step is taken up: its copy is moved in if it is whole, else the
    damaged file is put back to be salvaged again."""
    new, place = directory / _NEW, directory / schema.FILE
    if place.exists():
        _remove(new)
        return
    if new.exists() and _is_whole(new):
        _move(new, place)
        return
    _remove(new)
    for aside in sorted(directory.glob("journal.damaged-*.db"), reverse=True)[:1]:
        if (directory / "journal.salvaging").exists():
            _move(aside, place)


def _is_whole(path: Path) -> bool:
    try:
        db = schema.connect(path)
        try:
            return db.execute("SELECT value FROM meta WHERE key = 'salvaged'").fetchone() is not None
        finally:
            db.close()
    except sqlite3.Error:
        return False


def _set_aside(directory: Path, damaged: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    aside = directory / f"journal.damaged-{stamp}.db"
    n = 1
    while aside.exists():
        aside = directory / f"journal.damaged-{stamp}-{n}.db"
        n += 1
    (directory / "journal.salvaging").touch(mode=0o600)
    _move(damaged, aside)
    return aside


def _move(source: Path, target: Path) -> None:
    """With its write-ahead log, which belongs to it by name; the log first, so that a kill leaves no bare file."""
    for suffix in ("-wal", ""):
        path = source.with_name(source.name + suffix)
        if path.exists():
            path.replace(target.with_name(target.name + suffix))
    source.with_name(source.name + "-shm").unlink(missing_ok=True)
    if target.name == schema.FILE:
        (target.parent / "journal.salvaging").unlink(missing_ok=True)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _copy(aside: Path, new: Path, known: Loaded | None) -> SalvageReport:
    report = SalvageReport(str(aside))
    target = schema.connect(new)
    try:
        with tempfile.TemporaryDirectory(dir=new.parent, prefix="journal.salvage-") as scratch:
            source = _readable(aside, Path(scratch), report)
            meta = {str(k): v for k, v in _rows(source, "meta", "key, value", report)} if source is not None else {}
            journal_id = known.id if known is not None else str(meta.get("id", ""))
            report.same_id = len(journal_id) == 16
            schema.create(target, journal_id if report.same_id else secrets.token_hex(8))
            target.execute("BEGIN IMMEDIATE")
            recorded = known.head if known is not None else _int(meta, "head")
            head = _copy_entries(source, target, report, recorded) if source is not None else 0
            if source is not None:
                _copy_tables(source, target, report)
                schema.rename_words(target)
                source.close()
            _write_meta(target, meta, known, max(head, recorded))
            target.execute("COMMIT")
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        target.close()
    return report


def _write_meta(target: sqlite3.Connection, meta: dict[str, Any], known: Loaded | None, head: int) -> None:
    number = known.number if known is not None else _int(meta, "number")
    rows = (("number", number), ("head", head), ("clean", 0), ("salvaged", 1))
    target.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
    if known is None:
        return
    for table in ("ingest", "consumers", "bases", "counts"):
        target.execute(f"DELETE FROM {table}")
    target.executemany(
        "INSERT INTO ingest VALUES (?, ?, ?, ?)",
        [(s, f.received, f.rejected, f.duplicates) for s, f in known.ingest.by_signal.items()],
    )
    for name, consumer in known.consumers.items():
        target.execute(
            "INSERT INTO consumers VALUES (?, ?, ?)", (name, consumer.low_water_mark, " ".join(consumer.signals))
        )
        target.executemany("INSERT INTO bases VALUES (?, ?, ?)", [(name, *base) for base in consumer.base.items()])
        target.executemany(
            "INSERT INTO counts VALUES (?, ?, ?, ?, ?)", [(name, *key, n) for key, n in consumer.counts.items()]
        )
    target.executemany(
        "INSERT OR REPLACE INTO state VALUES (?, ?, ?)", [(RECEIVERS, *pair) for pair in known.checkpoints.items()]
    )


def _int(meta: dict[str, Any], key: str) -> int:
    value = meta.get(key, 0)
    return value if isinstance(value, int) and 0 <= value < 1 << 62 else 0


def _readable(aside: Path, scratch: Path, report: SalvageReport) -> sqlite3.Connection | None:
    """A connection to the damaged file; to a copy with a good first page if its own is lost."""
    try:
        return _open_to_read(aside)
    except (OSError, sqlite3.Error) as error:
        report.unreadable.append(f"file: {error}")
    copy = scratch / "copy.db"
    try:
        for suffix in ("", "-wal"):
            part = aside.with_name(aside.name + suffix)
            if part.exists():
                _copy_file(part, copy.with_name(copy.name + suffix))
        _repair_first_page(copy, scratch)
        return _open_to_read(copy)
    except (OSError, sqlite3.Error) as error:
        report.unreadable.append(f"file with a new first page: {error}")
    return None


def _open_to_read(path: Path) -> sqlite3.Connection:
    db = schema.connect(path, read_only=True)
    try:
        db.text_factory = _text
        db.execute("SELECT seq FROM entries LIMIT 1").fetchall()
        db.execute("SELECT key FROM meta LIMIT 1").fetchall()
    except sqlite3.Error:
        db.close()
        raise
    return db


def _copy_file(source: Path, target: Path) -> None:
    """Page by page; a page that the disk does not give is left as zeros."""
    size = source.stat().st_size
    with source.open("rb", buffering=0) as old, target.open("wb") as new:
        for place in range(0, size, schema.PAGE):
            try:
                old.seek(place)
                page = old.read(schema.PAGE)
            except OSError:
                page = bytes(min(schema.PAGE, size - place))
            new.write(page)


def _repair_first_page(copy: Path, scratch: Path) -> None:
    """The first page (header and schema) is the same in every journal but for a few counters: take a fresh one."""
    fresh = scratch / "fresh.db"
    db = schema.connect(fresh)
    schema.create(db, "0" * 16)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()
    page = bytearray(fresh.read_bytes()[: schema.PAGE])
    pages = copy.stat().st_size // schema.PAGE
    struct.pack_into(">I", page, 28, pages)
    with copy.open("r+b") as file:
        file.write(page)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _rows(source: sqlite3.Connection, table: str, columns: str, report: SalvageReport) -> Iterator[tuple[Any, ...]]:
    """Rows of a table until the damage, and from its other end back to the damage."""
    table, columns = _read_as(source, table, columns)
    seen = 0
    try:
        for row in source.execute(f"SELECT {columns} FROM {table}"):
            seen += 1
            yield row
        return
    except sqlite3.Error as error:
        report.unreadable.append(f"{table}: {error}")
    key = columns.split(",")[0]
    try:
        yield from source.execute(f"SELECT {columns} FROM {table} ORDER BY {key} DESC")
    except sqlite3.Error:
        return


def _read_as(source: sqlite3.Connection, table: str, columns: str) -> tuple[str, str]:
    """The table and its columns by the names that they have there: in version 1 some had others."""
    if source.execute("SELECT 1 FROM sqlite_master WHERE name = 'ingest'").fetchone():
        return table, columns
    return ("intake" if table == "ingest" else table), columns.replace("low_water_mark", "mark")


def _copy_tables(source: sqlite3.Connection, target: sqlite3.Connection, report: SalvageReport) -> None:
    for table, columns in _TABLES.items():
        places = ", ".join("?" * len(columns.split(",")))
        for row in _rows(source, table, columns, report):
            target.execute(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})", row)
    # A consumer that could not be read begins again with all entries: counts and a state that go with a place in them,
    # which is lost, would count them twice.
    for table in ("bases", "counts", "state"):
        target.execute(
            f"DELETE FROM {table} WHERE consumer <> ? AND consumer NOT IN (SELECT name FROM consumers)", (RECEIVERS,)
        )


def _copy_entries(source: sqlite3.Connection, target: sqlite3.Connection, report: SalvageReport, recorded: int) -> int:
    """Copy the entries that pass their checksum; gives the highest number. `recorded`: what the file says that it is,
    0 if it does not say."""
    head = step = 0
    for values in _entries(source, report, recorded or (1 << 62) - 1):
        row = _sound(values)
        if row is None:
            report.damaged_entries += 1
            continue
        target.execute(
            "INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _columns(row),
        )
        report.entries += 1
        report.items += row.items
        step += len(row.blob)
        if step > _STEP_BYTES:
            target.execute("COMMIT")
            target.execute("BEGIN IMMEDIATE")
            step = 0
        head = max(head, row.seq)
    return head


def _columns(row: StoredRow) -> tuple[Any, ...]:
    cost = disk_cost(len(row.blob))
    return row.seq, row.time_ns, row.signal, row.items, row.events, row.codec, row.size, row.crc, cost, row.blob


def _sound(values: tuple[Any, ...]) -> StoredRow | None:
    """The row, if it is as it was written."""
    try:
        row = StoredRow(*values)
        return row if isinstance(row.blob, bytes) and row.checksum() == row.crc else None
    except (struct.error, TypeError):
        return None


def _entries(source: sqlite3.Connection, report: SalvageReport, head: int) -> Iterator[tuple[Any, ...]]:
    """All entries that can be reached: from the front, from the back, and between two damages by halving."""
    low = 0
    try:
        for row in source.execute(f"SELECT {_ENTRY} FROM entries ORDER BY seq"):
            low = row[0]
            yield row
        return
    except sqlite3.Error as error:
        report.unreadable.append(f"entries: {error}")
    high = head + 1
    try:
        for row in source.execute(f"SELECT {_ENTRY} FROM entries WHERE seq > ? ORDER BY seq DESC", (low,)):
            high = row[0]
            yield row
    except sqlite3.Error:
        yield from _between(source, report, low + 1, high - 1)


def _between(source: sqlite3.Connection, report: SalvageReport, low: int, high: int) -> Iterator[tuple[Any, ...]]:
    """Entries in a range with damaged pages in it: what fails as a whole is tried by halves, larger parts first."""
    ranges = [(low - high, low, high)]
    probes = 0
    while ranges:
        _, first, last = heapq.heappop(ranges)
        if first > last:
            continue
        probes += 1
        if probes > _PROBES:
            report.unreadable.append(f"entries: gave up between {low} and {high}")
            return
        reached = first
        try:
            query = f"SELECT {_ENTRY} FROM entries WHERE seq BETWEEN ? AND ? ORDER BY seq"
            for row in source.execute(query, (first, last)):
                reached = row[0] + 1
                yield row
        except sqlite3.Error:
            if reached < last:
                middle = (reached + last) // 2
                heapq.heappush(ranges, (reached - middle, reached, middle))
                heapq.heappush(ranges, (middle + 1 - last, middle + 1, last))
