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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import structlog
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.names import aliases
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.family_dedupe import shown_once
from sidecar.derive.genai.deriver import GenaiDeriver, GenaiOptions
from sidecar.derive.genai.genai_tables import METRICS as GENAI_METRICS
from sidecar.derive.log_records import LogDeriver, LogOptions
from sidecar.derive.models.label_counts import LabelDeriver, LabelOptions
from sidecar.derive.models.model_tables import ModelTables
from sidecar.derive.models.predictions import PredictionDeriver, PredictionOptions
from sidecar.derive.models.servings import MAX_BYTES as SERVING_BYTES
from sidecar.derive.models.servings import ServingDeriver
from sidecar.derive.otlp_metrics.deriver import MAX_BYTES as PASSTHROUGH_BYTES
from sidecar.derive.otlp_metrics.deriver import PassthroughDeriver, PassthroughOptions
from sidecar.derive.red import RedDeriver, RedOptions
from sidecar.derive.rule_metrics import MAX_RULES, Rule, RuleDeriver, check_rules
from sidecar.derive.scrapes import Scrapes, View
from sidecar.derive.series import Arrival, Budget
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
GATHER_BYTES = 1 << 20
FLUSH_SECONDS = 2.0
CHECKPOINT_ENTRIES = 4096
EXPIRE_EVERY_SECONDS = 30.0
_TWO_SOURCES = frozenset(metric.name for metric in GENAI_METRICS)
"""Names that both spans and apps give."""


class DeriveOptions(BaseModel):
    """Metrics derived from what is received."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    red: RedOptions = Field(default_factory=RedOptions, description="Rate, error and duration metrics from spans.")
    logs: LogOptions = Field(default_factory=LogOptions, description="Counters from log records.")
    passthrough: PassthroughOptions = Field(
        default_factory=PassthroughOptions, description="Metrics received over OTLP, shown as Prometheus has them."
    )
    predictions: PredictionOptions = Field(
        default_factory=PredictionOptions, description="Metrics of models from predictions in logs and spans."
    )
    labels: LabelOptions = Field(default_factory=LabelOptions, description="Counters of labels of predictions.")
    genai: GenaiOptions = Field(default_factory=GenaiOptions, description="Metrics of generative models from spans.")
    rules: tuple[Rule, ...] = Field(
        default=(),
        max_length=MAX_RULES,
        description="Metrics of your own from fields of spans or log records (in a variable: a JSON list); see "
        "docs/how-to/rules.md.",
    )
    series_ttl: float = Field(
        default=3600, gt=0, description="Seconds after which a series that nothing is added to goes."
    )
    series_budget: int = Field(default=2000, ge=1, description="Series of one metric; more go to its overflow series.")
    label_budget: int = Field(
        default=200, ge=1, description="Values of one label of a metric; more become `__other__` for that label."
    )
    checkpoint_seconds: float = Field(
        default=2.0,
        gt=0,
        description="How often the figures are committed. After a crash at most this much is read again.",
    )

    @field_validator("rules")
    @classmethod
    def _different(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        check_rules(rules)
        return rules

    def budget(self) -> Budget:
        """The budget of one table."""
        return Budget(self.series_budget, self.label_budget)


class Kept(Protocol):
    """Figures that are kept with the place in the log. Called under the engine's lock."""

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        ...

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what is of use; the keys of that. The others are deleted."""
        ...

    def all_shown(self) -> None:
        """What there is now is not shown at 0 first: an earlier run may have shown it."""
        ...

    def sizes(self) -> Iterator[tuple[str, int]]:
        """(metric, series)."""
        ...

    def excess(self) -> Iterator[tuple[str, str, int]]:
        """(metric, label, how many were turned away)."""
        ...


Batch = TypeVar("Batch")


class Deriver(Protocol[Batch]):
    """Batches of one signal in, families out. Only `decode` is called without the engine's lock."""

    @property
    def signal(self) -> Signal: ...
    @property
    def kept(self) -> Sequence[Kept]: ...
    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> Batch: ...
    def apply(self, batch: Batch, arrival: Arrival) -> None: ...
    def expire(self, before: int) -> None: ...
    def collect(self, view: View) -> Iterable[FamilySnapshot]: ...


Build = Callable[[DeriveOptions, Targets, Telemetry], Sequence[Deriver[Any]]]
"""The derivers of one kind of metric, one for each signal that it is made from; none where it is off."""


def _red(options: DeriveOptions, targets: Targets, telemetry: Telemetry) -> Sequence[Deriver[Any]]:
    return [RedDeriver(options.red, options.budget(), targets, telemetry)] if options.red.enabled else []


def _logs(options: DeriveOptions, targets: Targets, telemetry: Telemetry) -> Sequence[Deriver[Any]]:
    return [LogDeriver(options.budget(), targets, telemetry)] if options.logs.enabled else []


def _passthrough(options: DeriveOptions, targets: Targets, telemetry: Telemetry) -> Sequence[Deriver[Any]]:
    if not options.passthrough.enabled:
        return []
    deriver = PassthroughDeriver(options.series_budget, targets)
    telemetry.watch(
        "sidecar_dropped_items_total",
        lambda: [(n, {"stage": "derive", "reason": reason}) for reason, n in dict(deriver.dropped).items()],
    )
    telemetry.watch("sidecar_writers_folded_total", lambda: [(deriver.folded, {})])
    return [deriver]


def _genai(options: DeriveOptions, targets: Targets, telemetry: Telemetry) -> Sequence[Deriver[Any]]:
    return [GenaiDeriver(options.budget())] if options.genai.enabled else []


def _rules(options: DeriveOptions, targets: Targets, telemetry: Telemetry) -> Sequence[Deriver[Any]]:
    signals: tuple[Signal, ...] = ("spans", "logs")
    own = [(signal, [rule for rule in options.rules if rule.signal == signal]) for signal in signals]
    derivers = [RuleDeriver(rules, signal, options.budget()) for signal, rules in own if rules]
    telemetry.watch(
        "sidecar_rule_values_ignored_total",
        lambda: [
            (n, {"rule": rule, "reason": reason})
            for deriver in derivers
            for (rule, reason), n in dict(deriver.ignored).items()
        ],
    )
    return derivers


def _predictions(options: DeriveOptions, targets: Targets, telemetry: Telemetry) -> Sequence[Deriver[Any]]:
    if not options.predictions.enabled:
        return []
    tables = ModelTables(options.predictions.latency_buckets, options.budget())
    names = aliases(options.predictions.aliases) if options.predictions.attributes else None
    derivers: list[Deriver[Any]] = [PredictionDeriver("logs", tables, names)]
    if names is not None:
        derivers.append(PredictionDeriver("spans", tables, names))
    if options.predictions.payloads:
        patience = options.predictions.response_timeout
        derivers.append(ServingDeriver(tables, options.budget(), patience, options.series_ttl, names))
    return derivers


def _labels(options: DeriveOptions, targets: Targets, telemetry: Telemetry) -> Sequence[Deriver[Any]]:
    return [LabelDeriver(options.budget())] if options.labels.enabled else []


# What is made from spans stands before what apps send: of one name the first is shown.
DERIVERS: tuple[Build, ...] = (_red, _logs, _genai, _passthrough, _rules, _predictions, _labels)


@dataclass(slots=True)
class _Unsaved:
    """What the next checkpoint has to commit."""

    done: list[Ack] = field(default_factory=list)
    state: dict[bytes, bytes | None] = field(default_factory=dict)


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
        self._stop = threading.Event()
        self._targets = Targets(options.series_budget)
        self._derivers = tuple(d for build in DERIVERS for d in build(options, self._targets, telemetry))
        self._kept: tuple[Kept, ...] = (*(kept for deriver in self._derivers for kept in deriver.kept), self._targets)
        self._scrapes = Scrapes()
        self._unsaved = _Unsaved()
        self._to_catch_up = 0
        self._thread = threading.Thread(target=self._run, name="derive", daemon=True)
        telemetry.watch("sidecar_series", self._read_series)
        telemetry.watch("sidecar_series_overflow_total", self._read_turned_away)

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

    def flush(self) -> None:
        """Add up what was acknowledged before this call, so that what is shown next is exact. Gives up after
        `FLUSH_SECONDS`, when payloads arrive faster than they are added up. From any thread."""
        head, deadline = self._consumer.head(), time.monotonic() + FLUSH_SECONDS
        if not self.caught_up.is_set():
            return
        with self._pulling:
            while self.failure is None and self._position < head and time.monotonic() < deadline:
                try:
                    if not self.pull():
                        return
                except BaseException as failure:
                    self._failed(failure)
                    raise

    def collect(self, scraper: str = "scraper") -> list[FamilySnapshot]:
        """All families at one moment. A series that this scraper was not shown before is shown at 0; empty: to a
        person, who sees every series as it is."""
        with self._lock:
            view = self._scrapes.view(scraper, self._clock())
            families = [family for deriver in self._derivers for family in deriver.collect(view)]
            families.append(self._targets.snapshot())
        families = shown_once(families, _TWO_SOURCES)
        return [family for family in families if any(block.labels for block in family.blocks)]

    def memory_bound_bytes(self) -> int:
        """What all figures can take at most, about: rows with their exemplars, label values thrice (key, two texts)."""
        buckets = len(self._options.red.buckets) + 1
        red = self._options.series_budget * (8 * (buckets + 3) + 40 * buckets)
        tables = (12 + len(GENAI_METRICS) + len(self._options.rules)) * (
            self._options.series_budget * 500 + 3 * self._options.budget().characters
        )
        return red + tables + PASSTHROUGH_BYTES + 2 * TARGET_BYTES + SERVING_BYTES

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
        log.exception("the derive thread failed; derived metrics stand still until a restart")

    def _read_until_stopped(self) -> None:
        checkpointed = expired = time.monotonic()
        while not self._stop.is_set():
            if self.caught_up.is_set():
                self._consumer.wait(self._rest(checkpointed), GATHER_SECONDS, GATHER_BYTES, MAX_ENTRIES)
            self.pull()
            now = time.monotonic()
            due = now - checkpointed >= self._options.checkpoint_seconds
            if due or len(self._unsaved.done) >= CHECKPOINT_ENTRIES:
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
        return max(0.0, checkpointed + self._options.checkpoint_seconds - time.monotonic())

    def pull(self) -> int:
        """Add up the next entries, if there are any; how many there were."""
        with self._pulling:
            entries = self._consumer.next(MAX_BYTES, MAX_ENTRIES, 0)
            self._apply(entries)
            if entries:
                self._position = entries[-1].seq
            return len(entries)

    def _apply(self, entries: Sequence[Entry]) -> None:
        by_signal: dict[Signal, list[Entry]] = {}
        for entry in entries:
            by_signal.setdefault(entry.signal, []).append(entry)
        bad: set[int] = set()
        for deriver in self._derivers:
            bad |= self._derive(deriver, by_signal.get(deriver.signal, []))
        for entry in entries:
            undecodable = entry.seq in bad
            counts = entry_counts(entry, "dropped", "undecodable") if undecodable else entry_counts(entry, "delivered")
            self._unsaved.done.append(Ack(entry.seq, counts))
        self._to_catch_up -= sum(entry.items for entry in entries)
        if not self.caught_up.is_set() and (self._to_catch_up <= 0 or not entries):
            self._all_shown()

    def _all_shown(self) -> None:
        with self._lock:
            for kept in self._kept:
                kept.all_shown()
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
                "a kept payload cannot be decoded, its records are missing from the metrics",
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
        """Take away what was idle for `series_ttl`. It goes from the kept state with the next checkpoint."""
        before = self._clock() - int(self._options.series_ttl * 1e9)
        with self._lock:
            for deriver in self._derivers:
                deriver.expire(before)
            self._targets.expire(before)

    def checkpoint(self) -> None:
        """Commit what changed and the place in the log, and wait for it: a series that has gone from here must not
        come back after a crash when the figures that followed it were seen."""
        try:
            committed = self._hand_over()
            if committed is not None:
                committed.result()
        except (SidecarError, concurrent.futures.CancelledError) as error:
            log.warning("the figures could not be committed, the log will try again", error=str(error))

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
            return [(n, {"metric": metric}) for kept in self._kept for metric, n in kept.sizes()]

    def _read_turned_away(self) -> list[tuple[float, Mapping[str, str]]]:
        with self._lock:
            found = [excess for kept in self._kept for excess in kept.excess()]
        return [(n, {"metric": metric, "label": label}) for metric, label, n in found]
