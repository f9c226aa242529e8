"""gRPC requests that no library sends, and clients that keep their connections alive by pings."""

from __future__ import annotations

import gzip
import socket
import struct
import time
from collections.abc import Iterator

import grpc
import h2.connection
import h2.events
import pytest
from support.raw_grpc import call
from support.receive_fakes import FakeLog
from support.receiving import GRPC_METHODS, Receiving, receiving

from sidecar.receive import otlp_grpc

EMPTY = b"\x0a\x00"
"""A request with one resource and no record."""
INVALID_ARGUMENT, RESOURCE_EXHAUSTED, INTERNAL = "3", "8", "13"


def frame(message: bytes, length: int | None = None, compressed: int = 0) -> bytes:
    return struct.pack(">BI", compressed, len(message) if length is None else length) + message


@pytest.fixture(scope="module")
def at() -> Iterator[Receiving]:
    with receiving(FakeLog()) as running:
        yield running


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


def test_a_request_without_a_message_needs_credentials_too() -> None:
    with receiving(token="s3cret") as at:
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
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiving]:
    """A receiver that allows a ping every 100 ms instead of every second."""
    assert otlp_grpc.MIN_PING_INTERVAL_MS <= 5_000, "clients that ping every ten seconds are common"
    monkeypatch.setattr(otlp_grpc, "MIN_PING_INTERVAL_MS", 100)
    with receiving() as running:
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
