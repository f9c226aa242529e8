"""A TCP proxy that forwards requests and loses their replies."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Literal

Way = Literal["close", "reset", "late", "swallow"]
_HEADERS = 1


class AckProxy:
    """In front of `port`. Of the next `losing` replies none gets to its client: the proxy reads it, then closes both
    connections (`close`), resets both (`reset`), passes it on after `delay` seconds (`late`), or leaves the client
    waiting (`swallow`)."""

    def __init__(self, port: int, way: Way, http2: bool, delay: float = 0.0) -> None:
        self._to, self._way, self._http2, self._delay = port, way, http2, delay
        self.losing = 0
        self.lost = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            self._sockets += [client, server]
            for pump in (self._requests, self._replies):
                thread = threading.Thread(target=pump, args=(client, server), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
        self._end(client, server)

    def _replies(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self.losing and (not self._http2 or _has_headers(data)):
                    self.losing -= 1
                    self.lost += 1
                    if self._way == "swallow":
                        continue
                    if self._way != "late":
                        break
                    threading.Event().wait(self._delay)
                client.sendall(data)
        self._end(client, server)

    def _end(self, *ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                if self._way == "reset":
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # A socket that a thread reads from is not closed before that ends.
                end.shutdown(socket.SHUT_RD if self._way == "reset" else socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """End all that is open."""
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(120)


def _has_headers(data: bytes) -> bool:
    """Whether one of the frames is HEADERS; grpc writes whole frames."""
    while len(data) >= 9:
        if data[3] == _HEADERS:
            return True
        data = data[9 + int.from_bytes(data[:3], "big") :]
    return False
