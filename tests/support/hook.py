"""The shipped Alertmanager configuration for this host, and a server that remembers what its receivers are posted."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support.engines import free_port
from support.monitoring_source import MONITORING

FOLDER = MONITORING / "alertmanager"
CONFIG = FOLDER / "alertmanager.yml"


class Received:
    """What was posted, by path."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, Any]] = []

    def to(self, path: str) -> list[Any]:
        return [body for at, body in list(self.bodies) if at == path]


@contextmanager
def receiving(host: str = "127.0.0.1") -> Iterator[tuple[str, Received]]:
    """Its address, and what it has got so far."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("content-length") or 0))
            received.bodies.append((self.path, json.loads(text)))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: what matters is asserted."""

    server = ThreadingHTTPServer((host, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def shipped_for_here(folder: Path, url: str) -> Path:
    """The configuration with secrets of the test's, this host's addresses, and no waiting for a group."""
    shutil.copytree(FOLDER / "templates", folder / "templates")
    for name, value in (("slack-url", f"{url}/slack"), ("smtp-password", "x"), ("pagerduty-routing-key", "key")):
        (folder / name).write_text(value)
    text = CONFIG.read_text("utf-8").replace("/etc/alertmanager/secrets/", f"{folder}/")
    text = text.replace("http://localhost:9095/alerts", f"{url}/hook").replace("group_wait: 30s", "group_wait: 500ms")
    text = text.replace("group_interval: 5m", "group_interval: 1s")
    text = text.replace(
        "smtp_smarthost: smtp:587", f"smtp_smarthost: 127.0.0.1:{free_port()}\n  pagerduty_url: {url}/pager"
    )
    path = folder / "alertmanager.yml"
    path.write_text(text)
    return path
