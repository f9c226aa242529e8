"""gRPC requests that no library sends, and clients that keep their connections alive by pings."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator

import grpc
import h2.connection
import h2.events
import pytest
import zstandard
from support.delivery import logs_payload
from support.engines.processes import wait_for
from support.raw_grpc import call
from support.receive_fakes import FakeLog
from support.receiving import GRPC_METHODS, Receiving, receiving

from sidecar.receive import otlp_grpc
from sidecar.receive.grpc_aio import AioTransport
from sidecar.receive.grpc_call import BuildTransport

EMPTY = b"\x0a\x00"
"""A request with one resource and no record."""
OK, INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL = "0", "3", "4", "8", "13"


def frame(message: bytes, length: int | None = None, compressed: int = 0) -> bytes:
    return struct.pack(">BI", compressed, len(message) if length is None else length) + message


def _native() -> BuildTransport:
    return pytest.importorskip("sidecar.receive.grpc_native", reason="the native core is not installed").NativeTransport


TRANSPORTS: dict[str, Callable[[], BuildTransport]] = {"native": _native, "grpcio": lambda: AioTransport}


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> BuildTransport:
    """How the receiver speaks gRPC."""
    return TRANSPORTS[request.param]()


@pytest.fixture(scope="module")
def at(transport: BuildTransport) -> Iterator[Receiving]:
    with receiving(FakeLog(), transport=transport) as running:
        yield running


def test_the_native_core_is_used_where_it_is_installed() -> None:
    assert otlp_grpc.default_transport() is _native()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_every_address_is_that_of_both_families(transport: BuildTransport, host: str) -> None:
    with receiving(transport=transport, host=host) as at:
        for client in ("127.0.0.1", "::1") if socket.has_dualstack_ipv6() else ("127.0.0.1",):
            socket.create_connection((client, at.grpc_port), timeout=10).close()


UNFINISHED = {
    "no frame": [],
    "an empty frame of HTTP/2": [b""],
    "one byte": [b"\0"],
    "three bytes": [b"\0\0\0"],
    "a prefix alone": [frame(b"", 10)],
    "a short message": [frame(EMPTY, 10)],
    "one byte too few": [frame(EMPTY[:-1], 2)],
    "a short message in pieces": [b"\0\0", b"\0\0\x0a", b"\x0a", b""],
    "nearly the largest": [frame(EMPTY, 40 << 20)],
}


@pytest.mark.parametrize("chunks", UNFINISHED.values(), ids=UNFINISHED)
@pytest.mark.parametrize("signal", list(GRPC_METHODS))
def test_a_request_that_ends_before_its_message_is_answered(at: Receiving, signal: str, chunks: list[bytes]) -> None:
    reply = call(at.grpc_port, GRPC_METHODS[signal], chunks)
    assert reply["grpc-status"] == INVALID_ARGUMENT
    assert reply["grpc-message"] == "the request ended before a whole message"


@pytest.mark.parametrize("length", [(40 << 20) + 1, 2**31, 2**32 - 1])
def test_a_length_over_the_limit_is_answered(at: Receiving, length: int) -> None:
    assert call(at.grpc_port, GRPC_METHODS["logs"], [frame(EMPTY, length)])["grpc-status"] == RESOURCE_EXHAUSTED


@pytest.mark.parametrize("message", [b"", b"\x0a\xff", gzip.compress(EMPTY)], ids=["empty", "junk", "gzip"])
def test_compressed_without_an_encoding_is_answered(at: Receiving, message: bytes) -> None:
    reply = call(at.grpc_port, GRPC_METHODS["logs"], [frame(message, compressed=1)])
    assert reply["grpc-status"] == INTERNAL
    assert "no encoding" in reply["grpc-message"]


WHOLE = {
    "nothing in it": [frame(b"")],
    "in pieces": [b"\0\0", b"\0\0\x02\x0a", b"\0"],
    "more behind it": [frame(EMPTY) + b"\0\0\0"],
    "compressed": [frame(gzip.compress(EMPTY), compressed=1)],
}


@pytest.mark.parametrize("chunks", WHOLE.values(), ids=WHOLE)
def test_a_whole_message_is_taken(at: Receiving, chunks: list[bytes]) -> None:
    assert call(at.grpc_port, GRPC_METHODS["spans"], chunks, grpc_encoding="gzip")["grpc-status"] == "0"


def test_a_request_without_a_message_needs_credentials_too(transport: BuildTransport) -> None:
    with receiving(transport=transport, token="s3cret") as at:
        assert call(at.grpc_port, GRPC_METHODS["logs"], [])["grpc-status"] == "16"


def _pings(port: int, count: int, interval: float) -> int | None:
    """Sends PINGs on an idle connection; the error code of GOAWAY, None where all are answered."""
    client = h2.connection.H2Connection()
    client.initiate_connection()
    answered = 0
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for number in range(count):
            client.ping(number.to_bytes(8, "big"))
            connection.sendall(client.data_to_send())
            while answered <= number:
                for event in client.receive_data(connection.recv(65536)):
                    if isinstance(event, h2.events.ConnectionTerminated):
                        return int(event.error_code or 0)
                    answered += isinstance(event, h2.events.PingAckReceived)
            time.sleep(interval)
    return None


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, transport: BuildTransport) -> Iterator[Receiving]:
    """A receiver that allows a ping every 100 ms instead of every second."""
    assert otlp_grpc.MIN_PING_INTERVAL_SECONDS <= 5, "clients that ping every ten seconds are common"
    monkeypatch.setattr(otlp_grpc, "MIN_PING_INTERVAL_SECONDS", 0.1)
    with receiving(transport=transport) as running:
        yield running


def test_pings_are_allowed_down_to_the_interval(quick: Receiving) -> None:
    assert _pings(quick.grpc_port, 8, 0.15) is None
    enhance_your_calm = 11
    assert _pings(quick.grpc_port, 1000, 0.0) == enhance_your_calm, "the limit is not there: the test proves nothing"


@pytest.mark.parametrize("idle", [True, False], ids=["without calls", "between calls"])
def test_a_client_with_keepalive_keeps_its_connection(quick: Receiving, idle: bool) -> None:
    options = [
        ("grpc.keepalive_time_ms", 150),
        ("grpc.keepalive_timeout_ms", 60_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    seen: list[grpc.ChannelConnectivity] = []
    with grpc.insecure_channel(f"127.0.0.1:{quick.grpc_port}", options) as channel:
        export = channel.unary_unary(GRPC_METHODS["logs"])
        export(EMPTY, timeout=60)
        channel.subscribe(seen.append)
        for _ in range(8):
            time.sleep(0.2)
            if not idle:
                export(EMPTY, timeout=60)
        export(EMPTY, timeout=60)
    assert grpc.ChannelConnectivity.IDLE not in seen
    assert grpc.ChannelConnectivity.TRANSIENT_FAILURE not in seen


@pytest.mark.parametrize("size", [1 << 20, 5 << 20, 19 << 20])
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_large_messages(at: Receiving, size: int, compression: grpc.Compression) -> None:
    assert at.export("logs", logs_payload("x" * size), compression).code is grpc.StatusCode.OK
    assert at.ingest.in_flight_bytes == 0


def test_a_call_past_its_deadline_is_given_up_on_both_sides(transport: BuildTransport) -> None:
    log = FakeLog()
    with receiving(log, transport=transport) as at:
        log.gate = asyncio.Event()
        with grpc.insecure_channel(f"127.0.0.1:{at.grpc_port}") as channel:
            export = channel.unary_unary(GRPC_METHODS["logs"])
            with pytest.raises(grpc.RpcError) as raised:
                export(logs_payload("x"), timeout=0.3)
            assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            at.loop.call_soon_threadsafe(log.gate.set)
            assert export(logs_payload("x"), timeout=30) == b""
    assert at.ingest.in_flight_bytes == 0


def test_each_call_of_a_connection_has_its_own_deadline() -> None:
    """The client of this test does not look at the clock, so that it is the server that gives calls up."""
    log = FakeLog()
    with receiving(log, transport=_native()) as at:
        log.gate = asyncio.Event()
        client = h2.connection.H2Connection()
        client.initiate_connection()
        for stream, timeout in ((1, "30S"), (3, "400m"), (5, "200m")):
            head = {":method": "POST", ":scheme": "http", ":authority": "localhost", ":path": GRPC_METHODS["logs"]}
            head |= {"content-type": "application/grpc", "grpc-timeout": timeout}
            client.send_headers(stream, list(head.items()))
            client.send_data(stream, frame(logs_payload(f"x{stream}")), end_stream=True)
        statuses: list[tuple[int | None, str]] = []
        with socket.create_connection(("127.0.0.1", at.grpc_port), timeout=30) as connection:
            while len(statuses) < 3:
                connection.sendall(client.data_to_send())
                for event in client.receive_data(connection.recv(65536)):
                    if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                        found = {bytes(name): bytes(value) for name, value in event.headers}
                        if b"grpc-status" in found:
                            statuses.append((event.stream_id, found[b"grpc-status"].decode()))
                if len(statuses) == 2:
                    at.loop.call_soon_threadsafe(log.gate.set)
        assert statuses == [(5, DEADLINE_EXCEEDED), (3, DEADLINE_EXCEEDED), (1, OK)]
    assert at.ingest.in_flight_bytes == 0


def test_what_is_in_flight_at_a_stop_is_answered(transport: BuildTransport) -> None:
    log = FakeLog()
    with receiving(log, transport=transport) as at, grpc.insecure_channel(f"127.0.0.1:{at.grpc_port}") as channel:
        log.gate = asyncio.Event()
        call = channel.unary_unary(GRPC_METHODS["logs"]).future(logs_payload("x"), timeout=30)
        wait_for(lambda: log.submitted == 1, 10, "the request")
        stopping = asyncio.run_coroutine_threadsafe(at.over_grpc.stop(20), at.loop)
        at.loop.call_soon_threadsafe(log.gate.set)
        assert call.result(30) == b""
        stopping.result(30)


def test_a_stop_does_not_wait_for_clients_that_say_nothing(transport: BuildTransport) -> None:
    log = FakeLog()
    with receiving(log, transport=transport) as at:
        log.gate = asyncio.Event()
        silent = [socket.create_connection(("127.0.0.1", at.grpc_port), timeout=30) for _ in range(3)]
        channel = grpc.insecure_channel(f"127.0.0.1:{at.grpc_port}")
        call = channel.unary_unary(GRPC_METHODS["logs"]).future(logs_payload("x"), timeout=30)
        wait_for(lambda: log.submitted == 1, 10, "the request")
        at.in_loop(at.over_grpc.stop(0.1))
        assert call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        channel.close()
        for one in silent:
            one.close()
        at.loop.call_soon_threadsafe(log.gate.set)


def _send_all(connection: socket.socket, parts: Iterable[bytes]) -> None:
    for part in parts:
        connection.sendall(part)


def test_a_client_that_reads_no_replies_is_not_read_from() -> None:
    """Only the native transport is ours to bound: each SETTINGS wants an answer, which nobody takes."""
    with receiving(transport=_native()) as at:
        client = h2.connection.H2Connection()
        client.initiate_connection()
        settings = b"\0\0\0\x04\0\0\0\0\0" * 10_000
        with socket.create_connection(("127.0.0.1", at.grpc_port), timeout=2) as connection:
            connection.sendall(client.data_to_send())
            with pytest.raises(TimeoutError):
                _send_all(connection, itertools.repeat(settings, 10_000))
        assert at.export("spans", EMPTY).code is grpc.StatusCode.OK


@pytest.mark.parametrize("zstd", [False, True])
def test_zstd_is_opened_by_the_native_transport(zstd: bool) -> None:
    with receiving(FakeLog(), transport=_native()) as at:
        message = zstandard.compress(EMPTY) if zstd else b"\x28\xb5\x2f\xfdjunk"
        reply = call(at.grpc_port, GRPC_METHODS["spans"], [frame(message, compressed=1)], grpc_encoding="zstd")
        assert reply["grpc-status"] == ("0" if zstd else INVALID_ARGUMENT)
