"""`sidecar logs`: what a program writes goes through unchanged, and to a running sidecar.

The pipe must never hold the program up for the sidecar's sake: what cannot be sent waits in bounded memory, and what
does not fit there is dropped and reported at the end. Lines that must outlive a kill belong in a file.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import secrets
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from sidecar.decode.logs import containers
from sidecar.decode.logs.containers import SEEN_BYTES
from sidecar.decode.logs.line_splitter import CUT_BYTES, LineSplitter
from sidecar.send.http_sender import GaveUp, Post, Reply, Sender

PATH = "/v1/json"
CONTENT_TYPE = "application/x-ndjson"
READ_BYTES = 64 << 10
REQUEST_BYTES = 1 << 20
TRACE_SECONDS = 1.0
"""How long a stack trace that may go on waits for its next line."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of the lines that were not sent."""

    dropped: int
    """There was no room for them, or no time."""
    rejected: int
    """The sidecar does not accept them."""
    reason: str = ""
    """Why the last of them were not accepted, or not sent in time."""


class LineQueue:
    """Sends lines from a thread, in order, from a bounded queue."""

    def __init__(self, post: Post, buffer_bytes: int, sleep: Callable[[float], object] | None = None) -> None:
        self._sender = Sender(post, sleep=sleep or self._pause)
        self._limit = buffer_bytes
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._lock = threading.Condition()
        self._finishing = threading.Event()
        self._deadline = math.inf
        self._dropped = self._rejected = 0
        self._reason = ""
        self._thread = threading.Thread(target=self._run, name="logs-sender", daemon=True)
        self._thread.start()

    def put(self, lines: bytes) -> None:
        """Whole lines; never waits."""
        with self._lock:
            if self._bytes + len(lines) > self._limit:
                self._dropped += lines.count(b"\n")
                return
            self._queue.append(lines)
            self._bytes += len(lines)
            self._lock.notify()

    def finish(self, seconds: float) -> Ended:
        """Send what is left for at most so long."""
        with self._lock:
            self._deadline = time.monotonic() + seconds
            self._finishing.set()
            self._lock.notify()
        self._thread.join(seconds + 1)
        with self._lock:
            left = sum(lines.count(b"\n") for lines in self._queue)
            return Ended(self._dropped + left, self._rejected, self._reason)

    def _pause(self, seconds: float) -> None:
        """Between two attempts. The end of the input cuts it short: what is left is tried at once."""
        if self._finishing.is_set():
            time.sleep(seconds)
        else:
            self._finishing.wait(seconds)

    def _run(self) -> None:
        run = secrets.token_hex(8)
        for number in itertools.count():
            lines = self._next()
            if lines is None:
                return
            try:
                reply = self._sender.send(lines, f"{run}-{number}", lambda: self._deadline)
            except GaveUp as gave_up:
                with self._lock:
                    self._reason = str(gave_up)
                return
            self._sent(lines, reply)

    def _next(self) -> bytes | None:
        """The lines of the next request; they stay in the queue until they are answered. None at the end."""
        with self._lock:
            while not self._queue:
                if self._finishing.is_set():
                    return None
                self._lock.wait()
            size = 0
            parts: list[bytes] = []
            for part in self._queue:
                if parts and size + len(part) > REQUEST_BYTES:
                    break
                parts.append(part)
                size += len(part)
            joined = b"".join(parts)
            for _ in parts:
                self._queue.popleft()
            self._queue.appendleft(joined)
            return joined

    def _sent(self, lines: bytes, reply: Reply) -> None:
        with self._lock:
            self._queue.popleft()
            self._bytes -= len(lines)
            if rejected := _rejected(reply, lines.count(b"\n")):
                self._rejected += rejected
                self._reason = f"the sidecar answers {reply}"


def _rejected(reply: Reply, lines: int) -> int:
    """How many of so many lines a final answer rejects."""
    if reply.status >= 300:
        return lines
    try:
        return int(json.loads(reply.body)["partialSuccess"]["rejectedLogRecords"])
    except (ValueError, RecursionError, KeyError, TypeError):
        return 0


class Records:
    """Bytes to whole lines, the lines of a stack trace joined to one."""

    def __init__(self) -> None:
        self._splitter = LineSplitter()
        self._held = b""
        """Whole lines that may be the begin of a trace."""
        self._seen = b""
        """Whole lines before those."""

    @property
    def waiting(self) -> bool:
        """Whether lines are held back until it is known what comes behind them."""
        return bool(self._held)

    def feed(self, data: bytes, final: bool = False) -> bytes:
        """The records that are there now. `final`: no trace is waited for; a line without an end is."""
        return self._joined(self._splitter.feed(data), final)

    def finish(self) -> bytes:
        """What is left, the last line too."""
        return self._joined(self._splitter.finish(), final=True)

    def _joined(self, lines: bytes, final: bool) -> bytes:
        self._held += lines
        body = self._take(final)
        return body + self._take(final=True) if len(self._held) > CUT_BYTES else body

    def _take(self, final: bool) -> bytes:
        taken = containers.take(self._held, "json", join=True, final=final, seen=self._seen)
        if taken.consumed:
            self._seen = self._last_lines(self._held[: taken.consumed])
            self._held = self._held[taken.consumed :]
        return taken.body

    def _last_lines(self, taken: bytes) -> bytes:
        lines = (self._seen + taken[-SEEN_BYTES:])[-SEEN_BYTES:]
        return lines[lines.find(b"\n") + 1 :] if len(lines) == SEEN_BYTES else lines


class _Stopped(Exception):
    """SIGTERM came."""


def _stop(number: int, frame: object) -> None:
    raise _Stopped


def run(source: IO[bytes], tee: IO[bytes] | None, queue: LineQueue, seconds: float) -> Ended:
    """From `source` to `tee` and the queue until its end or SIGTERM. SIGINT is left to the program before us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    records = Records()
    target = tee.fileno() if tee is not None else None
    try:
        while True:
            ready = select.select([source], [], [], TRACE_SECONDS if records.waiting else None)[0]
            data = os.read(source.fileno(), READ_BYTES) if ready else b""
            if ready and not data:
                break
            if target is not None and not _pass_on(target, data):
                target = None
            if body := records.feed(data, final=not ready):
                queue.put(body)
    except _Stopped:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if body := records.finish():
        queue.put(body)
    return queue.finish(seconds)


def _pass_on(target: int, data: bytes) -> bool:
    """False if nobody reads there any more."""
    try:
        while data:
            data = data[os.write(target, data) :]
    except BrokenPipeError:
        return False
    return True
