"""Connections to lumberjack servers: sockets, TLS, time-outs. The protocol itself is in `lumberjack`."""

from __future__ import annotations

import contextlib
import select
import ssl
import threading
import time
from collections.abc import Callable, Sequence

from sidecar.decode.protocols.lumberjack import AckReader, Sending
from sidecar.deliver.common.connecting import CONNECT_SECONDS, IDLE_SECONDS, connect
from sidecar.deliver.common.http import Unreached
from sidecar.deliver.common.tls import client_context
from sidecar.errors import DecodeError
from sidecar.options import ClientTls

_CHUNK = 1 << 18


class Connection:
    """One connection. Used by one thread at a time."""

    def __init__(self, host: str, port: int, tls: ClientTls | None, timeout: float) -> None:
        """Connects. `timeout`: seconds without any progress after which a conversation is given up. Raises
        `Unreached` (`timeout`, `tls`, `unreachable`)."""
        self._timeout = timeout
        self.idle_since = time.monotonic()
        wait = min(timeout, CONNECT_SECONDS)
        name = ((tls and tls.server_name) or host).rstrip(".")
        try:
            context = client_context(tls) if tls is not None else None
        except OSError as error:
            raise Unreached("tls", str(error)) from error
        try:
            self._socket = connect(host, port, context, name, time.monotonic() + wait)
        except ssl.SSLError as error:
            raise Unreached("tls", str(error)) from error
        except TimeoutError as error:
            raise Unreached("timeout", f"no connection within {wait:g} s") from error
        except (OSError, ValueError) as error:  # ValueError: of a name that nothing can be asked for
            raise Unreached("unreachable", str(error)) from error

    def run(self, sending: Sending) -> None:
        """The conversation, until every document is acknowledged. Raises `Unreached` (`timeout`, `closed`, `tls`,
        `protocol`); `sending` knows what was acknowledged before that."""
        deadline = time.monotonic() + self._timeout
        while not sending.done:
            output = sending.output()
            written, starved = self._write(output[:_CHUNK]) if output else (0, False)
            sending.wrote(written)
            data = self._read()
            if data:
                self._understand(sending, data)
            if written or data:
                deadline = time.monotonic() + self._timeout
            else:
                self._wait(bool(output) and not starved, deadline)
        self.idle_since = time.monotonic()

    def usable(self) -> bool:
        """Whether the connection can be used again: not closed by the destination, not idle for long."""
        if time.monotonic() - self.idle_since > IDLE_SECONDS:
            return False
        acks = AckReader()
        try:
            while data := self._read():
                if any(acks.feed(data)):
                    return False
        except (Unreached, DecodeError):
            return False
        return True

    def close(self) -> None:
        """Close it at once."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _understand(self, sending: Sending, data: bytes) -> None:
        try:
            sending.received(data)
        except DecodeError as error:
            raise Unreached("protocol", str(error)) from error

    def _write(self, data: memoryview) -> tuple[int, bool]:
        """(bytes taken, whether there is nothing to do but read)."""
        try:
            return self._socket.send(data), False
        except (BlockingIOError, ssl.SSLWantWriteError):
            return 0, False
        except OSError:
            # TLS wants to read first, or the destination hung up: what it said before (an acknowledgement, an alert) is
            # still to be read, and reading will show it.
            return 0, True

    def _read(self) -> bytes:
        """What has arrived; empty if nothing has. Raises `Unreached` where the destination has hung up."""
        try:
            data = self._socket.recv(4096)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError) as error:
            raise Unreached("closed", str(error)) from error
        except ssl.SSLError as error:
            raise Unreached("tls", str(error)) from error
        except OSError as error:
            raise Unreached("closed", str(error)) from error
        if not data:
            raise Unreached("closed", "the destination closed the connection")
        return data

    def _wait(self, to_write: bool, deadline: float) -> None:
        left = deadline - time.monotonic()
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | (select.POLLOUT if to_write else 0))
        if left <= 0 or not poll.poll(left * 1000):
            raise Unreached("timeout", f"no progress for {self._timeout:g} s")


class Connections:
    """Connections to several hosts, kept open between conversations. Thread-safe."""

    def __init__(self, addresses: Sequence[tuple[str, int]], tls: Sequence[ClientTls | None], timeout: float) -> None:
        """Host and port of each host, and how a connection to it is made safe; `timeout` as in `Connection`."""
        self._addresses, self._tls, self._timeout = tuple(addresses), tuple(tls), timeout
        self._lock = threading.Lock()
        self._idle: dict[int, list[Connection]] = {host: [] for host in range(len(self._addresses))}
        self._closed = False

    def run(self, host: int, begin: Callable[[], Sending]) -> tuple[int, Unreached | None]:
        """A conversation with a host, by its number; `begin` makes one. Gives the number of documents acknowledged,
        and why it was not all of them.

        A connection that was kept open may have been closed meanwhile, which shows only when it is used: then a new
        one is tried before the host is blamed.
        """
        kept = self._take(host)
        if kept is not None:
            acknowledged, error = self._converse(host, kept, begin())
            if error is None or acknowledged or error.reason != "closed":
                return acknowledged, error
        try:
            connection = self.open(host)
        except Unreached as error:
            return 0, error
        return self._converse(host, connection, begin())

    def _converse(self, host: int, connection: Connection, sending: Sending) -> tuple[int, Unreached | None]:
        whole = False
        try:
            connection.run(sending)
            whole = True
        except Unreached as error:
            return sending.acknowledged, error
        finally:
            if not whole:
                connection.close()
        self._give_back(host, connection)
        return sending.acknowledged, None

    def open(self, host: int) -> Connection:
        """A new connection to a host. Raises as `Connection` does."""
        return Connection(*self._addresses[host], self._tls[host], self._timeout)

    def close(self) -> None:
        """Close those that are idle; others when they are given back."""
        with self._lock:
            self._closed = True
            idle = [connection for host in self._idle.values() for connection in host]
            for host in self._idle.values():
                host.clear()
        for connection in idle:
            connection.close()

    def _take(self, host: int) -> Connection | None:
        while True:
            with self._lock:
                if not self._idle[host]:
                    return None
                connection = self._idle[host].pop()
            if connection.usable():
                return connection
            connection.close()

    def _give_back(self, host: int, connection: Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle[host].append(connection)
                return
        connection.close()
