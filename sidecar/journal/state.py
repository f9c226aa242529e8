"""The journal's state in memory, as of the last commit, and what the next commit will hold.

No threads, no I/O: whoever calls it holds the journal's lock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sidecar.journal.cursor import Cursor
from sidecar.journal.digests import Digests
from sidecar.journal.index import Index
from sidecar.journal.ledger import ConsumerLedger, IngestTotals, Ledger, line_names
from sidecar.journal.options import JournalOptions
from sidecar.journal.rate import Rate
from sidecar.journal.rows import SIGNALS, IndexRow, StoredRow, disk_cost
from sidecar.journal.transaction import Loaded, LoadedConsumer, Registration, Transaction, add_counts, put_checkpoints
from sidecar.journal.waiters import Pending
from sidecar.pipeline import SPAN_EVENTS, Entry, Signal

TRIM_ROWS = 1024
TRIM_BYTES = 16 << 20


class HotCache:
    """Committed entries with their payloads, bounded by bytes; the oldest go first."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self.bytes = 0

    def add(self, entry: Entry) -> None:
        self._entries[entry.seq] = entry
        self.bytes += len(entry.payload) + 300
        while self.bytes > self._max:
            self._pop()

    def get(self, seq: int) -> Entry | None:
        return self._entries.get(seq)

    def passed(self, upto: int) -> None:
        """Nobody will ask for entries <= upto again."""
        while self._entries and next(iter(self._entries)) <= upto:
            self._pop()

    def _pop(self) -> None:
        _, entry = self._entries.popitem(last=False)
        self.bytes -= len(entry.payload) + 300


@dataclass(slots=True)
class JournalState:
    """Everything that is known of the journal without reading its payloads."""

    options: JournalOptions
    quota: int
    loaded: Loaded
    index: Index = field(default_factory=Index)
    cursors: dict[str, Cursor] = field(default_factory=dict)
    pending_ingest: IngestTotals = field(default_factory=IngestTotals)
    """Duplicates since the last commit."""
    prune: list[str] = field(default_factory=list)
    acknowledgements: list[int] = field(default_factory=list)
    """Entries whose digests are to be forgotten in the file too."""
    drained: Rate = field(default_factory=Rate)
    digests: Digests = field(init=False)
    hot: HotCache = field(init=False)
    ingest: IngestTotals = field(init=False)
    checkpoints: dict[bytes, bytes] = field(init=False)
    """The receivers', as committed."""
    head: int = field(init=False)
    number: int = field(init=False)
    order: int = 0
    """Transactions started in this run."""
    dead_letter_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.hot = HotCache(self.options.hot_cache_bytes)
        self.digests = Digests(self.options.dedupe_window, self.options.dedupe_bytes)
        self.ingest, self.head, self.number = self.loaded.ingest, self.loaded.head, self.loaded.number
        self.dead_letter_bytes, self.checkpoints = self.loaded.dead_letter_bytes, self.loaded.checkpoints
        for seq, time_ns, digest in self.loaded.digests:
            self.digests.add(digest, seq, time_ns)

    def load_index(self, rows: Iterable[IndexRow]) -> None:
        """The entries as found at start, and the consumers over them."""
        for row in rows:
            self.index.add(row)
            self.head = max(self.head, row.seq)
        for name, known in self.loaded.consumers.items():
            signals = frozenset(s for s in SIGNALS if s in known.signals)
            self.cursors[name] = self._cursor(name, signals, known.low_water_mark, known.base, known.counts)

    def reconcile(self) -> dict[str, dict[str, int]]:
        """Entries that a damaged file lost are counted as dropped, so that the ledger balances and says so; counters
        that the file lost are restarted. Gives consumer -> ledger line -> items lost, where anything was repaired."""
        losses: dict[str, dict[str, int]] = {}
        for cursor in self.cursors.values():
            lost, base = {}, dict(cursor.base)
            for line in cursor.line_names():
                finished = sum(n for (s, _, _), n in cursor.counts.items() if s == line)
                due = self.ingest.of(line).received - base.get(line, 0) - finished - cursor.waiting.get(line, 0)
                if due > 0:
                    lost[line] = due
                elif due < 0:
                    base[line] = base.get(line, 0) + due
            if lost:
                add_counts(cursor.delta().counts, {(line, "dropped", "corrupt"): n for line, n in lost.items()})
            if lost or base != cursor.base:
                losses[cursor.name] = lost
            if base != cursor.base:
                cursor.register(Registration(tuple(sorted(cursor.signals)), base))
        return losses

    def snapshot(self) -> Loaded:
        """As committed."""
        loaded = Loaded(self.loaded.id, self.number, self.head, self.ingest, checkpoints=self.checkpoints)
        for name, c in self.cursors.items():
            loaded.consumers[name] = LoadedConsumer(c.committed, tuple(sorted(c.signals)), dict(c.base), dict(c.counts))
        return loaded

    def _cursor(
        self,
        name: str,
        signals: frozenset[Signal],
        low_water_mark: int,
        base: dict[str, int],
        counts: dict[tuple[str, str, str], int],
    ) -> Cursor:
        waiting = self.index.totals(low_water_mark, frozenset(SIGNALS.index(s) for s in signals))
        return Cursor(name, signals, low_water_mark, base, counts, waiting)

    def open_cursor(self, name: str, signals: frozenset[Signal]) -> Cursor:
        """The consumer's cursor; a new one begins at the oldest stored entry."""
        cursor = self.cursors.get(name)
        if cursor is not None and cursor.signals == signals:
            cursor.open = True
            cursor.rewind()
            return cursor
        if cursor is not None and cursor.open:
            raise ValueError(f"consumer {name} is open with other signals: {sorted(cursor.signals)}")
        low_water_mark = cursor.committed if cursor is not None else (self.index.oldest() or self.head + 1) - 1
        counts = cursor.counts if cursor is not None else {}
        base = dict(cursor.base) if cursor is not None else {}
        fresh = self._cursor(name, signals, low_water_mark, base, counts)
        old = frozenset(cursor.line_names()) if cursor is not None else frozenset()
        for line in set(fresh.line_names()) - old:
            finished = sum(n for (s, _, _), n in counts.items() if s == line)
            base[line] = self.ingest.of(line).received - finished - fresh.waiting.get(line, 0)
        fresh.register(Registration(tuple(sorted(signals)), base))
        fresh.base = base
        fresh.open = True
        self.cursors[name] = fresh
        return fresh

    def begin(self, batch: list[Pending], now_ns: int) -> Transaction:
        """The next transaction: these payloads (those over the quota are noted as such), what consumers finished,
        and a bounded step of trimming."""
        need = sum(disk_cost(len(p.blob)) for p in batch if p.submission.items)
        full = self._make_room(need) if self.options.when_full == "drop_oldest" else 0
        self.order += 1
        tx = Transaction(self.number + 1, self.order, self.head)
        tx.ingest, self.pending_ingest = self.pending_ingest, IngestTotals()
        for cursor in self.cursors.values():
            delta = cursor.take_delta()
            if delta is not None:
                tx.deltas[cursor.name] = delta
        tx.prune, self.prune = tuple(self.prune), []
        tx.acknowledged, self.acknowledgements = tuple(self.acknowledgements), []
        self._trim(tx, full)
        room = self.quota - self.index.bytes + tx.trim_bytes
        for pending in batch:
            cost = disk_cost(len(pending.blob)) if pending.submission.items else 0
            if cost > room:
                pending.over_quota = True
                continue
            room -= cost
            self._enter(tx, pending, cost)
        tx.expire_digests = self.digests.expire(now_ns)
        return tx

    def _enter(self, tx: Transaction, pending: Pending, cost: int) -> None:
        submission = pending.submission
        counts = tx.ingest.of(submission.signal)
        counts.rejected += submission.rejected
        tx.checkpoints.update(submission.checkpoints)
        if not submission.items:
            return
        counts.received += submission.items
        if submission.events:
            tx.ingest.of(SPAN_EVENTS).received += submission.events
        tx.head += 1
        pending.seq = tx.head
        code, size = SIGNALS.index(submission.signal), len(submission.payload)
        row = StoredRow(
            tx.head,
            pending.time_ns,
            code,
            submission.items,
            submission.events,
            size,
            cost,
            pending.codec,
            0,
            pending.blob,
        )
        row.crc = row.checksum()
        tx.rows.append(row)
        if submission.digest is not None and self.digests.on:
            tx.digests.append((tx.head, pending.time_ns, submission.digest))

    def _trim(self, tx: Transaction, full: int) -> None:
        """Delete what every consumer has passed, a step at a time; up to `full` at once where there is no room."""
        positions = [cursor.low_water_mark for cursor in self.cursors.values()]
        if full:
            span = self.index.span(full, len(self.index), self.index.bytes)
        else:
            span = self.index.span(min(positions), TRIM_ROWS, TRIM_BYTES) if positions else None
        if span is not None:
            tx.trim, tx.trim_bytes = span[:2], span[2]

    def _make_room(self, need: int) -> int:
        """Skip the lagging consumers ahead, so that the trim of this transaction frees what is needed. Gives the
        number up to which entries have to go; 0 if there is room."""
        over = self.index.bytes + need - self.quota
        if over <= 0 or need > self.quota or not len(self.index):
            return 0
        upto = self.index.freeing(over)
        for cursor in self.cursors.values():
            if cursor.low_water_mark < upto:
                cursor.drop(self.index, upto, "journal_full")
        return upto

    def trimmable(self) -> bool:
        positions = [cursor.committed for cursor in self.cursors.values()]
        return bool(positions) and 0 < self.index.oldest() <= min(positions)

    def undo(self, tx: Transaction) -> None:
        """The transaction failed: what it took goes with the next one. The payloads in it are not stored."""
        for name, delta in tx.deltas.items():
            if name in self.cursors:
                self.cursors[name].restore(delta)
        for signal, counts in tx.ingest.by_signal.items():
            if counts.duplicates:
                self.pending_ingest.of(signal).duplicates += counts.duplicates
        self.prune = [*tx.prune, *self.prune]
        self.acknowledgements = [*tx.acknowledged, *self.acknowledgements]

    def apply(self, tx: Transaction, entries: list[Entry], now_ns: int) -> None:
        """The transaction is in the file."""
        self.number, self.head = tx.number, tx.head
        self.ingest.add(tx.ingest)
        put_checkpoints(self.checkpoints, tx.checkpoints)
        for row in tx.rows:
            self.index.add(row)
            for cursor in self.cursors.values():
                cursor.arrived(row)
        for seq, time_ns, digest in tx.digests:
            self.digests.add(digest, seq, time_ns)
        for name, delta in tx.deltas.items():
            if name in self.cursors:
                self.cursors[name].committed_with(delta)
        if tx.trim is not None:
            self.index.remove(tx.trim[1])
            self.drained.add(tx.trim_bytes, now_ns)
        for entry in entries:
            self.hot.add(entry)
        self.cool()

    def acknowledged(self, digest: bytes, seqs: Sequence[int]) -> None:
        """The clients have the acknowledgements of these entries: an equal payload is no resend of theirs."""
        self.digests.forget(digest)
        if self.digests.on:
            self.acknowledgements += seqs

    def cool(self) -> None:
        """Drop payloads from memory that every reader of this run has taken."""
        taken = [cursor.pos for cursor in self.cursors.values() if cursor.open]
        if taken:
            self.hot.passed(min(taken))

    def dirty(self) -> bool:
        """Something is to be committed besides payloads."""
        return (
            bool(self.pending_ingest.by_signal)
            or bool(self.prune)
            or bool(self.acknowledgements)
            or any(cursor.pending is not None for cursor in self.cursors.values())
        )

    def ledger(self) -> Ledger:
        counts = self.ingest.by_signal
        return Ledger(
            received={s: f.received for s, f in counts.items()},
            rejected={s: f.rejected for s, f in counts.items() if s != SPAN_EVENTS},
            duplicates={s: f.duplicates for s, f in counts.items()},
            consumers=tuple(
                ConsumerLedger(
                    c.name, line_names(c.signals), dict(c.base), dict(c.counts), dict(c.waiting), c.committed
                )
                for c in self.cursors.values()
            ),
        )
