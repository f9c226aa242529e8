"""One consumer's position in the journal: what was dispatched, what it finished, and what is to be committed for it.

No threads, no I/O: whoever calls it holds the journal's lock.
"""

from __future__ import annotations

import concurrent.futures
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sidecar.journal.index import Index
from sidecar.journal.ledger import line_names
from sidecar.journal.rows import SIGNALS, IndexRow
from sidecar.journal.transaction import Delta, Registration, add_counts
from sidecar.pipeline import SPAN_EVENTS, Ack, Counts, DeadLetter, Signal, item_counts


@dataclass(frozen=True, slots=True)
class DoneWaiter:
    """A future of `done`: due when the low-water mark covers `seq`, in transaction `order` or later."""

    seq: int
    order: int
    future: concurrent.futures.Future[None]


@dataclass(slots=True)
class Cursor:
    """Positions: committed <= low_water_mark <= pos. What is in (low_water_mark, pos] for it is in `window`."""

    name: str
    signals: frozenset[Signal]
    committed: int
    """The low-water mark as committed."""
    base: dict[str, int]
    counts: dict[tuple[str, str, str], int]
    """As committed."""
    waiting: dict[str, int]
    """As committed: items of stored entries beyond the low-water mark."""
    open: bool = False
    """Somebody reads here in this run (else it is only known from the file)."""
    low_water_mark: int = 0
    pos: int = 0
    codes: frozenset[int] = frozenset()
    window: deque[IndexRow] = field(default_factory=deque)
    acks: dict[int, Ack | None] = field(default_factory=dict)
    """Of each entry in the window, by number; None while it is not finished."""
    pending: Delta | None = None
    waiters: list[DoneWaiter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.low_water_mark = self.pos = self.committed
        self.codes = frozenset(SIGNALS.index(s) for s in self.signals)

    def delta(self) -> Delta:
        """What will be committed next for this consumer; started if there is nothing yet."""
        if self.pending is None:
            self.pending = Delta(self.low_water_mark)
        return self.pending

    def register(self, registration: Registration) -> None:
        self.delta().registration = registration

    def dispatch(self, row: IndexRow) -> None:
        """The entry goes to the consumer."""
        self.window.append(row)
        self.acks[row.seq] = None
        self.pos = row.seq

    def requeue(self, seqs: Sequence[int]) -> None:
        """The last entries dispatched did not reach the consumer after all; they come again at the next turn."""
        for seq in reversed(seqs):
            if self.window and self.window[-1].seq == seq:
                self.window.pop()
                del self.acks[seq]
                self.pos = max(seq - 1, self.low_water_mark)

    def skip_to(self, pos: int) -> bool:
        """Nothing up to `pos` is of this consumer's signals. True if the low-water mark moved."""
        self.pos = max(self.pos, pos)
        return self._advance()

    def check(self, entries: Sequence[Ack], with_state: bool) -> None:
        """Raise ValueError for an acknowledgement that cannot be true; nothing is changed."""
        for entry in entries:
            if entry.seq > self.pos:
                raise ValueError(f"consumer {self.name}: entry {entry.seq} was never handed out")
        if with_state and entries:
            unfinished = self.acks.keys() - {e.seq for e in entries}
            first = min((seq for seq in unfinished if self.acks[seq] is None), default=None)
            if first is not None and first < max(e.seq for e in entries):
                raise ValueError(f"consumer {self.name}: state is committed in order, {first} is not done")

    def finish(self, entries: Sequence[Ack], state: Mapping[bytes, bytes | None] | None) -> None:
        """Note entries as done. Those that the low-water mark has passed already (dropped meanwhile) are left alone."""
        for entry in entries:
            if self.acks.get(entry.seq, entry) is None:
                self.acks[entry.seq] = entry
        if state:
            self.delta().state.update(state)
        self._advance()

    def _advance(self) -> bool:
        before = self.low_water_mark
        while self.window and (ack := self.acks[self.window[0].seq]) is not None:
            row = self.window.popleft()
            del self.acks[row.seq]
            self.low_water_mark = row.seq
            self._pass(row, ack.counts, ack.dead)
        # What lies before the first unfinished entry is finished, or is of other signals.
        self.low_water_mark = max(self.low_water_mark, self.window[0].seq - 1 if self.window else self.pos)
        if self.low_water_mark > before or self.pending is not None:
            self.delta().low_water_mark = self.low_water_mark
        return self.low_water_mark > before

    def _pass(self, row: IndexRow, counts: Counts, dead: Sequence[DeadLetter]) -> None:
        delta = self.delta()
        add_counts(delta.counts, counts)
        delta.dead += dead
        _add_items(delta.passed, row)

    def drop(self, index: Index, upto: int, reason: str) -> int:
        """Move to `upto`; what was not finished on the way counts as dropped. Gives the items dropped."""
        dropped = 0
        for row in index.after(self.low_water_mark, self.codes, upto):
            ack = self.acks.pop(row.seq, None)
            if ack is not None:
                self._pass(row, ack.counts, ack.dead)
                continue
            self._pass(row, item_counts(SIGNALS[row.signal], row.items, row.events, "dropped", reason), ())
            dropped += row.items
        while self.window and self.window[0].seq <= upto:
            self.window.popleft()
        self.low_water_mark, self.pos = max(self.low_water_mark, upto), max(self.pos, upto)
        self._advance()
        self.delta().low_water_mark = self.low_water_mark
        return dropped

    def arrived(self, row: IndexRow) -> None:
        """An entry was committed."""
        if row.signal in self.codes:
            _add_items(self.waiting, row)

    def take_delta(self) -> Delta | None:
        delta, self.pending = self.pending, None
        return delta

    def restore(self, delta: Delta) -> None:
        """The commit failed: the delta goes with the next one."""
        if self.pending is not None:
            delta.merge(self.pending)
        self.pending = delta

    def committed_with(self, delta: Delta) -> None:
        """The delta is in the file."""
        self.committed = delta.low_water_mark
        if delta.registration is not None:
            self.base = dict(delta.registration.base)
        add_counts(self.counts, delta.counts)
        for signal, items in delta.passed.items():
            self.waiting[signal] = self.waiting.get(signal, 0) - items

    def take_due(self, order: int, low_water_mark: int) -> list[concurrent.futures.Future[None]]:
        """Take the futures that a transaction answers."""
        futures = [w.future for w in self.waiters if w.seq <= low_water_mark and w.order <= order]
        self.waiters = [w for w in self.waiters if w.seq > low_water_mark or w.order > order]
        return futures

    def rewind(self) -> None:
        """A new reader: what was dispatched and is beyond the low-water mark comes again."""
        self.window.clear()
        self.acks.clear()
        self.pos = self.low_water_mark

    def lag_ns(self, index: Index, now_ns: int) -> int:
        """Age of the oldest entry that is not finished."""
        for row in self.window:
            if self.acks[row.seq] is None:
                return max(now_ns - row.time_ns, 0)
        oldest = index.time_after(self.pos, self.codes)
        return 0 if oldest is None else max(now_ns - oldest, 0)

    def line_names(self) -> tuple[str, ...]:
        return line_names(self.signals)


def _add_items(into: dict[str, int], row: IndexRow) -> None:
    signal = SIGNALS[row.signal]
    into[signal] = into.get(signal, 0) + row.items
    if row.events:
        into[SPAN_EVENTS] = into.get(SPAN_EVENTS, 0) + row.events
