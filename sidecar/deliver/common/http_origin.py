"""HTTP/1.1 to one server over kept connections; a request is bounded in time as a whole, its reply in size.

Imported only where requests are made, for the parser. Why not a library that does it all: docs/decisions/006.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools

from sidecar.deliver.common.http import Unreached
from sidecar.deliver.common.tls import client_context
from sidecar.deliver.retry import parse_retry_after
from sidecar.errors import Permanent
from sidecar.options import ClientTls

_CHUNK = 1 << 16
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    retry_after: float | None
    """Seconds."""


class HttpOrigin:
    """A server, and the connections to it. Proxies of the environment are not asked, redirects are not followed. Used
    from several threads."""

    def __init__(self, url: str, tls: ClientTls, timeout: float, kept: int, max_reply_bytes: int) -> None:
        """`url`: its scheme, host and port; `timeout`: seconds of a whole request; `kept`: connections that stay open
        between requests. Opens none. Raises `Permanent` where a file of the connection cannot be used."""
        parts = urlsplit(url)
        self._netloc = parts.netloc
        self._address = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
        self._context = _context(tls) if parts.scheme == "https" else None
        self._server_name = tls.server_name or self._address[0]
        self._timeout, self._most_kept, self._max_reply_bytes = timeout, kept, max_reply_bytes
        self._kept: list[socket.socket] = []
        self._closed = False

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send one request and wait for the end of its reply. Raises `Unreached` (`timeout`, `tls`, `too_large`,
        `unreachable`) where there was none; the request may have been carried out nevertheless."""
        head = _head(method, target, {"host": self._netloc, "accept-encoding": "identity", **headers}, body)
        deadline = time.monotonic() + self._timeout
        try:
            connection = self._idle() or self._connect()
            try:
                return self._exchange(connection, head, body or b"", method == "HEAD", deadline)
            except BaseException:
                connection.close()
                raise
        except ssl.SSLError as error:
            raise Unreached("tls", f"{self._netloc}: {error}") from error
        except TimeoutError as error:
            raise Unreached("timeout", f"{self._netloc}: {error}") from error
        except (OSError, UnicodeError, httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise Unreached("unreachable", f"{self._netloc}: {error}") from error

    def close(self) -> None:
        """Close the connections that are not in use, and the others when they are not any more."""
        self._closed = True
        while (connection := self._idle()) is not None:
            connection.close()

    def _idle(self) -> socket.socket | None:
        """The connection that was used last and that the server has not closed since."""
        while self._kept:
            try:
                connection = self._kept.pop()
            except IndexError:  # Another thread was faster.
                return None
            if not _is_readable(connection):
                return connection
            connection.close()
        return None

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(self._address, self._timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is None:
            return connection
        return self._context.wrap_socket(connection, server_hostname=self._server_name)

    def _exchange(
        self, connection: socket.socket, head: bytes, body: bytes, headers_only: bool, deadline: float
    ) -> Answer:
        try:
            _send(connection, head, deadline)
            _send(connection, body, deadline)
            sent = True
        except (BrokenPipeError, ConnectionResetError):  # It may have said why before it closed the connection.
            sent = False
        reply = _Reply()
        parser = httptools.HttpResponseParser(reply)
        ended = False
        while not (reply.whole or (headers_only and reply.headed) or ended):
            _set_timeout(connection, deadline)
            data = connection.recv(_CHUNK)
            if data:
                parser.feed_data(data)
            elif reply.headed and not reply.announces_end:
                ended = True
            else:
                raise ConnectionError("the connection was closed before the end of the reply")
            if len(reply.body) > self._max_reply_bytes:
                raise Unreached("too_large", f"{self._netloc}: reply of more than {self._max_reply_bytes} bytes")
            if reply.headed and parser.get_status_code() < 200:  # Not the reply yet.
                reply.on_message_begin()
        keeps = parser.get_http_version() == "1.1" and reply.headers.get("connection", "").lower() != "close"
        if sent and keeps and not ended and not self._closed and len(self._kept) < self._most_kept:
            self._kept.append(connection)
        else:
            connection.close()
        retry_after = parse_retry_after(reply.headers.get("retry-after"), time.time())
        return Answer(parser.get_status_code(), reply.headers, bytes(reply.body), retry_after)


class _Reply:
    """What the parser finds in a reply; it calls these by their names."""

    def __init__(self) -> None:
        self.on_message_begin()

    def on_message_begin(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.headed = self.whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.headed = True

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.whole = True

    @property
    def announces_end(self) -> bool:
        """Whether the headers say where the body ends; otherwise it does with the connection."""
        return "content-length" in self.headers or "transfer-encoding" in self.headers


def _context(tls: ClientTls) -> ssl.SSLContext:
    try:
        return client_context(tls)
    except OSError as error:  # ssl.SSLError is one
        raise Permanent(f"files of the TLS connection cannot be used: {error}") from error


def _head(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None or method in ("POST", "PUT"):
        lines.append(f"content-length: {len(body or b'')}")
    head = "\r\n".join([*lines, "", ""])
    if head.count("\n") != len(lines) + 1 or head.count("\r") != len(lines) + 1:
        raise ValueError("a line break in the headers of a request")
    return head.encode("latin-1")


def _set_timeout(connection: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the reply did not end within the time-out")
    connection.settimeout(left)


def _send(connection: socket.socket, data: bytes, deadline: float) -> None:
    """Not `sendall`: that of TLS begins its time-out again with every 16 KiB."""
    left = memoryview(data)
    while left:
        _set_timeout(connection, deadline)
        left = left[connection.send(left) :]


def _is_readable(connection: socket.socket) -> bool:
    """Whether something came that no request asked for: mostly the end."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
