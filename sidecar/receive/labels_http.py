"""Labels over HTTP: `POST /v1/labels`, as JSON (an object or an array), JSON lines, or CSV with a header."""

from __future__ import annotations

from starlette.routing import Route

from sidecar.receive.http_body import HttpIngest, Media, route

NAME = "labels_http"
PATH = "/v1/labels"
_LINES = Media("labels_lines", "labels")
TYPES = {
    "application/json": Media("labels_json", "labels"),
    "application/x-ndjson": _LINES,
    "application/jsonl": _LINES,
    "text/csv": Media("labels_csv", "labels"),
}
"""Content types that are taken. None at all is not: a body does not say whether it is lines or CSV."""


def labels_route(http: HttpIngest) -> Route:
    """The route. A success says how many labels were accepted and which were not; an error is as elsewhere."""
    return route(PATH, http, NAME, "logs", TYPES)
