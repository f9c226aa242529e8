"""The serve port: metrics, probes, status and trace look-ups (FastAPI under uvicorn, in the program's own loop)."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from sidecar.health import Health

#: Smaller answers are not worth compressing.
GZIP_FROM_BYTES = 1024


class Options(BaseModel):
    """Where metrics, probes and look-ups are served."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(
        "0.0.0.0", description="Address to listen on; Prometheus and the kubelet come from outside the pod."
    )
    port: int = Field(
        9464, ge=0, le=65535, description="Port of /metrics, the probes, /status and /api. 0 picks a free one."
    )


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of the metrics endpoint."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Sources:
    """What the endpoints read; every function is cheap enough to be called on a request."""

    health: Health
    scrape: Callable[[str], Scrape | None]
    """Accept header -> exposition; None while counters are still being restored."""
    status: Callable[[], Mapping[str, Any]]


def build_app(sources: Sources, routers: list[APIRouter]) -> FastAPI:
    """The application, without a socket."""
    app = FastAPI(title="model-sidecar", docs_url=None, redoc_url=None)
    for router in routers:
        app.include_router(router)

    @app.get("/metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        scrape = await asyncio.to_thread(sources.scrape, accept)
        if scrape is None:
            return PlainTextResponse(
                "counters are being restored from the journal; scrape again shortly\n", 503, {"Retry-After": "1"}
            )
        return _compressed(request, scrape)

    _add_probes(app, sources.health)

    @app.get("/status")
    async def status() -> JSONResponse:
        return JSONResponse(await asyncio.to_thread(lambda: dict(sources.status())))

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def index() -> str:
        return _INDEX

    return app


def _add_probes(app: FastAPI, health: Health) -> None:
    def answer(good: bool) -> JSONResponse:
        body = {"ok": good, "components": {name: asdict(r) for name, r in sorted(health.reports().items())}}
        return JSONResponse(body, 200 if good else 503)

    @app.get("/livez")
    async def livez() -> JSONResponse:
        return answer(health.live)

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        return answer(health.ready)

    @app.get("/startupz")
    async def startupz() -> JSONResponse:
        return answer(health.started)


def _compressed(request: Request, scrape: Scrape) -> Response:
    headers = {"Content-Type": scrape.content_type, "Vary": "Accept, Accept-Encoding"}
    body = scrape.body
    if len(body) >= GZIP_FROM_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 1, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers)


_INDEX = """<!doctype html><meta charset="utf-8"><title>model-sidecar</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}</style>
<h1>model-sidecar</h1>
<ul><li><a href="/metrics">/metrics</a> for Prometheus</li>
<li><a href="/status">/status</a>: receivers, journal, cursors, sinks</li>
<li><a href="/api/traces">/api/traces</a>: recent traces; <code>/api/traces/{trace id}</code> for one with its logs</li>
<li><a href="/livez">/livez</a> <a href="/readyz">/readyz</a> <a href="/startupz">/startupz</a></li></ul>
"""
