"""gRPC of the native core, against an HTTP/2 client in memory."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest

core = pytest.importorskip("sidecar_native", reason="the native core is not installed")

PATHS = ["/a.Service/Export", "/b.Service/Export"]
HEADERS = {
    ":method": "POST",
    ":scheme": "http",
    ":authority": "localhost",
    ":path": PATHS[1],
    "te": "trailers",
    "content-type": "application/grpc",
}
ENHANCE_YOUR_CALM = h2.errors.ErrorCodes.ENHANCE_YOUR_CALM


def framed(message: bytes, compressed: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">BI", compressed, len(message) if length is None else length) + message


class Pair:
    """A client and the server's side of its connection."""

    def __init__(self, max_message: int = 1000, max_streams: int = 4, max_in_flight: int = 10_000) -> None:
        self.server = core.GrpcServer(PATHS, max_message, max_streams, max_in_flight, 3600.0)
        self.connection = self.server.connect()
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.client.initiate_connection()
        self.replies: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}
        self.resets: dict[int, int] = {}
        self.goaway: int | None = None
        self.goaway_text: bytes | None = None
        self.requests: list[Any] = []
        self.cancelled: list[int] = []
        self.exchange()

    def start(self, headers: Mapping[str, str] | None = None, end: bool = False) -> int:
        stream = int(self.client.get_next_available_stream_id())
        self.client.send_headers(stream, list({**HEADERS, **(headers or {})}.items()), end_stream=end)
        return stream

    def call(self, data: bytes, headers: Mapping[str, str] | None = None, end: bool = True) -> int:
        stream = self.start(headers)
        self.client.send_data(stream, data, end_stream=end)
        self.exchange()
        return stream

    def exchange(self, others: int = 0) -> None:
        """Pass on what either side has to send until neither has."""
        while True:
            sent = self.client.data_to_send()
            if sent:
                self.give(sent, others)
            received = self.connection.output()
            self._take(received)
            if not sent and not received:
                return

    def give(self, data: bytes, others: int = 0) -> None:
        events = self.connection.receive(data, others)
        self.requests += events.requests
        self.cancelled += events.cancelled

    def _take(self, data: bytes) -> None:
        for event in self.client.receive_data(data):
            match event:
                case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                    self.replies.setdefault(event.stream_id or 0, {}).update(event.headers or [])  # type: ignore[arg-type]
                case h2.events.DataReceived():
                    self.bodies[event.stream_id or 0] = self.bodies.get(event.stream_id or 0, b"") + (event.data or b"")
                case h2.events.StreamReset():
                    self.resets[event.stream_id or 0] = int(event.error_code or 0)
                case h2.events.ConnectionTerminated():
                    self.goaway, self.goaway_text = int(event.error_code or 0), event.additional_data


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_a_request_and_its_reply(pair: Pair) -> None:
    sent = {
        "authorization": "Bearer x",
        "user-agent": "test/1",
        "idempotency-key": "k",
        "grpc-timeout": "9S",
        "grpc-encoding": "gzip",
    }
    stream = pair.call(framed(b"message", compressed=1), sent)
    (request,) = pair.requests
    assert (request.stream, request.method, request.message, request.encoding) == (stream, 1, b"message", "gzip")
    assert (request.authorization, request.user_agent, request.idempotency_key) == ("Bearer x", "test/1", "k")
    assert 0 < request.timeout <= 9
    assert not request.overloaded
    pair.connection.reply(stream, b"answer")
    pair.exchange()
    assert pair.bodies[stream] == framed(b"answer")
    assert pair.replies[stream] == {":status": "200", "content-type": "application/grpc", "grpc-status": "0"}
    assert not pair.resets


def test_what_is_not_said_is_none_and_a_plain_message_has_no_encoding(pair: Pair) -> None:
    pair.call(framed(b"x"), {"grpc-encoding": "gzip"})
    (request,) = pair.requests
    found = (request.encoding, request.authorization, request.user_agent, request.idempotency_key, request.timeout)
    assert found == (None, None, None, None, None)


def test_a_refusal_has_text_and_trailers(pair: Pair) -> None:
    stream = pair.call(framed(b"x"))
    pair.connection.refuse(stream, 8, "50 % \u00e9", [("grpc-status-details-bin", b"\x00\xff")])
    pair.exchange()
    assert pair.replies[stream]["grpc-status"] == "8"
    assert pair.replies[stream]["grpc-message"] == "50 %25 %C3%A9"
    assert pair.replies[stream]["grpc-status-details-bin"] == "AP8"


def test_replies_in_another_order(pair: Pair) -> None:
    streams = [pair.call(framed(b"%d" % n)) for n in range(4)]
    for stream in reversed(streams):
        pair.connection.reply(stream, b"for %d" % stream)
        pair.exchange()
    assert pair.bodies == {stream: framed(b"for %d" % stream) for stream in streams}


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_message_in_pieces(pair: Pair, cut: int) -> None:
    stream, data = pair.start(), framed(b"message")
    for start in range(0, len(data), cut):
        pair.client.send_data(stream, data[start : start + cut])
        pair.exchange()
    assert [request.message for request in pair.requests] == [b"message"], "it is whole before the stream ends"
    assert pair.connection.held == 0
    pair.connection.reply(stream, b"")
    pair.exchange()
    assert pair.replies[stream]["grpc-status"] == "0"


def test_a_stream_that_ends_before_its_message(pair: Pair) -> None:
    pair.call(framed(b"short", length=10))
    assert [(request.message, request.overloaded) for request in pair.requests] == [(None, False)]


@pytest.mark.parametrize(
    ("headers", "data", "http", "status", "text"),
    [
        ({":path": "/other"}, framed(b"x"), "200", "12", "unknown method"),
        ({":method": "PUT"}, framed(b"x"), "405", "12", "invalid method; expected POST"),
        ({"content-type": "text/plain"}, b"x", "415", "12", "invalid content-type; expected application/grpc"),
        ({"grpc-encoding": "snappy"}, framed(b"x"), "200", "12", "invalid grpc-encoding: snappy; expected one of"),
        ({}, framed(b"", length=1001), "200", "8", "message of 1001 bytes is over the limit of 1000 bytes on the wire"),
        ({}, framed(b"x", compressed=1), "200", "13", "message is marked as compressed, and no encoding is named"),
    ],
)
def test_what_is_answered_by_the_core(
    pair: Pair, headers: dict[str, str], data: bytes, http: str, status: str, text: str
) -> None:
    stream = pair.call(data, headers)
    assert pair.requests == []
    reply = pair.replies[stream]
    assert (reply[":status"], reply["grpc-status"]) == (http, status)
    assert reply["grpc-message"].startswith(text)
    if status == "12":
        assert reply["grpc-accept-encoding"] == "identity,deflate,gzip,zstd"
    pair.call(framed(b"x"))
    assert len(pair.requests) == 1, "the connection goes on"


def test_a_cancelled_request(pair: Pair) -> None:
    stream = pair.call(framed(b"x"))
    pair.client.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
    pair.exchange()
    assert pair.cancelled == [stream]
    pair.connection.reply(stream, b"late")
    pair.exchange()
    assert not pair.replies
    unread = pair.start()
    pair.client.send_data(unread, framed(b"", length=10))
    pair.exchange()
    pair.client.reset_stream(unread, h2.errors.ErrorCodes.CANCEL)
    pair.exchange()
    assert pair.cancelled == [stream], "it was never given out"
    assert pair.connection.held == 0


def test_requests_in_flight_are_bounded_and_one_is_let_in() -> None:
    pair = Pair(max_message=100_000, max_in_flight=3000)
    first = pair.call(framed(b"x" * 4000, length=5000), end=False)
    assert pair.connection.held == 4005, "alone, whatever its size"
    second = pair.call(framed(b"y" * 10, length=20), end=False)
    assert [(request.stream, request.overloaded, request.message) for request in pair.requests] == [
        (second, True, None)
    ]
    pair.client.send_data(first, b"x" * 1000, end_stream=True)
    pair.exchange()
    assert pair.requests[1].message == b"x" * 5000
    assert pair.connection.held == 0
    third = pair.start()
    pair.client.send_data(third, framed(b"", length=20))
    pair.exchange(others=2996)
    assert pair.requests[2].overloaded, "what others hold counts"


def test_no_more_streams_than_allowed(pair: Pair) -> None:
    assert pair.client.remote_settings.max_concurrent_streams == 4
    sent = b""
    other = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    other.initiate_connection()
    sent += other.data_to_send()
    for number in range(6):
        other.send_headers(2 * number + 1, list(HEADERS.items()))
        sent += other.data_to_send()
    connection = pair.server.connect()
    connection.receive(sent, 0)
    refused = [event for event in other.receive_data(connection.output()) if isinstance(event, h2.events.StreamReset)]
    assert {(event.stream_id, int(event.error_code or 0)) for event in refused} == {(9, 7), (11, 7)}, "REFUSED_STREAM"
    assert not connection.closed


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _frames(data: bytes) -> list[tuple[int, bytes]]:
    """(type, payload) of each."""
    found = []
    while data:
        end = 9 + int.from_bytes(data[:3], "big")
        found.append((data[3], data[9:end]))
        data = data[end:]
    return found


GOAWAY, PING, HEADERS_FRAME = 7, 6, 1
ANY_STREAM = (2**31 - 1).to_bytes(4, "big")
NO_ERROR = bytes(4)


def test_draining_ends_when_what_is_open_has_ended(pair: Pair) -> None:
    """By hand: the client of these tests takes the first GOAWAY for the end."""
    stream = pair.call(framed(b"x"))
    pair.connection.drain()
    (goaway, said), (ping, payload) = _frames(pair.connection.output())
    assert (goaway, said[:8], ping) == (GOAWAY, ANY_STREAM + NO_ERROR, PING), "no stream is refused yet"
    pair.give(_frame(PING, 1, 0, payload))
    ((goaway, said),) = _frames(pair.connection.output())
    assert (goaway, said[:8]) == (GOAWAY, stream.to_bytes(4, "big") + NO_ERROR)
    assert not pair.connection.closed
    pair.connection.reply(stream, b"")
    assert HEADERS_FRAME in dict(_frames(pair.connection.output()))
    assert pair.connection.closed


def test_draining_an_idle_connection(pair: Pair) -> None:
    pair.connection.drain()
    _, (_, payload) = _frames(pair.connection.output())
    pair.give(_frame(PING, 1, 0, payload))
    assert [kind for kind, _ in _frames(pair.connection.output())] == [GOAWAY]
    assert pair.connection.closed
    silent = pair.server.connect()
    silent.drain()
    assert silent.closed, "it has not begun to speak HTTP/2"


def test_a_ping_must_be_answered_before_the_next(pair: Pair) -> None:
    for _ in range(3):
        assert pair.connection.ping()
        pair.exchange()
    assert pair.connection.ping()
    assert pair.connection.output(), "the ping, whose answer never comes"
    assert not pair.connection.ping()
    assert not pair.server.connect().ping()


def test_pings_of_the_client_are_answered_and_bounded(pair: Pair) -> None:
    for number in range(4):
        assert pair.goaway is None
        pair.client.ping(number.to_bytes(8, "big"))
        pair.exchange()
    assert (pair.goaway, pair.goaway_text) == (ENHANCE_YOUR_CALM, b"too_many_pings")
    assert pair.connection.closed


def test_requests_past_their_deadline_are_given_up(pair: Pair) -> None:
    late = pair.call(framed(b"", length=10), {"grpc-timeout": "1n"}, end=False)
    early = pair.call(framed(b"", length=10), {"grpc-timeout": "1H"}, end=False)
    pair.connection.expire()
    pair.exchange()
    assert pair.replies.keys() == {late}
    assert pair.replies[late]["grpc-status"] == "4"
    pair.client.send_data(early, b"0123456789", end_stream=True)
    pair.exchange()
    assert [request.stream for request in pair.requests] == [early]


def test_rapid_resets_end_the_connection(pair: Pair) -> None:
    """CVE-2023-44487: streams that are opened and reset at once."""
    for _ in range(100):
        stream = pair.start()
        pair.client.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
    pair.give(pair.client.data_to_send())
    assert pair.connection.closed
    pair._take(pair.connection.output())
    assert pair.goaway == ENHANCE_YOUR_CALM


def test_endless_headers_end_the_connection(pair: Pair) -> None:
    """CVE-2024-27316: CONTINUATION after CONTINUATION. 0x40 is a literal with a new name."""
    header = b"\x40\x7f\x81\x1f" + b"n" * 286 + b"\x7f\x81\x1f" + b"v" * 286
    pair.give(_frame(1, 0, 1, header))
    for _ in range(1000):
        if pair.connection.closed:
            break
        pair.give(_frame(9, 0, 1, header))
    assert pair.connection.closed


def test_what_is_not_http2_ends_the_connection() -> None:
    for data in (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" * 10, b"\0" * 100):
        connection = core.GrpcServer(PATHS, 1000, 4, 1000, 1.0).connect()
        connection.receive(data, 0)
        assert connection.closed
        assert connection.receive(data, 0).requests == [], "nothing more is read"


def test_an_invalid_interval() -> None:
    with pytest.raises(ValueError, match="negative"):
        core.GrpcServer(PATHS, 1000, 4, 1000, -1.0)
