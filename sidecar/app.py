"""The only wiring.

     OTLP/gRPC ─┐                      ┌─► derive ──► /metrics, push
     OTLP/HTTP ─┼─► ingest ─► journal ─┤              ┌─► store ──► /api, /tempo
     NDJSON    ─┘   (fsync, reply)     └─► rules, ────┼─► elasticsearch, logstash, otlp, file
                                           filters    └─► further ones by name

Start: journal, derive, sinks, serve, push, receivers (so that nothing is taken before there is a place for it).
Stop: receivers refuse, journal flushes, sinks deliver and metrics are pushed until the deadline, derive commits, the
last metrics are pushed, serve ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import structlog

from sidecar import __version__, status
from sidecar.config.settings import Settings
from sidecar.decode.api import Decoder
from sidecar.decode.redaction.rules import Redactor, Rules, sure_literals
from sidecar.decode.select import decoder as choose_decoder
from sidecar.deliver import replay as replaying
from sidecar.deliver.redaction.annotating_redactor import AnnotatingRedactor
from sidecar.deliver.redaction.feature_filter import FeatureRedactor
from sidecar.deliver.redaction.options import rule
from sidecar.deliver.redaction.sink import RedactingSink, changes_nothing
from sidecar.deliver.registry import SinkType
from sidecar.deliver.sink import Sink, SinkContext
from sidecar.deliver.worker import Worker
from sidecar.derive.deriver import Annotator
from sidecar.derive.engine import DeriveEngine
from sidecar.errors import ConfigError, SidecarError
from sidecar.health import Health
from sidecar.journal.dead_letters import DeadLetters
from sidecar.journal.journal import Journal
from sidecar.journal.opening import open_journal
from sidecar.lookup.settings import LookupOptions
from sidecar.pipeline import Signal
from sidecar.push import registry as push
from sidecar.receive.credentials import Credentials
from sidecar.receive.ingest import Ingest
from sidecar.receive.registry import build_receivers
from sidecar.serve import exposition
from sidecar.serve.pages.sources import PageSources, ReplayCount
from sidecar.serve.serve_port import Scrape, Sources, build_app
from sidecar.telemetry import Telemetry
from sidecar.web import WebServer

if TYPE_CHECKING:
    from fastapi import APIRouter

    from sidecar.lookup.store import TraceStore

log = structlog.get_logger("sidecar")

ALL_SIGNALS: frozenset[Signal] = frozenset({"spans", "logs", "metrics"})
RECEIVER_GRACE_SECONDS = 2.0
LAST_PUSH_SECONDS = 1.0
"""For the last push of metrics, however long sinks took."""
_ENDING = (signal.SIGTERM, signal.SIGINT)


class App:
    """One running sidecar. Used from one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.health = Health()
        self._stopping = False
        self.telemetry = Telemetry()
        self.decoder: Decoder = choose_decoder()
        self.journal: Journal = open_journal(settings.journal, time.time_ns, self.telemetry)
        self.health.watch("journal", lambda: status.journal_health(self.journal))
        self.derive = DeriveEngine(
            self.journal.consumer("derive", ALL_SIGNALS),
            self.decoder,
            settings.derive,
            self.telemetry,
            health=self.health,
        )
        self.exposition = exposition.Exposition()
        annotators = self.derive.annotators
        sinks = build_sinks(settings, self.journal, self.decoder, self.telemetry, self.health, annotators)
        self.workers = [sink.worker for sink in sinks]
        self.pushers = push.build(settings.push, _pod(settings), self._pushed_families, self.telemetry, self.health)
        self.journal.prune_absent()
        self.ingest = Ingest(
            self.decoder, self.journal, self.telemetry, settings.receive.ingest, int(self.journal.id, 16)
        )
        credentials = Credentials(settings.receive.tls, settings.receive.auth)
        self.receivers = build_receivers(settings.receive, self.ingest, credentials, self.telemetry)
        admission = Credentials(auth=settings.serve.auth, section="serve")
        self.page_sources = self._page_sources(sinks)
        sources = Sources(
            self.health,
            self.scrape,
            self.status,
            admission.check if admission.asks_token else None,
            self.page_sources,
            settings.serve.access(os.environ),
        )
        app = build_app(sources, _lookups(sinks, settings.lookup))
        self.serve = WebServer("serve", app, settings.serve.host, settings.serve.port)
        self.telemetry.watch("sidecar_build_info", lambda: [(1, self._build_info())])

    async def start(self) -> None:
        """Start every part in order; raises what the first one that cannot start raises."""
        for receiver in self.receivers:
            self.health.report(receiver.name, "starting", "waits until the counters are restored")
        self.derive.start()
        for worker in self.workers:
            worker.start()
        await self.serve.start()
        await self._restored()
        for pusher in self.pushers:
            pusher.start()
        for receiver in self.receivers:
            await receiver.start()
            self.health.report(receiver.name, "ok", f"port {receiver.port}" if receiver.port else "")
        log.info("started", **self._build_info(), bounds=self.bounds(), serve_port=self.serve.port)

    async def _restored(self) -> None:
        while not await asyncio.to_thread(self.derive.caught_up.wait, 0.2):
            if self.derive.failure is not None:
                raise SidecarError(f"the counters cannot be restored: {self.derive.failure}")

    async def stop(self) -> None:
        """Stop in order; what is still waiting at the deadline stays in the journal."""
        deadline = time.monotonic() + self.settings.shutdown.timeout
        self._stopping = True
        self.ingest.stop()
        for receiver in self.receivers:
            self.health.report(receiver.name, "stopping")
        await asyncio.gather(*(r.stop(RECEIVER_GRACE_SECONDS) for r in self.receivers))
        self.ingest.close()
        left = max(0.0, deadline - time.monotonic())
        _, *drained = await asyncio.gather(
            asyncio.gather(*(asyncio.to_thread(pusher.drain, left) for pusher in self.pushers)),
            *(asyncio.to_thread(w.stop, left) for w in self.workers),
        )
        await asyncio.to_thread(self.derive.stop, 5.0)
        left = max(LAST_PUSH_SECONDS, deadline - time.monotonic())
        await asyncio.gather(*(asyncio.to_thread(pusher.finish, left) for pusher in self.pushers))
        if not all(drained):
            waiting = {c.name: sum(c.waiting.values()) for c in self.journal.ledger().consumers}
            log.warning("stopped_with_items_waiting", waiting={name: n for name, n in waiting.items() if n})
        await asyncio.to_thread(self.journal.close)
        await self.serve.stop(1.0)
        log.info("stopped", all_delivered=all(drained))

    def scrape(self, accept: str, scraper: str) -> Scrape | None:
        """The exposition of derived, passed-through and own metrics; None while counters are being restored."""
        if not self.derive.caught_up.is_set():
            return None
        return Scrape(*self.exposition.answer(self._families(scraper), accept))

    def _families(self, scraper: str) -> list[exposition.Family]:
        self.derive.flush()
        return [*self.derive.collect(scraper), *exposition.from_client(self.telemetry.collect())]

    def _shown_families(self) -> list[exposition.Family]:
        """As a person sees them; none while counters are being restored."""
        return self._families("") if self.derive.caught_up.is_set() else []

    def _page_sources(self, sinks: Sequence[BuiltSink]) -> PageSources | None:
        """What the page shows; None where it is off."""
        settings = self.settings
        if not settings.serve.page.enabled:
            return None
        on_disk = settings.journal.backend == "sqlite"
        return PageSources(
            status=self.status,
            families=self._shown_families,
            traces=_trace_store(sinks),
            logs=next((sink.type.log_store(sink.sink) for sink in sinks if sink.type.log_store), None),
            dead_letters=(lambda: DeadLetters(settings.journal.path)) if on_disk else None,
            replay=(lambda name: replay_oldest(settings, name))
            if on_disk and not settings.serve.page.read_only
            else None,
            stopping=lambda: self._stopping,
            lookup=settings.lookup,
        )

    def _pushed_families(self, who: str, until: float) -> Sequence[exposition.Family] | None:
        """What is pushed: every series as it is. Waits for what was acknowledged until then (monotonic seconds)."""
        if not self.derive.caught_up.is_set():
            return None
        while not self.derive.flush() and time.monotonic() < until:
            pass
        return [*self.derive.collect(who, zero_first=False), *exposition.from_client(self.telemetry.collect())]

    def status(self) -> Mapping[str, Any]:
        """Receivers, journal, cursors, lag, sinks, suites and the decoder in use, for people and for the demo."""
        return {
            "version": __version__,
            "decoder": self.decoder.name,
            "receivers": {r.name: {"port": r.port} for r in self.receivers},
            "journal": status.journal_view(self.journal),
            "ledger": status.ledger_view(self.journal.ledger()),
            "sinks": [dict(w.status()) for w in self.workers],
            "push": [dict(pusher.status()) for pusher in self.pushers],
            "derive": self.derive.status(),
            "components": {name: asdict(report) for name, report in sorted(self.health.reports().items())},
            "memory_bounds_bytes": self.bounds(),
        }

    def bounds(self) -> dict[str, int]:
        """Bytes that each bounded buffer may hold, and their sum."""
        parts = {
            "requests_in_flight": self.settings.receive.ingest.max_in_flight_bytes,
            "journal_cache": self.settings.journal.hot_cache_bytes,
            "series": self.derive.memory_bound_bytes(),
        }
        return {**parts, "sum": sum(parts.values())}

    def _build_info(self) -> dict[str, str]:
        return {"version": __version__, "decoder": self.decoder.name, "python": platform.python_version()}


@dataclass(frozen=True, slots=True)
class BuiltSink:
    """A sink that is on."""

    type: SinkType
    sink: Sink[Any]
    """As its type built it; the worker feeds it through the rules of redaction and filters."""
    worker: Worker[Any]


def _pod(settings: Settings) -> dict[str, str]:
    """Labels that Kubernetes discovery would give the pod as a target."""
    pod = settings.deliver.redaction.kubernetes
    return {"namespace": pod.namespace_name or "", "pod": pod.pod_name or ""}


def _lookups(sinks: Sequence[BuiltSink], options: LookupOptions) -> Callable[[], list[APIRouter]] | None:
    """What gives the routes of look-ups; None where no sink keeps traces."""
    traces = _trace_store(sinks)
    if traces is None:
        return None

    def routers() -> list[APIRouter]:
        from sidecar.lookup.routes import lookup_routers

        return lookup_routers(traces, options)

    return routers


def _trace_store(sinks: Sequence[BuiltSink]) -> TraceStore | None:
    return next((sink.type.trace_store(sink.sink) for sink in sinks if sink.type.trace_store), None)


def replay_oldest(settings: Settings, name: str) -> ReplayCount:
    """Send the oldest dead letters of a sink again, one batch, through a sink of its own; see `PageSources.replay`."""
    found = next(((kind, options) for n, kind, options in settings.deliver.enabled() if n == name), None)
    if found is None or not found[0].can_replay:
        raise ConfigError([f"no sink named {name[:100]!r} that replays dead letters is enabled"])
    kind, options = found
    target: Any = kind.build(
        name, options, SinkContext(choose_decoder(), "", settings.journal.path, Telemetry(), time.time_ns)
    )
    try:
        batch = next(replaying.replay_stored(DeadLetters(settings.journal.path), name, target), None)
    finally:
        target.close()
    done = ReplayCount(len(batch.accepted), len(batch.rejected)) if batch is not None else ReplayCount(0, 0)
    log.info("dead_letters_replayed", sink=name, accepted=done.accepted, rejected=done.rejected)
    return done


def build_sinks(
    settings: Settings,
    kept: Journal,
    decoder: Decoder,
    telemetry: Telemetry,
    health: Health,
    annotators: Callable[[], Sequence[Annotator]] = tuple,
) -> list[BuiltSink]:
    """Every sink that is enabled, with a worker and its consumer. `annotators`: makes those of one sink."""
    context = SinkContext(decoder, kept.id, settings.journal.path, telemetry, time.time_ns)
    built = []
    for name, kind, options in settings.deliver.enabled():
        rules = settings.deliver.redaction.rules(
            rule(options.filter, options.sampling), export_features=settings.deliver.export_features
        )
        if settings.deliver.redaction.redacts and "metrics" in options.selected_signals:
            log.warning("metrics_not_redacted", sink=name)
        sink = kind.build(name, options, context)
        adding = [one for one in annotators() if one.signals & options.selected_signals]
        unchanged = changes_nothing(rules) and not adding
        fed = sink if unchanged else _redacting(sink, rules, settings, decoder, telemetry, adding)
        consumer = kept.consumer(name, options.selected_signals)
        worker: Worker[Any] = Worker(fed, consumer, options, telemetry, time.time_ns, health)
        built.append(BuiltSink(kind, sink, worker))
    return built


def _redacting(
    sink: Sink[Any],
    rules: Rules,
    settings: Settings,
    decoder: Decoder,
    telemetry: Telemetry,
    annotators: Sequence[Annotator],
) -> RedactingSink[Any]:
    redactor: Redactor = decoder.redactor(rules)
    literals = sure_literals(rules)
    if settings.deliver.export_features:
        gate = _never if changes_nothing(rules) else _gate(decoder, literals)
    else:
        features = FeatureRedactor(redactor, decoder)
        redactor, gate = features, features.gate(literals)
    for annotator in annotators:
        adding = AnnotatingRedactor(redactor, annotator, decoder)
        redactor, gate = adding, adding.gate(gate)
    return RedactingSink(sink, redactor, telemetry, gate)


def _never(payload: bytes) -> bool:
    return False


def _gate(decoder: Decoder, needles: tuple[bytes, ...]) -> Callable[[bytes], bool] | None:
    return (lambda payload: decoder.contains_any(payload, needles, fold=True)) if needles else None


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; a second one ends at once. Raises what keeps the program from starting."""
    _spare_the_collector()
    _bound_arenas()
    sys.setswitchinterval(_SWITCH_SECONDS)
    asyncio.run(_run(settings))


def _spare_the_collector() -> None:
    """What was imported stays: the cyclic collector need not look at it again and again, nor after every 700 objects
    of a load that makes hardly any cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


_SWITCH_SECONDS = 0.001
"""For which a thread may have the interpreter to itself while others want it (CPython: 0.005). A request changes
threads several times before it is answered, and may meet a pass of derive or delivery at each."""
_M_ARENA_MAX = -8
"""mallopt(3), `malloc.h` of glibc."""


def _bound_arenas() -> None:
    """Where the C library is glibc: two malloc arenas instead of eight for each core. A dozen threads pass buffers of
    megabytes on to each other, and each arena would keep its own share of them (30 MiB less at saturation)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


async def _run(settings: Settings) -> None:
    app = App(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, app.derive.reload))
    starting, stopping = asyncio.create_task(app.start()), asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
        await stopping
    else:  # So that no receiver is opened behind the stop.
        starting.cancel()
        await asyncio.wait([starting])
    for number in _ENDING:
        # As after any crash, the journal has what is left; nothing is gained by holding up somebody who insists.
        loop.add_signal_handler(number, os._exit, 128 + number)
    log.info("stopping", deadline_seconds=settings.shutdown.timeout)
    await app.stop()
