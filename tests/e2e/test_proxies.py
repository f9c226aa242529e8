"""What the program's own clients do with proxy variables: nothing, but for gRPC to other hosts."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from support.taps import http_tap

from sidecar.deliver.common.http_client import HttpClient
from sidecar.deliver.otlp.grpc_exporter import OtlpGrpcClient
from sidecar.deliver.otlp.http_exporter import OtlpHttpClient
from sidecar.errors import Retryable
from sidecar.loopback import is_loopback
from sidecar.options import ClientTls
from sidecar.send.http_sender import Poster

PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "grpc_proxy")


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a proxy is asked for that every variable names."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            seen.append(f"{self.command} {self.path}")
            self.send_error(502)

        do_GET = do_POST = do_CONNECT

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the tests say what matters."""

    with _served(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        for name in PROXIES:
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        yield seen


@contextmanager
def _served(server: http.server.ThreadingHTTPServer) -> Iterator[int]:
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _grpc(target: str) -> OtlpGrpcClient:
    return OtlpGrpcClient(
        {"spans": f"http://{target}"},
        gzip=False,
        timeout=1,
        tls=ClientTls(),
        user_agent="test",
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.3.2.1", "[::ffff:127.0.0.1]"])
def test_otlp_by_grpc_to_this_host_passes_no_proxy(proxy: list[str], host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = _grpc(f"{host}:{silent.getsockname()[1]}")
        assert client.export("spans", b"", {}).status != "accepted"
        client.close()
    assert proxy == []


def test_otlp_by_grpc_to_another_host_does(proxy: list[str]) -> None:
    client = _grpc("collector.example:4317")
    client.export("spans", b"", {})
    client.close()
    assert proxy[0] == "CONNECT collector.example:4317"


def test_http_clients_pass_none(proxy: list[str]) -> None:
    with http_tap() as tap:
        otlp = OtlpHttpClient(
            {"logs": f"{tap.url}/v1/logs"},
            gzip=False,
            timeout=5,
            tls=ClientTls(),
            user_agent="test",
            connections=1,
        )
        otlp.export("logs", b"otlp", {})
        # Elasticsearch's and Logstash's sink and `sidecar setup`.
        elastic = HttpClient([tap.url], ClientTls(), 5, 1)
        elastic.request("POST", "/index", b"elastic", {"content-type": "application/json"})
        poster = Poster(tap.url, None, None)  # `sidecar logs` and `sidecar labels import`
        poster.to("/v1/json", "application/json")(b"poster", "")
        for client in (otlp, elastic, poster):
            client.close()  # type: ignore[attr-defined]
        assert all(text in tap.wire for text in (b"otlp", b"elastic", b"poster"))
    assert proxy == []


def test_nor_to_another_host(proxy: list[str]) -> None:
    poster = Poster("http://sidecar.invalid:4318", None, None, timeout=1)
    with suppress(Retryable):
        poster.to("/v1/json", "application/json")(b"poster", "")
    assert proxy == []


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.255.0.3", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("LocalHost.", True),
        ("app.localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_which_hosts_are_this_one(host: str, own: bool) -> None:
    assert is_loopback(host) is own
