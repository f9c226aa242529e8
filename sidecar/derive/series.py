"""Bounded sets of series: who gets a row, what happens at a budget, when a row goes, how rows are kept.

Values are integers, so that additions are exact and do not depend on their order: a replay after a crash gives the
same bits. Counts are fixed point with 20 fractional bits (`SCALE`), because a sampled span stands for a number of
spans that need not be whole. A 63-bit sum of nanoseconds is split into two columns (`split`). A sum of doubles has a
whole number without an end (`sums`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from sidecar.derive.families import OVERFLOW_TEXT, NativeHistogram, label_text
from sidecar.derive.native_buckets import NativeRows
from sidecar.derive.scrapes import View
from sidecar.derive.sums import MAX_TOTAL_BYTES, add_up, pack_total, rounded, unpack_total

log = structlog.get_logger("sidecar.derive")

I64 = npt.NDArray[np.int64]
Labels = tuple[str, ...]

SCALE = 1 << 20
LIMIT = (1 << 62) - 1
"""A column stops here instead of wrapping round: addition that stops is still independent of order."""
MAX_WEIGHT = float(1 << 24)
"""A span cannot stand for more spans than this, whatever its tracestate claims."""
OTHER = "__other__"
OVERFLOW: Labels = ()
"""The key of the overflow series."""

_LOW = (1 << 32) - 1
_SHOWN = -1
_HEAD = struct.Struct("<qq")
_SHAPE = b"shape/"
_ROW = b"s/"
_NATIVE = b"n/"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a table may hold."""

    series: int = 2000
    values: int = 200
    """Distinct values of one label."""
    characters: int = 4 << 20
    """All label values of all series together."""
    native: bool = False
    """Histograms have native buckets too."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When the records of a batch came: record i belongs to the payload j with ends[j-1] <= i < ends[j]."""

    ends: I64
    times: I64
    """Unix nanoseconds per payload."""
    now: int
    """When they are added up: what counts for idleness, so that a backlog is not idle from the start."""

    def of(self, picked: npt.NDArray[np.intp]) -> Arrival:
        """The same of some of the records, by their ascending indexes."""
        return Arrival(np.searchsorted(picked, self.ends), self.times, self.now)

    def at(self, record: int) -> int:
        """Time of the payload that holds this record."""
        j = int(np.searchsorted(self.ends, record, side="right"))
        return int(self.times[min(j, len(self.times) - 1)])


class SeriesTable:
    """Rows of int64 columns, and a sum of doubles each, by label values. Not thread-safe: the engine's lock guards it.

    `columns` is the number of int64 values of a row. `shape` says what they mean; kept rows of another shape are not
    taken over.
    """

    def __init__(
        self, name: str, labels: Sequence[str], columns: int, budget: Budget, shape: str = "", *, native: bool = False
    ) -> None:
        """`native`: it is a histogram that may have native buckets."""
        self.name = name
        self.native = NativeRows() if native and budget.native else None
        self.labels = tuple(labels)
        self.values: I64 = np.zeros((64, columns), np.int64)
        self.shape = f"2|{','.join(labels)}|{columns}|{shape}{'|native' if self.native else ''}"
        self.generation = 0
        """Changes whenever a row is taken away: row numbers remembered elsewhere are void."""
        self.overflowed = dict.fromkeys(self.labels, 0)
        """Label -> records whose value of it was not taken in because the label or the table was at its budget."""
        self._budget = budget
        self._index: dict[Labels, int] = {}
        self._keys: list[Labels | None] = [None] * 64
        self._totals = [0] * 64
        """The sum of each row, see `sums`."""
        self._created: I64 = np.zeros(64, np.int64)
        self._seen: I64 = np.zeros(64, np.int64)
        self._born: I64 = np.zeros(64, np.int64)
        """Tick of the last scrape before each row; _SHOWN for those that are shown as they are."""
        self._tick = 0
        self._dirty = np.zeros(64, np.bool_)
        self._free = list(range(63, -1, -1))
        self._in_use: list[dict[str, int]] = [{} for _ in labels]
        self._characters = 0
        self._deleted: set[Labels] = set()
        self._texts: dict[tuple[str, ...], dict[Labels, str]] = {}
        self._shape_saved = False

    def __len__(self) -> int:
        return len(self._index)

    def known_labels(self) -> Iterator[Labels]:
        """Label values of all series, the overflow series' among them."""
        return iter(self._index)

    def find(self, key: Labels) -> int:
        """The row of these label values, -1 if there is none."""
        return self._index.get(key, -1)

    def rows(self, keys: Sequence[Labels], group: npt.NDArray[Any], arrival: Arrival) -> npt.NDArray[np.intp]:
        """The row of every key; keys without one are taken in, in the order in which their first record came.

        `group` holds for each record the index of its key.
        """
        index = self._index
        rows = np.fromiter((index.get(key, -1) for key in keys), np.intp, len(keys))
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            counts, first = occurrences(group, len(keys))
            for i in missing[np.argsort(first[missing], kind="stable")].tolist():
                if counts[i]:
                    rows[i] = self.admit(keys[i], arrival.at(int(first[i])), int(counts[i]))
        return rows

    def assign(self, keys: Sequence[Labels], codes: npt.NDArray[Any], arrival: Arrival) -> npt.NDArray[np.intp]:
        """The row of each record, which something is added to now. `codes`: index of each one's key."""
        rows = self.rows(keys, codes, arrival)
        self.touch(rows[np.flatnonzero(np.bincount(codes, minlength=len(keys)))], arrival.now)
        of_records: npt.NDArray[np.intp] = rows[codes]
        return of_records

    def admit(self, labels: Labels, created: int, records: int) -> int:
        """The row for these label values: their own, that of `__other__`, or the overflow series."""
        # Half of a surrogate pair is no text and could not be kept; decoders replace it, this is the last line.
        mapped = [value if value.isascii() else value.encode("utf-8", "replace").decode() for value in labels]
        for i, value in enumerate(mapped):
            in_use = self._in_use[i]
            if value and value not in in_use and len(in_use) >= self._budget.values:
                mapped[i] = OTHER
                self.overflowed[self.labels[i]] += records
        key = tuple(mapped)
        row = self._index.get(key, -1)
        if row >= 0:
            return row
        full = len(self._index) >= self._budget.series + (OVERFLOW in self._index)
        if full or self._characters >= self._budget.characters:
            self.overflowed[self._widest()] += records
            row = self._index.get(OVERFLOW, -1)
            return row if row >= 0 else self._create(OVERFLOW, created)
        return self._create(key, created)

    def add_up(self, rows: npt.NDArray[np.intp], values: npt.NDArray[np.float64]) -> None:
        """Add finite values to the sums of their rows, exactly."""
        add_up(self._totals, rows, values)

    def touch(self, rows: npt.NDArray[np.intp], now: int) -> None:
        """Rows were added to: they have to be kept at the next checkpoint and are not idle."""
        self._dirty[rows] = True
        self._seen[rows] = np.maximum(self._seen[rows], now)

    def expire(self, now: int, ttl: int) -> list[int]:
        """Take away rows idle for longer than `ttl` ns at `now` (Unix ns); the row numbers that became free."""
        gone = []
        for row in np.flatnonzero(self._seen < now - ttl).tolist():
            key = self._keys[row]
            if key is not None:
                self._remove(key, row)
                gone.append(row)
        return gone

    def texts(self, names: Sequence[str]) -> dict[Labels, str]:
        """Label text of every series under these label names (kept, so that a scrape need not build it)."""
        known = self._texts.setdefault(tuple(names), {})
        for key in self._index:
            if key not in known:
                known[key] = OVERFLOW_TEXT if key == OVERFLOW else label_text(names, key)
        return known

    def natives(self, rows: npt.NDArray[np.intp], counts: Sequence[int]) -> list[NativeHistogram | None]:
        """The native buckets of these rows, if the table has some. `counts`: what is shown as the count of each."""
        native = self.native
        if native is None:
            return []
        return [native.snapshot(row, empty=not count) for row, count in zip(rows.tolist(), counts, strict=True)]

    def label_texts(self, keys: Sequence[Labels]) -> list[str]:
        """Label text of these series."""
        texts = self.texts(self.labels)
        return [texts[key] for key in keys]

    def show(self, view: View | None = None) -> tuple[list[Labels], npt.NDArray[np.intp], I64, list[float]]:
        """For a scrape: keys, their rows, a copy of their values, and when they were created (Unix seconds).

        A series that this scraper has not been shown yet is shown at 0, so that `increase()` sees its first event.
        """
        keys, rows, values, created, _ = self.show_sums(view)
        return keys, rows, values, created

    def show_sums(
        self, view: View | None = None
    ) -> tuple[list[Labels], npt.NDArray[np.intp], I64, list[float], list[float]]:
        """The same, and the sum of each row. Without a view: for the only scraper that there is."""
        view = view or View(self._tick + 1, self._tick)
        self._tick = max(self._tick, view.tick)
        keys = list(self._index)
        rows = np.fromiter(self._index.values(), np.intp, len(keys))
        zero = (self._born[rows] >= view.since) & (self._created[rows] >= view.young)
        values = self.values[rows]
        values[zero] = 0
        totals = [0 if new else self._totals[row] for new, row in zip(zero.tolist(), rows.tolist(), strict=True)]
        return keys, rows, values, (self._created[rows] / 1e9).tolist(), [rounded(total) for total in totals]

    def mark_exported(self) -> None:
        """Every series there is now counts as shown: an earlier run of the program may have shown it."""
        self._born[:] = _SHOWN

    def sizes(self) -> Iterator[tuple[str, int]]:
        """(metric, series)."""
        yield self.name, len(self)

    def overflow(self) -> Iterator[tuple[str, str, int]]:
        """(metric, label, records that overflowed), for the labels that have any."""
        for label, records in self.overflowed.items():
            if records:
                yield self.name, label, records

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        if not self._shape_saved:
            self._shape_saved = True
            yield _SHAPE + self.name.encode(), self.shape.encode()
        for key in self._deleted:
            yield self._state_key(key), None
            if self.native is not None:
                yield self._native_key(key), None
        self._deleted.clear()
        for row in np.flatnonzero(self._dirty).tolist():
            labels = self._keys[row]
            if labels is not None:
                head = _HEAD.pack(int(self._created[row]), int(self._seen[row]))
                yield self._state_key(labels), head + self.values[row].tobytes() + pack_total(self._totals[row])
                buckets = self.native.pack(row) if self.native is not None else None
                if buckets is not None:
                    yield self._native_key(labels), buckets
        self._dirty[:] = False

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over the kept rows of this table; the keys that were of use. None are if the shape was another."""
        kept_shape = state.get(_SHAPE + self.name.encode())
        if kept_shape != self.shape.encode():
            if kept_shape is not None:
                log.info("series_restarted", metric=self.name)
            return set()
        self._shape_saved = True
        prefix = self._state_key(OVERFLOW)
        used = {key for key, value in state.items() if key.startswith(prefix) and self._take_over(key, value)}
        return used | self._restore_native(state) | {_SHAPE + self.name.encode()}

    def _restore_native(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        if self.native is None:
            return set()
        keys = {self._native_key(labels): row for labels, row in self._index.items()}
        return {key for key, row in keys.items() if key in state and self.native.unpack(row, state[key])}

    def _take_over(self, key: bytes, value: bytes) -> bool:
        labels = unpack_labels(key[len(self._state_key(OVERFLOW)) :])
        end = _HEAD.size + 8 * self.values.shape[1]
        if labels is None or not end + 2 < len(value) <= end + MAX_TOTAL_BYTES:
            return False
        if labels != OVERFLOW and len(labels) != len(self.labels):
            return False
        created, seen = _HEAD.unpack_from(value)
        row = self._create(labels, created)
        self._seen[row] = seen
        self._dirty[row] = False
        self.values[row] = np.frombuffer(value[_HEAD.size : end], "<i8")
        self._totals[row] = unpack_total(value[end:])
        return True

    def _state_key(self, labels: Labels) -> bytes:
        return _ROW + self.name.encode() + b"\0" + pack_labels(labels)

    def _native_key(self, labels: Labels) -> bytes:
        return _NATIVE + self.name.encode() + b"\0" + pack_labels(labels)

    def _widest(self) -> str:
        return max(zip(self.labels, self._in_use, strict=True), key=lambda pair: len(pair[1]))[0]

    def _create(self, key: Labels, created: int) -> int:
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._index[key] = row
        self._keys[row] = key
        self._created[row] = self._seen[row] = created
        self._born[row] = self._tick
        self._dirty[row] = True
        self._deleted.discard(key)
        self._characters += sum(map(len, key))
        for in_use, value in zip(self._in_use, key, strict=False):
            if value:
                in_use[value] = in_use.get(value, 0) + 1
        return row

    def _remove(self, key: Labels, row: int) -> None:
        del self._index[key]
        self._keys[row] = None
        self.values[row] = 0
        self._totals[row] = 0
        self._dirty[row] = False
        self._free.append(row)
        if self.native is not None:
            self.native.forget(row)
        self._deleted.add(key)
        self._characters -= sum(map(len, key))
        for texts in self._texts.values():
            texts.pop(key, None)
        for in_use, value in zip(self._in_use, key, strict=False):
            if value:
                in_use[value] -= 1
                if not in_use[value]:
                    del in_use[value]
        self.generation += 1

    def _grow(self) -> None:
        old = len(self._keys)
        self._keys.extend([None] * old)
        self._totals.extend([0] * old)
        self.values = np.concatenate([self.values, np.zeros_like(self.values)])
        self._created = np.concatenate([self._created, np.zeros_like(self._created)])
        self._seen = np.concatenate([self._seen, np.zeros_like(self._seen)])
        self._born = np.concatenate([self._born, np.zeros_like(self._born)])
        self._dirty = np.concatenate([self._dirty, np.zeros_like(self._dirty)])
        self._free.extend(range(2 * old - 1, old - 1, -1))


def occurrences(group: npt.NDArray[Any], groups: int) -> tuple[I64, I64]:
    """How often each group occurs, and the index of its first record."""
    first = np.zeros(groups, np.int64)
    first[group[::-1]] = np.arange(len(group) - 1, -1, -1)
    return np.bincount(group, minlength=groups).astype(np.int64), first


def add_saturating(values: I64, rows: npt.NDArray[np.intp], delta: I64) -> None:
    """values[rows] += delta, stopping at LIMIT. `rows` are distinct; `delta` is at least 0."""
    values[rows] = np.minimum(values[rows] + np.minimum(delta, LIMIT), LIMIT)


def carry_sums(values: I64, rows: npt.NDArray[np.intp], high: int, low: int) -> None:
    """Bring a split sum into its one canonical form: the low column below 2^32."""
    values[rows, high] = np.minimum(values[rows, high] + (values[rows, low] >> 32), LIMIT)
    values[rows, low] &= _LOW


def split(amounts: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """High and low 32 bits."""
    return amounts >> np.uint64(32), amounts & np.uint64(_LOW)


def joined(high: I64, low: I64) -> list[int]:
    """A split sum as whole numbers."""
    return [(h << 32) + lo for h, lo in zip(high.tolist(), low.tolist(), strict=True)]


def whole(fixed: I64) -> Any:
    """Fixed point as the nearest whole numbers, in lists of the same shape: OpenMetrics allows no others in buckets.
    Rounding a total keeps it from going back, and is off by half a record at most however large it gets."""
    return ((fixed + (SCALE >> 1)) >> 20).tolist()


def pack_labels(labels: Labels) -> bytes:
    """Label values as bytes from which they can be read again."""
    parts = [value.encode() for value in labels]
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def unpack_labels(packed: bytes) -> Labels | None:
    """The label values of `pack_labels`; None if these bytes are not from there."""
    labels, at = [], 0
    while at < len(packed):
        end = at + 4 + int.from_bytes(packed[at : at + 4], "little")
        if end > len(packed):
            return None
        labels.append(packed[at + 4 : end].decode("utf-8", "replace"))
        at = end
    return tuple(labels)
