"""gRPC of the native core reads any bytes: it answers or ends the connection, and holds no more than it may."""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection
import pytest
from hypothesis import given
from hypothesis import strategies as st

core: Any = pytest.importorskip("sidecar_native", reason="the native core is not installed")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATH = "/a.Service/Export"
LIMIT = 5000


def _valid() -> bytes:
    """Two requests, a ping and a reset."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    head = {":method": "POST", ":scheme": "http", ":authority": "x", ":path": PATH, "content-type": "application/grpc"}
    for stream in (1, 3):
        client.send_headers(stream, list(head.items()))
        client.send_data(stream, b"\0\0\0\0\x05hello", end_stream=True)
    client.ping(b"12345678")
    client.reset_stream(3)
    return bytes(client.data_to_send())


VALID = _valid()


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    payload = draw(st.binary(max_size=60))
    length = draw(st.one_of(st.just(len(payload)), st.integers(0, 2**24 - 1)))
    kind, flags, stream = draw(st.integers(0, 10)), draw(st.integers(0, 255)), draw(st.integers(0, 7))
    return length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(VALID)
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


conversations = st.one_of(
    st.binary(max_size=200),
    st.lists(frames(), max_size=20).map(lambda parts: PREFACE + b"".join(parts)),
    st.lists(frames(), max_size=10).map(lambda parts: VALID + b"".join(parts)),
    damaged(),
)


@given(conversations, st.integers(1, 100), st.integers(0, 2 * LIMIT))
def test_any_bytes(data: bytes, size: int, others: int) -> None:
    connection = core.GrpcServer([PATH], 1000, 4, LIMIT, 1.0).connect()
    for start in range(0, len(data), size):
        events = connection.receive(data[start : start + size], others)
        for request in events.requests:
            assert request.message is None or len(request.message) <= 1000
            connection.reply(request.stream, b"")
        connection.expire()
        connection.output()
        assert connection.held <= 4 * 1005
    connection.drain()
    connection.output()


def test_the_valid_conversation_is_one() -> None:
    connection = core.GrpcServer([PATH], 1000, 4, LIMIT, 1.0).connect()
    assert [request.message for request in connection.receive(VALID, 0).requests] == [b"hello", b"hello"]
    assert not connection.closed
