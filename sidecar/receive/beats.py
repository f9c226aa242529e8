"""Events of Filebeat and the other Beats, as they send them to Logstash: lumberjack, version 2.

A window is acknowledged after its commit and not before, so that a Beat sends again whatever is not stored. While a
commit waits, the Beat gets word that its window is in work (an acknowledgement of 0), as Logstash's beats input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Self

from pydantic import Field, model_validator

from sidecar.decode.protocols.lumberjack import Batch, BatchReader, Limits, ack_frame
from sidecar.options import Duration, Size
from sidecar.receive.acknowledgements import Exchange
from sidecar.receive.credentials import Credentials
from sidecar.receive.encodings import NDJSON, PYTHON_INLINE_BYTES
from sidecar.receive.ingest import Ingest, Reservation
from sidecar.receive.receiver import Listener, ReceiverOptions
from sidecar.receive.tcp_server import Connection, StreamProtocol, TcpServer
from sidecar.telemetry import Telemetry

NAME = "lumberjack"
READ_BYTES = 64 << 10
FEED_INLINE_BYTES = 256 << 10
"""A connection that holds more has its bytes read in a thread: there may be as much to inflate."""
BUSY_SECONDS = 5.0
"""Between two acknowledgements of 0 to a Beat that waits; Beats give up after 30 s without any."""

_METADATA = "@metadata"
"""What a Beat says of itself to Logstash, which does not deliver it either."""
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Options(ReceiverOptions):
    """Events of Beats (lumberjack, version 2)."""

    enabled: bool | None = Field(
        None, description="Whether to listen for events of Beats. Default: where `port` is set."
    )
    host: str = Field(
        "127.0.0.1", description="Address to listen on. The containers of a pod share the loopback interface."
    )
    port: int | None = Field(
        None, ge=0, le=65535, description="Port to listen on, 5044 by convention. 0 picks a free one."
    )
    max_connections: int = Field(128, ge=1, description="Connections at once; further ones are closed.")
    max_window: int = Field(16384, ge=1, le=100_000, description="Most events in a window (a Beat's `bulk_max_size`).")
    max_window_bytes: Size = Field(
        16 << 20,
        ge=64 << 10,
        le=64 << 20,
        description="Maximum size of a window's events, decompressed. A connection that sends more is closed.",
    )
    idle_timeout: Duration = Field(
        300.0, gt=0, le=86400, description="Time without a byte after which a connection is closed."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.enabled and self.port is None:
            raise ValueError("port is missing: enabled needs one, such as 5044")
        return self

    @property
    def switched_on(self) -> bool:
        return self.port is not None if self.enabled is None else self.enabled

    def listeners(self) -> tuple[Listener, ...]:
        return (Listener(self.host, self.port),) if self.port is not None else ()


def lines(documents: Sequence[bytes]) -> bytes:
    """Events as lines of JSON, each without `@metadata` and with its members in order: a Beat writes them again, and in
    another order, when it sends them again, and they have to be recognised."""
    return b"".join(_line(document) + b"\n" for document in documents)


def _line(document: bytes) -> bytes:
    try:
        event = json.loads(document.decode())
        if isinstance(event, dict):
            event.pop(_METADATA, None)
            return _encode(event).encode()
    except (ValueError, RecursionError):
        pass  # Not an event, or not one that can be written again as it is: the rules for lines decide about it.
    return document.replace(b"\n", b" ")


class LumberjackReceiver:
    """A server in the running event loop."""

    name = NAME

    def __init__(self, options: Options, ingest: Ingest, credentials: Credentials, telemetry: Telemetry) -> None:
        self._options = options
        self._ingest = ingest
        protocol = StreamProtocol(NAME, "the protocol of Beats", self._serve, READ_BYTES)
        listener = Listener(options.host, options.port or 0)
        self.server = TcpServer(protocol, listener, options.max_connections, credentials, telemetry)

    @property
    def port(self) -> int:
        """The port that is listened on (of use where the option was 0)."""
        return self.server.port

    async def start(self) -> None:
        """Bind and begin to read. Raises `ConfigError` if that cannot be."""
        await self.server.start()

    async def stop(self, grace: float) -> None:
        """Read no more; wait for windows in flight at most `grace` seconds. What is not acknowledged comes again, and
        not always to this instance, which alone would recognise it."""
        await self.server.stop(grace)

    async def _serve(self, connection: Connection) -> None:
        reservation = Reservation(self._ingest)
        try:
            async with contextlib.aclosing(self._batches(connection, reservation)) as batches:
                async for batch in batches:
                    with connection.storing():
                        await self._store(batch, connection.writer, Exchange(connection, retries=True))
        finally:
            reservation.release()

    async def _batches(self, connection: Connection, reservation: Reservation) -> AsyncGenerator[Batch, None]:
        """The windows of a connection, until it ends or the program does."""
        o = self._options
        frames = BatchReader(Limits(o.max_window, o.max_window_bytes, o.max_window_bytes))
        while data := await asyncio.wait_for(connection.reader.read(READ_BYTES), o.idle_timeout):
            # Raises Overloaded: to wait with half a window in flight could make all connections wait for each other.
            reservation.grow(frames.held + len(data))
            if frames.held > FEED_INLINE_BYTES:
                batches = await self._ingest.in_thread(frames.feed, data)
            else:
                batches = frames.feed(data)
            if batches:
                reservation.release()
            for batch in batches:
                yield batch
                if connection.ending:
                    return

    async def _store(self, batch: Batch, writer: asyncio.StreamWriter, exchange: Exchange) -> None:
        """Acknowledge the window once it is stored; say meanwhile that it is in work."""
        stored = asyncio.ensure_future(self._until_stored(batch.documents, exchange))
        try:
            while not (await asyncio.wait([stored], timeout=BUSY_SECONDS))[0]:
                writer.write(ack_frame(0))
                await writer.drain()
            stored.result()
        finally:
            stored.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await stored
        writer.write(ack_frame(batch.sequence))
        await writer.drain()

    async def _until_stored(self, documents: Sequence[bytes], exchange: Exchange) -> None:
        if sum(map(len, documents)) > PYTHON_INLINE_BYTES:
            body = await self._ingest.in_thread(lines, documents)
        else:
            body = lines(documents)
        # What is refused for good is acknowledged too, and counted: a Beat would send it again for ever.
        await self._ingest.keep(NAME, body, NDJSON, exchange)
