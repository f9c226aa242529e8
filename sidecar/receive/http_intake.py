"""What the HTTP routes share: credentials, content type and encoding, a bounded body, the reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from sidecar.decode.batch import Signal
from sidecar.errors import TooLarge
from sidecar.receive import compression, reply
from sidecar.receive.compression import CODINGS
from sidecar.receive.credentials import Credentials
from sidecar.receive.intake import Encoding, Intake, Lease
from sidecar.receive.reply import BodyEncoding, Refused

INFLATE_INLINE_BYTES = 256 << 10
"""Larger compressed bodies are opened in a thread."""


@dataclass(frozen=True, slots=True)
class Media:
    """What a content type stands for: the body's encoding, and that of the reply."""

    body: Encoding
    reply: BodyEncoding


@dataclass(frozen=True, slots=True)
class HttpIntake:
    """Answers one request; made once for all routes."""

    intake: Intake
    credentials: Credentials
    max_message_bytes: int

    async def answer(self, receiver: str, signal: Signal, request: Request, types: Mapping[str, Media]) -> Response:
        """The reply to a POST whose content type must be one of `types`."""
        given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        media = types.get(given)

        async def read(lease: Lease) -> bytes:
            self.credentials.check(request.headers.get("authorization"))
            if media is None:
                known = ", ".join(name for name in types if name)
                raise Refused(reply.unsupported(f"content-type {given or 'absent'}: must be one of {known}"))
            return await self._body(request, lease)

        encoding = media.body if media else "otlp_json"
        outcome = await self.intake.receive(receiver, signal, encoding, read)
        answer = reply.http_reply(outcome, signal, media.reply if media else "json")
        if answer.status == 415:
            answer.headers["Accept-Encoding"] = "gzip, deflate, zstd"
        return Response(answer.body, answer.status, answer.headers)

    async def _body(self, request: Request, lease: Lease) -> bytes:
        """The decompressed body; neither it nor what came over the wire may be over the limit."""
        limit = self.max_message_bytes
        named = request.headers.get("content-encoding", "").strip().lower()
        coding = CODINGS.get(named)
        if coding is None and named not in ("", "identity"):
            raise Refused(reply.unsupported(f"content-encoding {named}: must be gzip, deflate, zstd or identity"))
        length = request.headers.get("content-length", "")
        if length.isdecimal():
            if int(length) > limit:
                raise TooLarge(f"request of {length} bytes is over the limit of {limit} bytes")
            lease.cover(int(length))
        received = await self._received(request, lease)
        if coding is None:
            return received
        if len(received) > INFLATE_INLINE_BYTES:
            body = await self.intake.in_thread(compression.inflate, received, coding, limit)
        else:
            body = compression.inflate(received, coding, limit)
        lease.cover(len(body))
        return body

    async def _received(self, request: Request, lease: Lease) -> bytes:
        limit = self.max_message_bytes
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"request is over the limit of {limit} bytes")
                lease.cover(size)
                chunks.append(chunk)
        except ClientDisconnect:
            raise Refused(reply.malformed("the connection ended before the body did")) from None
        return b"".join(chunks)
