"""JSON lines over TCP or a Unix socket, as clients of Logstash's tcp input send them.

The protocol has no replies: a client never learns what became of a line. So nothing is taken for a resend, a journal
that is full makes the client wait (its socket is not read), and what is in hand when the program stops is counted as
dropped where it could not be kept.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog
from pydantic import Field

from sidecar.decode.logs.byte_order import is_utf16
from sidecar.decode.otlp.limits import MAX_LINE_BYTES
from sidecar.errors import ConfigError
from sidecar.loopback import is_loopback
from sidecar.options import Duration
from sidecar.receive.credentials import Credentials
from sidecar.receive.encodings import LINES
from sidecar.receive.ingest import Ingest
from sidecar.receive.receiver import Listener, ReceiverOptions
from sidecar.telemetry import Telemetry

NAME = "json_tcp"
READ_BYTES = 256 << 10
CUT_BYTES = MAX_LINE_BYTES + 4
"""Of a line that is too long so much is handed on that it is seen to be too long."""

log = structlog.get_logger("sidecar.receive")


class Options(ReceiverOptions):
    """JSON lines over TCP or a Unix socket."""

    enabled: bool = Field(False, description="Whether to listen for JSON lines over TCP.")
    host: str = Field(
        "127.0.0.1", description="Address to listen on. The containers of a pod share the loopback interface."
    )
    port: int = Field(5170, ge=0, le=65535, description="Port to listen on. 0 picks a free one.")
    unix_socket: Path | None = Field(
        None, description="Path of a Unix socket to listen on instead of `host` and `port`; its group may write."
    )
    max_connections: int = Field(128, ge=1, description="Connections at once; further ones are closed.")
    batch_delay: Duration = Field(
        0.1, ge=0, description="Time after a small batch in which more lines of a connection are gathered."
    )

    def listeners(self) -> tuple[Listener, ...]:
        if self.unix_socket is not None:
            return (Listener(unix_socket=self.unix_socket),)
        return (Listener(self.host, self.port),)


class Splitter:
    """Bytes to whole lines. A line over the limit is given cut, the rest of it is left out."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> bytes:
        """The whole lines that are there now, each with its end."""
        if self._skipping:
            end = data.find(b"\n") + 1
            if not end:
                return b""
            self._skipping, data = False, data[end:]
        self._rest += data
        end = self._rest.rfind(b"\n") + 1
        body = bytes(self._rest[:end])
        del self._rest[:end]
        if len(self._rest) >= CUT_BYTES:
            body += self._rest[:CUT_BYTES] + b"\n"
            self._rest.clear()
            self._skipping = True
        return body

    def finish(self) -> bytes:
        """The last line, if it has no end."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest + b"\n" if rest else b""


class JsonTcpReceiver:
    """A server in the running event loop."""

    name = NAME

    def __init__(self, options: Options, ingest: Ingest, credentials: Credentials, telemetry: Telemetry) -> None:
        self._options = options
        self._ingest = ingest
        self._credentials = credentials
        self._telemetry = telemetry
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._lost = 0
        self.port = 0 if options.unix_socket else options.port
        """The port that is listened on (of use where the option was 0)."""
        telemetry.watch("sidecar_dropped_items_total", self._dropped)

    async def start(self) -> None:
        """Bind and begin to read. Raises `ConfigError` if that cannot be."""
        o = self._options
        tls = None if o.unix_socket else self._credentials.ssl_context()
        self._check_credentials(tls)
        place = str(o.unix_socket or f"{o.host}:{o.port}")
        try:
            if o.unix_socket is not None:
                self._server = await asyncio.start_unix_server(self._accept, o.unix_socket, limit=READ_BYTES)
                os.chmod(o.unix_socket, 0o660)
            else:
                self._credentials.warn_if_open(self.name, o.host)
                self._server = await asyncio.start_server(self._accept, o.host, o.port, limit=READ_BYTES, ssl=tls)
                self.port = self._server.sockets[0].getsockname()[1]
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError([f"receive.json_tcp: cannot listen on {place}: {reason}"]) from error

    def _check_credentials(self, tls: ssl.SSLContext | None) -> None:
        """A line has no place for a token."""
        by_certificate = tls is not None and tls.verify_mode is ssl.CERT_REQUIRED
        local = self._options.unix_socket is not None or is_loopback(self._options.host)
        if self._credentials.asks_token and not by_certificate and not local:
            raise ConfigError(
                [
                    "receive.json_tcp: a token is asked for, and JSON lines over TCP cannot carry one: listen on "
                    "127.0.0.1, or set receive.tls.ca_file"
                ]
            )

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._stopping or len(self._connections) >= self._options.max_connections:
            log.warning("too_many_connections", receiver=NAME, most=len(self._connections))
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._serve(reader)
        except OSError as error:
            log.info("connection_lost", receiver=NAME, error=str(error))
        except asyncio.CancelledError:
            # The task is the stream server's: nobody waits for it, and it is over.
            if not self._stopping:
                raise
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader) -> None:
        splitter, begun = Splitter(), False
        while data := await reader.read(READ_BYTES):
            if not begun and is_utf16(data):
                log.warning("encoding_not_utf8", receiver=NAME)
            begun = True
            if body := splitter.feed(data):
                await self._keep(body)
            if len(data) < READ_BYTES // 8:
                await asyncio.sleep(self._options.batch_delay)
        if body := splitter.finish():
            await self._keep(body)

    async def _keep(self, body: bytes) -> None:
        """Until it is kept; the client waits meanwhile."""
        try:
            await self._ingest.keep(NAME, body, LINES)
        except asyncio.CancelledError:
            self._lost += body.count(b"\n")
            raise

    def _dropped(self) -> Iterator[tuple[float, Mapping[str, str]]]:
        if self._lost:
            yield self._lost, {"stage": NAME, "reason": "stopping"}

    async def stop(self, grace: float) -> None:
        """Read no more; wait for what is in hand at most `grace` seconds."""
        if self._server is None:
            return
        self._server.close()
        self._stopping = True
        if self._connections:
            await asyncio.wait(self._connections, timeout=min(grace, 0.5))
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=grace)
        self._server = None
        if self._options.unix_socket is not None:
            self._options.unix_socket.unlink(missing_ok=True)
