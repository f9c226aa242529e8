"""The embedded store as a place where log records are read in the order in which they came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isal import isal_zlib
from pydantic_core import from_json

from sidecar.decode.api import Decoder
from sidecar.deliver.store.span_store import Store, StoreUnavailable
from sidecar.errors import DecodeError
from sidecar.lookup.document_traces import log_of
from sidecar.lookup.model import LogRecord
from sidecar.lookup.store import Deadline, StoreFailure

MAX_BLOCKS = 200
"""Blocks that are read at once behind a position."""
_BLOCK = "SELECT seq, payload FROM block WHERE id = ?"


class StoredLogs:
    """See `lookup.logs.LogStore`. A position is the id of a block."""

    def __init__(self, store: Store, decoder: Decoder) -> None:
        self._store, self._decoder = store, decoder

    def position(self) -> int:
        try:
            with self._store.reading() as db:
                return int(db.execute("SELECT coalesce(max(id), 0) FROM block").fetchone()[0])
        except StoreUnavailable as error:
            raise StoreFailure(error.reason) from error

    def after(self, position: int, limit: int) -> tuple[list[LogRecord], int, int]:
        found: list[LogRecord] = []
        passed = 0
        try:
            with self._store.reading() as db:
                query = "SELECT id, items FROM block WHERE id > ? AND signal = 'logs' ORDER BY id LIMIT ?"
                for block, items in db.execute(query, (position, MAX_BLOCKS)).fetchall():
                    position = block
                    room = limit - len(found)
                    if room:
                        seq, packed = db.execute(_BLOCK, (block,)).fetchone()
                        found += self._records(seq, packed, room)
                    passed += max(0, items - room)
        except StoreUnavailable as error:
            raise StoreFailure(error.reason) from error
        return found, position, passed

    def newest(self, deadline: Deadline) -> Iterator[Sequence[LogRecord]]:
        try:
            with self._store.reading() as db:
                query = "SELECT id FROM block WHERE signal = 'logs' AND time_ns >= ? ORDER BY id DESC"
                for (block,) in db.execute(query, (self._store.cutoff_ns,)):
                    deadline.check()
                    yield self._records(*db.execute(_BLOCK, (block,)).fetchone())[::-1]
        except StoreUnavailable as error:
            raise StoreFailure(error.reason) from error

    def _records(self, seq: int, packed: bytes, most: int | None = None) -> list[LogRecord]:
        """The records of a block, in the order of the payload, the first `most`; none of one that cannot be read."""
        try:
            lines = self._decoder.log_lines([isal_zlib.decompress(packed)], [f"-{seq}"])
        except (DecodeError, isal_zlib.IsalError) as error:  # type: ignore[misc]  # the stub takes it for an instance
            self._store.unreadable(seq, error)
            return []
        begin, records = 0, []
        for end in lines.ends[:most].tolist():
            records.append(log_of(from_json(lines.body[begin:end].partition(b"\n")[2])))
            begin = end
        return records
