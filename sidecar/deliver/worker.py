"""The one pull-send-retry-commit loop of every sink.

    consumer.next ─► sink.prepare ─► batches ─► sink.send (several threads) ─► verdict
                                       ▲                                        │ settled: consumer.done when the
                                       └── back-off, again ◄────────────────────┘ last document of an entry is

An entry is done when each of its documents has come to an end (delivered, already there, dead-lettered, dropped).
There is no giving up: what may succeed later is sent until it does, or until the program stops; the journal still
has it then. One puller thread and at most `max_concurrency` sender threads; what they hold is bounded by one
target batch for each of them. A batch that backs off gives its place to others, so that one which the destination never
accepts does not hold up the rest.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Generic

import structlog

from sidecar.deliver.concurrency import Concurrency
from sidecar.deliver.progress import Progress
from sidecar.deliver.retry import Backoff
from sidecar.deliver.sink import P, Retry, SendResult, Sink, SinkOptions
from sidecar.errors import SidecarError
from sidecar.health import Health, State
from sidecar.pipeline import Ack, Clock, Consumer, DeadLetter, Entry
from sidecar.telemetry import Telemetry

IDLE_SECONDS = 30.0
"""Longest wait for new entries."""
DRAIN_SECONDS = 0.25
"""While stopping: how often it is looked whether the last requests are over."""
REPEAT_SECONDS = 60.0
"""The same trouble is logged at most this often."""
SAY_AGAIN_SECONDS = 30.0
"""Least time between two log lines about dead letters."""
RECOMMIT_SECONDS = 1.0
"""Pause before a commit that failed is tried again."""

log = structlog.get_logger("deliver")


class Worker(Generic[P]):
    """Feeds one sink from one consumer."""

    def __init__(
        self,
        sink: Sink[P],
        consumer: Consumer,
        options: SinkOptions,
        telemetry: Telemetry,
        clock: Clock,
        health: Health | None = None,
    ) -> None:
        self._sink, self._consumer, self._options = sink, consumer, options
        self._telemetry, self._clock, self._health = telemetry, clock, health
        self._backoff = Backoff(options.retry.initial_interval, options.retry.max_interval)
        self._concurrency = Concurrency(options.max_concurrency)
        self._progress = Progress()
        self._batches: queue.SimpleQueue[P | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._in_flight = 0
        """Batches handed to senders and not yet over."""
        self._resting = 0
        """Those of them that back off."""
        self._returning = 0
        """Those of them that have backed off and wait for a place; they go before new ones."""
        self._draining = False
        self._abort = threading.Event()
        self._trouble = ""
        self._failures = 0
        """Requests that failed since the last that did not."""
        self._recoveries = 0
        self._said: dict[str, float] = {}
        """Trouble -> when it was last logged."""
        self._commits = 0
        self._failed_commits: list[Ack] = []
        self._last_success_ns = 0
        self._letters = 0
        """Dead letters not yet told of in the log."""
        self._letters_said_ns = 0
        self._threads: list[threading.Thread] = []

    @property
    def name(self) -> str:
        return self._sink.name

    @property
    def sink(self) -> Sink[P]:
        """The destination that is fed."""
        return self._sink

    def start(self) -> None:
        """Begin to deliver. The threads are daemons: a destination that hangs cannot keep the program from ending."""
        self._telemetry.watch(
            "sidecar_sink_concurrency", lambda: [(self._concurrency.limit, {"sink": self._sink.name})]
        )
        self._report("ok", "")
        self._spawn("pull", self._pull)
        for number in range(self._options.max_concurrency):
            self._spawn(f"send-{number}", self._send_all)

    def stop(self, deadline_seconds: float) -> bool:
        """Deliver what is kept until nothing waits or the deadline has passed. True if nothing was left.

        Documents in flight at the deadline are left: the cursor has not passed them, so that the next start sends
        them again under the same ids.
        """
        deadline = time.monotonic() + deadline_seconds
        with self._changed:
            self._draining = True
            self._changed.notify_all()
        self._consumer.wake()
        puller = self._threads[0] if self._threads else None
        if puller is not None:
            puller.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            self._abort.set()
            self._changed.notify_all()
        for _ in self._threads:
            self._batches.put(None)
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            self._sink.close()
        return not any(self._consumer.waiting().values())

    def status(self) -> Mapping[str, Any]:
        """Facts for the status page."""
        with self._changed:
            return {
                "sink": self._sink.name,
                "in_flight": self._in_flight - self._resting,
                "backing_off": self._resting,
                "concurrency": self._concurrency.limit,
                "trouble": self._trouble or None,
                "last_success_unix_ns": self._last_success_ns or None,
                "waiting": self._consumer.waiting(),
                "lag_seconds": self._consumer.lag_seconds(),
                **self._sink.status(),
            }

    def _spawn(self, role: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=f"{self._sink.name}-{role}", daemon=True)
        self._threads.append(thread)
        thread.start()

    # -- the puller

    def _pull(self) -> None:
        while self._await_slot():
            self._recommit()
            target = self._sink.target_batch_bytes
            if not self._draining:
                self._consumer.wait(IDLE_SECONDS, self._options.batch_timeout, target // 2, self._options.max_entries)
            entries = self._consumer.next(target, self._options.max_entries, 0)
            if entries:
                self._hand_over(entries)
            elif self._draining and self._drained():
                return

    def _hand_over(self, entries: Sequence[Entry]) -> None:
        attempt = 0
        while True:
            try:
                prepared = self._sink.prepare(entries)
                break
            except Exception:
                log.exception("delivery_prepare_failed", sink=self._sink.name, first_seq=entries[0].seq)
                if not self._wait(attempt, None):
                    return
                attempt += 1
        del entries
        self._commit(self._progress.expect(prepared.expected))
        self._commit(self._progress.settle(prepared.settled))
        for batch in prepared.batches:
            if not self._await_slot():
                return
            with self._changed:
                self._in_flight += 1
            self._batches.put(batch)

    def _await_slot(self) -> bool:
        """Wait until one more batch may be taken in flight. False when the worker has to end."""
        most = self._options.max_concurrency
        with self._changed:
            self._changed.wait_for(
                lambda: self._abort.is_set() or (self._in_flight < most and not self._returning and self._has_place())
            )
            return not self._abort.is_set()

    def _has_place(self) -> bool:
        return self._in_flight - self._resting < self._concurrency.limit

    def _drained(self) -> bool:
        """Nothing left to pull: wait until the requests in flight are over. True if that was all."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._abort.is_set() or self._in_flight + self._commits == 0, timeout=DRAIN_SECONDS
            )
            return self._abort.is_set() or (self._in_flight + self._commits == 0 and not self._failed_commits)

    # -- the senders

    def _send_all(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._deliver(batch)
            del batch
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def _deliver(self, batch: P) -> None:
        """Send one batch, and what it was cut into, until everything in it has come to an end."""
        waiting: list[tuple[P, int]] = [(batch, 0)]
        del batch
        while waiting and not self._abort.is_set():
            piece, attempt = waiting.pop()
            with self._changed:
                generation = self._concurrency.generation
            verdict = self._attempt(piece)
            del piece
            if self._abort.is_set():
                return
            self._note_letters([letter for settled in verdict.settled for letter in settled.dead])
            self._commit(self._progress.settle(verdict.settled))
            retry = verdict.retry
            if retry is None:
                continue
            self._telemetry.add("sidecar_sink_retries_total", sink=self._sink.name, reason=retry.reason)
            if retry.immediately:
                waiting += [(p, attempt) for p in reversed(retry.batches)]
                continue
            self._note_trouble(retry, generation)
            if not self._rest(0 if verdict.settled else attempt, retry.retry_after):
                return
            waiting += [(p, 1 if verdict.settled else attempt + 1) for p in reversed(retry.batches)]

    def _attempt(self, batch: P) -> SendResult[P]:
        began = time.monotonic()
        try:
            verdict = self._sink.send(batch)
        except Exception as error:
            log.exception("delivery_send_failed", sink=self._sink.name)
            return SendResult(retry=Retry([batch], "bug", detail=repr(error), level="error"))
        seconds = time.monotonic() - began
        outcome = "ok" if verdict.retry is None else verdict.retry.reason
        self._telemetry.add("sidecar_sink_requests_total", sink=self._sink.name, outcome=outcome)
        self._telemetry.record("sidecar_sink_request_duration_seconds", seconds, sink=self._sink.name)
        if verdict.retry is None:
            self._note_success(seconds)
        return verdict

    def _rest(self, attempt: int, retry_after: float | None) -> bool:
        """Back off, out of the others' transport. False when the worker has to end."""
        with self._changed:
            self._resting += 1
            self._changed.notify_all()
        self._wait(attempt, retry_after)
        with self._changed:
            self._returning += 1
            self._changed.wait_for(lambda: self._abort.is_set() or self._has_place())
            self._returning -= 1
            self._resting -= 1
            self._changed.notify_all()
        return not self._abort.is_set()

    def _wait(self, attempt: int, retry_after: float | None) -> bool:
        """A back-off. Ends early when another request got through after trouble, unless the destination named a time
        itself. False when the worker has to end."""
        delay = self._backoff.delay(attempt, random.random(), retry_after)
        recoveries = self._recoveries
        self._pause(delay, until=lambda: retry_after is None and self._recoveries != recoveries)
        return not self._abort.is_set()

    def _pause(self, seconds: float, until: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._abort.is_set() or until(), timeout=seconds)

    # -- what came of it

    def _note_trouble(self, retry: Retry[P], generation: int) -> None:
        now = time.monotonic()
        with self._changed:
            if retry.backpressure:
                self._concurrency.overloaded(generation)
            self._failures += 1
            changed, self._trouble = self._trouble != retry.reason, retry.reason
            say = changed and now - self._said.get(retry.reason, -REPEAT_SECONDS) >= REPEAT_SECONDS
            if say:
                self._said[retry.reason] = now
        if say:
            level = logging.ERROR if retry.level == "error" else logging.WARNING
            log.log(level, "delivery_blocked", sink=self._sink.name, reason=retry.reason, detail=retry.detail)
        if changed:
            self._report("degraded", f"{retry.reason}: {retry.detail}")

    def _note_success(self, seconds: float) -> None:
        with self._changed:
            self._concurrency.succeeded(seconds, self._in_flight - self._resting)
            recovered, self._trouble = self._trouble, ""
            # Not for one batch that fails among others that do not: it must keep to its own back-off.
            outage, self._failures = self._failures > self._options.max_concurrency, 0
            self._recoveries += outage
            self._last_success_ns = self._clock()
            self._changed.notify_all()
        if outage:
            log.info("delivery_recovered", sink=self._sink.name, after=recovered)
        if recovered:
            self._report("ok", "")

    def _note_letters(self, letters: Sequence[DeadLetter]) -> None:
        """One line for dead letters, and then at most one in `SAY_AGAIN_SECONDS`, with how many there were."""
        if not letters:
            return
        with self._changed:
            self._letters += len(letters)
            now = self._clock()
            if now - self._letters_said_ns < SAY_AGAIN_SECONDS * 1e9:
                return
            count, self._letters, self._letters_said_ns = self._letters, 0, now
        log.error(
            "documents_rejected",
            sink=self._sink.name,
            documents=count,
            index=letters[0].index,
            reason=letters[0].reason,
        )

    def _commit(self, done: list[Ack]) -> None:
        if not done or self._abort.is_set():
            return
        with self._changed:
            self._commits += 1
        try:
            self._consumer.done(done).add_done_callback(lambda future: self._committed(future, done))
        except SidecarError as error:
            self._close_commit(done, error)

    def _committed(self, future: Future[None], done: list[Ack]) -> None:
        self._close_commit(done, None if future.cancelled() else future.exception())

    def _close_commit(self, done: list[Ack], error: BaseException | None) -> None:
        with self._changed:
            self._commits -= 1
            news = error is not None and not self._failed_commits and not self._abort.is_set()
            if error is not None:
                self._failed_commits += done
            self._changed.notify_all()
        if error is not None:
            self._consumer.wake()
        if news:
            log.error("delivery_commit_failed", sink=self._sink.name, entries=len(done), error=str(error))

    def _recommit(self) -> None:
        """Try again what the journal could not commit: the cursor would stand still for ever."""
        with self._changed:
            done, self._failed_commits = self._failed_commits, []
        if done:
            self._pause(RECOMMIT_SECONDS, until=lambda: False)
            self._commit(done)

    def _report(self, state: State, detail: str) -> None:
        if self._health is not None:
            self._health.report(f"deliver.{self._sink.name}", state, detail)
