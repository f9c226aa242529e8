"""Posts over a connection that is kept, against a server that answers as it is scripted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sidecar.errors import ConfigError, Retryable
from sidecar.send.http_sender import MAX_REPLY_BYTES, GaveUp, Poster, Reply, Sender


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
        post = sidecar.to("/v1/labels", "text/csv")
        assert post(b"1", "") == Reply(200, b"a", None)
        assert post(b"2", "") == Reply(503, b"b", 7.0)
        with pytest.raises(Retryable):
            post(b"3", "")
        assert post(b"4", "") == Reply(429, b"c", None)
        sidecar.close()
        ports, paths, headers, bodies = zip(*server.seen, strict=True)
    assert ports[0] == ports[1] == ports[2] != ports[3]
    assert set(paths) == {"/below/v1/labels"}
    assert {(h["Authorization"], h["Content-Type"]) for h in headers} == {("Bearer secret", "text/csv")}
    assert bodies == (b"1", b"2", b"3", b"4")


def test_a_reply_is_read_up_to_a_bound_and_the_next_is_not_its_rest() -> None:
    with serving((200, {}, b"x" * (MAX_REPLY_BYTES + 10)), (200, {}, b"next")) as server:
        sidecar = Poster(server.url, None, None)
        post = sidecar.to("/", "text/csv")
        assert len(post(b"", "").body) == MAX_REPLY_BYTES
        assert post(b"", "").body == b"next"
        sidecar.close()
        assert all("Authorization" not in headers for _, _, headers, _ in server.seen)


def test_nobody_answers() -> None:
    with serving() as server:
        gone = server.url
    with pytest.raises(Retryable, match="refused"):
        Poster(gone, None, None).to("/", "text/csv")(b"", "")


def test_a_key_is_a_header_and_no_key_is_none() -> None:
    with serving((200, {"Connection": "close"}, b"{}"), (200, {"Connection": "close"}, b"{}")) as server:
        post = Poster(server.url, None, None).to("/v1/json", "application/x-ndjson")
        post(b"line\n", "run-1")
        post(b"line\n", "")
        assert [(path, headers.get("Idempotency-Key"), body) for _, path, headers, body in server.seen] == [
            ("/v1/json", "run-1", b"line\n"),
            ("/v1/json", None, b"line\n"),
        ]


def test_another_token_goes_over_the_same_connection_and_leaves_the_first() -> None:
    with serving(*[(200, {}, b"{}")] * 2) as server:
        poster = Poster(server.url, "right", None)
        for one in (poster.with_token("wrong"), poster):
            one.to("/v1/traces", "application/json")(b"{}", "")
        poster.close()
    assert [headers["Authorization"] for _, _, headers, _ in server.seen] == ["Bearer wrong", "Bearer right"]
    assert len({port for port, *_ in server.seen}) == 1


@pytest.mark.parametrize(
    "url", ["localhost:4318", "ftp://host", "http://", "", "http://host:99999", "http://[::1", "http://host:x"]
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ConfigError, match="expected http://HOST:PORT"):
        Poster(url, None, None)


class Time:
    """A clock that only a pause moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def sent(*answers: Reply | Retryable, deadline: float = 1e9, draw: float = 0.5) -> tuple[Reply | str, list[float], Any]:
    """(the answer or why it gave up, the pauses, the posts)."""
    left, posts, time = list(answers), list[tuple[bytes, str]](), Time()

    def post(body: bytes, key: str) -> Reply:
        posts.append((body, key))
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Retryable):
            raise answer
        return answer

    sender = Sender(post, sleep=time.sleep, clock=lambda: time.now, draw=lambda: draw)
    try:
        return sender.send(b"body", "key", lambda: deadline), time.pauses, posts
    except GaveUp as gave_up:
        return str(gave_up), time.pauses, posts


@pytest.mark.parametrize("status", [200, 307, 400, 401, 404, 408, 413, 425, 429, 500, 501, 502, 503, 504, 505])
def test_the_rule_of_retries(status: int) -> None:
    reply, pauses, posts = sent(Reply(status, b"", None), Reply(200, b"", None))
    retried = status in (408, 425, 429, 502, 503, 504)
    assert reply == Reply(200 if retried else status, b"", None)
    assert len(pauses) == retried
    assert posts == [(b"body", "key")] * (1 + retried), "the same bytes under the same key"


def test_pauses_grow_to_a_bound_and_keep_to_what_the_sidecar_asks_for() -> None:
    _, pauses, _ = sent(*[Retryable("refused")] * 8, Reply(200, b"", None))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.5, 2.5, 2.5]
    _, pauses, _ = sent(Reply(429, b"", 7.0), Reply(503, b"", 0.0), Reply(200, b"", None), draw=0.0)
    assert pauses == [7.0, 0.0]


def test_it_gives_up_where_the_next_attempt_would_be_too_late() -> None:
    why, pauses, posts = sent(Retryable("connection refused"), deadline=1.0)
    assert why == "the sidecar does not answer: connection refused"
    assert (sum(pauses) <= 1.0 < sum(pauses) + 0.8, len(posts)) == (True, len(pauses) + 1)
    assert sent(Reply(429, b'{"message": "journal full"}', 7.0), deadline=1.0) == (
        "the sidecar answers 429: journal full",
        [],
        [(b"body", "key")],
    )
