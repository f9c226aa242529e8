"""The end of a process: what waits is sent, and the process is not kept.

The SDK's own exit functions wait for exporters that try again for ten seconds each. Here everything is sent by one
thread, for at most `SIDECAR_EXIT_TIMEOUT` seconds; where nothing listens on this host at all, nothing is waited for.
What was not taken is said in one line on stderr, and only then.
"""

from __future__ import annotations

import atexit
import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from model_sidecar_instrumentation.exporting import Guard, is_loopback
from model_sidecar_instrumentation.settings import exit_seconds

_WORDS = {"spans": "spans", "logs": "log records"}


class Counter:
    """A processor of spans and of log records that counts what there is to be exported."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.RLock()  # A signal handler of the app may log while this thread counts.

    def _one_more(self) -> None:
        with self._lock:
            self.count += 1

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Counted when it ends."""

    def _on_ending(self, span: Any) -> None:
        """Counted when it has ended."""

    def on_end(self, span: Any) -> None:
        if span.get_span_context().trace_flags.sampled:
            self._one_more()

    def on_emit(self, record: Any) -> None:
        self._one_more()

    emit = on_emit  # Its name until version 1.35 of the SDK.

    def enabled(self, **_: Any) -> bool:
        """It alone takes nothing."""
        return False

    def shutdown(self) -> None:
        """Nothing to be shut down."""

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True

    def renew(self) -> None:
        """In a child after a fork."""
        self.count, self._lock = 0, threading.RLock()


class Ending:
    """Ends the exporting of this process."""

    def __init__(self, providers: Sequence[Any], guards: Sequence[Guard], seconds: float | None = None) -> None:
        """`providers`: of logs first, as those are the predictions."""
        self._providers, self._guards = providers, guards
        self._seconds = exit_seconds() if seconds is None else seconds
        self._left, self._taken = self._seconds, 0
        self._said = False
        self.counters = {"logs": Counter(), "spans": Counter()}
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._serve()

    def at_exit(self) -> None:
        """In place of the providers' own exit functions."""
        for provider in self._providers:
            shutdown = getattr(provider, "shutdown", None)
            if shutdown is not None:
                atexit.unregister(shutdown)
        atexit.register(self.close)

    def renew(self) -> None:
        """In a child after a fork, which has none of its parent's threads."""
        self._left, self._taken, self._said = self._seconds, 0, False
        for guard in self._guards:
            guard.renew()
        for counter in self.counters.values():
            counter.renew()
        self._jobs = SimpleQueue()
        self._serve()

    def close(self) -> None:
        """Send what waits, and nothing more after it."""
        in_time = self._send("shutdown")
        if not in_time:
            for guard in self._guards:
                guard.closed = True
        self._say(in_time)

    def flush(self) -> None:
        """Send what waits, where the process may go on or may end without exit functions."""
        self._say(self._send("force_flush"))

    def _send(self, method: str) -> bool:
        """Whether everything was given to the exporters in time."""
        taken = sum(guard.taken for guard in self._guards)
        if taken > self._taken:
            self._left, self._taken = self._seconds, taken
        if self._left <= 0 or self._is_nobody_there():
            return False
        began, done = time.monotonic(), threading.Event()
        nothing_made = not any(counter.count for counter in self.counters.values())
        for guard in self._guards:
            guard.ending = nothing_made
        self._jobs.put((lambda: self._call(method), done))
        in_time = done.wait(self._left)
        self._left -= time.monotonic() - began
        if method != "shutdown":
            for guard in self._guards:
                guard.ending = False
        return in_time

    def _call(self, method: str) -> None:
        for provider in self._providers:
            function = getattr(provider, method, None)
            if function is not None:
                function()

    def _is_nobody_there(self) -> bool:
        """Whether all endpoints are of this host, and nothing listens on any of them."""
        return all(map(_is_refused, {guard.endpoint for guard in self._guards}))

    def _say(self, in_time: bool) -> None:
        lost = [part for part in (self._lost(guard, in_time) for guard in self._guards) if part]
        if lost and not self._said:
            self._said = True
            where = ", ".join(sorted({urlsplit(g.endpoint).netloc or g.endpoint for g in self._guards}))
            sys.stderr.write(f"model-sidecar: not sent to {where} when this process ended: {', '.join(lost)}\n")

    def _lost(self, guard: Guard, in_time: bool) -> str:
        if guard.signal == "metrics":
            # The SDK's thread exports at its intervals until the process is gone: an export after ours loses nothing.
            return "metrics" if guard.unsent or (guard.busy and not in_time) else ""
        made = self.counters[guard.signal].count
        return f"{made - guard.taken} of {made} {_WORDS[guard.signal]}" if made > guard.taken else ""

    def _serve(self) -> None:
        """The thread is there before the end, when some Pythons let none be started."""
        threading.Thread(target=_serve, args=(self._jobs,), name="model-sidecar-ending", daemon=True).start()


def _serve(jobs: SimpleQueue[Any]) -> None:
    while True:
        work, done = jobs.get()
        with suppress(Exception):
            work()
        done.set()


def _is_refused(endpoint: str) -> bool:
    parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
    try:
        if not is_loopback(parts.hostname) or parts.port is None:
            return False
        socket.create_connection((str(parts.hostname), parts.port), 0.2).close()
    except ConnectionRefusedError:
        return True
    except (OSError, ValueError):
        return False
    return False
