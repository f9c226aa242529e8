"""A JSON API that a test makes up, on a port of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sidecar.deliver.common.http import Reply

Answer = Callable[[str, str, bytes, Mapping[str, str]], Reply]
"""(method, path below the base path, body, headers by their names in lower case) -> reply"""


@dataclass(frozen=True, slots=True)
class Gate:
    """What is let through to the API, and what others are answered."""

    base_path: str
    authorization: str
    unauthorized: Reply
    elsewhere: Reply


@contextmanager
def served(answer_api: Answer, gate: Gate) -> Iterator[str]:
    """Its address, base path included."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {k.lower(): v for k, v in self.headers.items()}
            if headers.get("authorization", "") != gate.authorization:
                reply = gate.unauthorized
            elif not self.path.startswith(gate.base_path):
                reply = gate.elsewhere
            else:
                reply = answer_api(self.command, self.path.removeprefix(gate.base_path), body, headers)
            self.send_response(reply.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = answer

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: what matters is asserted."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{gate.base_path}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
