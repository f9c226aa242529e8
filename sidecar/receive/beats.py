"""Events of Filebeat and the other Beats, as they send them to Logstash: lumberjack, version 2.

A window is acknowledged after its commit and not before, so that a Beat sends again whatever is not kept. While a
commit waits, the Beat is told that its window is in work (an acknowledgement of 0), as Logstash's beats input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncGenerator, Sequence
from typing import Self

import structlog
from pydantic import Field, model_validator

from sidecar.decode.protocols.lumberjack import Batch, BatchReader, Limits, ack_frame
from sidecar.errors import ConfigError, DecodeError, Overloaded, TooLarge
from sidecar.loopback import is_loopback
from sidecar.options import Duration, Size
from sidecar.receive.acknowledgements import Exchange
from sidecar.receive.credentials import Credentials
from sidecar.receive.encodings import NDJSON, PYTHON_INLINE_BYTES
from sidecar.receive.ingest import Ingest, Reservation
from sidecar.receive.receiver import Listener, ReceiverOptions
from sidecar.telemetry import Telemetry

NAME = "lumberjack"
READ_BYTES = 64 << 10
FEED_INLINE_BYTES = 256 << 10
"""A connection that holds more has its bytes read in a thread: there may be as much to inflate."""
BUSY_SECONDS = 5.0
"""Between two words to a Beat that waits; Beats give up after 30 s without any."""

_METADATA = "@metadata"
"""What a Beat says of itself to Logstash, which does not deliver it either."""
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

log = structlog.get_logger("sidecar.receive")


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
    """Events as lines of JSON, each without `@metadata` and with its members in order: a Beat writes them anew, and in
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
        self._credentials = credentials
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._keeping: set[asyncio.Task[None]] = set()
        """Those of the connections that have a window in hand."""
        self._stopping = False
        self.port = options.port or 0
        """The port that is listened on (of use where the option was 0)."""

    async def start(self) -> None:
        """Bind and begin to read. Raises `ConfigError` if that cannot be."""
        o = self._options
        tls = self._credentials.ssl_context()
        by_certificate = tls is not None and tls.verify_mode is ssl.CERT_REQUIRED
        if self._credentials.asks_token and not by_certificate and not is_loopback(o.host):
            raise ConfigError(
                [
                    f"receive.{NAME}: a token is asked for, and Beats cannot send one: listen on 127.0.0.1, or set "
                    "receive.tls.ca_file"
                ]
            )
        self._credentials.warn_if_open(self.name, o.host)
        try:
            self._server = await asyncio.start_server(self._accept, o.host, self.port, limit=READ_BYTES, ssl=tls)
        except (OSError, UnicodeError) as error:
            place = f"{o.host}:{self.port}"
            reason = getattr(error, "strerror", None) or error
            raise ConfigError([f"receive.{NAME}: cannot listen on {place}: {reason}"]) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self, grace: float) -> None:
        """Read no more; wait for windows in hand at most `grace` seconds. What is not acknowledged comes again, and not
        always to this instance, which alone would recognise it."""
        if self._server is None:
            return
        self._server.close()
        self._stopping = True
        for task in self._connections - self._keeping:
            task.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=grace)
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=1.0)
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._stopping or len(self._connections) >= self._options.max_connections:
            log.warning("too_many_connections", receiver=NAME, most=len(self._connections))
            writer.close()
            return
        self._connections.add(task)
        reservation = Reservation(self._ingest)
        try:
            async with contextlib.aclosing(self._batches(reader, reservation)) as batches:
                async for batch in batches:
                    self._keeping.add(task)
                    await self._keep(batch, writer, Exchange(task, retries=True))
                    self._keeping.discard(task)
        except (DecodeError, TooLarge, Overloaded) as error:
            log.warning("connection_closed", receiver=NAME, reason=str(error))
        except TimeoutError:
            log.info("connection_idle", receiver=NAME)
        except OSError as error:
            log.info("connection_lost", receiver=NAME, error=str(error))
        except asyncio.CancelledError:
            # The task is the stream server's: nobody waits for it, and it is over.
            if not self._stopping:
                raise
        finally:
            reservation.release()
            self._connections.discard(task)
            self._keeping.discard(task)
            writer.close()

    async def _batches(self, reader: asyncio.StreamReader, reservation: Reservation) -> AsyncGenerator[Batch, None]:
        """The windows of a connection, until it ends or the program does."""
        o = self._options
        frames = BatchReader(Limits(o.max_window, o.max_window_bytes, o.max_window_bytes))
        while data := await asyncio.wait_for(reader.read(READ_BYTES), o.idle_timeout):
            # Raises Overloaded: to wait with half a window in hand could make all connections wait for each other.
            reservation.grow(frames.held + len(data))
            if frames.held > FEED_INLINE_BYTES:
                batches = await self._ingest.in_thread(frames.feed, data)
            else:
                batches = frames.feed(data)
            if batches:
                reservation.release()
            for batch in batches:
                yield batch
                if self._stopping:
                    return

    async def _keep(self, batch: Batch, writer: asyncio.StreamWriter, exchange: Exchange) -> None:
        """Acknowledge the window once it is kept; tell the Beat meanwhile that it is in work."""
        kept = asyncio.ensure_future(self._until_kept(batch.documents, exchange))
        try:
            while not (await asyncio.wait([kept], timeout=BUSY_SECONDS))[0]:
                writer.write(ack_frame(0))
                await writer.drain()
            kept.result()
        finally:
            kept.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await kept
        writer.write(ack_frame(batch.sequence))
        await writer.drain()

    async def _until_kept(self, documents: Sequence[bytes], exchange: Exchange) -> None:
        if sum(map(len, documents)) > PYTHON_INLINE_BYTES:
            body = await self._ingest.in_thread(lines, documents)
        else:
            body = lines(documents)
        # What is refused for good is acknowledged too, and counted: a Beat would send it again for ever.
        await self._ingest.keep(NAME, body, NDJSON, exchange)
