"""JSON log lines over HTTP: `POST /v1/json`, one JSON object a line."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from sidecar.receive.http_intake import HttpIntake, Media

NAME = "json_http"
PATH = "/v1/json"
_LINES = Media("ndjson", "json")
TYPES = {"application/x-ndjson": _LINES, "application/json": _LINES, "text/plain": _LINES, "": _LINES}
"""Content types that are taken; none at all is taken too."""


def router(http: HttpIntake) -> APIRouter:
    """The route; its replies are those of OTLP/JSON logs."""

    async def receive(request: Request) -> Response:
        return await http.answer(NAME, "logs", request, TYPES)

    routes = APIRouter()
    routes.add_api_route(PATH, receive, methods=["POST"], response_class=Response)
    return routes
