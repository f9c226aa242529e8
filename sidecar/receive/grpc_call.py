"""What a server of gRPC has of a call, and what it asks of its transport: how bytes become calls is the transport's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sidecar.pipeline import Signal
from sidecar.receive.acknowledgements import Exchange
from sidecar.receive.compression import Coding
from sidecar.receive.credentials import Credentials
from sidecar.receive.ingest import Ingest
from sidecar.receive.replies import Outcome

METHODS: dict[str, Signal] = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "spans",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One unary call, whose message is whole or never will be."""

    signal: Signal
    message: bytes | None
    """As it came over the wire; None where the request ended before a whole message."""
    coding: Coding | None
    """How the message is compressed."""
    authorization: str | None
    """The metadata of that name; its value is secret."""
    exchange: Exchange
    overloaded: bool = False
    """There was no room for the message, so it was not read."""


Answer = Callable[[Call], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a transport is made of."""

    host: str
    port: int
    max_wire_bytes: int
    """Larger messages are answered RESOURCE_EXHAUSTED (without RetryInfo), before they are read."""
    max_concurrent_streams: int
    min_ping_interval: float
    """Seconds; a client that pings more often, three times, is sent GOAWAY (`too_many_pings`)."""
    keepalive_seconds: float
    """A client from which nothing comes for so long is asked whether it is there."""
    methods: Mapping[str, Signal]


class Transport(Protocol):
    """A server in the running event loop."""

    port: int
    """The port that is listened on (of use where 0 was asked for)."""

    async def start(self) -> None:
        """Bind and begin to answer. Raises `ConfigError` if the address cannot be had."""
        ...

    async def stop(self, grace: float) -> None:
        """Take no more calls; wait for those in flight at most `grace` seconds, then cancel them."""
        ...


BuildTransport = Callable[[ServerOptions, Answer, Ingest, Credentials], Transport]
