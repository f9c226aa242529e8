"""CloudEvents over HTTP: `POST /v1/cloudevents`, binary, structured or batched, as KServe's logger sends them.

Events are stored as log records (`decode.protocols.cloudevents`); replies are those of OTLP/JSON logs.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sidecar.decode.api import Decoder, Transcoded
from sidecar.decode.protocols import cloudevents
from sidecar.pipeline import Signal
from sidecar.receive import replies
from sidecar.receive.encodings import Anonymous, Encoding
from sidecar.receive.http_body import INFLATE_INLINE_BYTES, HttpIngest, content_type, headers_of, response
from sidecar.receive.ingest import Reservation

NAME = "cloudevents_http"
PATH = "/v1/cloudevents"


def _transcode(decoder: Decoder, signal: Signal, body: bytes, now: int, anonymous: Anonymous) -> Transcoded:
    return cloudevents.transcode(body, now, anonymous())


CLOUDEVENTS = Encoding("cloudevents", _transcode, dedupe="always")
"""Events in a batch, each with its id."""


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """An ASGI application of its own, as the others are."""

    http: HttpIngest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._answer(scope, receive))(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        headers = headers_of(scope)
        kind = content_type(headers)

        async def read(reservation: Reservation) -> bytes:
            self.http.credentials.check(headers.get(b"authorization"))
            body = await self.http.body(headers, receive, reservation)
            names = {name.decode("latin-1"): value for name, value in headers.items()}
            if len(body) > INFLATE_INLINE_BYTES:
                batch = await self.http.ingest.in_thread(cloudevents.as_batch, names, kind, body)
            else:
                batch = cloudevents.as_batch(names, kind, body)
            reservation.grow(len(body) + len(batch))
            return batch

        outcome = await self.http.ingest.receive(NAME, "logs", CLOUDEVENTS, read)
        return response(replies.http_reply(outcome, "logs", "json"))


def events_route(http: HttpIngest) -> Route:
    """The route; any content type is taken, for in the binary mode it is that of the event's data."""
    return Route(PATH, _Endpoint(http), methods=["POST"], name=PATH)
