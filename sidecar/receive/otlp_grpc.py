"""OTLP over gRPC: the three Export methods as raw bytes, so that nothing is parsed that the decoder does not need.

A message is opened and measured here, whatever carries it: a large one is INVALID_ARGUMENT with the limit in the text,
never RESOURCE_EXHAUSTED, which a client may take for "later".
"""

from __future__ import annotations

from pydantic import Field

from sidecar.decode.select import has_native_core
from sidecar.errors import TooLarge
from sidecar.options import Size
from sidecar.receive import compression, replies
from sidecar.receive.compression import Coding
from sidecar.receive.credentials import Credentials
from sidecar.receive.encodings import PROTOBUF
from sidecar.receive.grpc_call import METHODS, BuildTransport, Call, ServerOptions, Transport
from sidecar.receive.ingest import Ingest, Reservation
from sidecar.receive.receiver import Listener, ReceiverOptions
from sidecar.receive.replies import Outcome, Refused
from sidecar.telemetry import Telemetry

NAME = "otlp_grpc"
TRANSPORT_FACTOR = 2
"""Messages up to this many times the limit are read, to be answered here."""
INFLATE_INLINE_BYTES = 256 << 10
"""Larger compressed messages are opened in a thread."""
MIN_PING_INTERVAL_SECONDS = 1.0
"""Ten seconds are common, and grpc-go allows nothing below; an interval equal to theirs would be undercut by jitter."""
KEEPALIVE_SECONDS = 60.0


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

    def __init__(
        self,
        options: Options,
        ingest: Ingest,
        credentials: Credentials,
        telemetry: Telemetry,
        transport: BuildTransport | None = None,
    ) -> None:
        """`transport`: the one of the native core where it is installed, else grpcio's."""
        del telemetry  # the ingest counts what is to be counted here
        self._options = options
        self._ingest = ingest
        self._credentials = credentials
        self._build = transport
        self._transport: Transport | None = None
        self.port = options.port
        """The port that is listened on (of use where the option was 0)."""

    async def start(self) -> None:
        """Bind and begin to answer. Raises `ConfigError` if the address cannot be had."""
        o = self._options
        self._credentials.warn_if_open(self.name, o.host)
        options = ServerOptions(
            host=o.host,
            port=o.port,
            max_wire_bytes=o.max_message_bytes * TRANSPORT_FACTOR,
            max_concurrent_streams=o.max_concurrent_streams,
            min_ping_interval=MIN_PING_INTERVAL_SECONDS,
            keepalive_seconds=KEEPALIVE_SECONDS,
            methods=METHODS,
        )
        build = self._build or default_transport()
        transport = build(options, self._answer, self._ingest, self._credentials)
        await transport.start()
        self._transport = transport
        self.port = transport.port

    async def stop(self, grace: float) -> None:
        """Take no more requests; wait for those in flight at most `grace` seconds, then cancel them."""
        if self._transport is not None:
            await self._transport.stop(grace)
            self._transport = None

    async def _answer(self, call: Call) -> Outcome:
        async def read(reservation: Reservation) -> bytes:
            if self._credentials.asks_token:
                self._credentials.check(call.authorization)
            if call.overloaded:
                raise self._ingest.overloaded()
            if call.message is None:
                raise Refused(replies.invalid("the request ended before a whole message"))
            reservation.grow(len(call.message))
            body = await self._open(call.message, call.coding)
            reservation.grow(len(body))
            return body

        return await self._ingest.receive(self.name, call.signal, PROTOBUF, read, call.exchange)

    async def _open(self, message: bytes, coding: Coding | None) -> bytes:
        limit = self._options.max_message_bytes
        if coding is None:
            if len(message) > limit:
                raise TooLarge(f"request of {len(message)} bytes is over the limit of {limit} bytes")
            return message
        if len(message) > INFLATE_INLINE_BYTES:
            return await self._ingest.in_thread(compression.inflate, message, coding, limit)
        return compression.inflate(message, coding, limit)


def default_transport() -> BuildTransport:
    """The transport that this installation has; the other one is not imported."""
    if has_native_core():
        from sidecar.receive.grpc_native import NativeTransport

        return NativeTransport
    from sidecar.receive.grpc_aio import AioTransport

    return AioTransport
