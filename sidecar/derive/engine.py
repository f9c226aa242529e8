"""The consumer that turns kept payloads into metrics.

One thread pulls entries, decodes them (outside the lock), adds them up (inside), and every two seconds commits what
changed together with its place in the log. So a crash is neither a reset nor a double count: what was not committed
is read again. Until everything that was in the log at start has been read again `caught_up` is not set, and no scrape
may be answered: it would show counters going back.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import structlog

from sidecar.decode.api import Decoder
from sidecar.derive.deriver import (
    Annotating,
    Annotator,
    Checkpointed,
    Deriver,
    DeriverContext,
    Described,
    Exported,
    Reloadable,
    SeriesSet,
    Timed,
)
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.family_dedupe import dedupe_families
from sidecar.derive.registry import DERIVERS, DeriveOptions, memory_bound_bytes, shared_families
from sidecar.derive.scrapes import Scrapes
from sidecar.derive.series import Arrival
from sidecar.derive.target_info import MAX_CHARACTERS as TARGET_BYTES
from sidecar.derive.target_info import Targets
from sidecar.errors import DecodeError, SidecarError
from sidecar.health import Health, State
from sidecar.pipeline import Ack, Clock, Consumer, Entry, Signal, entry_counts
from sidecar.telemetry import Telemetry

log = structlog.get_logger("sidecar.derive")

MAX_ENTRIES = 32
MAX_BYTES = 4 << 20
GATHER_SECONDS = 1.0
"""How long entries wait to be added up together: a batch costs about the same whether it holds one or thirty. A scrape
does not wait (`flush`)."""
FLUSH_SECONDS = 2.0
CHECKPOINT_ENTRIES = 4096
CHECKPOINT_BYTES = 32 << 20
"""Payload bytes after which a checkpoint does not wait for its time: what is not acknowledged stays in the journal,
which may be in memory."""
EXPIRE_EVERY_SECONDS = 30.0
COMMIT_NS = 10 * 10**9
"""A commit takes less: what is stored later than that has a later time."""


@dataclass(slots=True)
class _Unsaved:
    """What the next checkpoint has to commit."""

    done: list[Ack] = field(default_factory=list)
    state: dict[bytes, bytes | None] = field(default_factory=dict)
    bytes: int = 0
    """Of the payloads of `done`."""


class DeriveEngine:
    """Reads `consumer` in a thread of its own; `collect` may be called from any thread."""

    def __init__(
        self,
        consumer: Consumer,
        decoder: Decoder,
        options: DeriveOptions,
        telemetry: Telemetry,
        clock: Clock = time.time_ns,
        health: Health | None = None,
    ) -> None:
        """`health` hears of the component `derive`: starting, ok when it has caught up, failed after a bug."""
        self.caught_up = threading.Event()
        """Set when the entries that were in the log at start have been added up."""
        self.failure: BaseException | None = None
        """What ended the thread, if it was not `stop`: a bug. The figures stand still from then on."""
        self._consumer = consumer
        self._decoder = decoder
        self._options = options
        self._clock = clock
        self._health = health
        self._lock = threading.Lock()
        self._pulling = threading.RLock()
        """Held from taking entries until they are added up and noted: by the engine's thread, or by a scrape."""
        self._position = 0
        """Number of the last entry that was added up."""
        self._reached = 0
        """Unix ns up to which everything that had arrived is added up."""
        self._stop = threading.Event()
        self._targets = Targets(options.series_budget)
        context = DeriverContext(options.budget(), self._targets, telemetry)
        self._derivers = tuple(d for kind in DERIVERS for d in kind.build(options.section(kind.name), context))
        kept = [*(kept for deriver in self._derivers for kept in deriver.kept), self._targets]
        self._kept: tuple[Checkpointed, ...] = tuple(kept)
        self._series_sets = [kept for kept in self._kept if isinstance(kept, SeriesSet)]
        self._shared_families = shared_families(DERIVERS)
        self._scrapes = Scrapes()
        self._unsaved = _Unsaved()
        self._to_catch_up = 0
        self._thread = threading.Thread(target=self._run, name="derive", daemon=True)
        telemetry.watch("sidecar_series", self._read_series)
        telemetry.watch("sidecar_series_overflow_total", self._read_overflow)

    def start(self) -> None:
        """Take over what was committed and begin to read. Call once."""
        self._report("starting", "reading the journal again from the last checkpoint")
        self.restore()
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Finish the entries at hand, commit, and end the thread. Waits at most `timeout` seconds."""
        self._stop.set()
        self._consumer.wake()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def flush(self) -> bool:
        """Add up what was acknowledged before this call, so that what is shown next is exact; whether there is nothing
        left to add up. Gives up after `FLUSH_SECONDS`, when payloads arrive faster than they are added up. From any
        thread."""
        head, deadline = self._consumer.head(), time.monotonic() + FLUSH_SECONDS
        if not self.caught_up.is_set():
            return True
        with self._pulling:
            while self.failure is None and self._position < head:
                if time.monotonic() >= deadline:
                    return False
                try:
                    if not self.pull():
                        return True
                except BaseException as failure:
                    self._failed(failure)
                    raise
        return True

    def collect(self, scraper: str = "scraper", *, zero_first: bool = True) -> list[FamilySnapshot]:
        """All families at one moment. A series that this scraper was not shown before is shown at 0 with `zero_first`;
        a scraper without a name is a person, who sees every series as it is."""
        with self._lock:
            view = self._scrapes.view(scraper, self._clock())
            if not zero_first:
                view = replace(view, since=view.tick + 1)
            families = [family for deriver in self._derivers for family in deriver.collect(view)]
            families.append(self._targets.snapshot())
        families = dedupe_families(families, self._shared_families)
        return [family for family in families if any(block.labels for block in family.blocks)]

    def reload(self) -> None:
        """Read files of derivers again. From any thread."""
        with self._lock:
            for deriver in self._derivers:
                if isinstance(deriver, Reloadable):
                    deriver.reload()

    def status(self) -> dict[str, Any]:
        """What derivers say of themselves, as JSON. From any thread."""
        with self._lock:
            said = [deriver.status() for deriver in self._derivers if isinstance(deriver, Described)]
        return {name: value for one in said for name, value in one.items()}

    def annotators(self) -> list[Annotator]:
        """New ones, for a sink of their own."""
        made = (deriver.annotator() for deriver in self._derivers if isinstance(deriver, Annotating))
        return [one for one in made if one is not None]

    def memory_bound_bytes(self) -> int:
        """What the state of all derivers, and the targets, can take at most, about."""
        return memory_bound_bytes(self._options, DERIVERS) + 2 * TARGET_BYTES

    def restore(self) -> None:
        """Take over what was committed. `start` does it; a test that calls `pull` itself does too."""
        waiting = self._consumer.waiting()
        self._to_catch_up = sum(waiting.get(signal, 0) for signal in ("spans", "logs", "metrics"))
        state = dict(self._consumer.state())
        used: set[bytes] = set()
        for kept in self._kept:
            used |= kept.restore(state)
        self._unsaved.state.update(dict.fromkeys(state.keys() - used))

    def _run(self) -> None:
        try:
            self._read_until_stopped()
        except BaseException as failure:
            self._failed(failure)
            raise

    def _failed(self, failure: BaseException) -> None:
        self.failure = failure
        self._stop.set()
        self._report("failed", f"{type(failure).__name__}: {failure}")
        log.exception("derive_failed")

    def _read_until_stopped(self) -> None:
        checkpointed = expired = time.monotonic()
        while not self._stop.is_set():
            if self.caught_up.is_set():
                self._consumer.wait(self._rest(checkpointed), GATHER_SECONDS, MAX_BYTES, MAX_ENTRIES)
            self.pull()
            now = time.monotonic()
            due = now - checkpointed >= self._options.checkpoint_interval
            if due or len(self._unsaved.done) >= CHECKPOINT_ENTRIES or self._unsaved.bytes >= CHECKPOINT_BYTES:
                # Series go only here, so that what is kept and the place in the log agree with what is shown.
                if now - expired >= EXPIRE_EVERY_SECONDS:
                    expired = now
                    self.expire()
                self.checkpoint()
                checkpointed = time.monotonic()
        if self.failure is None:
            self.checkpoint()

    def _rest(self, checkpointed: float) -> float:
        """Seconds for which there is nothing to do unless something comes."""
        if not self._unsaved.done:
            return EXPIRE_EVERY_SECONDS
        return max(0.0, checkpointed + self._options.checkpoint_interval - time.monotonic())

    def pull(self) -> int:
        """Add up the next entries, if there are any; how many there were."""
        with self._pulling:
            self._reached = self._clock() - COMMIT_NS
            entries = self._consumer.next(MAX_BYTES, MAX_ENTRIES, 0)
            self._apply(entries)
            if entries:
                self._position, self._reached = entries[-1].seq, entries[-1].time_ns
            return len(entries)

    def _apply(self, entries: Sequence[Entry]) -> None:
        by_signal: dict[Signal, list[Entry]] = {}
        for entry in entries:
            by_signal.setdefault(entry.signal, []).append(entry)
        bad: set[int] = set()
        for deriver in self._derivers:
            bad |= self._derive(deriver, by_signal.get(deriver.signal, []))
        for entry in entries:
            decoded = entry.seq not in bad
            counts = entry_counts(entry, "delivered") if decoded else entry_counts(entry, "dropped", "not_decodable")
            self._unsaved.done.append(Ack(entry.seq, counts))
            self._unsaved.bytes += len(entry.payload)
        self._to_catch_up -= sum(entry.items for entry in entries)
        if not self.caught_up.is_set() and (self._to_catch_up <= 0 or not entries):
            self._mark_exported()

    def _mark_exported(self) -> None:
        with self._lock:
            for kept in self._kept:
                if isinstance(kept, Exported):
                    kept.mark_exported()
        self.caught_up.set()
        self._report("ok", "")

    def _report(self, state: State, detail: str) -> None:
        if self._health is not None:
            self._health.report("derive", state, detail)

    def _derive(self, deriver: Deriver[Any], entries: list[Entry]) -> set[int]:
        """Add up these entries; the sequence numbers of those that could not be read."""
        if not entries:
            return set()
        try:
            batch = deriver.decode(self._decoder, [entry.payload for entry in entries])
        except Exception as error:
            if len(entries) > 1:
                return {seq for entry in entries for seq in self._derive(deriver, [entry])}
            log.error(
                "derive_payload_not_decodable",
                seq=entries[0].seq,
                signal=entries[0].signal,
                items=entries[0].items,
                error=str(error) if isinstance(error, DecodeError) else repr(error),
                exc_info=not isinstance(error, DecodeError),
            )
            return {entries[0].seq}
        arrival = Arrival(
            np.cumsum([entry.items for entry in entries], dtype=np.int64),
            np.array([entry.time_ns for entry in entries], np.int64),
            self._clock(),
        )
        with self._lock:
            deriver.apply(batch, arrival)
        return set()

    def expire(self) -> None:
        """Take away what was idle for `series_ttl`, and do what is due. It goes from the kept state with the next
        checkpoint."""
        now, ttl = self._clock(), int(self._options.series_ttl * 1e9)
        with self._lock:
            for deriver in self._derivers:
                if isinstance(deriver, Timed):
                    deriver.advance(self._reached)
                deriver.expire(now, ttl)
            self._targets.expire(now, ttl)

    def checkpoint(self) -> None:
        """Commit what changed and the place in the log, and wait for it: a series that has gone from here must not
        come back after a crash when the figures that followed it were seen."""
        try:
            committed = self._hand_over()
            if committed is not None:
                committed.result()
        except (SidecarError, concurrent.futures.CancelledError) as error:
            log.warning("derive_commit_failed", error=str(error))

    def _hand_over(self) -> concurrent.futures.Future[None] | None:
        """What is not saved goes to the log; None where there is nothing. What fails to be committed from here on goes
        with the log's next commit."""
        with self._pulling:
            with self._lock:
                for kept in self._kept:
                    self._unsaved.state.update(kept.checkpoint())
            unsaved = self._unsaved
            if not unsaved.done and not unsaved.state:
                return None
            committed = self._consumer.done(unsaved.done, unsaved.state)
            self._unsaved = _Unsaved()
            return committed

    def _read_series(self) -> list[tuple[float, Mapping[str, str]]]:
        with self._lock:
            return [(n, {"metric": metric}) for kept in self._series_sets for metric, n in kept.sizes()]

    def _read_overflow(self) -> list[tuple[float, Mapping[str, str]]]:
        with self._lock:
            found = [over for kept in self._series_sets for over in kept.overflow()]
        return [(n, {"metric": metric, "label": label}) for metric, label, n in found]
