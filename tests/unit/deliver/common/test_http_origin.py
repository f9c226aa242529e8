"""Requests to a server that does what HTTP allows, and what it does not."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
from support.certificates import Authority, authority

from sidecar import watched_files
from sidecar.deliver.common import connecting, http_origin
from sidecar.deliver.common.http import Unreached
from sidecar.deliver.common.http_client import HttpClient
from sidecar.deliver.common.http_origin import HttpOrigin
from sidecar.errors import Permanent
from sidecar.options import ClientTls

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LIMIT = 1 << 16


class Server:
    """Answers the requests of each connection by a script of its own, one after the other, and ends it after that. A
    reply of None is none: the end comes at once."""

    def __init__(self, scripts: Sequence[Sequence[bytes | None]], context: ssl.SSLContext | None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._scripts, self._context = scripts, context
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.heads: list[bytes] = []
        self.ended = threading.Semaphore(0)
        """Released when a connection has ended."""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for script in self._scripts:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
                for reply in script:
                    self._answer(connection, reply)
            except OSError:
                pass  # The client ended it.
            finally:
                connection.close()
                self.ended.release()

    def _answer(self, connection: socket.socket, reply: bytes | None) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            more = connection.recv(1)
            if not more:
                raise ConnectionError
            head += more
        self.heads.append(head)
        if reply is not None:
            connection.sendall(reply)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@contextmanager
def serving(*scripts: Sequence[bytes | None], context: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(scripts, context)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def origin(url: str, tls: ClientTls | None = None, timeout: float = 20) -> Iterator[HttpOrigin]:
    with closing(HttpOrigin(url, tls or ClientTls(), timeout, 1, LIMIT)) as http:
        yield http


def get(http: HttpOrigin) -> bytes:
    return http.request("GET", "/", None, {}).body


def fails(reason: str) -> pytest.RaisesExc[Unreached]:
    return pytest.raises(Unreached, match=reason)


def free_url() -> str:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_what_is_sent() -> None:
    with serving([OK]) as server, origin(server.url) as http:
        answer = http.request("GET", "/a?b=c", None, {"accept": "text/plain"})
    assert (answer.status, answer.body) == (200, b"ok")
    host = server.url.removeprefix("http://")
    assert server.heads == [
        f"GET /a?b=c HTTP/1.1\r\nhost: {host}\r\naccept-encoding: identity\r\naccept: text/plain\r\n\r\n".encode()
    ]


@pytest.mark.parametrize(("method", "body"), [("POST", None), ("PUT", None), ("POST", b""), ("DELETE", b"")])
def test_a_request_says_that_its_body_is_empty(method: str, body: bytes | None) -> None:
    with serving([OK]) as server, origin(server.url) as http:
        http.request(method, "/", body, {})
    assert b"\r\ncontent-length: 0\r\n" in server.heads[0]


def test_a_header_cannot_bring_another_one_with_it() -> None:
    with origin(free_url()) as http, pytest.raises(ValueError, match="line break"):
        http.request("GET", "/", None, {"authorization": "a\r\nx-admin: 1"})


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\nay!\r\n0\r\n\r\n", b"okay!"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, b"ok"),
    ],
)
def test_the_connection_is_used_again(reply: bytes, body: bytes) -> None:
    with serving([reply, OK]) as server, origin(server.url) as http:
        assert get(http) == body
        assert get(http) == b"ok"  # Of the same script: the same connection.


def test_the_reply_to_a_head_has_no_body() -> None:
    with serving([b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", OK]) as server, origin(server.url) as http:
        assert http.request("HEAD", "/", None, {}).body == b""
        assert get(http) == b"ok"


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok",
        OK,  # Closed later on, without a word.
    ],
)
def test_a_connection_that_ends_is_replaced(reply: bytes) -> None:
    with serving([reply], [OK]) as server, origin(server.url) as http:
        assert get(http) == b"ok"
        assert server.ended.acquire(timeout=10)
        assert get(http) == b"ok"


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        b"220 mail.example ESMTP\r\n",
    ],
)
def test_what_is_no_whole_reply(reply: bytes | None) -> None:
    with serving([reply]) as server, origin(server.url) as http, pytest.raises(Unreached) as failed:
        get(http)
    assert str(failed.value) == "unreachable"
    assert failed.value.detail.startswith(server.url.removeprefix("http://"))


def test_a_reply_that_is_too_large() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
    with (
        serving([reply % (LIMIT, b"a" * LIMIT), reply % (LIMIT + 1, b"a" * (LIMIT + 1))]) as server,
        origin(server.url) as http,
    ):
        assert len(get(http)) == LIMIT
        with fails("too_large"):
            get(http)


class TestConnectionsThatWereKept:
    """A server closes them when it likes, also just as a request is on its way."""

    def test_a_request_that_met_the_end_of_one_is_made_again(self) -> None:
        with serving([OK, None], [OK, None], [OK]) as server, origin(server.url) as http:
            assert [get(http) for _ in range(3)] == [b"ok"] * 3
        assert len(server.heads) == 5

    def test_but_only_once(self) -> None:
        with serving([OK, None], [None], [OK]) as server, origin(server.url) as http:
            get(http)
            with fails("unreachable"):
                get(http)
            assert len(server.heads) == 3

    def test_and_not_where_a_reply_had_begun(self) -> None:
        with serving([OK, b"HTTP/1.1 2"], [OK]) as server, origin(server.url) as http:
            get(http)
            with fails("unreachable"):
                get(http)
            assert len(server.heads) == 2

    def test_one_that_was_idle_for_long_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_origin, "IDLE_SECONDS", 0)
        with serving([OK, OK], [OK]) as server, origin(server.url) as http:
            get(http)
            get(http)
            assert server.ended.acquire(timeout=10)

    def test_one_that_is_given_back_after_the_end_is_closed(self) -> None:
        with serving([OK, OK]) as server, origin(server.url) as http:
            http.close()
            get(http)
            assert server.ended.acquire(timeout=10)


REFUSED = b"HTTP/1.1 413 Content Too Large\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"


def _reads_on(connection: socket.socket, answered: threading.Event) -> None:
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(1 << 20):
        pass


def _hangs_up(connection: socket.socket, answered: threading.Event) -> None:
    """As haproxy does: what it has not read makes the kernel reset the connection."""


def _waits(connection: socket.socket, answered: threading.Event) -> None:
    """Neither reads what comes nor closes."""
    answered.wait(10)


@pytest.mark.parametrize("then", [_reads_on, _hangs_up, _waits])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_server_that_refuses_a_body_before_it_has_it_all(
    then: Callable[[socket.socket, threading.Event], None], tls: bool, ours: Authority
) -> None:
    pair = ours.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            plain = listener.accept()[0]
            # What Nagle's algorithm holds back is lost where the connection is reset.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError), context.wrap_socket(plain, server_side=True) if tls else plain as connection:
                connection.recv(100)
                connection.sendall(REFUSED)
                then(connection, answered)

        answered = threading.Event()
        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        with origin(url, ClientTls(ca_file=ours.cert)) as http:
            answer = http.request("POST", "/", bytes(32 << 20), {})
        answered.set()
        thread.join(10)
    assert (answer.status, answer.retry_after) == (413, 7)


def test_a_server_that_says_only_then_that_it_wants_a_certificate(ours: Authority) -> None:
    """With TLS 1.3 the client learns it when it has sent its request already."""
    pair = ours.issue("server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ours.cert))
    context.load_cert_chain(pair.cert, pair.key)
    context.verify_mode = ssl.CERT_REQUIRED
    trusted = ClientTls(ca_file=ours.cert)
    for body in (b"", bytes(8 << 20)):
        with serving([OK], context=context) as server, origin(server.url, trusted) as http, fails("tls"):
            http.request("POST", "/", body, {})
    client_pair = ours.issue("client")
    mutual = ClientTls(ca_file=ours.cert, cert_file=client_pair.cert, key_file=client_pair.key)
    with serving([OK], context=context) as server, origin(server.url, mutual) as http:
        assert get(http) == b"ok"


def _reads_a_little(connection: socket.socket) -> None:
    connection.recv(100)


def _writes_a_little(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" if connection.recv(100) else b"")
    while True:
        connection.sendall(b"a")
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("does", "body"), [(_reads_a_little, bytes(64 << 20)), (_writes_a_little, b"")], ids=["reads", "writes"]
)
def test_a_server_that_does_a_little_at_a_time(does: Callable[[socket.socket], None], body: bytes) -> None:
    ended = threading.Event()

    def serve() -> None:
        with listener.accept()[0] as connection, suppress(OSError):
            while not ended.wait(0.02):
                does(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with origin(url, timeout=0.3) as http, fails("timeout"):
            http.request("POST", "/", body, {})
        ended.set()
        thread.join(10)


def test_nobody_listens() -> None:
    for url in (free_url(), "http://a..b:1", "http://b\u00fccher..b:1", f"http://{'a' * 70}.example:1"):
        with origin(url) as http, fails("unreachable"):
            get(http)


@contextmanager
def black_hole() -> Iterator[tuple[str, int]]:
    """An address that answers nothing, not even to who wants to connect: its queue is full."""
    with socket.create_server(("127.0.0.9", 0), backlog=0) as listener, ExitStack() as stack:
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield listener.getsockname()


def _named(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> list[str]:
    """Every name has these addresses. Gives the names that were asked for."""
    asked: list[str] = []

    def find(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    monkeypatch.setattr("sidecar.deliver.common.connecting.socket.getaddrinfo", find)
    return asked


def test_a_host_of_which_one_address_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_SHORTEST_TRY", 0.1)
    with black_hole() as hole, serving([OK]) as server:
        alive = "127.0.0.1", int(server.url.rpartition(":")[2])
        _named(monkeypatch, hole, hole, alive)
        with origin("http://engine.example", timeout=3) as http:
            assert get(http) == b"ok"
        _named(monkeypatch, hole, hole)
        with origin("http://engine.example", timeout=0.3) as http, fails("unreachable"):
            get(http)


@pytest.mark.parametrize(
    ("url", "header", "asked"),
    [
        ("http://engine.example:9200/base", "engine.example:9200", "engine.example"),
        ("http://engine.example", "engine.example", "engine.example"),
        ("http://engine.example.:80", "engine.example.:80", "engine.example."),
        ("http://b\u00fccher.example:1", "xn--bcher-kva.example:1", "b\u00fccher.example"),
        ("http://[fd00::1]:9200", "[fd00::1]:9200", "fd00::1"),
        ("http://[fe80::1%25eth0]:9200", "[fe80::1]:9200", "fe80::1%eth0"),
        ("http://[fe80::1%eth0]:9200", "[fe80::1]:9200", "fe80::1%eth0"),
    ],
)
def test_which_host_is_asked(url: str, header: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving([OK]) as server:
        names = _named(monkeypatch, ("127.0.0.1", int(server.url.rpartition(":")[2])))
        with origin(url) as http:
            get(http)
    assert names == [asked]
    assert f"\r\nhost: {header}\r\n".encode() in server.heads[0]


def test_what_an_address_cannot_hold_is_encoded() -> None:
    with serving([OK]) as server, origin(server.url) as http:
        http.request("GET", "/my logs/\u00e9%2F/_bulk?a=b%20c&d=*,<x>", None, {})
    assert server.heads[0].startswith(b"GET /my%20logs/%C3%A9%2F/_bulk?a=b%20c&d=*,%3Cx%3E HTTP/1.1\r\n")


def test_a_secret_that_cannot_be_sent_does_not_show() -> None:
    with origin(free_url()) as http, pytest.raises(ValueError, match="character") as refused:
        http.request("GET", "/", None, {"authorization": "ApiKey \u2192secret"})
    assert refused.value.__cause__ is None
    assert "secret" not in str(refused.value)


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return authority(tmp_path)


def test_tls(ours: Authority, tmp_path: Path) -> None:
    pair = ours.issue("server", "DNS:engine.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    trusted = ClientTls(ca_file=ours.cert, server_name="engine.example")
    with serving([OK, OK], context=context) as server, origin(server.url, trusted) as http:
        assert [get(http), get(http)] == [b"ok", b"ok"]
    for tls in (ClientTls(server_name="engine.example"), ClientTls(ca_file=ours.cert)):
        with serving([OK], context=context) as server, origin(server.url, tls) as http, fails("tls"):
            get(http)
    with serving([OK], context=context) as server, origin(server.url, ClientTls(insecure_skip_verify=True)) as http:
        assert get(http) == b"ok"
    with (
        pytest.raises(Permanent, match=r"no\.pem"),
        origin("https://127.0.0.1", ClientTls(ca_file=tmp_path / "no.pem")),
    ):
        pass


def test_certificates_are_exchanged_without_a_restart(
    ours: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_files, "POLL_SECONDS", 0)
    pair = ours.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(authority(tmp_path, "other").cert.read_bytes())
    with serving([OK], [OK], [OK], context=context) as server, origin(server.url, ClientTls(ca_file=trusted)) as http:
        with fails("tls"):
            get(http)
        trusted.write_bytes(ours.cert.read_bytes())
        assert get(http) == b"ok"
        assert server.ended.acquire(timeout=10)
        assert server.ended.acquire(timeout=10)
        trusted.write_text("no certificate")  # The former one stays in force.
        assert get(http) == b"ok"


@contextmanager
def client(urls: Sequence[str], timeout: float = 20) -> Iterator[Callable[[str], int]]:
    """Sends a GET, and gives its status."""
    with closing(HttpClient(urls, ClientTls(), timeout, 1)) as http:
        yield lambda target: http.request("GET", target, None, {}).status


class TestNodes:
    def test_the_path_of_an_address_goes_before_each_target(self) -> None:
        with serving([OK]) as server, client([server.url + "/behind/"]) as get_status:
            get_status("/_bulk")
        assert server.heads[0].startswith(b"GET /behind/_bulk HTTP/1.1\r\n")
        assert b"\r\nuser-agent: model-sidecar" in server.heads[0]

    def test_another_node_is_asked_where_one_cannot_be_reached(self) -> None:
        with serving([OK] * 4) as server, client([free_url(), server.url, free_url()]) as get_status:
            assert [get_status("/") for _ in range(4)] == [200] * 4

    def test_nor_where_one_does_not_even_connect(self) -> None:
        with (
            black_hole() as (host, port),
            serving([OK] * 4) as server,
            client([f"http://{host}:{port}", server.url], timeout=0.3) as get_status,
        ):
            assert [get_status("/") for _ in range(4)] == [200] * 4

    def test_all_nodes_are_asked_though_all_failed_before(self) -> None:
        with serving([None], [OK]) as server, client([free_url(), server.url]) as get_status:
            with fails("unreachable"):
                get_status("/")
            assert get_status("/") == 200

    def test_a_node_that_is_unwell_is_left_alone_for_a_while(self) -> None:
        ill = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        with serving([ill] * 9) as one, serving([OK] * 9) as two, client([one.url, two.url]) as get_status:
            assert [get_status("/") for _ in range(6)].count(503) == 1

    def test_what_was_not_answered_in_time_is_not_sent_to_another_node(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent, serving([OK] * 2) as server:
            urls = [f"http://127.0.0.1:{silent.getsockname()[1]}", server.url]
            with client(urls, timeout=0.3) as get_status:
                outcomes = [_outcome(get_status) for _ in range(3)]
        assert outcomes.count("timeout") == 1


def _outcome(get_status: Callable[[str], int]) -> str:
    try:
        return str(get_status("/"))
    except Unreached as error:
        return str(error)
