"""Rows of predictions that wait for their labels, or have them and are remembered: bounded, in order of arrival.

They are kept in chunks, of which a checkpoint writes the last one again and what became of labels of others: a few
kilobytes, however many rows there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import structlog

from sidecar.derive.outcomes.generation import JOINED, ROW_BYTES, ROWS, Generation
from sidecar.derive.outcomes.kinds import Kind, Kinds

log = structlog.get_logger("sidecar.derive")

CHUNK = 1024
"""Rows that are kept together; they are forgotten together too."""
REMEMBERED = 86_400
"""Seconds for which a prediction is known to have waited for too long."""
_ROWS_PREFIX, _JOINED_PREFIX = b"outcomes/o/", b"outcomes/j/"


class OpenRow(NamedTuple):
    """One row, as it is now."""

    number: int
    """Of the row in the store."""
    kind: Kind
    value: float
    """The predicted number, or the probability of the class; NaN where it is not known."""
    time: int
    """When it was predicted, Unix seconds."""
    received: int
    joined: bool


class OpenPredictions:
    """Times are Unix seconds at which payloads were received; they never go back. Not thread-safe."""

    def __init__(self, max_bytes: int, ttl: int) -> None:
        """`ttl`: seconds that a row waits for its label."""
        self._ttl = ttl
        self._most = max(2 * CHUNK, (max_bytes - ROWS * ROW_BYTES) // ROW_BYTES)
        self._gone: set[int] = set()
        """Chunks that are to be deleted where they are kept."""
        self._limit = 0
        """Rows received before it are not known any more, although their chunk may be kept still."""
        self._clear()

    def _clear(self) -> None:
        self.kinds = Kinds()
        self._generations: dict[int, Generation] = {}
        self._oldest = 0
        self._next = 0
        self._saved = 0
        """Rows before it are kept already."""
        self._joined: set[int] = set()
        """Chunks of which it is not kept what became of labels."""
        self._completed: set[int] = set()
        """Chunks with values that are not kept."""

    def __len__(self) -> int:
        return self._next - self._oldest

    def memory_bytes(self) -> int:
        """What is taken now, about."""
        return len(self) * ROW_BYTES

    def is_open(self, row: OpenRow, now: int) -> bool:
        """Whether a label is still taken."""
        return not row.joined and now - row.received < self._ttl

    def is_expired(self, row: OpenRow, now: int) -> bool:
        """Whether it has waited for too long."""
        return not row.joined and now - row.received >= self._ttl

    def find(self, key: int, row: int | None) -> Iterator[list[OpenRow]]:
        """The rows of each record with this key; `row`: only that one of each."""
        for generation in self._generations.values():
            for start in generation.starts(key):
                places = generation.run(start) if row is None else [generation.place_of(start, row)]
                found = [self._row(generation, at) for at in places if at >= 0]
                yield [one for one in found if one.number >= self._oldest and one.received >= self._limit]

    def _row(self, generation: Generation, at: int) -> OpenRow:
        return OpenRow(
            generation.base + at,
            self.kinds[generation.codes[at]] if generation.base + at >= self._oldest else Kind("", "", None),
            generation.numbers[at],
            generation.times[at],
            generation.received[at],
            bool(generation.flags[at] & JOINED),
        )

    def add(
        self, key: int, rows: Sequence[tuple[Kind, int, float]], time: int, received: int
    ) -> tuple[range, Counter[tuple[str, str]]]:
        """Take in the rows of one record: (kind, place in the call, value), ascending. Their numbers, and what had
        to be forgotten for them before its label came: (model, version) -> rows."""
        begin = self._next
        evicted: Counter[tuple[str, str]] = Counter()
        starts = _starts([row for _, row, _ in rows])
        for start, (kind, row, value) in zip(starts, rows, strict=True):
            if len(self) >= self._most:
                self._drop_chunk(evicted, received)
            generation = self._generations.get(self._next // ROWS)
            if generation is None:
                generation = self._generations[self._next // ROWS] = Generation(self._next)
            generation.append(key, time, received, self.kinds.take(kind), row, value, start)
            self._next += 1
        return range(begin, self._next), evicted

    def join(self, number: int) -> None:
        """The row of this number has its label."""
        generation = self._generations[number // ROWS]
        generation.flags[number - generation.base] |= JOINED
        self._joined.add(number // CHUNK)

    def complete(self, number: int, value: float) -> None:
        """The row of this number has this value."""
        generation = self._generations[number // ROWS]
        generation.numbers[number - generation.base] = value
        self._completed.add(number // CHUNK)

    def advance(self, now: int) -> None:
        """Forget chunks whose rows have all waited for too long, and were remembered for it."""
        limit = self._limit = max(self._limit, now - self._ttl - min(self._ttl, REMEMBERED))
        while self._oldest < self._next:
            last = min(self._next, (self._oldest // CHUNK + 1) * CHUNK) - 1
            generation = self._generations[last // ROWS]
            if generation.received[last - generation.base] >= limit:
                return
            self._drop_chunk(Counter(), now)

    def _drop_chunk(self, evicted: Counter[tuple[str, str]], now: int) -> None:
        end = min(self._next, (self._oldest // CHUNK + 1) * CHUNK)
        generation = self._generations[self._oldest // ROWS]
        codes: Counter[int] = Counter()
        for at in range(self._oldest - generation.base, end - generation.base):
            code = generation.codes[at]
            codes[code] += 1
            if not generation.flags[at] & JOINED and now - generation.received[at] < self._ttl:
                evicted[self.kinds[code][:2]] += 1
        for code, n in codes.items():
            self.kinds.give_back(code, n)
        self._gone.add(self._oldest // CHUNK)
        self._joined.discard(self._oldest // CHUNK)
        self._completed.discard(self._oldest // CHUNK)
        self._oldest = end
        if end == self._next:  # What comes next begins a chunk of its own.
            self._next = self._oldest = -(-end // CHUNK) * CHUNK
            self._saved = max(self._saved, self._next)
        if self._oldest // ROWS != (end - 1) // ROWS or self._oldest == self._next:
            self._generations.pop((end - 1) // ROWS, None)

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        for chunk in sorted(self._gone):
            yield _key(_ROWS_PREFIX, chunk), None
            yield _key(_JOINED_PREFIX, chunk), None
        self._gone.clear()
        first = max(self._saved, self._oldest) // CHUNK
        new = range(first, -(-self._next // CHUNK) if self._next > self._saved else first)
        for chunk in sorted(self._completed.union(new)):
            generation, begin, end = self._places(chunk)
            yield _key(_ROWS_PREFIX, chunk), generation.pack(begin, end)
        self._completed.clear()
        self._saved = self._next
        for chunk in sorted(self._joined):
            generation, begin, end = self._places(chunk)
            joined = np.frombuffer(generation.flags, np.uint8, end - begin, begin) & JOINED
            yield _key(_JOINED_PREFIX, chunk), np.packbits(joined, bitorder="little").tobytes()
        self._joined.clear()
        yield from self.kinds.checkpoint()

    def _places(self, chunk: int) -> tuple[Generation, int, int]:
        generation = self._generations[chunk * CHUNK // ROWS]
        begin = max(chunk * CHUNK, self._oldest) - generation.base
        return generation, begin, min((chunk + 1) * CHUNK, self._next) - generation.base

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what was kept; the keys that were of use. None are where a part of it is not from here."""
        used = self.kinds.restore(state)
        chunks = sorted(_number(key) for key in state if key.startswith(_ROWS_PREFIX))
        if not chunks:
            return set() if not used else self._without_rows(used)
        self._oldest = self._next = chunks[0] * CHUNK
        for chunk in chunks:
            if not self._take_over(chunk, state):
                log.warning("open_predictions_restarted", chunk=chunk)
                self._clear()
                return set()
        for generation in self._generations.values():
            generation.index()
        self._saved = self._next
        self._joined.clear()
        kept = {_key(prefix, chunk) for prefix in (_ROWS_PREFIX, _JOINED_PREFIX) for chunk in chunks}
        return self._without_rows(used | (kept & state.keys()))

    def _without_rows(self, used: set[bytes]) -> set[bytes]:
        self.kinds.forget_unused()
        return used

    def _take_over(self, chunk: int, state: Mapping[bytes, bytes]) -> bool:
        if chunk * CHUNK != self._next:
            return False
        generation = self._generations.setdefault(self._next // ROWS, Generation(self._next))
        before = len(generation)
        if not generation.extend(state[_key(_ROWS_PREFIX, chunk)], CHUNK):
            return False
        self._next += len(generation) - before
        codes = Counter(generation.codes[before:])
        if not all(self.kinds.add_rows(code, n) for code, n in codes.items()):
            return False
        joined = np.unpackbits(np.frombuffer(state.get(_key(_JOINED_PREFIX, chunk), b""), np.uint8), bitorder="little")
        for n in np.flatnonzero(joined[: len(generation) - before]).tolist():
            generation.flags[before + n] |= JOINED
        return True


def _starts(rows: Sequence[int]) -> Iterator[bool]:
    """Which rows of a record are found by themselves: the first one, and those that break an even spacing."""
    step = 0
    for before, row in zip([None, *rows], rows, strict=False):
        spacing = 0 if before is None else row - before
        start = before is None or step not in (0, spacing)
        step = 0 if start else spacing
        yield start


def _key(prefix: bytes, chunk: int) -> bytes:
    return prefix + chunk.to_bytes(8, "big")


def _number(key: bytes) -> int:
    return int.from_bytes(key[-8:], "big")
