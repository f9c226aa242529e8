"""JSON lines over TCP or a Unix socket, as clients of Logstash's tcp input send them.

The protocol has no replies: a client never learns what became of a line. So nothing is taken for a resend, a journal
that is full makes the client wait (its socket is not read), and what is in flight when the program stops is counted as
dropped where it could not be stored.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog
from pydantic import Field

from sidecar.decode.logs.byte_order import is_utf16
from sidecar.decode.logs.line_splitter import LineSplitter
from sidecar.options import Duration
from sidecar.receive.credentials import Credentials
from sidecar.receive.encodings import LINES
from sidecar.receive.ingest import Ingest
from sidecar.receive.receiver import Listener, ReceiverOptions
from sidecar.receive.tcp_server import Connection, StreamProtocol, TcpServer
from sidecar.telemetry import Telemetry

NAME = "json_tcp"
READ_BYTES = 256 << 10
DRAIN_SECONDS = 0.5
"""For which what was sent already is still read when the program stops."""

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


class JsonTcpReceiver:
    """A server in the running event loop."""

    name = NAME

    def __init__(self, options: Options, ingest: Ingest, credentials: Credentials, telemetry: Telemetry) -> None:
        self._batch_delay = options.batch_delay
        self._ingest = ingest
        self._lost: Counter[str] = Counter()
        """reason -> lines"""
        protocol = StreamProtocol(NAME, "JSON lines over TCP", self._serve, READ_BYTES, DRAIN_SECONDS)
        (listener,) = options.listeners()
        self.server = TcpServer(protocol, listener, options.max_connections, credentials, telemetry)
        telemetry.watch("sidecar_dropped_items_total", self._dropped)

    @property
    def port(self) -> int:
        """The port that is listened on (of use where the option was 0); 0 for a Unix socket."""
        return self.server.port

    async def start(self) -> None:
        """Bind and begin to read. Raises `ConfigError` if that cannot be."""
        await self.server.start()

    async def stop(self, grace: float) -> None:
        """Read no more but what was sent already; wait for its commit at most `grace` seconds."""
        await self.server.stop(grace)

    async def _serve(self, connection: Connection) -> None:
        splitter, begun = LineSplitter(), False
        try:
            while not connection.ending and (data := await connection.reader.read(READ_BYTES)):
                if not begun and is_utf16(data):
                    log.warning("encoding_not_utf8", receiver=NAME)
                begun = True
                if body := splitter.feed(data):
                    await self._store(connection, body)
                if len(data) < READ_BYTES // 8:
                    await asyncio.sleep(self._batch_delay)
            if not connection.ending and (body := splitter.finish()):
                await self._store(connection, body)
        finally:
            if splitter.finish():  # The client does not know that it has to send this line again.
                self._lost["stopping" if connection.ending else "connection_lost"] += 1

    async def _store(self, connection: Connection, body: bytes) -> None:
        """Until it is stored; the client waits meanwhile."""
        try:
            with connection.storing():
                await self._ingest.keep(NAME, body, LINES)
        except asyncio.CancelledError:
            self._lost["stopping"] += body.count(b"\n")
            raise

    def _dropped(self) -> Iterator[tuple[float, Mapping[str, str]]]:
        for reason, lines in list(self._lost.items()):
            yield lines, {"stage": NAME, "reason": reason}
