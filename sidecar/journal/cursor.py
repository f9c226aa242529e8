"""One consumer's place in the log: what it was handed, what it finished, and what is to be committed for it.

Pure bookkeeping; whoever calls it holds the journal's lock.
"""

from __future__ import annotations

import concurrent.futures
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sidecar.journal.codec import SIGNALS
from sidecar.journal.index import Index, Kept
from sidecar.journal.ledger import figures_of
from sidecar.journal.transaction import Delta, Registration, add_counts
from sidecar.pipeline import SPAN_EVENTS, Ack, DeadLetter, Signal, item_counts


@dataclass(slots=True)
class _Handed:
    """An entry between `next` and the mark."""

    kept: Kept
    done: Ack | None = None


@dataclass(frozen=True, slots=True)
class Waiter:
    """A future of `done`: due when the mark covers `seq`, in transaction `order` or later."""

    seq: int
    order: int
    future: concurrent.futures.Future[None]


@dataclass(slots=True)
class Cursor:
    """Positions: committed <= mark <= pos. Entries in (mark, pos] that concern the consumer are in `window`."""

    name: str
    signals: frozenset[Signal]
    committed: int
    """The mark as committed."""
    base: dict[str, int]
    counts: dict[tuple[str, str, str], int]
    """As committed."""
    waiting: dict[str, int]
    """As committed: items of kept entries beyond the mark."""
    open: bool = False
    """Somebody reads here in this run (else it is only known from the file)."""
    mark: int = 0
    pos: int = 0
    codes: frozenset[int] = frozenset()
    window: deque[int] = field(default_factory=deque)
    handed: dict[int, _Handed] = field(default_factory=dict)
    pending: Delta | None = None
    waiters: list[Waiter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mark = self.pos = self.committed
        self.codes = frozenset(SIGNALS.index(s) for s in self.signals)

    def delta(self) -> Delta:
        """What will be committed next for this consumer; begun if there is nothing yet."""
        if self.pending is None:
            self.pending = Delta(self.mark)
        return self.pending

    def register(self, registration: Registration) -> None:
        self.delta().registration = registration

    def hand(self, kept: Kept) -> None:
        """The entry goes to the consumer."""
        self.window.append(kept.seq)
        self.handed[kept.seq] = _Handed(kept)
        self.pos = kept.seq

    def take_back(self, seqs: Sequence[int]) -> None:
        """The last entries handed did not reach the consumer after all; they come again at the next turn."""
        for seq in reversed(seqs):
            if self.window and self.window[-1] == seq:
                self.window.pop()
                del self.handed[seq]
                self.pos = max(seq - 1, self.mark)

    def skip_to(self, pos: int) -> bool:
        """Nothing up to `pos` concerns this consumer. True if the mark moved."""
        self.pos = max(self.pos, pos)
        return self._advance()

    def check(self, entries: Sequence[Ack], with_state: bool) -> None:
        """Raise ValueError for a word that cannot be true; nothing is changed."""
        for entry in entries:
            if entry.seq > self.pos:
                raise ValueError(f"consumer {self.name}: entry {entry.seq} was never handed out")
        if with_state:
            unfinished = {seq for seq in self.window if self.handed[seq].done is None} - {e.seq for e in entries}
            if entries and unfinished and min(unfinished) < max(e.seq for e in entries):
                raise ValueError(f"consumer {self.name}: state is committed in order, {min(unfinished)} is not done")

    def finish(self, entries: Sequence[Ack], state: Mapping[bytes, bytes | None] | None) -> None:
        """Mark entries as done. Those that the mark has passed already (dropped meanwhile) are left alone."""
        for entry in entries:
            handed = self.handed.get(entry.seq)
            if handed is not None and handed.done is None:
                handed.done = entry
        if state:
            self.delta().state.update(state)
        self._advance()

    def _advance(self) -> bool:
        before = self.mark
        while self.window and self.handed[self.window[0]].done is not None:
            seq = self.window.popleft()
            handed = self.handed.pop(seq)
            self.mark = seq
            if handed.done is not None:
                self._pass(handed.kept, handed.done.counts, handed.done.dead)
        # What lies before the first unfinished entry is finished, or does not concern this consumer.
        self.mark = max(self.mark, self.window[0] - 1 if self.window else self.pos)
        if self.mark > before or self.pending is not None:
            self.delta().mark = self.mark
        return self.mark > before

    def _pass(self, kept: Kept, counts: Mapping[tuple[str, str, str], int], dead: Sequence[DeadLetter]) -> None:
        delta = self.delta()
        add_counts(delta.counts, counts)
        delta.dead += dead
        signal = SIGNALS[kept.signal]
        delta.passed[signal] = delta.passed.get(signal, 0) + kept.items
        if kept.events:
            delta.passed[SPAN_EVENTS] = delta.passed.get(SPAN_EVENTS, 0) + kept.events

    def drop(self, index: Index, upto: int, reason: str) -> int:
        """Move the mark to `upto`; what was not finished on the way counts as dropped. Gives the items dropped."""
        dropped = 0
        for kept in index.after(self.mark, self.codes, upto):
            handed = self.handed.pop(kept.seq, None)
            if handed is not None and handed.done is not None:
                self._pass(kept, handed.done.counts, handed.done.dead)
                continue
            signal = SIGNALS[kept.signal]
            self._pass(kept, item_counts(signal, kept.items, kept.events, "dropped", reason), ())
            dropped += kept.items
        while self.window and self.window[0] <= upto:
            self.window.popleft()
        self.mark, self.pos = max(self.mark, upto), max(self.pos, upto)
        self._advance()
        self.delta().mark = self.mark
        return dropped

    def arrived(self, kept: Kept) -> None:
        """An entry was committed."""
        if kept.signal in self.codes:
            signal = SIGNALS[kept.signal]
            self.waiting[signal] = self.waiting.get(signal, 0) + kept.items
            if kept.events:
                self.waiting[SPAN_EVENTS] = self.waiting.get(SPAN_EVENTS, 0) + kept.events

    def take_delta(self) -> Delta | None:
        delta, self.pending = self.pending, None
        return delta

    def give_back(self, delta: Delta) -> None:
        """The commit failed: the delta goes with the next one."""
        if self.pending is not None:
            delta.merge(self.pending)
        self.pending = delta

    def committed_with(self, delta: Delta) -> None:
        """The delta is in the file."""
        self.committed = delta.mark
        if delta.registration is not None:
            self.base = dict(delta.registration.base)
        add_counts(self.counts, delta.counts)
        for signal, items in delta.passed.items():
            self.waiting[signal] = self.waiting.get(signal, 0) - items

    def due(self, order: int, mark: int) -> list[concurrent.futures.Future[None]]:
        """Take the futures that a transaction answers."""
        futures = [w.future for w in self.waiters if w.seq <= mark and w.order <= order]
        self.waiters = [w for w in self.waiters if w.seq > mark or w.order > order]
        return futures

    def rewind(self) -> None:
        """A new reader: what was handed out and is beyond the mark comes again."""
        self.window.clear()
        self.handed.clear()
        self.pos = self.mark

    def lag_ns(self, index: Index, now_ns: int) -> int:
        """Age of the oldest entry that is not finished."""
        for seq in self.window:
            if self.handed[seq].done is None:
                return max(now_ns - self.handed[seq].kept.time_ns, 0)
        oldest = index.time_after(self.pos, self.codes)
        return 0 if oldest is None else max(now_ns - oldest, 0)

    def figures(self) -> tuple[str, ...]:
        return figures_of(frozenset(self.signals))
