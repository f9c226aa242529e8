"""The reading side of the journal: `JournalConsumer`, and what it shares with the writing side."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from sidecar.errors import Unavailable
from sidecar.journal.codec import CorruptRow, Decompressor
from sidecar.journal.cursor import Cursor, DoneWaiter
from sidecar.journal.rows import SIGNALS, IndexRow
from sidecar.journal.state import JournalState
from sidecar.journal.transaction import Reader, StoreError
from sidecar.journal.writer_state import OPEN, WriterEvent, WriterState, transition
from sidecar.pipeline import SPAN_EVENTS, Ack, Clock, DeadLetter, Entry, item_counts

_READ_TRIES = 5
_READ_PAUSE = 0.5
_PRESSING_BYTES = 1 << 20
"""Payload bytes after whose commit consumers that gather check whether they have enough."""
_LULL = 0.1
"""Of the time to gather: how long a consumer whose time is over waits for the next commit, to begin behind it."""
_ANSWERS_SECONDS = 0.004
"""What the answers of a commit take on their way out."""

log = structlog.get_logger("journal")


@dataclass(slots=True)
class Shared:
    """The journal's state and the lock that guards it."""

    state: JournalState
    clock: Clock
    lock: threading.Lock = field(default_factory=threading.Lock)
    arrived: threading.Condition = field(init=False)
    """Consumers that have nothing to do wait here for entries: notified by every commit."""
    pressing: threading.Condition = field(init=False)
    """Consumers that gather wait here: notified only when much has come, so that a commit wakes nobody for little."""
    unnoticed_bytes: int = 0
    """Payload bytes committed since `pressing` was notified."""
    wake: threading.Condition = field(init=False)
    """The writer waits here for work."""
    writer: WriterState = WriterState.WRITING
    dirty_since: float | None = None
    """Monotonic time of the oldest progress that is to be committed soon."""

    def __post_init__(self) -> None:
        self.arrived = threading.Condition(self.lock)
        self.pressing = threading.Condition(self.lock)
        self.wake = threading.Condition(self.lock)

    @property
    def closed(self) -> bool:
        """Nothing more is taken."""
        return self.writer not in OPEN

    def move(self, event: WriterEvent) -> None:
        """Under the lock."""
        self.writer = transition(self.writer, event)

    def committed(self, size: int) -> None:
        """Under the lock: entries with payloads of `size` bytes together can be read from now on."""
        self.arrived.notify_all()
        self.unnoticed_bytes += size
        if self.unnoticed_bytes >= _PRESSING_BYTES:
            self.unnoticed_bytes = 0
            self.pressing.notify_all()

    def wake_all(self) -> None:
        """Under the lock: every consumer is to check again."""
        self.arrived.notify_all()
        self.pressing.notify_all()

    def soon(self) -> None:
        """Under the lock: there is progress to commit."""
        if self.dirty_since is None:
            self.dirty_since = time.monotonic()
            self.wake.notify()


class JournalConsumer:
    """See `pipeline.Consumer`. Thread-safe, but `next` is for one thread at a time."""

    def __init__(self, shared: Shared, cursor: Cursor, reader: Reader) -> None:
        self.name = cursor.name
        self._shared = shared
        self._cursor = cursor
        self._reader = reader
        self._decompressor = Decompressor()
        self._failures = 0
        self._woken = False

    def wait(self, timeout: float, gather: float, max_bytes: int, max_entries: int) -> None:
        """See `pipeline.Consumer.wait`."""
        with self._shared.lock:
            if self._await(self._shared.arrived, timeout, 1, 1):
                enough = self._await(self._shared.pressing, gather, max_bytes, max_entries)
                if not enough and not self._woken and not self._shared.closed:
                    self._let_answers_go(gather * _LULL)
            self._woken = False

    def _let_answers_go(self, lull: float) -> None:
        """Under the lock: until the next commit within `lull` seconds is answered. Clients that send at even intervals
        have a request on its way just when a time that began with one of theirs is over: both would want the
        interpreter at once."""
        if self._shared.arrived.wait(lull) and not self._woken:
            self._shared.pressing.wait(_ANSWERS_SECONDS)

    def _await(self, notified: threading.Condition, seconds: float, max_bytes: int, max_entries: int) -> bool:
        """Under the lock: whether there is so much within `seconds`; False too when the consumer is woken."""
        deadline = time.monotonic() + seconds
        while not self._available(max_bytes, max_entries):
            left = deadline - time.monotonic()
            if left <= 0 or self._woken or self._shared.closed:
                return False
            notified.wait(left)
        return True

    def _available(self, max_bytes: int, max_entries: int) -> bool:
        cursor, state = self._cursor, self._shared.state
        total = count = 0
        for stored in state.index.after(cursor.pos, cursor.codes):
            total, count = total + stored.size, count + 1
            if total >= max_bytes or count >= max_entries:
                return True
        if count == 0 and cursor.skip_to(state.head):
            self._shared.soon()
        return False

    def wake(self) -> None:
        """See `pipeline.Consumer.wake`."""
        with self._shared.lock:
            self._woken = True
            self._shared.wake_all()

    def head(self) -> int:
        """See `pipeline.Consumer.head`."""
        with self._shared.lock:
            return self._shared.state.head

    def next(self, max_bytes: int, max_entries: int, timeout: float) -> list[Entry]:
        """See `pipeline.Consumer.next`. Entries that cannot be read back are counted as dropped and left out."""
        deadline = time.monotonic() + timeout
        while True:
            with self._shared.lock:
                picked = self._pick(max_bytes, max_entries)
                left = deadline - time.monotonic()
                if not picked:
                    if self._shared.closed or left <= 0:
                        return []
                    self._shared.arrived.wait(left)
                    continue
                hot = {stored.seq: self._shared.state.hot.get(stored.seq) for stored in picked}
                self._shared.state.cool()
            entries = [entry for entry in hot.values() if entry is not None]
            if len(entries) < len(picked):
                entries = self._read([k for k in picked if hot[k.seq] is None], entries, picked)
            if entries:
                return entries

    def _pick(self, max_bytes: int, max_entries: int) -> list[IndexRow]:
        """Under the lock: dispatch the next entries by number."""
        cursor, state = self._cursor, self._shared.state
        picked: list[IndexRow] = []
        total, end = 0, cursor.pos
        for stored in state.index.after(cursor.pos, cursor.codes):
            if picked and (len(picked) >= max_entries or total + stored.size > max_bytes):
                break
            picked.append(stored)
            total += stored.size
        else:
            end = state.head
        for stored in picked:
            cursor.dispatch(stored)
        if cursor.skip_to(end):
            self._shared.soon()
        return picked

    def _read(self, cold: list[IndexRow], entries: list[Entry], picked: list[IndexRow]) -> list[Entry]:
        """Add the entries that are not in memory; those that are lost are done with here."""
        try:
            rows = self._reader.rows([stored.seq for stored in cold])
        except StoreError as error:
            return self._read_failed(str(error), cold, entries, picked)
        self._failures = 0
        lost: dict[int, str] = {}
        for stored in cold:
            row = rows.get(stored.seq)
            try:
                if row is None:
                    raise CorruptRow(f"entry {stored.seq} cannot be read")
                entries.append(self._decompressor.entry(row))
            except CorruptRow as error:
                lost[stored.seq] = str(error)
        if lost:
            self._give_up([k for k in cold if k.seq in lost], next(iter(lost.values())))
        entries.sort(key=lambda entry: entry.seq)
        return entries

    def _read_failed(
        self, error: str, cold: list[IndexRow], entries: list[Entry], picked: list[IndexRow]
    ) -> list[Entry]:
        """The disk did not answer: try again later with all of them, a bounded number of times."""
        self._failures += 1
        if self._failures >= _READ_TRIES:
            self._failures = 0
            self._give_up(cold, error)
            return entries
        log.warning("journal_read_failed", consumer=self.name, error=error, attempt=self._failures)
        with self._shared.lock:
            self._cursor.requeue([stored.seq for stored in picked])
            if not self._shared.closed:
                self._shared.arrived.wait(_READ_PAUSE)
        return []

    def _give_up(self, lost: list[IndexRow], why: str) -> None:
        with self._shared.lock:
            gone = [stored for stored in lost if stored.seq in self._cursor.acks]
            acks = [Ack(k.seq, item_counts(SIGNALS[k.signal], k.items, k.events, "dropped", "corrupt")) for k in gone]
            self._cursor.finish(acks, None)
            self._shared.soon()
        if gone:
            log.error(
                "journal_entries_lost",
                consumer=self.name,
                entries=len(gone),
                items=sum(stored.items for stored in gone),
                first=gone[0].seq,
                last=gone[-1].seq,
                reason=why,
            )

    def done(
        self, entries: Sequence[Ack], state: Mapping[bytes, bytes | None] | None = None
    ) -> concurrent.futures.Future[None]:
        """See `pipeline.Consumer.done`. The future resolves when the low-water mark has passed all of these entries
        and is committed, so for entries out of order not before those that go before them are done. It fails with
        `Unavailable` when a commit fails; the acknowledgement is kept all the same and goes with the next commit."""
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._shared.lock:
            if self._shared.closed:
                raise Unavailable("the journal is closed")
            self._cursor.check(entries, state is not None)
            target = max((entry.seq for entry in entries), default=0)
            self._cursor.finish([self._within_bound(entry) for entry in entries], state)
            if self._cursor.pending is None and target <= self._cursor.committed:
                future.set_result(None)
                return future
            self._cursor.waiters.append(DoneWaiter(target, self._shared.state.order + 1, future))
            if self._cursor.pending is not None:
                self._shared.soon()
        return future

    def _within_bound(self, entry: Ack) -> Ack:
        """Dead letters past their bound are not stored, and counted as dropped instead."""
        if not entry.dead:
            return entry
        state, stored = self._shared.state, []
        max_bytes = state.options.dead_letters.max_bytes
        counts = dict(entry.counts)
        for dead_letter in entry.dead:
            size = len(dead_letter.document) + len(dead_letter.reason)
            if state.dead_letter_bytes + size <= max_bytes:
                state.dead_letter_bytes += size
                stored.append(dead_letter)
            else:
                _count_as_dropped(counts, dead_letter)
        if len(stored) < len(entry.dead):
            log.error(
                "dead_letters_full",
                consumer=self.name,
                documents=len(entry.dead) - len(stored),
                max_bytes=max_bytes,
            )
        return Ack(entry.seq, counts, stored)

    def state(self) -> Iterator[tuple[bytes, bytes]]:
        """See `pipeline.Consumer.state`."""
        return self._reader.state(self.name)

    def waiting(self) -> dict[str, int]:
        """See `pipeline.Consumer.waiting`; as of the last commit."""
        with self._shared.lock:
            return dict(self._cursor.waiting)

    def lag_seconds(self) -> float:
        """See `pipeline.Consumer.lag_seconds`."""
        with self._shared.lock:
            return self._cursor.lag_ns(self._shared.state.index, self._shared.clock()) / 1e9

    def close(self) -> None:
        self._reader.close()


def _count_as_dropped(counts: dict[tuple[str, str, str], int], dead_letter: DeadLetter) -> None:
    for signal, number in ((dead_letter.signal, dead_letter.items), (SPAN_EVENTS, dead_letter.events)):
        for key, items in list(counts.items()):
            lost = min(items, number)
            if lost > 0 and key[:2] == (signal, "dead_lettered"):
                dropped = (signal, "dropped", "dead_letters_full")
                counts[key] = items - lost
                counts[dropped] = counts.get(dropped, 0) + lost
                number -= lost
