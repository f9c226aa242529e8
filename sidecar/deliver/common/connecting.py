"""Connections to servers, bounded in time as a whole."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable

CONNECT_SECONDS = 10.0
"""Longest wait for a connection and its TLS handshake, and never longer than the time-out."""
IDLE_SECONDS = 45.0
"""A connection that was idle for longer is not used again: Logstash closes one after 60 s, load balancers and firewalls
forget one after that or more, some of them without a word."""
_SHORTEST_TRY = 2.0
"""Seconds for each of several addresses of a host, where there are as many left."""


Prepare = Callable[[socket.socket, float], None]
"""Does what comes before TLS on a new connection, until a deadline."""


def as_it_is(connection: socket.socket, deadline: float) -> None:
    """Nothing comes before TLS."""


def connect(
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    server_name: str,
    deadline: float,
    prepare: Prepare = as_it_is,
) -> socket.socket:
    """A connection that does not block. Every address of the host is tried, each with its share of the time: one that
    does not answer leaves some for the next. Raises OSError (TimeoutError, ssl.SSLError) and ValueError."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        left = seconds_left(deadline)
        share = min(left, max(_SHORTEST_TRY, left / (len(addresses) - number)))
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(share)
            connection.connect(address)
            return _prepared(connection, context, server_name, deadline, prepare)
        except ssl.SSLError:
            raise
        except OSError:
            connection.close()
            if number == len(addresses) - 1:
                raise
    raise OSError(f"{host} has no address")


def _prepared(
    connection: socket.socket, context: ssl.SSLContext | None, server_name: str, deadline: float, prepare: Prepare
) -> socket.socket:
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        prepare(connection, deadline)
        connection.settimeout(seconds_left(deadline))
        if context is not None:
            connection = context.wrap_socket(connection, server_hostname=server_name)
        connection.settimeout(0)
    except BaseException:
        connection.close()
        raise
    return connection


def seconds_left(deadline: float) -> float:
    """Until a time of `time.monotonic`. Raises TimeoutError where there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it did not end within the time-out")
    return left
