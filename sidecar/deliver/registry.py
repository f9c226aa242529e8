"""The sinks that there are. A new sink is a file, a test, and a line in `SINKS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.decode.batch import Decoder, Signal
from sidecar.deliver import elasticsearch, store, store_sink
from sidecar.deliver.sink import Sink, WorkerOptions
from sidecar.journal.entry import Clock
from sidecar.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Parts:
    """What a sink may be built from."""

    decoder: Decoder
    log_id: str
    """Id of the journal, the beginning of the ids of log records."""
    directory: Path
    """Where the program keeps its files; a sink that has one of its own keeps it here unless told otherwise."""
    telemetry: Telemetry
    clock: Clock


@dataclass(frozen=True, slots=True)
class SinkKind:
    """One kind of sink."""

    name: str
    """Name of its section under `deliver`, of its consumer, and its label in metrics."""
    signals: frozenset[Signal]
    options: type[WorkerOptions]
    """Has a property `enabled`."""
    build: Callable[[Any, Parts], Sink[Any]]
    """(options, parts) -> the sink; options of type `options`. Opens no connection."""


def _elasticsearch(options: elasticsearch.Options, parts: Parts) -> Sink[Any]:
    return elasticsearch.build(options, parts.decoder, parts.log_id, parts.clock)


def _store(options: store.Options, parts: Parts) -> Sink[Any]:
    kept = store.Store(options, options.directory or parts.directory, parts.decoder, parts.clock)
    kept.watch(parts.telemetry)
    return store_sink.StoreSink(kept, parts.decoder, parts.log_id)


SINKS: tuple[SinkKind, ...] = (
    SinkKind("elasticsearch", elasticsearch.ElasticsearchSink.signals, elasticsearch.Options, _elasticsearch),
    SinkKind("store", store_sink.StoreSink.signals, store.Options, _store),
)
