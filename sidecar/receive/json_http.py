"""JSON logs over HTTP: `POST /v1/json`, one JSON object a line; as `application/json` also an array or one object."""

from __future__ import annotations

from starlette.routing import Route

from sidecar.receive.encodings import JSON, NDJSON
from sidecar.receive.http_body import HttpIngest, Media, route

NAME = "json_http"
PATH = "/v1/json"
_LINES = Media(NDJSON, "json")
_DOCUMENT = Media(JSON, "json")
TYPES = {
    "application/x-ndjson": _LINES,
    "application/jsonl": _LINES,
    "application/json": _DOCUMENT,
    "text/plain": _LINES,
    "": _LINES,
}
"""Content types that are taken; none at all is taken too."""


def lines_route(http: HttpIngest) -> Route:
    """The route; its replies are those of OTLP/JSON logs."""
    return route(PATH, http, NAME, "logs", TYPES)
