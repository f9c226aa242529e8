"""`sidecar logs`: what a program writes goes through unchanged, and to a running sidecar.

The pipe must never hold the program up for the sidecar's sake: what cannot be sent waits in bounded memory, and what
does not fit there is dropped and told of at the end. Lines that must outlive a kill belong in a file.
"""

from __future__ import annotations

import itertools
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
from sidecar.decode.otlp.limits import MAX_LINE_BYTES
from sidecar.errors import Retryable
from sidecar.send.http_sender import Poster

READ_BYTES = 64 << 10
REQUEST_BYTES = 1 << 20
TRACE_SECONDS = 1.0
"""How long a stack trace that may go on waits for its next line."""
_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)

Post = Callable[[bytes, str], int | None]
"""Sends lines, which have a key of their own; the HTTP status, None where nobody answers."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of the lines that were not sent."""

    dropped: int
    """There was no room for them, or no time."""
    refused: int
    """The sidecar would not have them."""


class Sender:
    """Sends lines from a thread, in order, from a bounded queue."""

    def __init__(self, post: Post, buffer_bytes: int, sleep: Callable[[float], object] = time.sleep) -> None:
        self._post = post
        self._limit = buffer_bytes
        self._sleep = sleep
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._lock = threading.Condition()
        self._deadline: float | None = None
        self._dropped = self._refused = 0
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
            self._lock.notify()
        self._thread.join(seconds + 1)
        with self._lock:
            left = sum(lines.count(b"\n") for lines in self._queue)
            return Ended(self._dropped + left, self._refused)

    def _run(self) -> None:
        run = secrets.token_hex(8)
        for number in itertools.count():
            lines = self._next()
            if lines is None:
                return
            status = self._answer(lines, f"{run}-{number}")
            if status is None:
                return
            self._sent(lines, status)

    def _answer(self, lines: bytes, key: str) -> int | None:
        """Sends the same lines under the same key until they are answered; None where there is no time left."""
        for failures in itertools.count():
            status = self._post(lines, key)
            if status is not None and status not in (408, 425, 429) and status < 500:
                return status
            pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
            if self._late(pause):
                break
            self._sleep(pause)
        return None

    def _next(self) -> bytes | None:
        """The lines of the next request; they stay in the queue until they are taken. None at the end."""
        with self._lock:
            while not self._queue:
                if self._deadline is not None:
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

    def _late(self, pause: float) -> bool:
        with self._lock:
            return self._deadline is not None and time.monotonic() + pause > self._deadline

    def _sent(self, lines: bytes, status: int) -> None:
        with self._lock:
            self._queue.popleft()
            self._bytes -= len(lines)
            if status >= 300:
                self._refused += lines.count(b"\n")


class Lines:
    """Bytes to whole lines, stack traces joined."""

    def __init__(self) -> None:
        self._rest = b""
        self._seen = b""
        """Whole lines before the rest."""
        self._skipping = False

    @property
    def waiting(self) -> bool:
        return bool(self._rest)

    def feed(self, data: bytes, final: bool = False) -> bytes:
        """The records that are there now. `final`: nothing is held back but a line without an end."""
        if self._skipping and data:
            end = data.find(b"\n") + 1
            if not end:
                return b""
            self._skipping, data = False, data[end:]
        self._rest += data
        taken = containers.take(self._rest, "json", join=True, final=final, seen=self._seen)
        if taken.consumed:
            self._seen = self._last_lines(self._rest[: taken.consumed])
            self._rest = self._rest[taken.consumed :]
        if len(self._rest) <= MAX_LINE_BYTES + 4:
            return taken.body
        if b"\n" in self._rest:
            return taken.body + self.feed(b"", final=True)
        cut, self._rest, self._skipping = self._rest[: MAX_LINE_BYTES + 4], b"", True
        return taken.body + cut + b"\n"

    def _last_lines(self, taken: bytes) -> bytes:
        lines = (self._seen + taken[-SEEN_BYTES:])[-SEEN_BYTES:]
        return lines[lines.find(b"\n") + 1 :] if len(lines) == SEEN_BYTES else lines

    def finish(self) -> bytes:
        return self.feed(b"" if self._rest.endswith(b"\n") or not self._rest else b"\n", final=True)


class _Stopped(Exception):
    """SIGTERM came."""


def _stop(number: int, frame: object) -> None:
    raise _Stopped


def run(source: IO[bytes], tee: IO[bytes] | None, sender: Sender, seconds: float) -> Ended:
    """From `source` to `tee` and the sender until its end or SIGTERM. SIGINT is left to the program before us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    lines = Lines()
    target = tee.fileno() if tee is not None else None
    try:
        while True:
            ready = select.select([source], [], [], TRACE_SECONDS if lines.waiting else None)[0]
            data = os.read(source.fileno(), READ_BYTES) if ready else b""
            if ready and not data:
                break
            if target is not None and not _pass_on(target, data):
                target = None
            if body := lines.feed(data, final=not ready):
                sender.put(body)
    except _Stopped:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if body := lines.finish():
        sender.put(body)
    return sender.finish(seconds)


def _pass_on(target: int, data: bytes) -> bool:
    """False if nobody reads there any more."""
    try:
        while data:
            data = data[os.write(target, data) :]
    except BrokenPipeError:
        return False
    return True


def poster(url: str, token: str | None, ca_file: str | None) -> Post:
    """Posts to the JSON ingest below `url`. `ConfigError` if that is no URL."""
    sidecar = Poster(url, token, ca_file)

    def post(lines: bytes, key: str) -> int | None:
        try:
            return sidecar.post("/v1/json", lines, "application/x-ndjson", key).status
        except Retryable:
            return None

    return post
