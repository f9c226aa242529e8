"""The loop's two parts, without the loop: look for files, and read what has grown. For one thread."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from sidecar.decode.api import Decoder
from sidecar.errors import Overloaded, Unavailable
from sidecar.journal.journal import Journal
from sidecar.journal.submission import Submission
from sidecar.receive.file_tail.checkpoint import PATTERNS, PREFIX, Checkpoint, Key, decode, key_bytes, parse_key
from sidecar.receive.file_tail.discovery import Finder
from sidecar.receive.file_tail.file_registry import BROKEN_GRACE, FileRegistry
from sidecar.receive.file_tail.former import Loss
from sidecar.receive.file_tail.options import NAME, Options
from sidecar.receive.file_tail.reader import Reader, Step, Truncated
from sidecar.receive.file_tail.source import Broken
from sidecar.receive.file_tail.tailed_file import TailedFile
from sidecar.receive.resource_resolver import ResourceResolver
from sidecar.telemetry import Telemetry

BATCH_BYTES = 1 << 20
"""Payload of one commit, from one file or many; one step may be larger."""

OPEN_STEP = 64
"""Files opened before some are closed again, where there are more than may be open."""

CLOSED_SECONDS = 60.0
"""Between two looks for directories that may not be looked into."""

log = structlog.get_logger("sidecar.receive")


class Tailer:
    """Where the files of these options are, and what of them is stored."""

    def __init__(
        self,
        options: Options,
        decoder: Decoder,
        journal: Journal,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
        resource_resolver: ResourceResolver | None = None,
    ) -> None:
        """`resource_resolver`: whose lines those are that name no service; nobody's where not given."""
        self._options = options
        self._journal = journal
        self._telemetry = telemetry
        self._clock = clock
        self._wall_ns = wall_ns
        self._reader = Reader(options, decoder, resource_resolver or ResourceResolver(wall_ns, {}))
        self.finder = Finder(options.include, options.exclude, options.rotated)
        checkpoints, used = _load(journal)
        self.registry = FileRegistry(checkpoints, used, options.start_at == "end", options.max_open_files, clock())
        self._first = True
        self._too_many_logged = False
        self.closed: frozenset[str] = frozenset()
        """Directories that may not be looked into, so that files in them are not found."""
        self._closed_looked: float | None = None

    def scan(self) -> set[str]:
        """Look for files. Gives the directories in which changes are to be expected. Raises as `read` does."""
        candidates = self.finder.find()
        if self._first:
            candidates = self.finder.with_known(candidates, list(self.registry.checkpoints.items()))
        new_patterns = set(self._options.include) - self.registry.used_patterns
        self.registry.update(candidates, self._options.include, self._clock(), self._wall_ns() / 1e9)
        self._first = False
        if new_patterns:
            self.registry.pending[PATTERNS] = json.dumps(sorted(self.registry.used_patterns)).encode()
        if self.finder.cut_short and not self._too_many_logged:
            log.error("file_tail_too_many_files", files=len(candidates))
            self._too_many_logged = True
        self._look_for_closed_directories()
        self._commit([])
        return self.finder.directories(candidates)

    def _look_for_closed_directories(self) -> None:
        now = self._clock()
        if self._closed_looked is not None and now - self._closed_looked < CLOSED_SECONDS:
            return
        self._closed_looked = now
        closed = frozenset(self.finder.closed_directories())
        for path in sorted(closed - self.closed):
            log.warning("file_tail_directory_unreadable", path=path)
        self.closed = closed

    def due(self, paths: Iterable[str] | None = None) -> list[TailedFile]:
        """The files at these paths (None: all); those that are no longer written to first, in that order."""
        files = [f for f in self.registry.files.values() if not f.done]
        if paths is not None:
            some = set(paths)
            files = [f for f in files if f.path in some or f.held_since is not None]
        return sorted(files, key=lambda f: (not f.former, f.modified if f.former else 0.0))

    def read(self, files: Iterable[TailedFile]) -> tuple[bool, bool]:
        """Read each of the files once, and have it stored. (Whether there is more at once, whether a new scan is due.)

        Raises `Overloaded` or `Unavailable` where the journal does; nothing is lost by that, the file has it.
        """
        batch: list[Step] = []
        size, opened, more, rescan = 0, 0, False, False
        for file in files:
            if file.source is None:
                if self._nothing_new(file):
                    continue
                opened += 1
            before = self.registry.before(file)
            if any(step.file is one for step in batch for one in before):
                self._commit(batch)
                batch, size, before = [], 0, self.registry.before(file)
            try:
                step = self._step(file, before)
            except Truncated:
                self.registry.truncated(file, self._clock())
                rescan = True
                continue
            rescan |= step is None and self._reader.needs_look(file, self._clock())
            if step is not None:
                more |= step.full
                batch.append(step)
                size += len(step.payload)
            if size >= BATCH_BYTES or opened >= OPEN_STEP:
                self._commit(batch)
                self.registry.close_idle()
                batch, size, opened = [], 0, 0
        if batch:
            self._commit(batch)
        self.registry.close_idle()
        return more, rescan

    def _nothing_new(self, file: TailedFile) -> bool:
        """Of a file that is not open, without opening it."""
        try:
            return not file.compressed and file.held_since is None and os.stat(file.path).st_size == file.offset
        except OSError:
            return False

    def _step(self, file: TailedFile, before: Sequence[TailedFile]) -> Step | None:
        if file.source is None:
            file.source = self.registry.open(file.path, file.key)
            if file.source is None:
                return None
            if file.is_another(file.source):
                raise Truncated
        try:
            return self._reader.step(file, file.source, self._clock(), self._wall_ns(), before)
        except Broken as error:
            return self._broken(file, error)
        except OSError as error:
            self.registry.note_unreadable(file.path, error)
            file.close()
            return None

    def _broken(self, file: TailedFile, error: Broken) -> Step | None:
        """A compressed file that ends too soon: it may be in the making."""
        if self._clock() - file.grown_at < BROKEN_GRACE:
            return None
        log.warning("file_tail_gzip_truncated", path=file.path, error=str(error))
        self.registry.lose(Loss("bad_gzip", file.path, 0, 1))
        return Step(file, b"", 0, 0, file.recent, done=True)

    def _commit(self, batch: list[Step]) -> None:
        if not batch and not self.registry.pending:
            return
        checkpoints: dict[bytes, bytes | None] = dict(self.registry.pending)
        parts = [part for step in batch for part in step.parts()]
        for part in parts:
            checkpoints[key_bytes(part.file.key)] = part.checkpoint().encode()
        payload = b"".join(step.payload for step in batch)
        items = sum(step.items for step in batch)
        began = time.perf_counter()
        try:
            self._journal.append(Submission("logs", payload, items, checkpoints=checkpoints)).result()
        except (Overloaded, Unavailable) as error:
            if not self._landed(checkpoints):
                outcome = "overloaded" if isinstance(error, Overloaded) else "unavailable"
                self._count(outcome)
                raise
        self.registry.pending.clear()
        for part in parts:
            part.apply()
            self.registry.checkpoints[part.file.key] = part.file.checkpoint()
            if part.done:
                part.file.close()
        if items:
            self._count("accepted")
            self._telemetry.record(
                "sidecar_receiver_request_duration_seconds", time.perf_counter() - began, receiver=NAME
            )
            read = sum(part.consumed for part in parts)
            self._telemetry.add("sidecar_receiver_bytes_total", read, receiver=NAME, signal="logs")

    def _landed(self, checkpoints: dict[bytes, bytes | None]) -> bool:
        """A commit that was reported as failed may be in the journal all the same."""
        stored = self._journal.checkpoints(PREFIX)
        return all(stored.get(key) == value for key, value in checkpoints.items())

    def _count(self, outcome: str) -> None:
        self._telemetry.add("sidecar_receiver_requests_total", receiver=NAME, signal="logs", outcome=outcome)

    def holds(self) -> bool:
        """Some file has lines that may go on."""
        return any(f.held_since is not None for f in self.registry.files.values())

    def take_losses(self) -> list[Loss]:
        """What was lost since the last call."""
        losses, self.registry.losses = self.registry.losses, []
        return losses

    def close(self) -> None:
        self.registry.close()


def _load(journal: Journal) -> tuple[dict[Key, Checkpoint], list[str]]:
    """The checkpoints by key, and the patterns that were used before."""
    found = journal.checkpoints(PREFIX)
    used = json.loads(found.pop(PATTERNS, b"[]"))
    checkpoints = {}
    for data, value in found.items():
        key, one = parse_key(data), decode(value)
        if key is not None and one is not None:
            checkpoints[key] = one
    return checkpoints, used
