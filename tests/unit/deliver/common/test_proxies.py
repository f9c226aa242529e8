"""Which proxy a destination has by the environment, and what it is asked."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from sidecar.deliver.common.proxies import Proxy, proxy_of
from sidecar.errors import Permanent


@pytest.mark.parametrize(
    ("scheme", "environment", "expected"),
    [
        ("https", {"https_proxy": "http://gate:3128"}, "proxy gate:3128"),
        ("http", {"https_proxy": "http://gate:3128"}, None),
        ("http", {"HTTP_PROXY": "http://gate:3128/"}, "proxy gate:3128"),
        ("http", {"http_proxy": "small:1", "HTTP_PROXY": "large:2"}, "proxy small:1"),
        ("https", {"https_proxy": "", "HTTPS_PROXY": "gate"}, "proxy gate:80"),
        ("https", {"ALL_PROXY": "http://[fd00::1]:8080"}, "proxy fd00::1:8080"),
        ("https", {"https_proxy": "http://gate:1", "all_proxy": "socks5://other:2"}, "proxy gate:1"),
        ("https", {"https_proxy": "  "}, None),
        ("https", {}, None),
    ],
)
def test_names_of_variables(scheme: str, environment: Mapping[str, str], expected: str | None) -> None:
    found = proxy_of(scheme, "es.example.com", 443, environment)
    assert (str(found) if found else None) == expected


@pytest.mark.parametrize(
    ("host", "exceptions"),
    [
        ("es.example.com", "example.com"),
        ("es.example.com", ".example.com"),
        ("es.example.com", "*.example.com"),
        ("ES.Example.com.", "other, EXAMPLE.COM"),
        ("example.com", ".example.com"),
        ("es.example.com", "example.com:9200"),
        ("es.logging.svc", ".svc,.cluster.local"),
        ("elasticsearch", "localhost elasticsearch"),
        ("10.1.2.3", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3:9200"),
        ("fd00::7", "fd00::/8"),
        ("fd00::7", "[fd00::7]:9200"),
        ("es.example.com", "*"),
        ("localhost", ""),
        ("127.0.0.2", ""),
        ("::1", ""),
    ],
)
def test_hosts_that_are_connected_to_themselves(host: str, exceptions: str) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        assert proxy_of("http", host, 9200, {"http_proxy": "gate:3128", name: exceptions}) is None


@pytest.mark.parametrize(
    ("host", "exceptions"),
    [
        ("es.example.com", "ample.com"),
        ("es.example.com", "example.com:443"),
        ("es.example.com", "es"),
        ("example.com.evil.net", "example.com"),
        ("11.1.2.3", "10.0.0.0/8"),
        ("10.1.2.3", "fd00::/8"),
        ("es.example.com", "10.0.0.0/8, . , :9200"),
        ("localhost.example.com", ""),
    ],
)
def test_hosts_that_are_not(host: str, exceptions: str) -> None:
    assert proxy_of("http", host, 9200, {"http_proxy": "gate:3128", "no_proxy": exceptions}) is not None


@pytest.mark.parametrize(
    "value", ["socks5://u:secret@gate:1080", "https://u:secret@gate", "http://u:secret@gate:x", "http://:1", "gate:0"]
)
def test_one_that_cannot_be_used_is_named_without_its_password(value: str) -> None:
    with pytest.raises(Permanent, match=r"^https_proxy: .*; expected http://HOST:PORT$") as failure:
        proxy_of("https", "far", 443, {"https_proxy": value})
    assert "secret" not in str(failure.value)


def test_credentials() -> None:
    found = proxy_of("https", "far", 443, {"https_proxy": "http://me:a%40b%3A@gate:1"})
    assert found is not None
    assert found.headers == {"Proxy-Authorization": "Basic bWU6YUBiOg=="}  # me:a@b:
    assert "Basic" not in repr(found)


@contextmanager
def asked(*replies: bytes) -> Iterator[tuple[socket.socket, list[bytes]]]:
    """A connection to what sends these as soon as it has heard something, and what it heard."""
    ours, theirs = socket.socketpair()
    heard: list[bytes] = []

    def answer() -> None:
        heard.append(theirs.recv(4096))
        for reply in replies:
            theirs.sendall(reply)
            time.sleep(0.01)
        theirs.close()

    thread = threading.Thread(target=answer)
    thread.start()
    with ours:
        yield ours, heard
    thread.join(10)


def tunnel(connection: socket.socket) -> None:
    Proxy("gate", 1, {"Proxy-Authorization": "Basic abc"}).tunnel("far:443", connection, time.monotonic() + 10)


def test_a_tunnel_is_asked_for() -> None:
    with asked(b"HTTP/1.1 200 Connection est", b"ablished\r\nVia: x\r\n\r", b"\n") as (connection, heard):
        tunnel(connection)
    assert heard == [b"CONNECT far:443 HTTP/1.1\r\nHost: far:443\r\nProxy-Authorization: Basic abc\r\n\r\n"]


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ((b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",), "407 Proxy Authentication Required"),
        ((b"HTTP/1.0 403\r\n\r\n",), "403"),
        ((b"SSH-2.0-OpenSSH\r\n\r\n",), "SSH-2.0"),
        ((b"HTTP/1.1 200 OK\r\n",), "no answer"),
        ((b"",), "no answer"),
        ((b"HTTP/1.1 200 OK\r\nx: " + b"a" * 10_000, b"a" * 10_000), "no answer"),
    ],
)
def test_a_proxy_that_does_not_do_it(replies: tuple[bytes, ...], said: str) -> None:
    with asked(*replies) as (connection, _), pytest.raises(OSError, match=rf"^the proxy .*{said}"):
        tunnel(connection)
