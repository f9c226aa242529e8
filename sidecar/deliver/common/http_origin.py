"""HTTP/1.1 to one server over kept connections; a request is bounded in time as a whole, its reply in size.

Imported only where requests are made, for the parser. Why not a library that does it all: docs/decisions/006.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlsplit

from sidecar.deliver.common.connecting import CONNECT_SECONDS, IDLE_SECONDS, as_it_is, connect
from sidecar.deliver.common.http import Unreached
from sidecar.deliver.common.http_connection import Closed, exchange, is_open
from sidecar.deliver.common.http_reply import InvalidReply, ReplyReader, ReplyTooLarge
from sidecar.deliver.common.proxies import proxy_of
from sidecar.deliver.common.tls import client_context, made_of_files
from sidecar.deliver.retry import parse_retry_after
from sidecar.options import ClientTls

_DEFAULT_PORTS = {"http": 80, "https": 443}
_OF_URLS = "%!$&'()*+,/:;=?@[]~"
"""What stands in a path and query as it is, besides ASCII alphanumerics."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    retry_after: float | None
    """Seconds."""


class _Stale(Exception):
    """The server has closed a kept connection before it said anything to the request."""


class HttpOrigin:
    """A server, and the connections to it, through the environment's proxy where it names one. Redirects are not
    followed. Used from several threads."""

    def __init__(self, url: str, tls: ClientTls, timeout: float, kept: int, max_reply_bytes: int) -> None:
        """`url`: its scheme, host and port; `timeout`: seconds of a whole request; `kept`: connections that stay open
        between requests. Opens none. Raises `Permanent` where a file of the connection, or the proxy, cannot be
        used."""
        parts = urlsplit(url)
        self._host, self._port = (parts.hostname or "").replace("%25", "%"), parts.port or _DEFAULT_PORTS[parts.scheme]
        self._authority = _authority(self._host, parts.port)
        self._context = made_of_files(tls, lambda: client_context(tls)) if parts.scheme == "https" else None
        self._proxy = proxy_of(parts.scheme, self._host, self._port, os.environ)
        self._name = f"{self._authority} ({self._proxy})" if self._proxy else self._authority
        self._server_name = (tls.server_name or self._host.partition("%")[0]).rstrip(".")
        self._timeout, self._most_kept, self._max_reply_bytes = timeout, kept, max_reply_bytes
        self._kept: list[tuple[socket.socket, float]] = []
        """With the time at which each was used last."""
        self._closed = False

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send one request and wait for the end of its reply. Raises `Unreached` (`timeout`, `tls`, `too_large`,
        `unreachable`) where there was none; the request may have been carried out nevertheless. One to which a kept
        connection was closed without a word is sent again over a new one: the server closed it as it was idle."""
        if self._proxy and self._context is None:
            target, headers = f"http://{self._authority}{target}", {**self._proxy.headers, **headers}
        head = _head(method, target, {"host": self._authority, "accept-encoding": "identity", **headers}, body)
        reply = ReplyReader(method != "HEAD", self._max_reply_bytes)
        deadline = time.monotonic() + self._timeout
        try:
            kept = self._idle()
            if kept is not None:
                try:
                    return self._exchange(kept, head, body or b"", reply, deadline)
                except _Stale:
                    pass
            return self._exchange(self._connect(deadline), head, body or b"", reply, deadline)
        except ReplyTooLarge as error:
            raise Unreached("too_large", f"{self._name}: {error}") from error
        except ssl.SSLError as error:
            raise Unreached("tls", f"{self._name}: {error}") from error
        except TimeoutError as error:
            raise Unreached("timeout", f"{self._name}: {error}") from error
        except (OSError, InvalidReply, _Stale) as error:
            raise Unreached("unreachable", f"{self._name}: {error}") from error

    def close(self) -> None:
        """Close the connections that are not in use, and the others when they are not any more."""
        self._closed = True
        while (connection := self._idle()) is not None:
            connection.close()

    def _idle(self) -> socket.socket | None:
        """The connection that was used last and that the server has not closed since."""
        while self._kept:
            try:
                connection, since = self._kept.pop()
            except IndexError:  # Another thread was faster.
                return None
            if time.monotonic() - since < IDLE_SECONDS and is_open(connection):
                return connection
            connection.close()
        return None

    def _connect(self, deadline: float) -> socket.socket:
        began = time.monotonic()
        until = min(deadline, began + CONNECT_SECONDS)
        try:
            context = self._context.get() if self._context else None
            if self._proxy is None:
                return connect(self._host, self._port, context, self._server_name, until)
            far = _authority(self._host, self._port)
            through = partial(self._proxy.tunnel, far) if context else as_it_is
            return connect(self._proxy.host, self._proxy.port, context, self._server_name, until, through)
        except ssl.SSLError:
            raise
        except TimeoutError as error:  # Nothing was sent: another server may be asked.
            raise OSError(f"no connection within {until - began:.3g} s") from error
        except ValueError as error:  # Of a name that no resolver, or no certificate, can be asked for.
            raise OSError(str(error)) from error

    def _exchange(
        self, connection: socket.socket, head: bytes, body: bytes, reply: ReplyReader, deadline: float
    ) -> Answer:
        keeps = False
        try:
            keeps = exchange(connection, head, body, reply, deadline) and reply.keeps
        except (*Closed, InvalidReply) as error:
            if not reply.begun:
                raise _Stale("the connection was closed before a reply") from error
            raise InvalidReply(str(error)) from error
        finally:
            if keeps and not self._closed and len(self._kept) < self._most_kept:
                self._kept.append((connection, time.monotonic()))
            else:
                connection.close()
        if self._closed:
            self.close()  # Which may have looked before this connection was put there.
        retry_after = parse_retry_after(reply.headers.get("retry-after"), time.time())
        return Answer(reply.status, reply.headers, reply.body(), retry_after)


def _authority(host: str, port: int | None) -> str:
    """Value of the Host header: without the zone of an address, and a name as DNS has it."""
    if ":" in host:
        name = f"[{host.partition('%')[0]}]"
    else:
        try:
            name = host if host.isascii() else host.encode("idna").decode("ascii")
        except UnicodeError:  # No such name can be: connecting will say so.
            name = quote(host)
    return name if port is None else f"{name}:{port}"


def _head(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    lines = [
        f"{method} {quote(target, safe=_OF_URLS)} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if body is not None or method in ("POST", "PUT"):
        lines.append(f"content-length: {len(body or b'')}")
    head = "\r\n".join([*lines, "", ""])
    if head.count("\n") != len(lines) + 1 or head.count("\r") != len(lines) + 1:
        raise ValueError("a line break in the headers of a request")
    try:
        return head.encode("latin-1")
    except UnicodeEncodeError:
        # Not with it as the cause: it has the whole head, credentials included, which would be logged.
        raise ValueError("a character in the headers of a request that cannot be there") from None
