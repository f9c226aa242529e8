"""The serve port's application, called without a socket."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import SecretStr

from sidecar.health import Health
from sidecar.options import ServerAuth
from sidecar.receive.credentials import Credentials
from sidecar.serve import exposition
from sidecar.serve.serve_port import Scrape, Sources, accepts_gzip, build_app

LONG = b"# HELP a_total A.\n" * 200 + b"a_total 1\n"


class Answer:
    """Status, headers and body that the application sent."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        start = next(m for m in messages if m["type"] == "http.response.start")
        self.status: int = start["status"]
        self.headers = {k.decode().lower(): v.decode() for k, v in start["headers"]}
        self.body = b"".join(m.get("body", b"") for m in messages if m["type"] == "http.response.body")


class Server:
    """The application over sources that a test sets."""

    def __init__(self) -> None:
        self.health = Health()
        self.body: bytes | None = LONG
        self.accepted: list[str] = []
        self.scrapers: list[str] = []
        self.app = build_app(Sources(self.health, self.scrape, self.status), None)

    def scrape(self, accept: str, scraper: str) -> Scrape | None:
        self.accepted.append(accept)
        self.scrapers.append(scraper)
        return None if self.body is None else Scrape(self.body, exposition.negotiate(accept))

    def status(self) -> Mapping[str, Any]:
        return {"version": "1", "sinks": []}

    def get(self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Answer:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 9464),
        }
        asyncio.run(self.app(scope, receive, send))
        return Answer(sent)


@pytest.fixture
def server() -> Server:
    return Server()


def test_no_metrics_are_shown_before_the_counters_are_restored(server: Server) -> None:
    server.body = None
    answer = server.get("/metrics")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert b"restored" in answer.body
    server.body = LONG
    assert server.get("/metrics").status == 200


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, exposition.TEXT_TYPE),
        ("*/*", exposition.TEXT_TYPE),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2", exposition.OPENMETRICS_TYPE),
        ("application/openmetrics-text;q=0.1,text/plain;version=0.0.4;q=0.5", exposition.TEXT_TYPE),
    ],
)
def test_the_format_is_negotiated(server: Server, accept: str | None, content_type: str) -> None:
    answer = server.get("/metrics", {"Accept": accept} if accept else {})
    assert answer.headers["content-type"] == content_type
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert server.accepted == [accept or ""]


def test_a_long_answer_is_compressed_for_those_who_take_it(server: Server) -> None:
    answer = server.get("/metrics", {"Accept-Encoding": "deflate, gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body) == LONG
    assert int(answer.headers["content-length"]) == len(answer.body) < len(LONG)
    assert server.get("/metrics").body == LONG


def test_a_short_answer_is_not_compressed(server: Server) -> None:
    server.body = b"a_total 1\n"
    answer = server.get("/metrics", {"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert answer.body == b"a_total 1\n"


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*", True),
        ("br, identity", False),
        ("x-gzip-like", False),
    ],
)
def test_who_accepts_gzip(header: str, taken: bool) -> None:
    assert accepts_gzip(header) is taken


@pytest.mark.parametrize(
    ("state", "live", "ready", "started"),
    [
        ("starting", 200, 503, 503),
        ("ok", 200, 200, 200),
        ("degraded", 200, 200, 200),
        ("failed", 503, 503, 200),
        ("stopping", 200, 503, 200),
    ],
)
def test_probes_answer_with_what_the_components_report(
    server: Server, state: Any, live: int, ready: int, started: int
) -> None:
    server.health.report("derive", state, "why")
    for path, status in (("/livez", live), ("/readyz", ready), ("/startupz", started)):
        answer = server.get(path)
        assert (path, answer.status) == (path, status)
        assert json.loads(answer.body) == {
            "ok": status == 200,
            "components": {"derive": {"state": state, "detail": "why"}},
        }


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/status", "/"])
def test_head_is_answered_as_get(server: Server, path: str) -> None:
    got, headed = server.get(path), server.get(path, method="HEAD")
    assert (headed.status, headed.headers) == (200, got.headers)


def test_a_token_is_asked_for_everything_but_the_probes() -> None:
    credentials = Credentials(auth=ServerAuth(token=SecretStr("secret")), section="serve")
    server = Server()
    server.app = build_app(Sources(server.health, server.scrape, server.status, credentials.check), None)
    for path in (
        "/metrics",
        "/status",
        "/",
        "/api/traces",
        "/tempo/api/search",
        "/lookup/traces",
        "/nothing",
        "/livezz",
    ):
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
            answer = server.get(path, header)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert b"secret" not in answer.body
    assert server.get("/metrics", {"Authorization": "Bearer secret"}).status != 401
    assert server.get("/status", {"authorization": "bearer secret"}).status == 200
    for probe in ("/livez", "/readyz", "/startupz"):
        assert server.get(probe).status in (200, 503)


def test_status_is_json_in_lines(server: Server) -> None:
    answer = server.get("/status")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == {"version": "1", "sinks": []}
    assert answer.body.count(b"\n") > 1


@pytest.mark.parametrize(
    "path", ["/api/traces", "/tempo/api/search", "/lookup/traces/0af7651916cd43dd8448eb211c80319c"]
)
def test_without_a_store_a_look_up_says_so(server: Server, path: str) -> None:
    answer = server.get(path)
    assert answer.status == 404
    assert "SIDECAR_DELIVER__STORE__ENABLED" in json.loads(answer.body)["message"]


def test_what_is_not_there_and_what_is_not_allowed(server: Server) -> None:
    assert server.get("/nothing").status == 404
    assert server.get("/metrics", method="POST").status == 405


def test_the_first_page_links_to_the_others(server: Server) -> None:
    page = server.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert all(b'"%s"' % path in page.body for path in (b"/metrics", b"/status", b"/livez", b"/lookup/traces"))


def test_who_scrapes_is_recognized_and_who_looks_is_nobody(server: Server) -> None:
    server.get("/metrics", {"User-Agent": "curl/8.5.0", "Accept": "*/*"})
    server.get("/metrics", {"User-Agent": "Prometheus/3.5.0"})
    server.get("/metrics", {"User-Agent": "Prometheus/3.5.0"}, method="HEAD")
    assert [bool(name) for name in server.scrapers] == [False, True, False]
    assert server.scrapers[1].startswith("127.0.0.1 ")
