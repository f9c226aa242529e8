"""Destinations that remember every byte sent to them: HTTP (`_bulk`, OTLP, Logstash's http input) and lumberjack."""

from __future__ import annotations

import gzip
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sidecar.decode.protocols.lumberjack import BatchReader, ack_frame
from support.delivery import FakeEngine


@dataclass
class Tap:
    """What came in, decompressed."""

    port: int = 0
    bodies: list[bytes] = field(default_factory=list)
    """Requests: path, headers and body, each as it was sent; for lumberjack the documents."""
    engine: FakeEngine = field(default_factory=FakeEngine)
    """Keeps the documents of `_bulk` requests by id."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def wire(self) -> bytes:
        """Everything that came in."""
        with self.lock:
            return b"\n".join(self.bodies)

    def take(self, *parts: bytes) -> None:
        with self.lock:
            self.bodies.append(b"\n".join(parts))

    def documents(self) -> dict[str, bytes]:
        """`_id` -> document, of `_bulk` requests."""
        with self.lock:
            return dict(self.engine.kept)


@contextmanager
def http_tap() -> Iterator[Tap]:
    """A server that takes everything, on any path."""
    tap = Tap()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            tap.take(self.path.encode(), bytes(self.headers), body)
            if self.path.startswith("/_bulk"):
                with tap.lock:
                    self._answer(tap.engine.bulk(body).body, "application/json")
            elif self.path.startswith("/v1/"):
                self._answer(b"", "application/x-protobuf")
            else:
                self._answer(b"ok", "text/plain")

        do_PUT = do_POST

        def do_GET(self) -> None:
            self._answer(b"{}", "application/json")

        do_HEAD = do_GET

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the tests say what matters."""

    with _serving(_QuietHttpServer(("127.0.0.1", 0), Handler)) as tap.port:
        yield tap


@contextmanager
def lumberjack_tap() -> Iterator[Tap]:
    """A server that acknowledges every window."""
    tap = Tap()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            reader = BatchReader()
            connection: socket.socket = self.request
            while data := connection.recv(1 << 16):
                tap.take(data)
                for batch in reader.feed(data):
                    tap.take(*batch.documents)
                    connection.sendall(ack_frame(batch.sequence))

    with _serving(_QuietServer(("127.0.0.1", 0), Handler)) as tap.port:
        yield tap


class _QuietServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is part of the game."""


class _QuietHttpServer(_QuietServer, ThreadingHTTPServer):
    pass


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
