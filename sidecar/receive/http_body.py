"""What the HTTP routes share: credentials, content type and encoding, a bounded body, the reply."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sidecar.errors import TooLarge
from sidecar.pipeline import Signal
from sidecar.receive import compression
from sidecar.receive import replies as reply
from sidecar.receive.acknowledgements import KEY_HEADER, Exchange, retries
from sidecar.receive.compression import CODINGS
from sidecar.receive.credentials import Credentials
from sidecar.receive.encodings import OTLP_JSON, Encoding
from sidecar.receive.ingest import Ingest, Reservation
from sidecar.receive.replies import PROTOBUF_TYPE, BodyEncoding, HttpReply, Refused
from sidecar.web import CONNECTION

INFLATE_INLINE_BYTES = 256 << 10
"""Larger compressed bodies are opened in a thread."""


@dataclass(frozen=True, slots=True)
class Media:
    """What a content type stands for: the body's encoding, and that of the reply."""

    body: Encoding
    reply: BodyEncoding


@dataclass(frozen=True, slots=True)
class HttpIngest:
    """Answers one request; made once for all routes."""

    ingest: Ingest
    credentials: Credentials
    max_message_bytes: int

    async def answer(
        self,
        receiver: str,
        signal: Signal,
        types: Mapping[str, Media],
        headers: Mapping[bytes, str],
        receive: Receive,
        exchange: Exchange | None = None,
    ) -> Response:
        """The reply to a POST whose content type must be one of `types`."""
        given = content_type(headers)
        media = types.get(given)

        async def read(reservation: Reservation) -> bytes:
            self.credentials.check(headers.get(b"authorization"))
            if media is None:
                known = ", ".join(name for name in types if name)
                raise Refused(reply.unsupported(f"content-type {given or 'absent'}: must be one of {known}"))
            return await self.body(headers, receive, reservation)

        encoding = media.body if media else OTLP_JSON
        outcome = await self.ingest.receive(receiver, signal, encoding, read, exchange)
        return response(reply.http_reply(outcome, signal, media.reply if media else "json"))

    async def body(self, headers: Mapping[bytes, str], receive: Receive, reservation: Reservation) -> bytes:
        """The decompressed body; neither it nor what came over the wire may be over the limit."""
        limit = self.max_message_bytes
        named = headers.get(b"content-encoding", "").strip().lower()
        coding = CODINGS.get(named)
        if coding is None and named not in ("", "identity"):
            raise Refused(reply.unsupported(f"content-encoding {named}: must be gzip, deflate, zstd or identity"))
        length = headers.get(b"content-length", "")
        if length.isdecimal():
            if int(length) > limit:
                raise TooLarge(f"request of {length} bytes is over the limit of {limit} bytes")
            reservation.grow(int(length))
        received = await self._received(receive, reservation)
        if coding is None:
            return received
        if len(received) > INFLATE_INLINE_BYTES:
            body = await self.ingest.in_thread(compression.inflate, received, coding, limit)
        else:
            body = compression.inflate(received, coding, limit)
        reservation.grow(len(body))
        return body

    async def _received(self, receive: Receive, reservation: Reservation) -> bytes:
        limit = self.max_message_bytes
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(reply.invalid("the connection ended before the body did"))
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"request is over the limit of {limit} bytes")
            reservation.grow(size)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def exchange_of(scope: Scope, headers: Mapping[bytes, str]) -> Exchange | None:
    """The request as one of its connection; None where the server does not give the connection."""
    connection = scope.get("extensions", {}).get(CONNECTION)
    if connection is None:
        return None
    repeats = retries(headers.get(b"user-agent", ""))
    exchange = Exchange(connection, repeats, headers.get(KEY_HEADER.encode(), ""), connection.backlog)
    connection.watch(exchange)
    return exchange


def headers_of(scope: Scope) -> dict[bytes, str]:
    """Headers by their names, which ASGI gives in lower case; the first of several of one name."""
    return {name: value.decode("latin-1") for name, value in reversed(scope["headers"])}


def content_type(headers: Mapping[bytes, str]) -> str:
    """The media type without its parameters, in lower case; empty where there is none."""
    return headers.get(b"content-type", "").partition(";")[0].strip().lower()


def response(answer: HttpReply) -> Response:
    """A reply of the table as Starlette sends it."""
    if answer.status == 415:
        answer.headers["Accept-Encoding"] = "gzip, deflate, zstd"
    return Response(answer.body, answer.status, answer.headers)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """What is behind a path. An ASGI application of its own: an endpoint function would have its parameters, its form
    and its dependencies worked out for each request, which costs more than to take in a small body."""

    http: HttpIngest
    receiver: str
    signal: Signal
    types: Mapping[str, Media]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        exchange = exchange_of(scope, headers)
        answer = await self.http.answer(self.receiver, self.signal, self.types, headers, receive, exchange)
        await answer(scope, receive, send)
        if exchange is not None:
            exchange.answered()


def route(path: str, http: HttpIngest, receiver: str, signal: Signal, types: Mapping[str, Media]) -> Route:
    """The route of `POST path`, where one of `types` is taken in as `signal`."""
    return Route(path, _Endpoint(http, receiver, signal, types), methods=["POST"], name=path)


def no_route(paths: Sequence[str]) -> Callable[[Request, Exception], Coroutine[Any, Any, Response]]:
    """What answers a request that no route takes (404, 405), as the table says and in the request's encoding."""

    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        method, path = request.method, request.scope["path"]
        if error.status_code == 405:
            outcome = reply.wrong_method(f"invalid method: {method} {path}; expected POST")
        else:
            outcome = reply.unknown_path(f"invalid path: {path}; expected one of {', '.join(paths)}")
        encoding: BodyEncoding = "protobuf" if content_type(headers_of(request.scope)) == PROTOBUF_TYPE else "json"
        found = response(reply.http_reply(outcome, "logs", encoding))
        found.headers.update(error.headers or {})
        return found

    return answer
