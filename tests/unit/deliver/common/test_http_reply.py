"""Replies from bytes, however they are cut up on their way."""

from __future__ import annotations

import gc
import gzip
import weakref
import zlib
from collections.abc import Iterable

import pytest

from sidecar.deliver.common.http_reply import InvalidReply, ReplyReader, ReplyTooLarge

LIMIT = 1 << 16
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def read(parts: Iterable[bytes], has_body: bool = True, ends: bool = False) -> ReplyReader:
    """As a connection does it: until the reply is whole."""
    reply = ReplyReader(has_body, LIMIT)
    for part in parts:
        if reply.whole:
            break
        reply.feed(part)
    if ends:
        reply.end()
    return reply


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def with_body(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *headers, b"Content-Length: %d" % len(body), b"", body])


def chunked(*chunks: bytes, trailer: bytes = b"") -> bytes:
    parts = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" + parts + b"0\r\n" + trailer + b"\r\n"


WHOLE = {
    "with a length": (OK, 200, b"ok", True),
    "in chunks": (chunked(b"ok", b"ay!"), 200, b"okay!", True),
    "in chunks with trailers": (chunked(b"ok", trailer=b"Retry-After: 7\r\nContent-Encoding: b\r\n"), 200, b"ok", True),
    "without a body": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "304 with the length of what it is not": (b"HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n", 304, b"", True),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok", True),
    "after 102, 103": (b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nContent-Encoding: b\r\n\r\n" + OK, 200, b"ok", True),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", False),
    "HTTP/1.0, kept": (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
    "closing": (with_body(b"ok", b"Connection: Keep-Alive, Close"), 200, b"ok", False),
    "without a phrase": (b"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", 503, b"", True),
    "an offer of HTTP/2": (with_body(b"ok", b"Upgrade: h2,h2c", b"Connection: Upgrade, Keep-Alive"), 200, b"ok", True),
    "with gzip": (with_body(gzip.compress(b"okay"), b"Content-Encoding: GZip"), 200, b"okay", True),
    "with deflate": (with_body(zlib.compress(b"okay"), b"Content-Encoding: deflate"), 200, b"okay", True),
    "empty, with gzip": (with_body(b"", b"Content-Encoding: gzip"), 200, b"", True),
    "with long headers": (with_body(b"ok", b"X: " + b"a" * 500_000), 200, b"ok", True),
}  # fmt: skip


@pytest.mark.parametrize(("data", "status", "body", "keeps"), WHOLE.values(), ids=list(WHOLE))
def test_whole_replies(data: bytes, status: int, body: bytes, keeps: bool) -> None:
    for parts in ([data], bytewise(data) if len(data) < 1000 else [data[:9], data[9:]]):
        reply = read(parts)
        assert (reply.whole, reply.status, reply.body(), reply.keeps) == (True, status, body, keeps)
        assert "retry-after" not in reply.headers


def test_a_body_that_ends_with_the_connection() -> None:
    for ending in (b"", b"Transfer-Encoding: gzip\r\n"):
        reply = read([b"HTTP/1.1 200 OK\r\n" + ending + b"\r\nok"], ends=True)
        assert (reply.whole, reply.body(), reply.keeps) == (True, b"ok", False)


def test_head_has_no_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    reply = read([b"HTTP/1.1 103 E\r\n\r\n", head], has_body=False)
    assert (reply.whole, reply.status, reply.body(), reply.keeps) == (True, 200, b"", True)
    assert not read([head + b"but here it is"], has_body=False).keeps


@pytest.mark.parametrize("more", [b"ay", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad", b"HTTP/1.1 1"])
def test_what_stands_behind_a_whole_reply_is_nobodys(more: bytes) -> None:
    reply = read([OK + more])
    assert (reply.whole, reply.status, reply.body(), reply.keeps) == (True, 200, b"ok", False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",  # The first frame of HTTP/2.
        b"220 mail.example ESMTP\r\n",
    ],
)
def test_what_is_no_whole_reply(data: bytes) -> None:
    with pytest.raises(InvalidReply):
        read([data] if data else [], ends=True)


@pytest.mark.parametrize(
    "data",
    [
        with_body(b"ok", b"Content-Encoding: br"),
        with_body(b"ok", b"Content-Encoding: gzip"),
        with_body(gzip.compress(b"okay")[:-4], b"Content-Encoding: gzip"),
    ],
    ids=["not known", "not gzip", "cut off"],
)
def test_what_cannot_be_decoded(data: bytes) -> None:
    reply = read([data])
    with pytest.raises(InvalidReply, match="content-encoding"):
        reply.body()


def test_the_size_of_a_body_is_bounded() -> None:
    assert len(read([with_body(bytes(LIMIT))]).body()) == LIMIT
    assert len(read([with_body(gzip.compress(bytes(LIMIT)), b"Content-Encoding: gzip")]).body()) == LIMIT
    assert len(read([chunked(*[b"x"] * LIMIT)]).body()) == LIMIT
    with pytest.raises(ReplyTooLarge):
        read([with_body(bytes(LIMIT + 1))])
    with pytest.raises(ReplyTooLarge):
        read([with_body(gzip.compress(bytes(LIMIT + 1)), b"Content-Encoding: gzip")]).body()


@pytest.mark.parametrize(
    "data",
    [
        [b"HTTP/1.1 200 OK\r\nX: ", *[b"a" * (1 << 16)] * 20],
        [b"HTTP/1.1 100 Continue\r\n\r\n" * 1000] * 100,
        [chunked(b"ok")[:-2], b"X: ", *[b"a" * (1 << 16)] * 20],
    ],
    ids=["headers", "interim replies", "trailers"],
)
def test_the_size_of_what_is_no_body_is_bounded(data: list[bytes]) -> None:
    with pytest.raises(ReplyTooLarge, match="headers"):
        read(data)


def test_a_reply_that_was_read_does_not_wait_for_the_cyclic_collector() -> None:
    """Replies of `_bulk` have hundreds of kilobytes, and come faster than it looks."""
    by_length, by_the_end = read([with_body(b"ok")]), read([b"HTTP/1.1 200 OK\r\n\r\n", b"ok"])
    by_the_end.end()
    left = [weakref.ref(by_length), weakref.ref(by_the_end)]
    assert (by_length.body(), by_the_end.body()) == (b"ok", b"ok")
    gc.disable()
    try:
        del by_length, by_the_end
        assert [ref() for ref in left] == [None, None]
    finally:
        gc.enable()
