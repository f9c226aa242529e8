"""The sinks that there are. A new sink is a file, a test, and a line in `SINKS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidecar.decode.api import Decoder
from sidecar.deliver.elasticsearch import sink as elasticsearch
from sidecar.deliver.file import sink as file
from sidecar.deliver.logstash import sink as logstash
from sidecar.deliver.otlp import sink as otlp
from sidecar.deliver.sink import Finding, Sink, SinkOptions
from sidecar.deliver.store import sink as store_sink
from sidecar.deliver.store import span_store
from sidecar.pipeline import Clock, Signal
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
class SinkType:
    """One kind of sink. Its first sink has the section `deliver.<kind>` and its name; further ones are named."""

    name: str
    """Of the kind: the value of `kind` in its options, its section under `deliver`, and the name of the first sink."""
    signals: frozenset[Signal]
    """The signals that a sink of the kind can take."""
    options: type[SinkOptions]
    """Has a property or field `enabled`, and `kind: Literal["<name>"] = "<name>"`."""
    build: Callable[[str, Any, Parts], Sink[Any]]
    """(name, options, parts) -> the sink of that name; options of type `options`. Opens no connection."""
    probe: Callable[[Any], Finding] | None = None
    """(options) -> whether the destination answers, for `sidecar check`. Raises `SidecarError` with the reason where it
    does not; changes nothing there."""
    many: bool = True
    """There may be more than one: `deliver.more.<name>` may be of this kind."""


def _elasticsearch(name: str, options: elasticsearch.Options, parts: Parts) -> Sink[Any]:
    return elasticsearch.build(name, options, parts.decoder, parts.log_id, parts.clock)


def _store(name: str, options: span_store.Options, parts: Parts) -> Sink[Any]:
    kept = span_store.Store(options, options.directory or parts.directory, parts.decoder, parts.clock)
    kept.watch(parts.telemetry)
    return store_sink.StoreSink(kept, parts.decoder, parts.log_id, name)


def _otlp(name: str, options: otlp.Options, parts: Parts) -> Sink[Any]:
    return otlp.build(name, options, parts.decoder, parts.log_id, parts.clock)


def _logstash(name: str, options: logstash.Options, parts: Parts) -> Sink[Any]:
    return logstash.build(name, options, parts.decoder, parts.log_id, parts.clock)


def _file(name: str, options: file.Options, parts: Parts) -> Sink[Any]:
    return file.build(name, options, parts.decoder, parts.log_id, parts.clock)


SINKS: tuple[SinkType, ...] = (
    SinkType(
        "elasticsearch",
        elasticsearch.ElasticsearchSink.signals,
        elasticsearch.Options,
        _elasticsearch,
        elasticsearch.health_check,
    ),
    SinkType("store", store_sink.StoreSink.signals, span_store.Options, _store, many=False),
    SinkType("otlp", otlp.OtlpSink.signals, otlp.Options, _otlp, otlp.health_check),
    SinkType("logstash", logstash.LogstashSink.signals, logstash.Options, _logstash, logstash.health_check),
    SinkType("file", file.FileSink.signals, file.Options, _file, file.health_check),
)
TAKEN_NAMES = frozenset({kind.name for kind in SINKS} | {"derive"})
"""Names that no further sink may have: consumers of the journal have them."""
