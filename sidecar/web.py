"""An ASGI application on a port, in the running event loop: what the ingest and the serve port have in common."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import re
import socket
import ssl
import sys
import termios
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any, Protocol

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sidecar.errors import ConfigError

CONNECTION = "sidecar.connection"
"""The extension of a request's scope that is its `Connection`."""
KEEP_ALIVE_SECONDS = 75
MAX_HEAD_BYTES = 64 << 10
"""Request line and headers; uvicorn itself would keep whatever is sent before a body begins."""
GATHERED_BYTES = 512 << 10
"""Of a body are handed over at once, where as many come: each part goes through every layer of an application."""
_SMALL_BYTES = 4 << 10
_TICK_SECONDS = 0.2
"""While it shuts down, uvicorn looks at its flags ten times a second."""


class WebServer:
    """uvicorn without signal handlers and access log."""

    def __init__(self, section: str, app: Any, host: str, port: int) -> None:
        self._section, self._app, self._host = section, app, host
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = port
        """The port that is listened on (of use where 0 was asked for)."""

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Bind and begin to answer. Raises `ConfigError` if the address cannot be had."""
        config = uvicorn.Config(
            _OneSpelling(self._app),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        config.load()
        config.ssl = tls
        listener = listen(self._section, self._host, self.port)
        self.port = int(listener.getsockname()[1])
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name=self._section)
        await self._server.listening.wait()

    async def stop(self, grace: float) -> None:
        """Take no more requests; wait for those in flight at most `grace` seconds, then cancel them."""
        if self._server is None or self._task is None:
            return
        self._server.exit()
        done, _ = await asyncio.wait([self._task], timeout=grace + _TICK_SECONDS)
        if not done:
            self._server.force_exit = True
        await self._task
        self._server = self._task = None


def listen(section: str, host: str, port: int) -> socket.socket:
    """A socket that is bound, not listening yet; of `::`, it takes connections over IPv4 too. Raises `ConfigError` if
    the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, because asyncio switches Nagle's algorithm off only for sockets that name it: with it, a
    # reply's body would wait 40 ms for the client to acknowledge the head.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((host, port))
    except (OSError, UnicodeError, TypeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigError([f"{section}: cannot listen on {host}:{port}: {reason}"]) from error
    listener.setblocking(False)
    return listener


class Deferred:
    """An application that its first request makes, in a thread: what it imports takes no memory, and no time at start,
    in a program that is never asked for it."""

    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        self._build = build
        self._app: ASGIApp | None = None
        self._making: asyncio.Task[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            if self._making is None or self._making.done():
                self._making = asyncio.create_task(asyncio.to_thread(self._build))
            # A client that goes away does not cancel what others wait for.
            self._app = await asyncio.shield(self._making)
        await self._app(scope, receive, send)


class _OneSpelling:
    """`/v1/traces/` and `//v1/traces` are `/v1/traces`: addresses are joined with a slash too many, and a redirect (the
    frameworks' answer) is followed by few clients that post."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _SLASHES.sub("/", scope.get("path", "/"))
        if len(path) > 1:
            path = path.removesuffix("/")
        await self._app({**scope, "path": path} if path != scope.get("path") else scope, receive, send)


_SLASHES = re.compile("/{2,}")


class Reply(Protocol):
    """What wants to know whether a reply has arrived."""

    answered_at: float | None
    """When it was written; None while it is not."""

    def arrive(self) -> None:
        """The client has it."""

    def closed(self, whole: bool) -> None:
        """The connection has ended; `whole` where all that was written seems to have been read."""


class Connection:
    """What is known of a client's connection, and so of the replies on it.

    A further request on it comes from a client that has the former reply. A connection that the client closes when its
    TCP has taken the whole reply was closed by a client that has read it: with unread bytes, or before they came, the
    operating system would have reset it, or not acknowledged them.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._replies: list[Reply] = []
        self._closed = False

    def made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def watch(self, reply: Reply) -> None:
        """Report to `reply` whether it arrives."""
        if self._closed:
            reply.closed(whole=False)
        else:
            self._replies.append(reply)

    def used_again(self) -> None:
        """A request begins."""
        for reply in [r for r in self._replies if r.answered_at is not None]:
            self._replies.remove(reply)
            reply.arrive()

    def ended(self, whole: bool) -> None:
        """There will be no more of the connection. Harmless if repeated."""
        self._closed = True
        replies, self._replies = self._replies, []
        for reply in replies:
            reply.closed(whole)

    def backlog(self) -> int:
        """Bytes written that the peer's TCP has not acknowledged; 0 where the system does not say."""
        if self._transport is None:
            return 0
        pending = self._transport.get_write_buffer_size()
        accepted = self._transport.get_extra_info("socket")
        if accepted is None or accepted.fileno() < 0:
            return pending
        with contextlib.suppress(OSError):
            sent = fcntl.ioctl(accepted.fileno(), termios.TIOCOUTQ, bytes(4))
            pending += int.from_bytes(sent, sys.byteorder)
        return pending


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which ends a connection whose request head is too large (431), makes the Date header when a
    request comes, and lets the application follow what becomes of its replies."""

    _head = -1
    """Bytes of the head received so far, give or take the data it came with; -1 outside of a head."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self._connection = Connection()
        self._connection.made(transport)
        super().connection_made(transport)

    def eof_received(self) -> None:
        self._connection.ended(whole=self._connection.backlog() == 0)
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        # Where it was closed from here, what was written is still on its way: nothing speaks against its arrival.
        self._connection.ended(whole=exc is None)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._head = 0
        self._parts: list[bytes | bytearray] = []
        self.server_state.default_headers = _date_header(int(time.time()))
        super().on_message_begin()
        self._connection.used_again()
        self.scope["extensions"] = {CONNECTION: self._connection}  # type: ignore[dict-item]  # one of our own

    def on_headers_complete(self) -> None:
        self._head = -1
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """uvicorn's own hands over whatever has come, and pauses at 64 KiB. A body of unknown length is left to it: the
        application can reserve nothing for that before it has a part."""
        if not any(name == b"content-length" for name, _ in self.headers):
            super().on_body(body)
        elif not self.cycle.response_complete:
            _gather(self._parts, body)
            if sum(map(len, self._parts)) >= GATHERED_BYTES:
                self.flow.pause_reading()
                self._hand_over()
                self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._hand_over()
        super().on_message_complete()

    def _hand_over(self) -> None:
        """One copy of what was gathered. The cycle makes `bytes` of its body, which copies none of `bytes`."""
        if self._parts:
            self.cycle.body = b"".join([self.cycle.body, *self._parts])  # type: ignore[assignment]  # a bytearray there
            self._parts = []

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head >= 0:
            self._head += len(data)
            if self._head > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_HEAD_TOO_LARGE)
                self.transport.close()


def _gather(parts: list[bytes | bytearray], part: bytes) -> None:
    """Add a part. Small ones are put together: as objects of their own they would take many times their size."""
    last = parts[-1] if parts else b""
    if len(part) >= _SMALL_BYTES:
        parts.append(part)
    elif isinstance(last, bytearray):
        last += part
    else:
        parts.append(bytearray(part))


@functools.lru_cache(maxsize=1)
def _date_header(second: int) -> list[tuple[bytes, bytes]]:
    return [(b"date", formatdate(second, usegmt=True).encode())]


_HEAD_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._exit = asyncio.Event()

    def exit(self) -> None:
        """Begin to shut down."""
        self.should_exit = True
        self._exit.set()

    async def main_loop(self) -> None:
        """Sleep until the end. uvicorn's own loop wakes up ten times a second to look at flags that nobody sets here
        and to make the Date header, which is most of what an idle program would do."""
        await self._exit.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stopping is the program's business."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()
