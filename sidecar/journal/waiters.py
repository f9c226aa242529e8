"""Submissions on their way into the journal, those who wait for their receipts, and how they get them."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections import deque
from dataclasses import dataclass, field

from sidecar.errors import SidecarError
from sidecar.journal.submission import Receipt, Submission

Waiter = asyncio.Future[Receipt] | concurrent.futures.Future[Receipt]
Answers = list[tuple[Waiter, Receipt | SidecarError]]


@dataclass(slots=True)
class Pending:
    """A submission on its way into the next transaction."""

    submission: Submission
    time_ns: int
    waiter: Waiter
    duplicates: list[Waiter] = field(default_factory=list)
    """Those who gave the same payload before it was committed."""
    codec: int = 0
    blob: bytes = b""
    seq: int = 0
    """As stored; 0 before, and where nothing is stored of it."""
    over_quota: bool = False


class SubmissionQueue:
    """Submissions that the writer has not taken yet. Whoever calls it holds the journal's lock."""

    def __init__(self) -> None:
        self._queue: deque[Pending] = deque()
        self._by_digest: dict[bytes, Pending] = {}
        self.bytes = 0
        """Of the payloads that wait."""

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, pending: Pending) -> None:
        if pending.submission.digest is not None:
            self._by_digest[pending.submission.digest] = pending
        self._queue.append(pending)
        self.bytes += len(pending.submission.payload)

    def equal_to(self, digest: bytes) -> Pending | None:
        """The one with this digest that is not committed yet."""
        return self._by_digest.get(digest)

    def take(self) -> Pending | None:
        """The next one for the writer; it is known by its digest until it is settled."""
        if not self._queue:
            return None
        pending = self._queue.popleft()
        self.bytes -= len(pending.submission.payload)
        return pending

    def settled(self, pending: Pending) -> None:
        """It was committed or refused."""
        digest = pending.submission.digest
        if digest is not None and self._by_digest.get(digest) is pending:
            del self._by_digest[digest]


def wait_until(now: float, shared_at: float, delay: float) -> float:
    """Until when a payload waits for others to share its commit: `delay` seconds where several were answered at once
    less than that ago (`shared_at`), since their clients send the next ones now. One that comes alone does not wait."""
    return now + delay if now - shared_at < delay else now


def answer(waiter: Waiter, reply: Receipt | SidecarError) -> None:
    """In the loop's own thread, where there is one."""
    if waiter.done():
        return
    if isinstance(reply, Receipt):
        waiter.set_result(reply)
    else:
        waiter.set_exception(reply)


def answer_all(answers: Answers) -> None:
    """Answer everybody, with one call into each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, Answers] = {}
    for waiter, reply in answers:
        if isinstance(waiter, concurrent.futures.Future):
            if not waiter.done() and waiter.set_running_or_notify_cancel():
                answer(waiter, reply)
        else:
            by_loop.setdefault(waiter.get_loop(), []).append((waiter, reply))
    for loop, theirs in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_answer_here, theirs)


def _answer_here(answers: Answers) -> None:
    for waiter, reply in answers:
        answer(waiter, reply)
