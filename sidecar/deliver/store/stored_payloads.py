"""The payloads of a store, in the order in which they came, while a sidecar may be writing to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from isal import isal_zlib

from sidecar.deliver.store.schema import VERSION
from sidecar.deliver.store.span_store import FILE
from sidecar.errors import Permanent
from sidecar.pipeline import Signal

_BLOCKS = "SELECT signal, time_ns, items, payload FROM block WHERE time_ns <= ? ORDER BY id"


class Stored(NamedTuple):
    """One payload; `time_ns`: when it was received, Unix ns."""

    signal: Signal
    time_ns: int
    items: int
    payload: bytes


class StoredPayloads:
    """The file in a folder, or its path. It is only read. Every function raises `Permanent` where it cannot be."""

    def __init__(self, path: Path) -> None:
        self.path = path / FILE if path.is_dir() else path
        self.damaged = 0
        """Payloads that could not be unpacked when they were read last."""
        if not self.path.is_file():
            raise Permanent(
                f"{path}: no store; expected a folder with {FILE}, or that file (deliver.store.directory, else the "
                "folder of the journal)"
            )

    def first_ns(self) -> int | None:
        """When the oldest came (Unix ns); None of an empty store."""
        for (time_ns,) in self._rows("SELECT time_ns FROM block ORDER BY id LIMIT 1"):
            return int(time_ns)
        return None

    def until(self, end_ns: int) -> Iterator[Stored]:
        """Those that came up to then. One that is damaged is left out and counted."""
        self.damaged = 0
        for signal, time_ns, items, packed in self._rows(_BLOCKS, end_ns):
            try:
                yield Stored(signal, time_ns, items, isal_zlib.decompress(packed))
            except isal_zlib.IsalError:  # type: ignore[misc]  # the stub takes it for an instance
                self.damaged += 1

    def _rows(self, query: str, *given: int) -> Iterator[Any]:
        try:
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as db:
                (version,) = db.execute("PRAGMA user_version").fetchone()
                if version > VERSION:
                    raise Permanent(f"{self.path}: of a newer version ({version}); expected at most {VERSION}")
                yield from db.execute(query, given)
        except sqlite3.Error as error:
            raise Permanent(f"{self.path}: cannot be read as a store: {error}") from error
