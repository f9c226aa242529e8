"""OTLP over gRPC: the three Export methods as raw bytes, so that nothing is parsed that the decoder does not need.

grpcio would open compressed messages itself, and answer RESOURCE_EXHAUSTED for one over its size limit, which a client
may take for "later". So it is made to hand messages over as they came, and to let some more through than the limit:
the message is opened and measured here, and a large one is INVALID_ARGUMENT with the limit in the text.

The methods are handled as streams of requests: of a unary method, grpcio never answers a request that ends before a
whole message has come.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio
from pydantic import Field

from sidecar.errors import ConfigError, TooLarge
from sidecar.options import Size
from sidecar.pipeline import Signal
from sidecar.receive import compression, replies
from sidecar.receive.acknowledgements import KEY_HEADER, Exchange, retries
from sidecar.receive.credentials import Credentials
from sidecar.receive.encodings import PROTOBUF
from sidecar.receive.ingest import Ingest, Reservation
from sidecar.receive.receiver import Listener, ReceiverOptions
from sidecar.receive.replies import Outcome, Refused
from sidecar.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "otlp_grpc"
METHODS: dict[str, Signal] = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "spans",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}

TRANSPORT_FACTOR = 2
"""Messages up to this many times the limit are read, to be answered here; grpcio itself answers RESOURCE_EXHAUSTED
(without RetryInfo, so that a client by the book drops it) to larger ones, before it has read them."""
INFLATE_INLINE_BYTES = 256 << 10
"""Larger compressed messages are opened in a thread."""
MIN_PING_INTERVAL_MS = 1_000
"""A client that pings more often, three times, is sent GOAWAY (`too_many_pings`). Ten seconds are common, and grpc-go
allows nothing below; an interval equal to theirs would be undercut by jitter."""

_STATUS = {code.value[0]: code for code in grpc.StatusCode}
_NO_REPLY = b""


class Options(ReceiverOptions):
    """OTLP over gRPC."""

    enabled: bool = Field(True, description="Whether to listen for OTLP over gRPC.")
    host: str = Field(
        "127.0.0.1", description="Address to listen on. The containers of a pod share the loopback interface."
    )
    port: int = Field(4317, ge=0, le=65535, description="Port to listen on. 0 picks a free one.")
    max_message_bytes: Size = Field(
        20 << 20, ge=1 << 10, description="Largest request, after decompression. A larger one is refused."
    )
    max_concurrent_streams: int = Field(
        128, ge=1, description="Requests that one connection may have open at once; its client queues the others."
    )

    def listeners(self) -> tuple[Listener, ...]:
        return (Listener(self.host, self.port),)


class OtlpGrpcReceiver:
    """A gRPC server in the running event loop."""

    name = NAME

    def __init__(self, options: Options, ingest: Ingest, credentials: Credentials, telemetry: Telemetry) -> None:
        del telemetry  # the ingest counts what is to be counted here
        self._options = options
        self._ingest = ingest
        self._credentials = credentials
        self._server: aio.Server | None = None
        self.port = options.port
        """The port that is listened on (of use where the option was 0)."""

    async def start(self) -> None:
        """Bind and begin to answer. Raises `ConfigError` if the address cannot be had."""
        o = self._options
        self._credentials.warn_if_open(self.name, o.host)
        server = aio.server(
            options=[
                ("grpc.max_receive_message_length", o.max_message_bytes * TRANSPORT_FACTOR),
                ("grpc.max_concurrent_streams", o.max_concurrent_streams),
                ("grpc.per_message_decompression", 0),
                # Clients that keep their connections alive by pings would be cut off by the defaults (more than two
                # pings in five minutes), and peers that vanished would be kept for ever.
                ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.keepalive_time_ms", 60_000),
                # Two programs on one port would each get half of the connections and say nothing.
                ("grpc.so_reuseport", 0),
            ]
        )
        server.add_generic_rpc_handlers((_Handlers(self._handler),))
        host = f"[{o.host}]" if ":" in o.host else o.host
        address = f"{host}:{o.port}"
        secure = self._credentials.grpc_credentials()
        try:
            self.port = server.add_secure_port(address, secure) if secure else server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigError([f"receive.otlp_grpc: cannot listen on {address}: is the port taken?"]) from error
        await server.start()
        self._server = server

    async def stop(self, grace: float) -> None:
        """Take no more requests; wait for those in flight at most `grace` seconds, then cancel them."""
        if self._server is not None:
            await self._server.stop(grace)
            self._server = None

    def _handler(self, signal: Signal) -> Callable[[Any, Any], Awaitable[bytes]]:
        async def export(messages: object, context: aio.ServicerContext[bytes, bytes]) -> bytes:
            del messages  # An iterator over what `context.read` gives.
            outcome = await self._export(signal, await context.read(), context)
            error = replies.grpc_error(outcome)
            if error is None:
                return replies.success_body(outcome, signal)
            await context.abort(_STATUS[error.code], error.details, error.trailers)
            return _NO_REPLY

        return export

    async def _export(self, signal: Signal, message: Any, context: aio.ServicerContext[bytes, bytes]) -> Outcome:
        async def read(reservation: Reservation) -> bytes:
            if self._credentials.asks_token:
                self._credentials.check(_metadata(context, "authorization"))
            if not isinstance(message, bytes):
                raise Refused(replies.invalid("the request ended before a whole message"))
            reservation.grow(len(message))
            body = await self._open(message)
            reservation.grow(len(body))
            return body

        return await self._ingest.receive(self.name, signal, PROTOBUF, read, _exchange(context))

    async def _open(self, message: bytes) -> bytes:
        limit = self._options.max_message_bytes
        coding = compression.sniff(message)
        if coding is None:
            if len(message) > limit:
                raise TooLarge(f"request of {len(message)} bytes is over the limit of {limit} bytes")
            return message
        if len(message) > INFLATE_INLINE_BYTES:
            return await self._ingest.in_thread(compression.inflate, message, coding, limit)
        return compression.inflate(message, coding, limit)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """Path -> handler; None (UNIMPLEMENTED) for any other path. No (de)serialisers: bytes in, bytes out."""

    def __init__(self, handler: Callable[[Signal], Callable[[Any, Any], Awaitable[bytes]]]) -> None:
        self._methods: Mapping[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            path: grpc.stream_unary_rpc_method_handler(handler(signal)) for path, signal in METHODS.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return self._methods.get(handler_call_details.method)


def _exchange(context: aio.ServicerContext[bytes, bytes]) -> Exchange:
    """The call, whose reply may be lost if it ends before its status is sent. What becomes of the connection later
    grpcio does not report."""
    named = _metadata(context, KEY_HEADER) or ""
    timeout = context.time_remaining()
    exchange = Exchange(
        context.peer(),
        retries(_metadata(context, "user-agent") or ""),
        named,
        timeout=math.inf if timeout is None else timeout,
    )

    def ended(_: object) -> None:
        if context.done():
            exchange.answered()
        else:
            exchange.lose()

    context.add_done_callback(ended)
    return exchange


def _metadata(context: aio.ServicerContext[bytes, bytes], name: str) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == name:
            return value if isinstance(value, str) else value.decode("utf-8", "replace")
    return None
