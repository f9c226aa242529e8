"""The durable log: one writer thread, group commit, a cursor per consumer.

Callers queue payloads under a lock. The writer takes what is queued, compresses it, writes it with the progress of all
consumers in one transaction, and only after the commit (fsync) do the figures in memory follow and the futures resolve.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from sidecar.errors import Overloaded, SidecarError, Unavailable
from sidecar.journal.codec import Packer
from sidecar.journal.consumer import JournalConsumer, Shared
from sidecar.journal.entry import Draft, Receipt
from sidecar.journal.ledger import Ledger
from sidecar.journal.options import JournalOptions
from sidecar.journal.state import Book, Packed
from sidecar.journal.transaction import Loaded, Store, StoreError, Transaction
from sidecar.journal.waiters import Answers, Caller, Item, answer_all
from sidecar.pipeline import SPAN_EVENTS, Clock, Entry, Signal
from sidecar.telemetry import Telemetry

_BATCH_ENTRIES = 256
_BATCH_BYTES = 32 << 20
_QUEUE_BYTES = 64 << 20
_QUIET = 0.1
"""Seconds between steps of work that nobody waits for (giving space back)."""
_TIDY_EVERY = 16
_LETTERS_EVERY_SECONDS = 60.0
_RETRY = 1.0
_NO_DRAIN = 30.0

log = structlog.get_logger("journal")

Mend = Callable[[Loaded], Store]
"""Rebuilds a store that turned out to be damaged, from what can be read and from the figures in memory."""


class Journal:
    """See `entry.Log`. Made by `opening.open_log`."""

    def __init__(
        self,
        store: Store,
        book: Book,
        clock: Clock,
        telemetry: Telemetry | None = None,
        mend: Mend | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        """`release` is called when all is closed (it gives up the lock of the directory)."""
        self.id = book.loaded.id
        self._store = store
        self._shared = Shared(book, clock, dirty_since=time.monotonic() if book.dirty() else None)
        self._telemetry = telemetry
        self._mend = mend
        self._release = release
        self._options: JournalOptions = book.options
        self._queue: deque[Item] = deque()
        self._queued_bytes = 0
        self._by_digest: dict[bytes, Item] = {}
        self._consumers: dict[str, JournalConsumer] = {}
        self._flushes: list[concurrent.futures.Future[None]] = []
        self._failing = False
        self._shared_last = False
        self.failure: BaseException | None = None
        """What ended the writer, if it was not `close`: a bug. Nothing is taken from then on."""
        self._last_try = False
        """The commit that is made at the end, come what may, was made."""
        self._untidy = False
        self._letters_looked_at = time.monotonic()
        self._packer = Packer()
        self._writer = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._writer.start()

    # Intake

    def submit(self, draft: Draft) -> asyncio.Future[Receipt]:
        """See `entry.Log.submit`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Receipt] = loop.create_future()
        self._offer(draft, Caller(loop, future))
        return future

    def append(self, draft: Draft) -> concurrent.futures.Future[Receipt]:
        """See `entry.Log.append`."""
        future: concurrent.futures.Future[Receipt] = concurrent.futures.Future()
        self._offer(draft, Caller(None, future))
        return future

    def acknowledged(self, digest: bytes, seqs: Sequence[int]) -> None:
        """See `entry.Log.acknowledged`."""
        with self._shared.lock:
            if not self._shared.closed:
                self._shared.book.acknowledged(digest, seqs)  # It waits for the next commit; none is made for it.

    def _offer(self, draft: Draft, caller: Caller) -> None:
        now = self._shared.clock()
        with self._shared.lock:
            if self._shared.closed:
                raise Unavailable("the journal is closed")
            if draft.digest is not None and not draft.distinct and self._options.dedupe_window > 0:
                seq = self._shared.book.digests.find(draft.digest, now)
                if seq is not None:
                    self._count_duplicate(draft)
                    caller.answer(Receipt(seq, duplicate=True))
                    return
                first = self._by_digest.get(draft.digest)
                if first is not None:
                    first.followers.append(caller)
                    return
            self._check_room(now)
            item = Item(Packed(draft, now), caller)
            if draft.digest is not None:
                self._by_digest[draft.digest] = item
            self._queue.append(item)
            self._queued_bytes += len(draft.payload)
            if len(self._queue) == 1:
                self._shared.wake.notify()

    def _check_room(self, now: int) -> None:
        book = self._shared.book
        if self._options.on_full == "refuse" and book.index.bytes >= book.quota:
            raise self._full(now)
        if self._queued_bytes >= _QUEUE_BYTES:
            raise Overloaded("payloads arrive faster than the journal can write them", 1.0)

    def _full(self, now: int) -> Overloaded:
        quota = self._shared.book.quota
        return Overloaded(f"the journal is at its quota of {quota} bytes", self._retry_after(now, quota // 64))

    def _count_duplicate(self, draft: Draft) -> None:
        pending = self._shared.book.pending_intake
        pending.of(draft.signal).duplicates += draft.items
        if draft.events:
            pending.of(SPAN_EVENTS).duplicates += draft.events
        self._shared.soon()

    # The writer

    def _run(self) -> None:
        try:
            while (batch := self._collect()) is not None:
                self._commit(batch)
        except BaseException as failure:
            self._give_up(failure)
            raise

    def _give_up(self, failure: BaseException) -> None:
        """A bug ended the writer: refuse what is queued and what will come, so that no client waits for ever."""
        log.exception("the journal's writer failed; nothing is taken until a restart")
        with self._shared.lock:
            self.failure = failure
            self._shared.closed = True
            queued, self._queue = list(self._queue), deque()
            self._shared.wake_all()
        refusal = Unavailable("the journal's writer has failed")
        answer_all([(caller, refusal) for item in queued for caller in (item.caller, *item.followers)])

    def _collect(self) -> list[Item] | None:
        """Wait for work; give the payloads of the next transaction, compressed. None when closed and done."""
        with self._shared.lock:
            while not self._queue:
                wait = self._idle_wait()
                if wait is not None and wait <= 0:
                    break
                if self._shared.closed and not self._flushes and wait is None:
                    return None
                self._shared.wake.wait(wait)
        batch: list[Item] = []
        # One that comes alone is not made to wait: only where the last commit was shared are others to be expected.
        patience = self._options.commit_delay if self._shared_last else 0.0
        size, deadline = 0, time.monotonic() + patience
        while len(batch) < _BATCH_ENTRIES and size < _BATCH_BYTES:
            item = self._take(0.0 if not batch else deadline - time.monotonic())
            if item is None:
                break
            item.packed.codec, item.packed.blob = self._packer.compress(item.packed.draft.payload)
            size += len(item.packed.draft.payload)
            batch.append(item)
        if batch:
            self._shared_last = len(batch) > 1
        return batch

    def _take(self, wait: float) -> Item | None:
        with self._shared.lock:
            if not self._queue and wait > 0 and not self._shared.closed:
                self._shared.wake.wait(wait)
            if not self._queue:
                return None
            item = self._queue.popleft()
            self._queued_bytes -= len(item.packed.draft.payload)
            return item

    def _idle_wait(self) -> float | None:
        """Seconds until something other than a payload is to be committed; None if there is nothing."""
        shared = self._shared
        if self._flushes or (shared.closed and shared.book.dirty() and not self._last_try):
            return 0
        waits = []
        if shared.dirty_since is not None and not shared.closed:
            pause = _RETRY if self._failing else self._options.cursor_delay
            waits.append(shared.dirty_since + pause - time.monotonic())
        if shared.book.trimmable() and not shared.closed:
            waits.append(_RETRY if self._failing else 0)
        if self._untidy and not shared.closed:
            waits.append(_QUIET)
        return min(waits, default=None)

    def _commit(self, batch: list[Item]) -> None:
        shared, now = self._shared, self._shared.clock()
        with shared.lock:
            flushes: list[concurrent.futures.Future[None]] = []
            if not self._queue:
                flushes, self._flushes = self._flushes, []
            shared.dirty_since = None
            self._last_try = shared.closed
            tx = shared.book.begin([item.packed for item in batch], now)
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
            answers, words = self._settle(tx, batch, failure, now)
            shared.committed(sum(len(item.packed.draft.payload) for item in batch))
        self._report(failure)
        answer_all(answers)
        for future in words + flushes:
            if not future.set_running_or_notify_cancel():
                continue
            if failure is None:
                future.set_result(None)
            else:
                future.set_exception(_unavailable(failure))
        if failure is not None and failure.corrupt:
            self._rebuild()
        elif failure is None and (not batch or tx.number % _TIDY_EVERY == 0):
            self._tidy()
            self._expire_letters()

    def _settle(
        self, tx: Transaction, batch: list[Item], failure: StoreError | None, now: int
    ) -> tuple[Answers, list[concurrent.futures.Future[None]]]:
        """Under the lock: memory follows the file. Gives who is to be told what."""
        book = self._shared.book
        words = []
        for name, delta in tx.deltas.items():
            if name in book.cursors:
                words += book.cursors[name].due(tx.order, delta.mark)
        if failure is None or failure.landed:
            entries = [
                Entry(i.packed.seq, i.packed.time_ns, i.packed.draft.signal, d.items, d.events, d.payload)
                for i in batch
                for d in (i.packed.draft,)
                if i.packed.seq
            ]
            book.apply(tx, entries, now)
        else:
            book.undo(tx)
            if book.dirty():
                self._shared.dirty_since = time.monotonic()
        answers: Answers = []
        for item in batch:
            draft = item.packed.draft
            if draft.digest is not None and self._by_digest.get(draft.digest) is item:
                del self._by_digest[draft.digest]
            refusal = self._refusal(item, failure, now)
            answers.append((item.caller, refusal or Receipt(item.packed.seq or tx.head)))
            for follower in item.followers:
                if refusal is None:
                    self._count_duplicate(draft)
                answers.append((follower, refusal or Receipt(item.packed.seq or tx.head, duplicate=True)))
        return answers, words

    def _refusal(self, item: Item, failure: StoreError | None, now: int) -> SidecarError | None:
        if failure is not None:
            return _unavailable(failure)
        return self._full(now) if item.packed.refused else None

    def _report(self, failure: StoreError | None) -> None:
        """One ERROR when the disk stops taking commits, one line when it takes them again."""
        if failure is not None and not self._failing:
            log.error("the journal cannot write; payloads are refused until it can", error=str(failure))
        elif failure is None and self._failing:
            log.warning("the journal writes again")
        self._failing = failure is not None

    def _tidy(self) -> None:
        """Give freed space back, one step a quiet commit."""
        try:
            self._untidy = self._store.tidy()
        except StoreError as error:
            self._untidy = False
            log.warning("the journal could not give space back", error=str(error))

    def _expire_letters(self) -> None:
        """Delete old dead letters, and learn of those that somebody else deleted, at most once a minute."""
        shared, now = self._shared, time.monotonic()
        if now - self._letters_looked_at < _LETTERS_EVERY_SECONDS:
            return
        self._letters_looked_at = now
        options = shared.book.options
        oldest = shared.clock() - int(options.dead_letter_days * 86_400e9)
        try:
            gone, left = self._store.expire_dead_letters(oldest, options.dead_letter_count)
        except StoreError as error:
            log.warning("old dead letters could not be deleted", error=str(error))
            return
        with shared.lock:
            shared.book.dead_letter_bytes = left
        if gone:
            log.warning("old dead letters were deleted", documents=gone)

    def _rebuild(self) -> None:
        if self._mend is None:
            return
        with self._shared.lock:
            known = self._shared.book.snapshot()
        try:
            self._store = self._mend(known)
        except (SidecarError, OSError) as error:
            log.error("the damaged journal could not be rebuilt", error=str(error))

    # Readers and figures

    def consumer(self, name: str, signals: frozenset[Signal]) -> JournalConsumer:
        """See `entry.Log.consumer`. Opened again, it begins at its mark."""
        with self._shared.lock:
            if self._shared.closed:
                raise Unavailable("the journal is closed")
            cursor = self._shared.book.open_cursor(name, signals)
            if cursor.pending is not None:
                self._shared.soon()
            consumer = JournalConsumer(self._shared, cursor, self._store.reader())
            old, self._consumers[name] = self._consumers.get(name), consumer
        if old is not None:
            old.close()
        return consumer

    def forget_absent(self) -> list[str]:
        """Strike out the consumers that are known from the file and were not opened in this run, so that they hold
        nothing back. To be called when all are open. Gives their names."""
        with self._shared.lock:
            book = self._shared.book
            absent = [cursor for cursor in book.cursors.values() if not cursor.open]
            for cursor in absent:
                del book.cursors[cursor.name]
                book.forget.append(cursor.name)
            if absent:
                self._shared.soon()
        for cursor in absent:
            left = {signal: items for signal, items in cursor.waiting.items() if items}
            log.warning(
                "a consumer is gone from the configuration and is forgotten", consumer=cursor.name, waiting=left
            )
        return [cursor.name for cursor in absent]

    def head(self) -> int:
        """See `entry.Log.head`."""
        with self._shared.lock:
            return self._shared.book.head

    def marks(self, prefix: bytes) -> dict[bytes, bytes]:
        """See `entry.Log.marks`."""
        with self._shared.lock:
            return {key: value for key, value in self._shared.book.marks.items() if key.startswith(prefix)}

    def ledger(self) -> Ledger:
        """All figures as of the last commit."""
        with self._shared.lock:
            return self._shared.book.ledger()

    def lags(self) -> dict[str, float]:
        """consumer -> age in seconds of the oldest entry that it has not finished."""
        with self._shared.lock:
            book, now = self._shared.book, self._shared.clock()
            return {name: cursor.lag_ns(book.index, now) / 1e9 for name, cursor in book.cursors.items()}

    def kept_bytes(self) -> int:
        """Bytes that count against the quota."""
        with self._shared.lock:
            return self._shared.book.index.bytes

    def kept_entries(self) -> int:
        with self._shared.lock:
            return len(self._shared.book.index)

    @property
    def quota(self) -> int:
        return self._shared.book.quota

    def dead_letters(self) -> dict[str, int]:
        """consumer -> dead letters kept."""
        return self._store.dead_letters()

    def writing(self) -> bool:
        """False while commits fail."""
        return not self._failing

    def drain_rate(self) -> float:
        """Bytes on disk freed a second, over the last 30 seconds."""
        with self._shared.lock:
            return self._shared.book.drained.per_second(self._shared.clock())

    def retry_after(self, excess: int = 1) -> float:
        """Seconds until `excess` bytes will have been freed at the present rate: 1 to 60, 30 if nothing drains."""
        with self._shared.lock:
            return self._retry_after(self._shared.clock(), excess)

    def _retry_after(self, now: int, excess: int) -> float:
        rate = self._shared.book.drained.per_second(now)
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
            if self._shared.closed:
                return
            self._shared.closed = True
            self._shared.wake.notify_all()
            self._shared.wake_all()
        self._writer.join()
        with self._shared.lock:
            waiters = [w.future for c in self._shared.book.cursors.values() for w in c.waiters]
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
            log.error("the journal could not be closed cleanly; it will recover at the next start", error=str(error))
        finally:
            if self._release is not None:
                self._release()


def _unavailable(failure: StoreError) -> Unavailable:
    return Unavailable(f"the journal cannot write: {failure}")
