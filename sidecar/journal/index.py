"""What is stored, by sequence number, as plain columns in memory (about 29 bytes an entry)."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from sidecar.journal.rows import SIGNALS, IndexRow
from sidecar.pipeline import SPAN_EVENTS

_SHRINK = 4096


class Index:
    """IndexRow entries in ascending order; added at the end, removed at the front."""

    def __init__(self) -> None:
        self._first = 0
        self._seq = array("Q")
        self._time = array("Q")
        self._signal = bytearray()
        self._items = array("I")
        self._events = array("I")
        self._size = array("I")
        self._disk_cost = array("I")
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._seq) - self._first

    def add(self, row: IndexRow) -> None:
        self._seq.append(row.seq)
        self._time.append(row.time_ns)
        self._signal.append(row.signal)
        self._items.append(row.items)
        self._events.append(row.events)
        self._size.append(row.size)
        self._disk_cost.append(row.disk_cost)
        self.bytes += row.disk_cost

    def oldest(self) -> int:
        """Lowest stored sequence number; 0 if nothing is row."""
        return self._seq[self._first] if len(self) else 0

    def _at(self, i: int) -> IndexRow:
        return IndexRow(
            self._seq[i],
            self._time[i],
            self._signal[i],
            self._items[i],
            self._events[i],
            self._size[i],
            self._disk_cost[i],
        )

    def after(self, seq: int, signals: frozenset[int], upto: int | None = None) -> Iterator[IndexRow]:
        """IndexRow entries of these signals (codes) with a number > seq and <= upto, in order.

        The index must not be changed while the iterator is in use.
        """
        start = bisect_right(self._seq, seq, lo=self._first)
        end = len(self._seq) if upto is None else bisect_right(self._seq, upto, lo=start)
        where = {code: self._signal.find(code, start, end) for code in signals}
        while True:
            found = [(i, code) for code, i in where.items() if i >= 0]
            if not found:
                return
            i, code = min(found)
            yield self._at(i)
            where[code] = self._signal.find(code, i + 1, end)

    def span(self, upto: int, max_rows: int, max_bytes: int) -> tuple[int, int, int] | None:
        """(lowest number, highest number, bytes on disk) of the oldest entries <= upto, within the bounds (at least
        one entry); None if there is none."""
        end = min(bisect_right(self._seq, upto, lo=self._first), self._first + max_rows)
        if end <= self._first:
            return None
        total, i = 0, self._first
        while i < end and (i == self._first or total + self._disk_cost[i] <= max_bytes):
            total += self._disk_cost[i]
            i += 1
        return self._seq[self._first], self._seq[i - 1], total

    def freeing(self, need: int) -> int:
        """The number up to which the oldest entries must go to free `need` bytes (all, if that is not enough)."""
        total = 0
        for i in range(self._first, len(self._seq)):
            total += self._disk_cost[i]
            if total >= need:
                return self._seq[i]
        return self._seq[-1] if len(self) else 0

    def remove(self, upto: int) -> None:
        """Forget entries <= upto."""
        end = bisect_right(self._seq, upto, lo=self._first)
        self.bytes -= sum(self._disk_cost[self._first : end])
        self._first = end
        if self._first >= _SHRINK and self._first * 2 >= len(self._seq):
            for column in (self._seq, self._time, self._items, self._events, self._size, self._disk_cost):
                del column[: self._first]
            del self._signal[: self._first]
            self._first = 0

    def time_after(self, seq: int, signals: frozenset[int]) -> int | None:
        """Time of the oldest entry of these signals beyond seq."""
        for row in self.after(seq, signals):
            return row.time_ns
        return None

    def totals(self, seq: int, signals: frozenset[int]) -> dict[str, int]:
        """Ledger line -> items of the stored entries of these signals beyond seq."""
        start = bisect_left(self._seq, seq + 1, lo=self._first)
        sums: dict[str, int] = {}
        for i in range(start, len(self._seq)):
            if self._signal[i] in signals:
                name = SIGNALS[self._signal[i]]
                sums[name] = sums.get(name, 0) + self._items[i]
                if self._events[i]:
                    sums[SPAN_EVENTS] = sums.get(SPAN_EVENTS, 0) + self._events[i]
        return sums
