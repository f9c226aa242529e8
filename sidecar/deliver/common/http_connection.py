"""A request and its reply over a connection, bounded in time as a whole."""

from __future__ import annotations

import select
import socket
import ssl

from sidecar.deliver.common.connecting import seconds_left
from sidecar.deliver.common.http_reply import ReplyReader

_CHUNK = 1 << 16
_JOINED = 1 << 14
"""Bytes of a body that are sent with the head at once."""

Closed = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""A connection ended."""


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
        _wait(connection, select.POLLIN, deadline)
        _receive(connection, reply, deadline)
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


def _receive(connection: socket.socket, reply: ReplyReader, deadline: float) -> None:
    """Read what has come. A record of TLS fits in: nothing of one is left where the poll does not see it."""
    try:
        data = connection.recv(_CHUNK)
    except (BlockingIOError, ssl.SSLWantReadError):
        return
    except ssl.SSLWantWriteError:
        _wait(connection, select.POLLOUT, deadline)
        return
    if data:
        reply.feed(data)
    else:
        reply.end()


def _wait(connection: socket.socket, events: int, deadline: float) -> int:
    poll = select.poll()
    poll.register(connection, events)
    ready = poll.poll(seconds_left(deadline) * 1000)
    if not ready:
        raise TimeoutError("it did not end within the time-out")
    return ready[0][1]
