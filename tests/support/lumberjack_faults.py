"""A lumberjack server that misbehaves on demand, on the reader of the program."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sidecar.decode.protocols.lumberjack import Batch, BatchReader, ack_frame
from sidecar.errors import DecodeError

Fault = Callable[["Caller"], None]
"""Deals with one connection; when it returns the connection is closed."""


class Caller:
    """One connection from a client."""

    def __init__(self, server: FaultyServer, connection: socket.socket, number: int) -> None:
        self.socket, self.number = connection, number
        self._server, self._reader = server, BatchReader()

    def windows(self) -> Iterator[Batch]:
        """The windows as they come, until the client hangs up."""
        while data := self.socket.recv(1 << 16):
            yield from self._reader.feed(data)

    def keep(self, documents: list[bytes]) -> None:
        """What the server takes on."""
        self._server.keep(documents)

    def say(self, sequence: int) -> None:
        """Acknowledge."""
        self.socket.sendall(ack_frame(sequence))

    def serve(self) -> None:
        """As a server should."""
        for batch in self.windows():
            self.keep(list(batch.documents))
            self.say(batch.sequence)


class FaultyServer:
    """Listens on 127.0.0.1; `fault` deals with each connection."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.kept: list[str] = []
        """Ids in the order in which they were taken on, as often as they were."""
        self.connections = 0
        self.errors: list[DecodeError] = []
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def keep(self, documents: list[bytes]) -> None:
        ids = [json.loads(document)["@metadata"]["_id"] for document in documents]
        with self._lock:
            self.kept += ids

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()
        self._thread.join(120)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            self.connections += 1
            threading.Thread(target=self._deal, args=(connection, self.connections), daemon=True).start()

    def _deal(self, connection: socket.socket, number: int) -> None:
        try:
            self.fault(Caller(self, connection, number))
        except OSError:  # a client that hung up is part of the game
            pass
        except DecodeError as error:
            self.errors.append(error)
        finally:
            connection.close()


@contextmanager
def faulty_server(fault: Fault) -> Iterator[FaultyServer]:
    server = FaultyServer(fault)
    try:
        yield server
    finally:
        server.close()


# -- faults


def refuse(caller: Caller) -> None:
    """Hangs up at once."""


def stop_mid_window(caller: Caller) -> None:
    """Reads the beginning of a window, and goes."""
    caller.socket.recv(40)


def forget(caller: Caller) -> None:
    """Takes a window on, and goes without a word."""
    caller.keep(list(next(caller.windows()).documents))


def lose(caller: Caller) -> None:
    """Reads a window, and goes without having taken it on."""
    next(caller.windows())


def acknowledge_half(caller: Caller) -> None:
    """Takes half a window on, says so, and goes."""
    documents = list(next(caller.windows()).documents)
    half = (len(documents) + 1) // 2
    caller.keep(documents[:half])
    caller.say(half)
    caller.socket.shutdown(socket.SHUT_WR)
    time.sleep(0.2)


def hang(caller: Caller) -> None:
    """Takes a window on and says nothing more."""
    caller.keep(list(next(caller.windows()).documents))
    for _ in caller.windows():
        """Until the client has had enough."""


def babble(caller: Caller) -> None:
    """Answers in another language."""
    next(caller.windows())
    caller.socket.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    time.sleep(0.2)


def boast(caller: Caller) -> None:
    """Acknowledges more than there was."""
    batch = next(caller.windows())
    caller.say(batch.sequence + 1)
    time.sleep(0.2)
