"""The accept loop of the receivers whose clients hold a stream open, over TCP or a Unix socket.

What is the same for all of them is here: TLS, and no start where a token is asked for that such a client cannot send;
a bound on connections, and probes that end those whose peer has vanished; a stop that ends idle connections and waits
for those that are storing something; one log event and one counter for each connection that is closed from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import structlog

from sidecar.errors import ConfigError, DecodeError, Overloaded, TooLarge
from sidecar.loopback import is_loopback
from sidecar.receive.credentials import Credentials
from sidecar.receive.receiver import Listener
from sidecar.telemetry import Telemetry

HANDSHAKE_SECONDS = 15.0
"""For TLS; a connection counts among `max_connections` only after it."""
CANCEL_SECONDS = 1.0
"""For a connection that was cancelled to end."""
KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""A peer that does not answer for two minutes is gone. Linux asks after two hours by default."""

log = structlog.get_logger("sidecar.receive")


@dataclass(slots=True, eq=False)
class Connection:
    """One client's stream."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ending: bool = False
    """Nothing more is to be read of it."""
    _storing: bool = False

    @contextlib.contextmanager
    def storing(self) -> Iterator[None]:
        """A stop waits for what is done in here."""
        self._storing = True
        try:
            yield
        finally:
            self._storing = False

    @property
    def idle(self) -> bool:
        """A stop may end it now."""
        return not self._storing


@dataclass(frozen=True, slots=True)
class StreamProtocol:
    """What a receiver says of its protocol."""

    receiver: str
    clients: str
    """Who cannot send a token, for an error message."""
    serve: Callable[[Connection], Awaitable[None]]
    """Reads a connection until it ends or is `ending`. `DecodeError`, `TooLarge` and `Overloaded` close it, as do
    TimeoutError (nothing came) and OSError."""
    read_bytes: int
    """Read at once; the operating system is asked for no more while twice as much waits."""
    drain_seconds: float = 0.0
    """For how long a stop goes on reading: what came already, from clients that do not send it again."""


class TcpServer:
    """A server in the running event loop."""

    def __init__(
        self,
        protocol: StreamProtocol,
        listener: Listener,
        max_connections: int,
        credentials: Credentials,
        telemetry: Telemetry,
    ) -> None:
        self._protocol = protocol
        self._listener = listener
        self._max_connections = max_connections
        self._credentials = credentials
        self._telemetry = telemetry
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._stopping = False
        self._full = False
        """That there are too many connections is logged, and there has not been room since."""
        self.port = listener.port
        """The port that is listened on (of use where 0 was asked for)."""

    async def start(self) -> None:
        """Bind and begin to read. Raises `ConfigError` if that cannot be."""
        where, section = self._listener, f"receive.{self._protocol.receiver}"
        tls = None if where.unix_socket else self._credentials.ssl_context()
        self._check_token(section, tls)
        try:
            self._server = await self._bind(tls)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError([f"{section}: cannot listen on {where}: {reason}"]) from error

    async def _bind(self, tls: ssl.SSLContext | None) -> asyncio.Server:
        where, limit = self._listener, self._protocol.read_bytes
        if where.unix_socket is not None:
            server = await asyncio.start_unix_server(self.accept, where.unix_socket, limit=limit)
            os.chmod(where.unix_socket, 0o660)
            return server
        self._credentials.warn_if_open(self._protocol.receiver, where.host)
        handshake = HANDSHAKE_SECONDS if tls else None
        server = await asyncio.start_server(
            self.accept, where.host, where.port, limit=limit, ssl=tls, ssl_handshake_timeout=handshake
        )
        self.port = server.sockets[0].getsockname()[1]
        for listening in server.sockets:  # What is set here, connections have too.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEP_ALIVE.items():
                if hasattr(socket, option):  # Not every system has each of them.
                    listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        return server

    def _check_token(self, section: str, tls: ssl.SSLContext | None) -> None:
        by_certificate = tls is not None and tls.verify_mode is ssl.CERT_REQUIRED
        local = self._listener.unix_socket is not None or is_loopback(self._listener.host)
        if self._credentials.asks_token and not by_certificate and not local:
            raise ConfigError(
                [
                    f"{section}: a token is asked for, and {self._protocol.clients} cannot carry one: listen on "
                    "127.0.0.1, or set receive.tls.ca_file"
                ]
            )

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        task = asyncio.current_task()
        assert task is not None
        if self._stopping or len(self._open) >= self._max_connections:
            self._turn_off(writer)
            return
        self._open[task] = Connection(reader, writer)
        try:
            await self._serve(self._open[task])
        except asyncio.CancelledError:
            # The task is the stream server's: nobody waits for it, and it is over.
            if not self._stopping:
                raise
        finally:
            del self._open[task]
            self._full = False
            writer.close()

    def _turn_off(self, writer: asyncio.StreamWriter) -> None:
        self._closed("stopping" if self._stopping else "max_connections")
        if not self._full and not self._stopping:
            self._full = True
            log.warning("too_many_connections", receiver=self._protocol.receiver, most=len(self._open))
        writer.close()

    async def _serve(self, connection: Connection) -> None:
        receiver = self._protocol.receiver
        try:
            await self._protocol.serve(connection)
        except (DecodeError, TooLarge, Overloaded) as error:
            self._closed("overloaded" if isinstance(error, Overloaded) else "invalid")
            log.warning("connection_closed", receiver=receiver, reason=str(error))
        except TimeoutError:
            self._closed("idle")
            log.info("connection_idle", receiver=receiver)
        except OSError as error:
            log.info("connection_lost", receiver=receiver, error=str(error))
        except Exception:
            self._closed("internal")
            log.exception("connection_failed", receiver=receiver)

    def _closed(self, reason: str) -> None:
        self._telemetry.add(
            "sidecar_receiver_closed_connections_total", receiver=self._protocol.receiver, reason=reason
        )

    async def stop(self, grace: float) -> None:
        """Accept no more; wait at most `grace` seconds for connections that are storing something."""
        if self._server is None:
            return
        self._server.close()
        self._stopping = True
        if self._open and self._protocol.drain_seconds:
            await asyncio.wait(self._open, timeout=min(grace, self._protocol.drain_seconds))
        for task, connection in list(self._open.items()):
            connection.ending = True
            if connection.idle:
                task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=grace)
        for task in list(self._open):
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=CANCEL_SECONDS)
        self._server = None
        if self._listener.unix_socket is not None:
            self._listener.unix_socket.unlink(missing_ok=True)
