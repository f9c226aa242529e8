"""Posts over a connection that is kept, against a server that answers as it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sidecar.errors import ConfigError, Retryable
from sidecar.send.http_sender import MAX_REPLY_BYTES, Poster, Reply
from sidecar.send.pipe import poster


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[int, str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.client_address[1], self.path, dict(self.headers), body))
        status, headers, content = self.server.answers.pop(0)
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextmanager
def serving(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[Server]:
    with Server() as server:
        server.answers += answers
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


def test_one_connection_for_all_and_a_new_one_after_trouble() -> None:
    answers = [(200, {}, b"a"), (503, {"Retry-After": "7"}, b"b"), (0, {}, b""), (429, {"Retry-After": "soon"}, b"c")]
    with serving(*answers) as server:
        sidecar = Poster(f"{server.url}/below/", "secret", None)
        assert sidecar.post("/v1/labels", b"1", "text/csv") == Reply(200, b"a", None)
        assert sidecar.post("/v1/labels", b"2", "text/csv") == Reply(503, b"b", 7.0)
        with pytest.raises(Retryable):
            sidecar.post("/v1/labels", b"3", "text/csv")
        assert sidecar.post("/v1/labels", b"4", "text/csv") == Reply(429, b"c", None)
        sidecar.close()
        ports, paths, headers, bodies = zip(*server.seen, strict=True)
    assert ports[0] == ports[1] == ports[2] != ports[3]
    assert set(paths) == {"/below/v1/labels"}
    assert {(h["Authorization"], h["Content-Type"]) for h in headers} == {("Bearer secret", "text/csv")}
    assert bodies == (b"1", b"2", b"3", b"4")


def test_a_reply_is_read_up_to_a_bound_and_the_next_is_not_its_rest() -> None:
    with serving((200, {}, b"x" * (MAX_REPLY_BYTES + 10)), (200, {}, b"next")) as server:
        sidecar = Poster(server.url, None, None)
        assert len(sidecar.post("/", b"", "text/csv").body) == MAX_REPLY_BYTES
        assert sidecar.post("/", b"", "text/csv").body == b"next"
        sidecar.close()
        assert all("Authorization" not in headers for _, _, headers, _ in server.seen)


def test_nobody_answers() -> None:
    with serving() as server:
        gone = server.url
    with pytest.raises(Retryable, match="refused"):
        Poster(gone, None, None).post("/", b"", "text/csv")
    assert poster(gone, None, None)(b"line\n", "key") is None


def test_lines_of_a_pipe_go_to_the_json_intake() -> None:
    with serving((200, {"Connection": "close"}, b"{}")) as server:
        assert poster(server.url, None, None)(b"line\n", "key") == 200
        assert [(path, body) for _, path, _, body in server.seen] == [("/v1/json", b"line\n")]


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://host", "http://", ""])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ConfigError, match="must be http://HOST:PORT"):
        Poster(url, None, None)
