"""A reply of HTTP/1.1 from the bytes of a connection; bounded in size, and without sockets. Imported only where
requests are made, for the parser."""

from __future__ import annotations

import zlib

import httptools

_MOST_FRAMING = 1 << 20
"""Bytes of headers; and of what stands between the parts of a body, beside eight for each of its bytes."""


class InvalidReply(Exception):
    """What came is no reply, or not all of one."""


class ReplyTooLarge(Exception):
    """A reply has more bytes than are read."""


class ReplyReader:
    """Give what comes to `feed`, until it is `whole`. Interim replies (100, 103) are passed over."""

    def __init__(self, has_body: bool, max_bytes: int) -> None:
        """`has_body`: that of a request of HEAD has none, whatever its headers say."""
        self.status = 0
        """Of the reply, once its headers are there; 0 before."""
        self.headers: dict[str, str] = {}
        """Names in lower case."""
        self.whole = False
        self.keeps = False
        """The connection can be used for another request."""
        self.begun = False
        """Something of it came."""
        self._has_body, self._max_bytes = has_body, max_bytes
        self._body = bytearray()
        self._received = 0
        self._interim = False
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        """Let go of with the end of the reply: it knows this object, and replies would wait for the collector."""

    def feed(self, data: bytes) -> None:
        """More of it came. Raises `InvalidReply`, `ReplyTooLarge`."""
        self.begun = True
        self._received += len(data)
        if self._parser is None:
            self.keeps = False
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.keeps = False
            if not self.whole:  # What stands behind a whole reply is nobody's.
                raise InvalidReply(f"no reply of HTTP/1.1: {error}") from error
        if self.whole:
            self._parser = None
        if len(self._body) > self._max_bytes:
            raise ReplyTooLarge(f"reply of more than {self._max_bytes} bytes")
        if self._received > _MOST_FRAMING + 9 * len(self._body):
            raise ReplyTooLarge(f"reply with headers of more than {_MOST_FRAMING} bytes")

    def end(self) -> None:
        """The connection was closed. Raises `InvalidReply` where that is not how the reply ends."""
        self.keeps = False
        if not self.status or "content-length" in self.headers or self._is_chunked:
            raise InvalidReply("the connection was closed before the end of the reply")
        self.whole = True
        self._parser = None

    def body(self) -> bytes:
        """The body as it is meant: none was asked for, but there are servers and proxies that compress it nevertheless.
        Raises as `feed`."""
        coding = self.headers.get("content-encoding", "identity").lower()
        if coding == "identity" or not self._body:
            return bytes(self._body)
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise InvalidReply(f"a reply in content-encoding {coding}, which was not asked for")
        try:
            decoder = zlib.decompressobj(32 + zlib.MAX_WBITS)
            plain = decoder.decompress(self._body, self._max_bytes + 1)
        except zlib.error as error:
            raise InvalidReply(f"a reply that is not in content-encoding {coding}: {error}") from error
        if len(plain) > self._max_bytes:
            raise ReplyTooLarge(f"reply of more than {self._max_bytes} bytes")
        if not decoder.eof:
            raise InvalidReply(f"a reply whose content-encoding {coding} is cut off")
        return plain

    @property
    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    # -- what the parser calls, by these names

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # Those behind a body are not read.
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self.whole or self._parser is None:
            return
        status = self._parser.get_status_code()
        self._interim = status < 200
        if self._interim:
            self.headers = {}
            return
        self.status = status
        self.keeps = self._parser.should_keep_alive()
        self.whole = not self._has_body

    def on_body(self, part: bytes) -> None:
        if self.whole:
            self.keeps = False
        else:
            self._body += part

    def on_message_begin(self) -> None:
        if self.whole:
            self.keeps = False

    def on_message_complete(self) -> None:
        self.whole = self.whole or not self._interim
