"""Acknowledgements of a worker on their way into the journal, and those that it could not commit."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import structlog

from sidecar.errors import SidecarError
from sidecar.pipeline import Ack, Consumer

log = structlog.get_logger("deliver")


class Commits:
    """Thread-safe. `changed` is notified whenever a commit has finished; its lock is the worker's."""

    def __init__(self, sink: str, consumer: Consumer, changed: threading.Condition) -> None:
        self._sink, self._consumer, self._changed = sink, consumer, changed
        self._open = 0
        self._failed: list[Ack] = []
        self._closed = False

    def commit(self, done: list[Ack]) -> None:
        """Have these entries committed as finished. After `close`, and for none, nothing."""
        with self._changed:
            if not done or self._closed:
                return
            self._open += 1
        try:
            self._consumer.done(done).add_done_callback(lambda future: self._finished(future, done))
        except SidecarError as error:
            self._end(done, error)

    def close(self) -> None:
        """Commit nothing more: what was not yet comes again after the next start."""
        with self._changed:
            self._closed = True

    @property
    def open(self) -> bool:
        """Some have not finished yet. Under the lock of `changed`."""
        return self._open > 0

    @property
    def idle(self) -> bool:
        """All are committed. Under the lock of `changed`."""
        return not self._open and not self._failed

    def take_failed(self) -> list[Ack]:
        """What the journal could not commit, to be tried again: the cursor would stand still for ever."""
        with self._changed:
            failed, self._failed = self._failed, []
        return failed

    def _finished(self, future: Future[None], done: list[Ack]) -> None:
        self._end(done, None if future.cancelled() else future.exception())

    def _end(self, done: list[Ack], error: BaseException | None) -> None:
        with self._changed:
            self._open -= 1
            first = error is not None and not self._failed and not self._closed
            if error is not None:
                self._failed += done
            self._changed.notify_all()
        if error is not None:
            self._consumer.wake()
        if first:
            log.error("delivery_commit_failed", sink=self._sink, entries=len(done), error=str(error))
