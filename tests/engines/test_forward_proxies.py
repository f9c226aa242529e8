"""Requests of sinks through a real forward proxy, tinyproxy. 0.0.0.0 is this machine, but no loopback address."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority, authority
from support.engines.front import tinyproxy

from sidecar.deliver.common.http import Unreached
from sidecar.deliver.common.http_origin import HttpOrigin
from sidecar.options import ClientTls

BODY = bytes(300_000)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@contextmanager
def destination(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[dict[str, str]]]]:
    """The port of a server that answers 200, and the headers of what it was asked."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def outcome(http: HttpOrigin, body: bytes = BODY) -> str:
    try:
        return str(http.request("POST", "/_bulk?refresh=false", body, {}).status)
    except Unreached as error:
        return f"{error}: {error.detail}"


def test_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    with tinyproxy(["BasicAuth me secret"]) as proxy, destination() as (port, asked):
        for credentials, expected in (("me:secret@", "200"), ("me:wrong@", "401"), ("", "407")):
            monkeypatch.setenv("http_proxy", f"http://{credentials}127.0.0.1:{proxy}")
            with closing(HttpOrigin(f"http://0.0.0.0:{port}", ClientTls(), 20, 1, 1 << 20)) as http:
                # It resets a connection whose request it refuses before it has all of it.
                found = {outcome(http, BODY if expected == "200" else b"") for _ in range(3)}
            assert found == {expected}, credentials
    assert [(one["path"], one["host"]) for one in asked] == [("/_bulk?refresh=false", f"0.0.0.0:{port}")] * 3
    assert "proxy-authorization" not in asked[0]
    assert "via" in asked[0]


def test_a_tunnel_for_tls(ours: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = ours.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    tls = ClientTls(ca_file=Path(ours.cert), server_name="127.0.0.1")
    with tinyproxy(["BasicAuth me secret"]) as proxy, destination(context) as (port, asked):
        url = f"https://0.0.0.0:{port}"
        for credentials in ("me:secret@", "me:wrong@"):
            monkeypatch.setenv("HTTPS_PROXY", f"http://{credentials}127.0.0.1:{proxy}")
            with closing(HttpOrigin(url, tls, 20, 1, 1 << 20)) as http:
                found = {outcome(http) for _ in range(3)}
            if credentials == "me:secret@":
                assert found == {"200"}
            else:
                (said,) = found
                assert said.startswith(f"unreachable: 0.0.0.0:{port} (proxy 127.0.0.1:{proxy}): ")
                assert "answers CONNECT with '40" in said
        monkeypatch.setenv("NO_PROXY", "0.0.0.0")
        with closing(HttpOrigin(url, tls, 20, 1, 1 << 20)) as http:
            assert outcome(http) == "200"
    assert len(asked) == 4
    assert not any("proxy-authorization" in one for one in asked)


def test_a_tunnel_that_the_proxy_refuses_and_one_to_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = taken.getsockname()[1]
    with tinyproxy([f"ConnectPort {nowhere}"]) as proxy:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy}")
        for port, status in ((443, "403"), (nowhere, "500")):
            with closing(HttpOrigin(f"https://0.0.0.0:{port}", ClientTls(), 20, 1, 1 << 20)) as http:
                said = outcome(http)
            assert f"answers CONNECT with '{status} " in said
    with closing(HttpOrigin("https://0.0.0.0:443", ClientTls(), 20, 1, 1 << 20)) as http:
        assert f"(proxy 127.0.0.1:{proxy}): [Errno 111]" in outcome(http)
