"""The sinks that there are: the only list of them. Configuration, schema, reference, `check`, routes and the replay of
dead letters are computed from `SINKS`. A new sink is a folder, a test, and a line here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sidecar.deliver.elasticsearch.options import ElasticsearchOptions
from sidecar.deliver.file.options import FileOptions
from sidecar.deliver.logstash.options import LogstashOptions
from sidecar.deliver.options import SinkOptions
from sidecar.deliver.otlp.options import OtlpOptions
from sidecar.deliver.sink import Finding, Sink, SinkContext
from sidecar.deliver.store.options import StoreOptions
from sidecar.pipeline import Signal

if TYPE_CHECKING:
    from sidecar.lookup.log_store import LogStore
    from sidecar.lookup.store import TraceStore


@dataclass(frozen=True, slots=True)
class SinkType:
    """One type of sink. Its first sink has the section `deliver.<name>` and that name; additional ones are named."""

    name: str
    """The value of `kind` in its options, its section under `deliver`, and the name of its first sink."""
    options: type[SinkOptions]
    """Has `kind: Literal["<name>"] = "<name>"`."""
    build: Callable[[str, Any, SinkContext], Sink[Any]]
    """(name, options, context) -> the sink of that name; options of type `options`. Opens no connection."""
    description: str
    """Of its section, in a few words."""
    can_replay: bool = False
    """The sink is a `ReplayableSink`."""
    trace_store: Callable[[Any], TraceStore] | None = None
    """(sink) -> where the traces that it keeps are looked up."""
    log_store: Callable[[Any], LogStore] | None = None
    """(sink) -> where the log records that it keeps are read."""
    health_check: Callable[[Any], Finding] | None = None
    """(options) -> whether the destination answers, for `sidecar check`. Raises `SidecarError` with the reason where it
    does not; changes nothing there."""
    allow_multiple: bool = True
    """There may be several: `deliver.additional.<name>` may be of this kind."""

    @property
    def signals(self) -> frozenset[Signal]:
        """The signals that a sink of this type supports."""
        return self.options.supported_signals


def _of(sink: str, function: str) -> Callable[..., Any]:
    """The function of a sink's module, which is imported when it is called first: a program has few sinks of those that
    there are, and the libraries of each take memory and time at start."""

    def call(*arguments: Any) -> Any:
        return getattr(importlib.import_module(f"sidecar.deliver.{sink}.sink"), function)(*arguments)

    return call


SINKS: tuple[SinkType, ...] = (
    SinkType(
        "elasticsearch",
        ElasticsearchOptions,
        _of("elasticsearch", "build"),
        "Elasticsearch or OpenSearch.",
        can_replay=True,
        health_check=_of("elasticsearch", "health_check"),
    ),
    SinkType(
        "store",
        StoreOptions,
        _of("store", "build"),
        "The embedded store for trace look-ups.",
        trace_store=_of("store", "trace_store"),
        log_store=_of("store", "log_store"),
        health_check=_of("store", "health_check"),
        allow_multiple=False,
    ),
    SinkType(
        "otlp",
        OtlpOptions,
        _of("otlp", "build"),
        "Forwarding over OTLP.",
        can_replay=True,
        health_check=_of("otlp", "health_check"),
    ),
    SinkType(
        "logstash",
        LogstashOptions,
        _of("logstash", "build"),
        "Logstash.",
        can_replay=True,
        health_check=_of("logstash", "health_check"),
    ),
    SinkType(
        "file",
        FileOptions,
        _of("file", "build"),
        "Lines in a file or on standard output.",
        health_check=_of("file", "health_check"),
    ),
)
RESERVED_NAMES = frozenset({sink.name for sink in SINKS} | {"derive"})
"""Names that no additional sink may have: consumers of the journal have them."""
