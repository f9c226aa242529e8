"""The one pull-send-retry-commit loop of every sink.

    consumer.next ─► sink.prepare ─► batches ─► sink.send (several threads) ─► result
                                       ▲                                        │ settled: consumer.done when the
                                       └── back-off, again ◄────────────────────┘ last document of an entry is

An entry is done when each of its documents is finished (delivered, already there, dead-lettered, dropped).
There is no giving up: what may succeed later is sent until it does, or until the program stops; the journal still
has it then. One puller thread and at most `max_concurrency` sender threads; what they hold is bounded by one
target batch for each of them. A batch that backs off gives its place to others, so that one which the destination never
accepts does not hold up the rest.

What can be decided without threads is elsewhere: how many are sent at once (`in_flight`), when to try again (`retry`),
which entries are finished (`progress`), what is logged (`reporting`).
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

import structlog

from sidecar.deliver.commits import Commits
from sidecar.deliver.in_flight import InFlight
from sidecar.deliver.options import SinkOptions
from sidecar.deliver.progress import Progress
from sidecar.deliver.reporting import RejectedCount, Trouble
from sidecar.deliver.retry import Backoff
from sidecar.deliver.sink import P, Retry, SendResult, Sink
from sidecar.health import Health, State
from sidecar.pipeline import Clock, Consumer, DeadLetter, Entry
from sidecar.telemetry import Telemetry

IDLE_SECONDS = 30.0
"""Longest wait for new entries."""
DRAIN_SECONDS = 0.25
"""While stopping: how often it is checked whether the last requests are over."""
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
        delay: Callable[[int, float, float | None], float] | None = None,
    ) -> None:
        """`delay`: as `Backoff.delay`; by the options where not given."""
        self._sink, self._consumer, self._options = sink, consumer, options
        self._telemetry, self._clock, self._health = telemetry, clock, health
        self._delay = delay or Backoff(options.retry.initial_interval, options.retry.max_interval).delay
        self._progress = Progress()
        self._batches: queue.SimpleQueue[P | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        """Its lock guards the four that follow and what `_commits` counts."""
        self._in_flight = InFlight(options.max_concurrency)
        self._trouble = Trouble(options.max_concurrency)
        self._rejected = RejectedCount()
        self._last_success_ns = 0
        self._commits = Commits(sink.name, consumer, self._changed)
        self._draining = False
        self._abort = threading.Event()
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
            "sidecar_sink_concurrency", lambda: [(self._in_flight.concurrency.limit, {"sink": self._sink.name})]
        )
        self._report("ok", "")
        self._spawn("pull", self._pull)
        for number in range(self._options.max_concurrency):
            self._spawn(f"send-{number}", self._send_all)

    def stop(self, deadline_seconds: float) -> bool:
        """Deliver what is stored until nothing waits or the deadline has passed. True if nothing was left.

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
        self._commits.close()
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
                "in_flight": self._in_flight.sending,
                "backing_off": self._in_flight.backing_off,
                "concurrency": self._in_flight.concurrency.limit,
                "trouble": self._trouble.reason or None,
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
        while self._await(lambda: self._in_flight.may_start):
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
                if not self._back_off(attempt, None):
                    return
                attempt += 1
        del entries
        self._commits.commit(self._progress.expect(prepared.expected))
        self._commits.commit(self._progress.settle(prepared.settled))
        for batch in prepared.batches:
            if not self._await(lambda: self._in_flight.may_start):
                return
            with self._changed:
                self._in_flight.started()
            self._batches.put(batch)

    def _recommit(self) -> None:
        if failed := self._commits.take_failed():
            self._await(lambda: False, RECOMMIT_SECONDS)
            self._commits.commit(failed)

    def _drained(self) -> bool:
        """Nothing left to pull: wait until the requests in flight are over. True if that was all."""
        self._await(lambda: self._in_flight.none and not self._commits.open, DRAIN_SECONDS)
        with self._changed:
            return self._abort.is_set() or (self._in_flight.none and self._commits.idle)

    # -- the senders

    def _send_all(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._deliver(batch)
            del batch
            with self._changed:
                self._in_flight.finished()
                self._changed.notify_all()

    def _deliver(self, batch: P) -> None:
        """Send one batch, and what it was split into, until everything in it is finished."""
        waiting: list[tuple[P, int]] = [(batch, 0)]
        del batch
        while waiting and not self._abort.is_set():
            piece, attempt = waiting.pop()
            with self._changed:
                generation = self._in_flight.concurrency.generation
            result = self._attempt(piece)
            del piece
            if self._abort.is_set():
                return
            self._note_rejected([dead for settled in result.settled for dead in settled.dead])
            self._commits.commit(self._progress.settle(result.settled))
            retry = result.retry
            if retry is None:
                continue
            self._telemetry.add("sidecar_sink_retries_total", sink=self._sink.name, reason=retry.reason)
            if retry.immediately:
                waiting += [(p, attempt) for p in reversed(retry.batches)]
                continue
            self._note_failure(retry, generation)
            if not self._give_place(0 if result.settled else attempt, retry.retry_after):
                return
            waiting += [(p, 1 if result.settled else attempt + 1) for p in reversed(retry.batches)]

    def _attempt(self, batch: P) -> SendResult[P]:
        began = time.monotonic()
        try:
            result = self._sink.send(batch)
        except Exception as error:
            log.exception("delivery_send_failed", sink=self._sink.name)
            return SendResult(retry=Retry([batch], "bug", detail=repr(error), level="error"))
        seconds = time.monotonic() - began
        outcome = "ok" if result.retry is None else result.retry.reason
        self._telemetry.add("sidecar_sink_requests_total", sink=self._sink.name, outcome=outcome)
        self._telemetry.record("sidecar_sink_request_duration_seconds", seconds, sink=self._sink.name)
        if result.retry is None:
            self._note_success(seconds)
        return result

    def _give_place(self, attempt: int, retry_after: float | None) -> bool:
        """Back off, out of the others' way. False when the worker has to end."""
        with self._changed:
            self._in_flight.backs_off()
            self._changed.notify_all()
        self._back_off(attempt, retry_after)
        with self._changed:
            self._in_flight.returns()
            self._await(lambda: self._in_flight.has_room)
            self._in_flight.resumed()
            self._changed.notify_all()
        return not self._abort.is_set()

    def _back_off(self, attempt: int, retry_after: float | None) -> bool:
        """Wait. Ends early when another request got through after an outage, unless the destination named a time
        itself. False when the worker has to end."""
        delay = self._delay(attempt, random.random(), retry_after)
        recoveries = self._trouble.recoveries
        return self._await(lambda: retry_after is None and self._trouble.recoveries != recoveries, delay)

    def _await(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until `condition` holds, or for so long. False when the worker has to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._abort.is_set() or condition(), timeout=seconds)
            return not self._abort.is_set()

    # -- what came of it

    def _note_failure(self, retry: Retry[P], generation: int) -> None:
        with self._changed:
            if retry.backpressure:
                self._in_flight.concurrency.overloaded(generation)
            failure = self._trouble.failed(retry.reason, time.monotonic())
        if failure.log:
            level = logging.ERROR if retry.level == "error" else logging.WARNING
            log.log(level, "delivery_blocked", sink=self._sink.name, reason=retry.reason, detail=retry.detail)
        if failure.changed:
            self._report("degraded", f"{retry.reason}: {retry.detail}")

    def _note_success(self, seconds: float) -> None:
        with self._changed:
            self._in_flight.concurrency.succeeded(seconds, self._in_flight.sending)
            recovery = self._trouble.succeeded()
            self._last_success_ns = self._clock()
            self._changed.notify_all()
        if recovery.outage:
            log.info("delivery_recovered", sink=self._sink.name, after=recovery.trouble)
        if recovery.trouble:
            self._report("ok", "")

    def _note_rejected(self, dead: Sequence[DeadLetter]) -> None:
        with self._changed:
            documents = self._rejected.add(len(dead), self._clock()) if dead else 0
        if documents:
            log.error(
                "documents_rejected",
                sink=self._sink.name,
                documents=documents,
                index=dead[0].index,
                reason=dead[0].reason,
            )

    def _report(self, state: State, detail: str) -> None:
        if self._health is not None:
            self._health.report(f"deliver.{self._sink.name}", state, detail)
