"""From a trace to the blocks that it is in.

Each block has an array of its traces' keys (`trace_keys`). When enough have come together they become a segment: keys
sorted into buckets of some hundred by a hash, with the block of each beside it. A look-up searches the arrays of the
open blocks, and in each segment one bucket: some ten kilobytes, wherever the trace is. A B-tree from trace to block
would cost four times as much for every span written.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sidecar.decode.api import U32, U64

KEY_BYTES = 8
SEGMENT_KEYS = 65_536
"""A segment is made of as many keys, about, ..."""
SEGMENT_BLOCKS = 4_096
"""... or of so many blocks."""
_BUCKET_KEYS = 512
_MIX = np.uint64(0x9E3779B97F4A7C15)
"""Fibonacci hashing (Knuth, The Art of Computer Programming, 6.4): ids that count up are spread as well."""
_SHIFT = 16
_ROWS_AT_ONCE = 1_000


class OpenBlocks:
    """The blocks that are in no segment yet. For the thread that writes."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.blocks, size = db.execute("SELECT count(*), coalesce(sum(length(keys)), 0) FROM trace_keys").fetchone()
        self.keys = size // KEY_BYTES

    def add(self, db: sqlite3.Connection, block: int, keys: bytes) -> None:
        """A block with its keys, inside a transaction."""
        db.execute("INSERT INTO trace_keys VALUES (?,?)", (block, keys))
        self.blocks += 1
        self.keys += len(keys) // KEY_BYTES

    def close_segment(self, db: sqlite3.Connection) -> None:
        """Make a segment of the oldest blocks, inside a transaction, if there are enough."""
        if self.keys < SEGMENT_KEYS and self.blocks < SEGMENT_BLOCKS:
            return
        taken, keys = [], 0
        for block, packed in db.execute("SELECT block, keys FROM trace_keys ORDER BY block LIMIT ?", (SEGMENT_BLOCKS,)):
            taken.append((block, packed))
            keys += len(packed) // KEY_BYTES
            if keys >= SEGMENT_KEYS:
                break
        _write(db, taken)
        db.execute("DELETE FROM trace_keys WHERE block <= ?", (taken[-1][0],))
        self.blocks -= len(taken)
        self.keys -= keys

    def deleted(self, db: sqlite3.Connection, last: int) -> None:
        """Retention deletes the blocks up to `last`, inside a transaction."""
        blocks, size = db.execute(
            "SELECT count(*), coalesce(sum(length(keys)), 0) FROM trace_keys WHERE block <= ?", (last,)
        ).fetchone()
        if blocks:
            db.execute("DELETE FROM trace_keys WHERE block <= ?", (last,))
            self.blocks -= blocks
            self.keys -= size // KEY_BYTES
        for (segment,) in db.execute("SELECT id FROM segment WHERE last <= ?", (last,)).fetchall():
            db.execute("DELETE FROM segment_keys WHERE id BETWEEN ? AND ?", _ids(segment))
            db.execute("DELETE FROM segment WHERE id = ?", (segment,))


def _ids(segment: int) -> tuple[int, int]:
    return segment << _SHIFT, (segment + 1 << _SHIFT) - 1


def _write(db: sqlite3.Connection, taken: Sequence[tuple[int, bytes]]) -> None:
    first, last = taken[0][0], taken[-1][0]
    keys: U64 = np.frombuffer(b"".join(packed for _, packed in taken), np.uint64)
    counts = [len(packed) // KEY_BYTES for _, packed in taken]
    blocks: U32 = np.repeat(np.array([block - first for block, _ in taken], np.uint32), counts)
    bits = max(0, (len(keys) // _BUCKET_KEYS).bit_length() - 1)
    buckets = _buckets(keys, bits)
    order = np.argsort(buckets, kind="stable")
    keys, blocks, buckets = keys[order], blocks[order], buckets[order]
    ends = np.searchsorted(buckets, np.arange(1 << bits), side="right").tolist()
    cursor = db.execute("INSERT INTO segment (first, last, bits) VALUES (?,?,?)", (first, last, bits))
    base = (cursor.lastrowid or 0) << _SHIFT
    begin = 0
    for bucket, end in enumerate(ends):
        if end > begin:
            row = keys[begin:end].tobytes() + blocks[begin:end].tobytes()
            db.execute("INSERT INTO segment_keys VALUES (?,?)", (base + bucket, row))
        begin = end


def _buckets(keys: U64, bits: int) -> U64:
    return (keys * _MIX) >> np.uint64(64 - bits) if bits else np.zeros(len(keys), np.uint64)


def blocks_of(db: sqlite3.Connection, keys: Sequence[bytes]) -> Mapping[bytes, list[int]]:
    """The blocks of each key (8 bytes), oldest first. Each block is there once."""
    found: dict[bytes, list[int]] = {key: [] for key in keys}
    numbers: U64 = np.frombuffer(b"".join(found), np.uint64)
    wanted: dict[int, list[bytes]] = {}
    first_of: dict[int, int] = {}
    for segment, first, bits in db.execute("SELECT id, first, bits FROM segment ORDER BY id"):
        first_of[segment] = first
        for key, bucket in zip(found, _buckets(numbers, bits).tolist(), strict=True):
            wanted.setdefault((segment << _SHIFT) + bucket, []).append(key)
    places = list(wanted)
    # One statement for many rows: each step of Python's gives the interpreter away, and waits for it behind the ingest.
    for begin in range(0, len(places), _ROWS_AT_ONCE):
        some = ",".join(map(str, places[begin : begin + _ROWS_AT_ONCE]))
        for place, row in db.execute(f"SELECT id, keys FROM segment_keys WHERE id IN ({some}) ORDER BY id"):
            for key in wanted[place]:
                found[key] += (first_of[place >> _SHIFT] + offset for offset in _offsets(row, key))
    _add_open(db, found, numbers)
    return {key: list(dict.fromkeys(blocks)) for key, blocks in found.items()}


def _add_open(db: sqlite3.Connection, found: Mapping[bytes, list[int]], wanted: U64) -> None:
    """The blocks that are in no segment yet."""
    rows = db.execute("SELECT block, keys FROM trace_keys ORDER BY block").fetchall()
    keys: U64 = np.frombuffer(b"".join(packed for _, packed in rows), np.uint64)
    ends = np.cumsum([len(packed) // KEY_BYTES for _, packed in rows])
    for place in np.flatnonzero(np.isin(keys, wanted)).tolist():
        found[keys[place].tobytes()].append(rows[int(np.searchsorted(ends, place, side="right"))][0])


def _offsets(row: bytes, key: bytes) -> Iterator[int]:
    """Keys of 8 bytes each, then as many numbers of blocks of 4 bytes each."""
    end = len(row) * KEY_BYTES // (KEY_BYTES + 4)
    place = _aligned(row, key, 0, end)
    while place >= 0:
        at = end + place // KEY_BYTES * 4
        yield int.from_bytes(row[at : at + 4], sys.byteorder)
        place = _aligned(row, key, place + KEY_BYTES, end)


def _aligned(packed: bytes, key: bytes, begin: int, end: int) -> int:
    """Where the key stands at a multiple of its length; -1 where it does not."""
    place = packed.find(key, begin, end)
    while place >= 0 and place % KEY_BYTES:
        place = packed.find(key, place + 1, end)
    return place
