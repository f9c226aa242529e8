"""An HTTP client that is made by its first request."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sidecar.deliver.common.http import FirstUse, Reply
from sidecar.deliver.common.http_client import HttpClient
from sidecar.options import ClientTls


class _Answering:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = False

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        self.asked.append(target)
        return Reply(200)

    def close(self) -> None:
        self.closed = True


def test_the_client_is_made_once_however_many_threads_ask_first() -> None:
    made: list[_Answering] = []
    both = threading.Barrier(2)

    def make() -> _Answering:
        made.append(_Answering())
        return made[-1]

    http = FirstUse(make)
    assert made == []

    def ask(target: str) -> None:
        both.wait(10)
        http.request("GET", target, None, {})

    threads = [threading.Thread(target=ask, args=(target,)) for target in ("/a", "/b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1
    assert sorted(made[0].asked) == ["/a", "/b"]
    http.close()
    assert made[0].closed


def test_what_was_never_used_is_closed_without_being_made() -> None:
    def make() -> _Answering:
        raise AssertionError("made")

    FirstUse(make).close()


class _Moved(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(308)
        if self.path != "/nowhere":
            self.send_header("Location", f"https://elsewhere.example{self.path}")
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_: object) -> None:
        pass


def test_a_redirect_says_where_it_leads() -> None:
    """It is not followed: who gave the address has to know the right one."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Moved) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = HttpClient([f"http://127.0.0.1:{server.server_port}"], ClientTls(), 10, 1)
        moved = client.request("GET", "/_bulk", None, {})
        nowhere = client.request("GET", "/nowhere", None, {})
        client.close()
        server.shutdown()
    assert (moved.status, moved.body) == (
        308,
        b"redirects to https://elsewhere.example/_bulk; expected the address itself",
    )
    assert nowhere.body == b"<html>"
