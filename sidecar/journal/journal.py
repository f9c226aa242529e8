"""The durable journal: one writer thread, group commit, a cursor per consumer.

Callers queue payloads under a lock. The writer takes what is queued, compresses it, writes it with the progress of all
consumers in one transaction, and only after the commit (fsync) does the state in memory follow and the futures resolve.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from sidecar.errors import Overloaded, SidecarError, Unavailable
from sidecar.journal.codec import Compressor
from sidecar.journal.consumer import JournalConsumer, Shared
from sidecar.journal.ledger import Ledger
from sidecar.journal.options import JournalOptions
from sidecar.journal.state import JournalState
from sidecar.journal.submission import Receipt, Submission
from sidecar.journal.transaction import Loaded, Store, StoreError, Transaction
from sidecar.journal.waiters import Answers, Pending, SubmissionQueue, Waiter, answer, answer_all, wait_until
from sidecar.journal.writer_state import WriterEvent, WriterState
from sidecar.pipeline import SPAN_EVENTS, Clock, Entry, Signal
from sidecar.telemetry import Telemetry

_BATCH_ENTRIES = 256
_BATCH_BYTES = 32 << 20
_ROOM = 0.75
"""Of the quota: once less is stored, the next time that it is reached is said again."""
_QUEUE_BYTES = 64 << 20
_QUIET = 0.1
"""Seconds between steps of work that nobody waits for (giving space back)."""
_VACUUM_EVERY = 16
_DEAD_LETTERS_EVERY_NS = 60_000_000_000
_RETRY = 1.0
_NO_DRAIN = 30.0

log = structlog.get_logger("journal")

Repair = Callable[[Loaded], Store]
"""Rebuilds a store that turned out to be damaged, from what can be read and from the state in memory."""


class Journal:
    """Made by `opening.open_journal`. Thread-safe; `MemoryJournal` is the variant without a disk."""

    def __init__(
        self,
        store: Store,
        state: JournalState,
        clock: Clock,
        telemetry: Telemetry | None = None,
        repair: Repair | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        """`release` is called when all is closed (it gives up the lock of the directory)."""
        self.id = state.loaded.id
        """Made with the journal, 16 hex characters; one that had to be restarted has another."""
        self._store = store
        self._shared = Shared(state, clock, dirty_since=time.monotonic() if state.dirty() else None)
        self._telemetry = telemetry
        self._repair = repair
        self._release = release
        self._options: JournalOptions = state.options
        self._queue = SubmissionQueue()
        self._in_flight: list[Pending] = []
        """What the writer has taken from the queue for one transaction."""
        self._consumers: dict[str, JournalConsumer] = {}
        self._flushes: list[concurrent.futures.Future[None]] = []
        self._shared_at = -math.inf
        """When the last transaction with several payloads was answered, in monotonic seconds."""
        self._said_full = False
        self.failure: BaseException | None = None
        """The bug that ended the writer, if one did. Nothing is taken from then on."""
        self._dead_letters_checked = clock()
        self._compressor = Compressor()
        self._writer = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._writer.start()

    # Submissions

    def submit(self, submission: Submission) -> asyncio.Future[Receipt]:
        """From a running event loop. Resolves after the commit (fsync). Raises `Overloaded` at once at the quota,
        `Unavailable` if the journal cannot write or is closed; the future may raise the same."""
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._offer(submission, future)
        return future

    def append(self, submission: Submission) -> concurrent.futures.Future[Receipt]:
        """The same for callers without an event loop."""
        future: concurrent.futures.Future[Receipt] = concurrent.futures.Future()
        self._offer(submission, future)
        return future

    def acknowledged(self, digest: bytes, seqs: Sequence[int]) -> None:
        """The clients have the acknowledgements of these entries, all that had this digest: it is forgotten, so that an
        equal payload is another one."""
        with self._shared.lock:
            if not self._shared.closed:
                self._shared.state.acknowledged(digest, seqs)  # It waits for the next commit; none is made for it.

    def _offer(self, submission: Submission, waiter: Waiter) -> None:
        now = self._shared.clock()
        with self._shared.lock:
            if self._shared.closed:
                raise Unavailable("the journal is closed")
            digest = submission.digest
            if digest is not None and not submission.distinct and self._options.dedupe_window > 0:
                seq = self._shared.state.digests.find(digest, now)
                if seq is not None:
                    self._count_duplicate(submission)
                    answer(waiter, Receipt(seq, duplicate=True))
                    return
                first = self._queue.equal_to(digest)
                if first is not None:
                    first.duplicates.append(waiter)
                    return
            self._check_room(now)
            self._queue.add(Pending(submission, now, waiter))
            if len(self._queue) == 1:
                self._shared.wake.notify()

    def _check_room(self, now: int) -> None:
        state = self._shared.state
        if self._options.when_full == "refuse" and state.index.bytes >= state.quota:
            raise self._full(now)
        if state.index.bytes < _ROOM * state.quota:
            self._said_full = False
        if self._queue.bytes >= _QUEUE_BYTES:
            raise Overloaded("payloads arrive faster than the journal can write them", 1.0)

    def _full(self, now: int) -> Overloaded:
        state, quota = self._shared.state, self._shared.state.quota
        if not self._said_full:
            self._said_full = True
            behind = [c.name for c in state.cursors.values() if c.low_water_mark < state.index.oldest()]
            log.warning("journal_full", quota_bytes=quota, behind=behind)
        return Overloaded(f"the journal is at its quota of {quota} bytes", self._retry_after(now, quota // 64))

    def _count_duplicate(self, submission: Submission) -> None:
        pending = self._shared.state.pending_ingest
        pending.of(submission.signal).duplicates += submission.items
        if submission.events:
            pending.of(SPAN_EVENTS).duplicates += submission.events
        self._shared.soon()

    # The writer

    def _run(self) -> None:
        try:
            while (batch := self._collect()) is not None:
                self._commit(batch)
        except BaseException as failure:
            self._break(failure)
            raise

    def _break(self, failure: BaseException) -> None:
        """A bug ended the writer: refuse what it has taken, what is queued and what will come. No client is to wait for
        ever."""
        log.exception("journal_writer_broken")
        with self._shared.lock:
            self.failure = failure
            self._shared.move(WriterEvent.BUG)
            unanswered = [*self._in_flight, *iter(self._queue.take, None)]
            flushes, self._flushes = self._flushes, []
            self._shared.wake_all()
        refusal = Unavailable("the journal's writer has failed")
        answer_all([(waiter, refusal) for one in unanswered for waiter in (one.waiter, *one.duplicates)])
        for future in flushes:
            future.set_exception(refusal)

    def _collect(self) -> list[Pending] | None:
        """Wait for work; give the payloads of the next transaction, compressed. None when closed and done."""
        with self._shared.lock:
            while not self._queue:
                wait = self._idle_wait()
                if wait is not None and wait <= 0:
                    break
                if self._shared.closed and not self._flushes and wait is None:
                    self._shared.move(WriterEvent.ENDED)
                    return None
                self._shared.wake.wait(wait)
        batch = self._in_flight = []
        size, deadline = 0, wait_until(time.monotonic(), self._shared_at, self._options.commit_delay)
        while len(batch) < _BATCH_ENTRIES and size < _BATCH_BYTES:
            pending = self._take(0.0 if not batch else deadline - time.monotonic())
            if pending is None:
                break
            pending.codec, pending.blob = self._compressor.compress(pending.submission.payload)
            size += len(pending.submission.payload)
            batch.append(pending)
        return batch

    def _take(self, wait: float) -> Pending | None:
        with self._shared.lock:
            if not self._queue and wait > 0 and not self._shared.closed:
                self._shared.wake.wait(wait)
            return self._queue.take()

    def _idle_wait(self) -> float | None:
        """Seconds until something other than a payload is to be committed; None if there is nothing."""
        shared = self._shared
        if self._flushes or (shared.writer is WriterState.CLOSING and shared.state.dirty()):
            return 0
        if shared.closed:
            return None
        failing = shared.writer is WriterState.FAILING
        waits = []
        if shared.dirty_since is not None:
            pause = _RETRY if failing else self._options.cursor_delay
            waits.append(shared.dirty_since + pause - time.monotonic())
        if shared.state.trimmable():
            waits.append(_RETRY if failing else 0)
        if shared.writer is WriterState.VACUUMING:
            waits.append(_QUIET)
        return min(waits, default=None)

    def _commit(self, batch: list[Pending]) -> None:
        shared, now = self._shared, self._shared.clock()
        with shared.lock:
            flushes: list[concurrent.futures.Future[None]] = []
            if not self._queue:
                flushes, self._flushes = self._flushes, []
            shared.dirty_since = None
            before = shared.writer
            tx = shared.state.begin(batch, now)
        started = time.monotonic()
        failure: StoreError | None = None
        try:
            self._store.commit(tx)
        except StoreError as error:
            failure = error
        if self._telemetry is not None and failure is None and tx.rows:
            self._telemetry.record("sidecar_journal_commit_seconds", time.monotonic() - started)
            self._telemetry.record("sidecar_journal_commit_entries", len(tx.rows))
        with shared.lock:
            answers, acknowledged = self._settle(tx, batch, failure, now)
            shared.committed(sum(len(pending.submission.payload) for pending in batch))
            if shared.writer is before:  # Else it was closed meanwhile, and there is one more commit.
                shared.move(WriterEvent.COMMITTED if failure is None else WriterEvent.COMMIT_FAILED)
        _report(before, failure)
        answer_all(answers)
        if len(batch) > 1:
            self._shared_at = time.monotonic()
        for future in acknowledged + flushes:
            if not future.set_running_or_notify_cancel():
                continue
            if failure is None:
                future.set_result(None)
            else:
                future.set_exception(_unavailable(failure))
        if failure is not None and failure.corrupt:
            self._rebuild()
        elif failure is None:
            self._checkpoint_wal()
            if not batch or tx.number % _VACUUM_EVERY == 0:
                self._vacuum()
                self._expire_dead_letters()

    def _settle(
        self, tx: Transaction, batch: list[Pending], failure: StoreError | None, now: int
    ) -> tuple[Answers, list[concurrent.futures.Future[None]]]:
        """Under the lock: memory follows the file. Gives the answers, and the futures of `done` that are due."""
        state = self._shared.state
        acknowledged = []
        for name, delta in tx.deltas.items():
            if name in state.cursors:
                acknowledged += state.cursors[name].take_due(tx.order, delta.low_water_mark)
        if failure is None or failure.landed:
            entries = [
                Entry(p.seq, p.time_ns, s.signal, s.items, s.events, s.payload)
                for p in batch
                for s in (p.submission,)
                if p.seq
            ]
            state.apply(tx, entries, now)
        else:
            state.undo(tx)
            if state.dirty():
                self._shared.dirty_since = time.monotonic()
        answers: Answers = []
        for pending in batch:
            self._queue.settled(pending)
            refusal = self._refusal(pending, failure, now)
            seq = pending.seq or tx.head
            answers.append((pending.waiter, refusal or Receipt(seq)))
            for waiter in pending.duplicates:
                if refusal is None:
                    self._count_duplicate(pending.submission)
                answers.append((waiter, refusal or Receipt(seq, duplicate=True)))
        return answers, acknowledged

    def _refusal(self, pending: Pending, failure: StoreError | None, now: int) -> SidecarError | None:
        if failure is not None:
            return _unavailable(failure)
        return self._full(now) if pending.over_quota else None

    def _checkpoint_wal(self) -> None:
        """Behind the answers: in a commit, those that wait for it would wait for this too."""
        try:
            self._store.checkpoint_wal()
        except StoreError as error:
            log.warning("journal_checkpoint_failed", error=str(error))

    def _vacuum(self) -> None:
        """Give freed space back, one step a quiet commit."""
        more = False
        try:
            more = self._store.vacuum()
        except StoreError as error:
            log.warning("journal_vacuum_failed", error=str(error))
        with self._shared.lock:
            self._shared.move(WriterEvent.SPACE_TO_VACUUM if more else WriterEvent.VACUUMED)

    def _expire_dead_letters(self) -> None:
        """Delete old dead letters, and learn of those that somebody else deleted, at most once a minute."""
        shared, now = self._shared, self._shared.clock()
        if 0 <= now - self._dead_letters_checked < _DEAD_LETTERS_EVERY_NS:
            return
        self._dead_letters_checked = now
        options = shared.state.options.dead_letters
        oldest = now - int(options.max_age * 1e9)
        try:
            gone, left = self._store.expire_dead_letters(oldest, options.max_count)
        except StoreError as error:
            log.warning("dead_letters_expire_failed", error=str(error))
            return
        with shared.lock:
            shared.state.dead_letter_bytes = left
        if gone:
            log.warning("dead_letters_expired", documents=gone)

    def _rebuild(self) -> None:
        if self._repair is None:
            return
        with self._shared.lock:
            known = self._shared.state.snapshot()
        try:
            self._store = self._repair(known)
        except (SidecarError, OSError) as error:
            log.error(
                "journal_rebuild_failed",
                error=str(error),
            )

    # Readers and counters

    def consumer(self, name: str, signals: frozenset[Signal]) -> JournalConsumer:
        """The consumer of that name. Opened again it begins at its low-water mark; a new one begins at the oldest
        stored entry."""
        with self._shared.lock:
            if self._shared.closed:
                raise Unavailable("the journal is closed")
            cursor = self._shared.state.open_cursor(name, signals)
            if cursor.pending is not None:
                self._shared.soon()
            consumer = JournalConsumer(self._shared, cursor, self._store.reader())
            old, self._consumers[name] = self._consumers.get(name), consumer
        if old is not None:
            old.close()
        return consumer

    def prune_absent(self) -> list[str]:
        """Prune the consumers that are known from the file and were not opened in this run, so that they hold
        nothing back. To be called when all are open. Gives their names."""
        with self._shared.lock:
            state = self._shared.state
            absent = [cursor for cursor in state.cursors.values() if not cursor.open]
            for cursor in absent:
                del state.cursors[cursor.name]
                state.prune.append(cursor.name)
            if absent:
                self._shared.soon()
        for cursor in absent:
            left = {signal: items for signal, items in cursor.waiting.items() if items}
            log.warning("consumer_pruned", consumer=cursor.name, waiting=left)
        return [cursor.name for cursor in absent]

    def head(self) -> int:
        """Highest committed sequence number; 0 if there is none."""
        with self._shared.lock:
            return self._shared.state.head

    def checkpoints(self, prefix: bytes) -> dict[bytes, bytes]:
        """The committed checkpoints of receivers whose keys begin with `prefix`. After a refusal they show what is in
        the journal all the same: a commit may have landed that was reported as failed."""
        with self._shared.lock:
            return {key: value for key, value in self._shared.state.checkpoints.items() if key.startswith(prefix)}

    def ledger(self) -> Ledger:
        """As of the last commit."""
        with self._shared.lock:
            return self._shared.state.ledger()

    def lags(self) -> dict[str, float]:
        """consumer -> age in seconds of the oldest entry that it has not finished."""
        with self._shared.lock:
            state, now = self._shared.state, self._shared.clock()
            return {name: cursor.lag_ns(state.index, now) / 1e9 for name, cursor in state.cursors.items()}

    def stored_bytes(self) -> int:
        """Bytes that count against the quota."""
        with self._shared.lock:
            return self._shared.state.index.bytes

    def stored_entries(self) -> int:
        with self._shared.lock:
            return len(self._shared.state.index)

    @property
    def quota(self) -> int:
        return self._shared.state.quota

    def dead_letters(self) -> dict[str, int]:
        """consumer -> dead letters stored."""
        return self._store.dead_letters()

    def writing(self) -> bool:
        """False while commits fail, and when there are none any more."""
        return self._shared.writer not in (WriterState.FAILING, WriterState.CLOSED, WriterState.BROKEN)

    def drain_rate(self) -> float:
        """Bytes on disk freed a second, over the last 30 seconds."""
        with self._shared.lock:
            return self._shared.state.drained.per_second(self._shared.clock())

    def retry_after(self, excess: int = 1) -> float:
        """Seconds until `excess` bytes will have been freed at the present rate: 1 to 60, 30 if nothing drains."""
        with self._shared.lock:
            return self._retry_after(self._shared.clock(), excess)

    def _retry_after(self, now: int, excess: int) -> float:
        rate = self._shared.state.drained.per_second(now)
        return min(max(excess / rate, 1.0), 60.0) if rate > 0 else _NO_DRAIN

    # The end

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything queued is committed. `Unavailable` if it cannot be, TimeoutError after `timeout`."""
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._shared.lock:
            if self._shared.closed:
                return
            self._flushes.append(future)
            self._shared.wake.notify()
        future.result(timeout)

    def close(self) -> None:
        """Take no more, commit what is queued, wake the consumers, checkpoint. Idempotent."""
        with self._shared.lock:
            if self._shared.writer in (WriterState.CLOSING, WriterState.CLOSED):
                return
            self._shared.move(WriterEvent.CLOSE)
            self._shared.wake.notify_all()
            self._shared.wake_all()
        self._writer.join()
        with self._shared.lock:
            waiters = [w.future for c in self._shared.state.cursors.values() for w in c.waiters]
        for future in waiters:
            if future.set_running_or_notify_cancel():
                future.set_exception(Unavailable("the journal was closed before this was committed"))
        for consumer in self._consumers.values():
            consumer.close()
        with self._closing():
            self._store.close()

    @contextmanager
    def _closing(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            log.error("journal_close_failed", error=str(error))
        finally:
            if self._release is not None:
                self._release()


def _unavailable(failure: StoreError) -> Unavailable:
    return Unavailable(f"the journal cannot write: {failure}")


def _report(before: WriterState, failure: StoreError | None) -> None:
    """One ERROR when the disk stops taking commits, one line when it takes them again."""
    if failure is not None and before is not WriterState.FAILING:
        log.error("journal_write_failed", error=str(failure))
    elif failure is None and before is WriterState.FAILING:
        log.warning("journal_write_recovered")
