"""Labels over HTTP: `POST /v1/labels`, as JSON (an object or an array), JSON lines, or CSV with a header."""

from __future__ import annotations

from starlette.routing import Route

from sidecar.decode.api import Decoder, Transcoded
from sidecar.decode.predictions import label_bodies
from sidecar.pipeline import Signal
from sidecar.receive.encodings import Anonymous, Encoding
from sidecar.receive.http_body import HttpIngest, Media, route

NAME = "labels_http"
PATH = "/v1/labels"


def _labels(name: str, transcode: label_bodies.Transcode) -> Media:
    """A label names the prediction that it is about: the same one again adds nothing."""

    def run(decoder: Decoder, signal: Signal, body: bytes, now: int, anonymous: Anonymous) -> Transcoded:
        return transcode(body, now, anonymous())

    return Media(Encoding(name, run, dedupe="always"), "labels")


_LINES = _labels("labels_lines", label_bodies.from_lines)
TYPES = {
    "application/json": _labels("labels_json", label_bodies.from_json),
    "application/x-ndjson": _LINES,
    "application/jsonl": _LINES,
    "text/csv": _labels("labels_csv", label_bodies.from_csv),
}
"""Content types that are taken. None at all is not: a body does not say whether it is lines or CSV."""


def labels_route(http: HttpIngest) -> Route:
    """The route. A success says how many labels were accepted and which were not; an error is as elsewhere."""
    return route(PATH, http, NAME, "logs", TYPES)
