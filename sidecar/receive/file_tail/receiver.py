"""Tails files in a thread of its own, from start to stop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import structlog

from sidecar.errors import Overloaded, Unavailable
from sidecar.receive.credentials import Credentials
from sidecar.receive.file_tail.inotify import Waker
from sidecar.receive.file_tail.options import NAME, Options
from sidecar.receive.file_tail.tailer import Tailer
from sidecar.receive.ingest import Ingest
from sidecar.telemetry import Telemetry

SCAN_GAP = 0.05
"""Least seconds between two scans for files, or ten times what the last one took."""
RETRY_SECONDS = (0.2, 5.0)
"""Least and longest wait before what the journal refused is read again."""
RECOVER_SECONDS = 5.0

Report = Callable[[Tailer], None]
log = structlog.get_logger("sidecar.receive")


class FileTailReceiver:
    """See `receiver.Receiver`."""

    name = NAME
    port = 0

    def __init__(self, options: Options, ingest: Ingest, credentials: Credentials, telemetry: Telemetry) -> None:
        del credentials  # who may write the files is the file system's matter
        self._options = options
        self._ingest = ingest
        self._telemetry = telemetry
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._waker: Waker | None = None
        self._tailer: Tailer | None = None
        self._lost: dict[str, tuple[int, int]] = {}
        """reason -> (records by estimate, bytes)"""
        telemetry.watch("sidecar_dropped_items_total", self._dropped)
        telemetry.watch("sidecar_file_tail_lost_bytes_total", self._lost_bytes)
        telemetry.watch("sidecar_file_tail_files", self._files)
        telemetry.watch("sidecar_file_tail_lag_bytes", self._lag)

    async def start(self) -> None:
        """Begin to read."""
        self._waker = waker = Waker(self._options.watch == "auto")
        self._thread = threading.Thread(target=self._run, args=(waker,), name="file-tail", daemon=True)
        self._thread.start()

    async def stop(self, grace: float) -> None:
        """Read no more; what was read and is not stored yet is read again after the next start."""
        self._stop.set()
        if self._waker is not None:
            self._waker.wake()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, grace)
            if self._waker is not None and not self._thread.is_alive():
                self._waker.close()
                self._waker = None

    def _run(self, waker: Waker) -> None:
        """A fault of ours is logged, and everything is restarted from what is stored."""
        while not self._stop.is_set():
            tailer: Tailer | None = None
            try:
                tailer = Tailer(
                    self._options,
                    self._ingest.decoder,
                    self._ingest.log,
                    self._telemetry,
                    resource_resolver=self._ingest.resource_resolver,
                )
                self._tailer = tailer
                _Loop(tailer, self._options, waker, self._stop, self._note_losses).run()
            except Exception:
                log.exception("file_tail_failed", seconds=RECOVER_SECONDS)
                waker.pause(RECOVER_SECONDS)
            finally:
                self._tailer = None
                if tailer is not None:
                    tailer.close()

    def _note_losses(self, tailer: Tailer) -> None:
        for loss in tailer.take_losses():
            records, size = self._lost.get(loss.reason, (0, 0))
            self._lost[loss.reason] = records + loss.records, size + loss.bytes

    def _dropped(self) -> Iterator[tuple[float, Mapping[str, str]]]:
        for reason, (records, _) in list(self._lost.items()):
            yield records, {"stage": NAME, "reason": reason}

    def _lost_bytes(self) -> Iterator[tuple[float, Mapping[str, str]]]:
        for reason, (_, size) in list(self._lost.items()):
            yield size, {"reason": reason}

    def _files(self) -> Iterator[tuple[float, Mapping[str, str]]]:
        tailer = self._tailer
        if tailer is not None:
            files = list(tailer.registry.files.values())
            opened = sum(f.source is not None for f in files)
            yield opened, {"state": "open"}
            yield len(files) - opened, {"state": "closed"}
            yield len(tailer.registry.unreadable) + len(tailer.closed), {"state": "unreadable"}
            yield tailer.registry.left_out, {"state": "copy"}

    def _lag(self) -> Iterator[tuple[float, Mapping[str, str]]]:
        tailer = self._tailer
        if tailer is not None:
            yield sum(f.lag() for f in list(tailer.registry.files.values())), {}


class _Loop:
    """When to look for files, when to read which, and when to wait."""

    def __init__(self, tailer: Tailer, options: Options, waker: Waker, stop: threading.Event, report: Report) -> None:
        self._tailer = tailer
        self._options = options
        self._waker = waker
        self._stop = stop
        self._report = report
        self._next_scan = 0.0
        self._not_before = 0.0
        self._next_poll = 0.0
        self._changed: set[str] = set()

    def run(self) -> None:
        while not self._stop.is_set():
            try:
                more = self._turn()
            except (Overloaded, Unavailable) as error:
                self._next_poll = 0.0
                shortest, longest = RETRY_SECONDS
                self._waker.pause(min(max(error.retry_after, shortest), longest))
                continue
            self._report(self._tailer)
            if not more and not self._stop.is_set():
                self._wait()

    def _turn(self) -> bool:
        """True if there is more to do at once."""
        now = time.monotonic()
        if now >= self._next_scan:
            self._waker.watch(self._tailer.scan())
            done = time.monotonic()
            self._not_before = done + max(SCAN_GAP, 10 * (done - now))
            self._next_scan = max(done + self._options.scan_interval, self._not_before)
            self._next_poll = 0.0
        paths: set[str] | None = self._changed
        if now >= self._next_poll:
            paths, self._next_poll = None, now + self._options.poll_interval
        self._changed = set()
        more, rescan = self._tailer.read(self._tailer.due(paths))
        if rescan:
            self._next_scan = 0.0
        if more:
            self._next_poll = 0.0
        return more or rescan

    def _wait(self) -> None:
        # Lines that come one by one share a commit.
        self._waker.pause(self._options.batch_delay)
        until = min(self._next_scan, self._next_poll)
        if self._tailer.holds():
            until = min(until, time.monotonic() + self._options.multiline_timeout / 4)
        changes = self._waker.wait(max(0.0, until - time.monotonic()))
        self._changed |= changes.paths
        if changes.structure:
            self._next_scan = min(self._next_scan, max(self._not_before, time.monotonic()))
