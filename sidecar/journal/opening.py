"""Open the journal, whatever state it is in; watch it for the program's own metrics."""

from __future__ import annotations

import secrets
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import structlog

from sidecar.errors import ConfigError, Unavailable
from sidecar.journal import salvage, schema
from sidecar.journal.journal import Journal
from sidecar.journal.ledger import Ledger
from sidecar.journal.lock import DirectoryLock
from sidecar.journal.memory import MemoryJournal
from sidecar.journal.options import JournalOptions
from sidecar.journal.sqlite_store import Connect, SqliteStore
from sidecar.journal.state import JournalState
from sidecar.journal.transaction import Loaded, Store
from sidecar.journal.watch import watch
from sidecar.pipeline import Clock
from sidecar.telemetry import Telemetry

_SKIP_AFTER_CRASH = 1 << 20
"""Sequence numbers left out after a crash. A disk that lies about fsync may lose the last commits; their numbers are
part of document ids and must not be given to other payloads."""

_TIMEOUT = 10.0
_UNREADABLE = (
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
)

log = structlog.get_logger("journal")


def open_journal(
    options: JournalOptions,
    clock: Clock = time.time_ns,
    telemetry: Telemetry | None = None,
    connect: Connect = schema.connect,
) -> Journal:
    """The journal of these options. A damaged one is salvaged: what can be read goes into a new file, the old one is
    set aside, and an ERROR says what was lost. `ConfigError` if the directory cannot be used or another sidecar has it.

    `connect` makes the writing connection (tests put a failing one in)."""
    if options.backend == "memory":
        journal: Journal = MemoryJournal(options, clock, telemetry)
    else:
        journal = _open_sqlite(options, clock, telemetry, connect)
    if telemetry is not None:
        watch(journal, telemetry)
    return journal


def _open_sqlite(options: JournalOptions, clock: Clock, telemetry: Telemetry | None, connect: Connect) -> Journal:
    directory = options.path
    if directory.exists() and not directory.is_dir():
        raise ConfigError([f"journal.path: {directory} is not a directory"])
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = DirectoryLock(directory)
    except OSError as error:
        raise ConfigError(
            [f"journal.path: {directory} cannot be used: {error}; make it writable for this user"]
        ) from error
    try:
        store, state = _open_store(options, connect, telemetry)
        losses = state.reconcile()
    except BaseException:
        lock.release()
        raise
    if any(losses.values()):
        log.error("journal_items_lost", lost=losses)

    def repair(known: Loaded) -> Store:
        _salvage(directory, telemetry, known)
        return SqliteStore(directory, connect)

    journal = Journal(store, state, clock, telemetry, repair, lock.release)
    if losses:
        _commit_losses(journal)
    return journal


def _commit_losses(journal: Journal) -> None:
    """So that the ledger balances from the first scrape on. A disk that cannot take it now takes it later."""
    try:
        journal.flush(_TIMEOUT)
    except (Unavailable, TimeoutError) as error:
        log.warning("journal_losses_not_committed", error=str(error))


def _open_store(
    options: JournalOptions, connect: Connect, telemetry: Telemetry | None
) -> tuple[SqliteStore, JournalState]:
    salvage.finish_interrupted(options.path)
    try:
        return _load(options, connect)
    except (sqlite3.Error, OSError, KeyError, ValueError, TypeError, OverflowError) as error:
        # Whatever a damaged file makes of its values ends here; a file that is merely busy or on a full disk does not.
        if _is_elsewhere(error):
            raise ConfigError([f"journal.path: the journal in {options.path} cannot be opened: {error}"]) from error
        log.error("journal_damaged", error=str(error), path=str(options.path))
    _salvage(options.path, telemetry, None)
    return _load(options, connect)


def _is_elsewhere(error: Exception) -> bool:
    """The trouble is not in the file: it is busy, or the disk is full."""
    if isinstance(error, OSError):
        return not isinstance(error, PermissionError | IsADirectoryError)
    code = getattr(error, "sqlite_errorcode", 0)
    if code & 0xFF == sqlite3.SQLITE_IOERR:
        return code not in _UNREADABLE
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_LOCKED)


def _salvage(directory: Path, telemetry: Telemetry | None, known: Loaded | None) -> None:
    report = salvage.salvage(directory, known)
    if telemetry is not None:
        telemetry.add("sidecar_journal_salvaged_entries_total", report.entries)
    log.error(
        "journal_salvaged",
        aside=report.aside,
        entries_salvaged=report.entries,
        items_salvaged=report.items,
        entries_damaged=report.damaged_entries,
        unreadable=report.unreadable[:10],
        same_id=report.same_id,
    )


def _load(options: JournalOptions, connect: Connect) -> tuple[SqliteStore, JournalState]:
    _prepare(options.path / schema.FILE, connect)
    store = SqliteStore(options.path, connect)
    try:
        state = JournalState(options, options.quota_bytes, store.load())
        state.load_index(store.index_rows())
        if not store.was_closed():
            state.head += _SKIP_AFTER_CRASH
    except BaseException:
        store.abandon()
        raise
    return store, state


def _prepare(path: Path, connect: Connect) -> None:
    """Make the tables of a new file, migrate one of an earlier version. `sqlite3.DatabaseError` for a file that is
    something else, or of a later version: what can be read of that is salvaged, and the file set aside."""
    with closing(connect(path)) as db:
        if schema.is_empty(db) and schema.pragma(db, "application_id") == 0:
            schema.create(db, secrets.token_hex(8))
        application, version = schema.pragma(db, "application_id"), schema.pragma(db, "user_version")
        if application != schema.APPLICATION_ID or not 1 <= version <= schema.VERSION:
            raise sqlite3.DatabaseError(f"application and version are {application} and {version}, not ours")
        if schema.migrate(db) != schema.VERSION:
            log.info("journal_migrated", version=version, to=schema.VERSION)


def _check_version(path: Path) -> None:
    with closing(schema.connect(path, read_only=True)) as db:
        version = schema.pragma(db, "user_version")
    if version < schema.VERSION:
        raise ConfigError(
            [f"journal.path: the journal {path} is of an earlier version ({version}); start the sidecar to migrate it"]
        )


def read_ledger(options: JournalOptions) -> Ledger:
    """The ledger of a journal on disk as last committed, without taking part in it: also beside a running sidecar."""
    path = options.path / schema.FILE
    if not path.exists():
        raise ConfigError([f"journal.path: there is no journal in {options.path}"])
    try:
        _check_version(path)
        store = SqliteStore(options.path, lambda p: schema.connect(p, read_only=True))
        try:
            state = JournalState(options, options.quota_bytes, store.load())
            state.load_index(store.index_rows())
            return state.ledger()
        finally:
            store.abandon()
    except sqlite3.Error as error:
        raise ConfigError([f"journal.path: the journal in {options.path} cannot be read: {error}"]) from error
