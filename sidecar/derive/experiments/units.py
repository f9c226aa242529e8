"""Units of experiments that are remembered until their conversion may come no more: bounded, in order of arrival.

They are columns in chunks; a checkpoint writes chunks that have changed.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import structlog

log = structlog.get_logger("sidecar.derive")

CHUNK = 256
"""Units that are kept together; they are forgotten together too."""
UNIT_BYTES = 260
"""What a unit takes, about: columns, and its entry in the index."""
CONVERTED, LABELLED = 1, 2
"""Flags of a unit."""
_COLUMNS = (
    ("keys", "Q", "<u8"),
    ("links", "Q", "<u8"),
    ("values", "d", "<f8"),
    ("cells", "I", "<u4"),
    ("rows", "I", "<u4"),
    ("classes", "I", "<u4"),
    ("models", "I", "<u4"),
    ("received", "I", "<u4"),
    ("flags", "B", "|u1"),
)
_ROW = sum(np.dtype(kept).itemsize for _, _, kept in _COLUMNS)


class Unit(NamedTuple):
    """What is known of a new unit."""

    key: int
    """64 bits, of its experiment and id."""
    cell: int
    """Of its experiment and variant."""
    row: int = 0
    """Place in the call of the model."""
    name: int = 0
    """Of the predicted class; 0 where there is none."""
    model: int = 0
    link: int = 0
    """Key of the user's unit, of a row that a user was shown."""


class _Chunk:
    """Columns of equal length."""

    def __init__(self) -> None:
        self.keys, self.links = array("Q"), array("Q")
        self.values = array("d")
        self.cells, self.rows, self.classes = array("I"), array("I"), array("I")
        self.models, self.received = array("I"), array("I")
        self.flags = array("B")

    def __len__(self) -> int:
        return len(self.keys)

    def append(self, unit: Unit, received: int) -> None:
        self.keys.append(unit.key)
        self.links.append(unit.link)
        self.values.append(0.0)
        self.cells.append(unit.cell)
        self.rows.append(unit.row)
        self.classes.append(unit.name)
        self.models.append(unit.model)
        self.received.append(received)
        self.flags.append(0)

    def pack(self) -> bytes:
        return zlib.compress(b"".join(np.array(getattr(self, n), c).tobytes() for n, _, c in _COLUMNS), 1)

    def unpack(self, packed: bytes) -> bool:
        """Take over what `pack` gave; False where it is not from there."""
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(packed, CHUNK * _ROW + 1)
        except zlib.error:
            return False
        n, rest = divmod(len(data), _ROW)
        if rest or not 0 < n <= CHUNK or not unpacker.eof:
            return False
        at = 0
        for name, code, kept in _COLUMNS:
            size = n * np.dtype(kept).itemsize
            setattr(self, name, array(code, np.frombuffer(data, kept, n, at).tolist()))
            at += size
        return True


class Units:
    """Times are Unix seconds at which payloads were received; they never go back. Not thread-safe."""

    def __init__(self, prefix: bytes, most: int, ttl: int) -> None:
        """`prefix`: of keys of its state; `ttl`: seconds for which a unit is remembered."""
        self._prefix = prefix
        self._most = max(most, 2 * CHUNK)
        self._ttl = ttl
        self._gone: set[int] = set()
        self._clear()

    def _clear(self) -> None:
        self._chunks: dict[int, _Chunk] = {}
        self._index: dict[int, int] = {}
        """Key -> number of its first unit. Those of one key follow each other."""
        self._oldest = self._next = 0
        self._dirty: set[int] = set()

    def __len__(self) -> int:
        return self._next - self._oldest

    @property
    def full(self) -> bool:
        return len(self) >= self._most

    def add(self, units: Iterable[Unit], now: int) -> Counter[int]:
        """Take in units of one record, with one key that is not known, ascending by row. Of those that had to be
        forgotten for them before they converted: cell -> units."""
        evicted: Counter[int] = Counter()
        for unit in units:
            if self.full:
                self._drop(evicted)
            self._index.setdefault(unit.key, self._next)
            chunk = self._chunks.setdefault(self._next // CHUNK, _Chunk())
            chunk.append(unit, now)
            self._dirty.add(self._next // CHUNK)
            self._next += 1
        return evicted

    def find(self, key: int) -> range:
        """Numbers of the units with this key; empty without any."""
        begin = self._index.get(key, -1)
        if begin < 0:
            return range(0)
        end = begin + 1
        while end < self._next and self._at("keys", end) == key:
            end += 1
        return range(begin, end)

    def _at(self, column: str, number: int) -> int:
        found: int = getattr(self._chunks[number // CHUNK], column)[number % CHUNK]
        return found

    def cell(self, number: int) -> int:
        return self._at("cells", number)

    def row(self, number: int) -> int:
        return self._at("rows", number)

    def name(self, number: int) -> int:
        return self._at("classes", number)

    def model(self, number: int) -> int:
        return self._at("models", number)

    def link(self, number: int) -> int:
        return self._at("links", number)

    def age(self, number: int, now: int) -> int:
        """Seconds since it was taken in."""
        return now - self._at("received", number)

    def has(self, number: int, flag: int) -> bool:
        return bool(self._at("flags", number) & flag)

    def mark(self, number: int, flag: int) -> None:
        """Set a flag."""
        self._chunks[number // CHUNK].flags[number % CHUNK] |= flag
        self._dirty.add(number // CHUNK)

    def complete(self, number: int, name: int, model: int) -> None:
        """What was predicted, of a unit that was taken in without."""
        chunk = self._chunks[number // CHUNK]
        chunk.classes[number % CHUNK], chunk.models[number % CHUNK] = name, model
        self._dirty.add(number // CHUNK)

    def add_value(self, number: int, value: float) -> tuple[float, float]:
        """Add to a unit's value; (before, after)."""
        values = self._chunks[number // CHUNK].values
        before = values[number % CHUNK]
        values[number % CHUNK] = before + value
        self._dirty.add(number // CHUNK)
        return before, before + value

    def advance(self, now: int) -> None:
        """Forget chunks of which every unit was remembered for long enough."""
        while self._oldest < self._next:
            last = min(self._next, (self._oldest // CHUNK + 1) * CHUNK) - 1
            if self.age(last, now) < self._ttl:
                return
            self._drop(Counter())

    def _drop(self, evicted: Counter[int]) -> None:
        at = self._oldest // CHUNK
        chunk = self._chunks.pop(at)
        for key, cell, flags in zip(chunk.keys, chunk.cells, chunk.flags, strict=True):
            self._index.pop(key, None)
            if not flags & CONVERTED:
                evicted[cell] += 1
        following = self._chunks.get(at + 1)
        if following is not None and following.keys[0] == chunk.keys[-1]:
            self._index[following.keys[0]] = (at + 1) * CHUNK
        self._dirty.discard(at)
        self._gone.add(at)
        self._oldest = (at + 1) * CHUNK
        self._next = max(self._next, self._oldest)  # What comes next begins a chunk of its own.

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        yield from ((self._key(at), None) for at in sorted(self._gone))
        self._gone.clear()
        yield from ((self._key(at), self._chunks[at].pack()) for at in sorted(self._dirty))
        self._dirty.clear()

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what was kept; the keys that were of use. None are where a part of it is not from here."""
        used = {key for key in state if key.startswith(self._prefix)}
        for key in sorted(used):
            at, chunk = int.from_bytes(key[len(self._prefix) :], "big"), _Chunk()
            if (self._chunks and at * CHUNK != self._next) or not chunk.unpack(state[key]):
                log.warning("experiment_units_restarted", chunk=at)
                self._clear()
                return set()
            if not self._chunks:
                self._oldest = at * CHUNK
            self._chunks[at] = chunk
            self._next = at * CHUNK + len(chunk)
        self._reindex()
        return used

    def _reindex(self) -> None:
        for at, chunk in self._chunks.items():
            for place, key in enumerate(chunk.keys):
                self._index.setdefault(key, at * CHUNK + place)

    def _key(self, chunk: int) -> bytes:
        return self._prefix + chunk.to_bytes(8, "big")
