"""A connection to a server, and a request and its reply over it; each bounded in time as a whole."""

from __future__ import annotations

import select
import socket
import ssl
import time

from sidecar.deliver.common.http_reply import ReplyReader

_CHUNK = 1 << 16
_JOINED = 1 << 14
"""Bytes of a body that are sent with the head at once."""
_SHORTEST_TRY = 2.0
"""Seconds for each of several addresses of a host, where there are as many left."""

Closed = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""A connection ended."""


def connect(host: str, port: int, context: ssl.SSLContext | None, server_name: str, deadline: float) -> socket.socket:
    """A connection that does not block. Every address of the host is tried, each with its share of the time: one that
    does not answer leaves some for the next. Raises OSError (TimeoutError, ssl.SSLError) and ValueError."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        left = _left(deadline)
        share = min(left, max(_SHORTEST_TRY, left / (len(addresses) - number)))
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(share)
            connection.connect(address)
            return _prepared(connection, context, server_name, deadline)
        except ssl.SSLError:
            raise
        except OSError:
            connection.close()
            if number == len(addresses) - 1:
                raise
    raise OSError(f"{host} has no address")


def _prepared(
    connection: socket.socket, context: ssl.SSLContext | None, server_name: str, deadline: float
) -> socket.socket:
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.settimeout(_left(deadline))
        if context is not None:
            connection = context.wrap_socket(connection, server_hostname=server_name)
        connection.settimeout(0)
    except BaseException:
        connection.close()
        raise
    return connection


def is_open(connection: socket.socket) -> bool:
    """Whether the server has neither closed it nor sent what no request asked for."""
    try:
        connection.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):  # With TLS there may be what is not the application's.
        return True
    except OSError:
        pass
    return False


def exchange(connection: socket.socket, head: bytes, body: bytes, reply: ReplyReader, deadline: float) -> bool:
    """Send a request and read its reply. Whether all of the request was sent: a server may answer before it has it all,
    and close. Raises OSError (TimeoutError, ssl.SSLError) and as `ReplyReader.feed`."""
    parts = (head + body,) if len(body) <= _JOINED else (head, body)
    sent = all(_send(connection, memoryview(part), reply, deadline) for part in parts)
    while not reply.whole:
        if not _receive(connection, reply, deadline):
            _wait(connection, select.POLLIN, deadline)
    return sent


def _send(connection: socket.socket, data: memoryview, reply: ReplyReader, deadline: float) -> bool:
    """False where it is of no use to send the rest."""
    while data:
        wanted = select.POLLIN | select.POLLOUT
        try:
            data = data[connection.send(data) :]
            if not data or isinstance(connection, ssl.SSLSocket):  # Which takes a record at a time.
                continue
        except (BlockingIOError, ssl.SSLWantWriteError):
            pass
        except ssl.SSLWantReadError:
            wanted = select.POLLIN
        except Closed:  # It may have said why before it closed the connection.
            return False
        if _wait(connection, wanted, deadline) & ~select.POLLOUT:
            _receive(connection, reply, deadline)
        if reply.whole or reply.status >= 300:
            return False
    return True


def _receive(connection: socket.socket, reply: ReplyReader, deadline: float) -> bool:
    """Read what has come; False where nothing has."""
    _left(deadline)
    try:
        data = connection.recv(_CHUNK)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except ssl.SSLWantWriteError:
        _wait(connection, select.POLLOUT, deadline)
        return True
    if data:
        reply.feed(data)
    else:
        reply.end()
    return True


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it did not end within the time-out")
    return left


def _wait(connection: socket.socket, events: int, deadline: float) -> int:
    poll = select.poll()
    poll.register(connection, events)
    ready = poll.poll(_left(deadline) * 1000)
    if not ready:
        raise TimeoutError("it did not end within the time-out")
    return ready[0][1]
