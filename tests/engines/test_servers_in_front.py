"""Requests of sinks to servers that stand before destinations: real ones, which close connections when they like."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from support.certificates import Authority, authority
from support.engines.front import haproxy, nginx

from sidecar.deliver.common.http import Unreached
from sidecar.deliver.common.http_origin import HttpOrigin
from sidecar.options import ClientTls

LARGE = bytes(32 << 20)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def both(ours: Authority) -> Path:
    """Certificate and key of a server in one file."""
    pair = ours.issue("server")
    file = ours.folder / "both.pem"
    file.write_bytes(pair.cert.read_bytes() + pair.key.read_bytes())
    return file


def outcome(http: HttpOrigin, target: str, body: bytes) -> str:
    try:
        return str(http.request("POST", target, body, {}).status)
    except Unreached as error:
        return f"{error}: {error.detail}"


def test_haproxy_refuses_a_body_that_it_has_not_read(ours: Authority, both: Path) -> None:
    lines = [f"bind 127.0.0.1:{{port}} ssl crt {both}", "http-request deny deny_status 413"]
    with haproxy(lines) as port:
        for _ in range(5):
            with closing(HttpOrigin(f"https://127.0.0.1:{port}", ClientTls(ca_file=ours.cert), 20, 1, 1 << 20)) as http:
                assert outcome(http, "/_bulk", LARGE) == "413"


def test_haproxy_wants_a_certificate(ours: Authority, both: Path) -> None:
    asks = f"bind 127.0.0.1:{{port}} ssl crt {both} ca-file {ours.cert} verify required"
    pair = ours.issue("client")
    with haproxy([asks, "http-request return status 200"]) as port:
        url = f"https://127.0.0.1:{port}"
        for body in (b"x", LARGE):
            with closing(HttpOrigin(url, ClientTls(ca_file=ours.cert), 20, 1, 1 << 20)) as http:
                assert "certificate required" in outcome(http, "/", body)
        mutual = ClientTls(ca_file=ours.cert, cert_file=pair.cert, key_file=pair.key)
        with closing(HttpOrigin(url, mutual, 20, 1, 1 << 20)) as http:
            assert outcome(http, "/", b"x") == "200"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_connections_that_haproxy_closes_as_a_request_is_sent(tls: bool, ours: Authority, both: Path) -> None:
    bind = "bind 127.0.0.1:{port}" + (f" ssl crt {both}" if tls else "")
    with haproxy([bind, "http-request return status 200"]) as port:
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        with closing(HttpOrigin(url, ClientTls(ca_file=ours.cert), 20, 1, 1 << 20)) as http:
            seen: Counter[str] = Counter()
            for number in range(60):
                time.sleep(0.0495 + number % 10 * 0.0001)  # It waits 50 ms for the next request.
                seen[outcome(http, "/", bytes(300_000))] += 1
    assert seen == {"200": 60}


def test_nginx_is_given_a_new_configuration_under_load(ours: Authority) -> None:
    pair = ours.issue("nginx")
    lines = [
        "listen 127.0.0.1:{port} ssl;",
        "ssl_protocols TLSv1.2;",
        f"ssl_certificate {pair.cert}; ssl_certificate_key {pair.key};",
    ]
    seen: Counter[str] = Counter()
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(0.001):
            seen[outcome(http, "/", bytes(200_000))] += 1

    with (
        nginx(lines) as (port, child),
        closing(HttpOrigin(f"https://127.0.0.1:{port}", ClientTls(ca_file=ours.cert), 20, 4, 1 << 20)) as http,
    ):
        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(8):
            time.sleep(0.3)
            child.send(signal.SIGHUP)
        ended.set()
        for thread in threads:
            thread.join()
    assert set(seen) == {"200"}
