"""The admission webhook: HTTPS with certificate files that are read again when they change; probes and metrics."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from sidecar.inject.profile import Profile
from sidecar.inject.review import Decision, InvalidReview, answer
from sidecar.options import ServerTls
from sidecar.receive.credentials import Credentials
from sidecar.serve.exposition import Exposition, from_client
from sidecar.telemetry import Telemetry
from sidecar.web import WebServer

MAX_BODY_BYTES = 8 << 20
"""An object in etcd has at most 1.5 MiB; a review holds it up to twice."""
STOP_SECONDS = 10.0

log = structlog.get_logger("sidecar.inject")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the webhook listens, and the files of its certificate."""

    host: str
    port: int
    cert_file: Path
    key_file: Path


class Webhook:
    """The application, without a socket."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._telemetry = Telemetry()
        self._exposition = Exposition()
        self.app = FastAPI(title="model-sidecar inject", docs_url=None, redoc_url=None, openapi_url=None)
        self.app.add_api_route("/inject", self._asked, methods=["POST"])
        self.app.add_api_route("/inject/by-default", self._by_default, methods=["POST"])
        self.app.add_api_route("/metrics", self._metrics, methods=["GET"])
        for path in ("/livez", "/readyz"):
            self.app.add_api_route(path, _alive, methods=["GET"])

    async def _asked(self, request: Request) -> Response:
        """Pods with the annotation `model-sidecar/inject: "true"`."""
        return await self._review(request, by_default=False)

    async def _by_default(self, request: Request) -> Response:
        """Pods of namespaces with the label: all but those that say "false"."""
        return await self._review(request, by_default=True)

    async def _review(self, request: Request, by_default: bool) -> Response:
        started = time.perf_counter()
        try:
            review = json.loads(await _body(request))
            decision = answer(review, self._profile, by_default)
        except (InvalidReview, ValueError, RecursionError) as error:
            self._telemetry.add("sidecar_injection_requests_total", 1, outcome="invalid")
            log.warning("injection_request_invalid", error=str(error)[:500])
            return PlainTextResponse(f"{error}\n", 400)
        self._record(decision, time.perf_counter() - started)
        return JSONResponse(decision.body)

    def _record(self, decision: Decision, seconds: float) -> None:
        self._telemetry.add("sidecar_injection_requests_total", 1, outcome=decision.outcome)
        self._telemetry.record("sidecar_injection_duration_seconds", seconds)
        fields = {"namespace": decision.namespace, "pod": decision.pod}
        if decision.outcome == "refused":
            log.warning("pod_not_injected", **fields, reason=decision.reason)
        elif decision.outcome == "injected":
            log.info("pod_injected", **fields)

    def _metrics(self, request: Request) -> Response:
        families = list(from_client(self._telemetry.collect()))
        body, content_type = self._exposition.answer(families, request.headers.get("accept", ""))
        return Response(body, media_type=content_type)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise InvalidReview(f"invalid request: more than {MAX_BODY_BYTES} bytes")
    return bytes(body)


async def _alive() -> Response:
    return PlainTextResponse("ok\n")


async def serve(profile: Profile, address: Address, stop: asyncio.Event, ready: Any = None) -> None:
    """Serve until `stop` is set; `ready` is called with the port. Raises `ConfigError` for files or an address that
    cannot be used."""
    tls = Credentials(ServerTls(cert_file=address.cert_file, key_file=address.key_file)).ssl_context()
    server = WebServer("inject", Webhook(profile).app, address.host, address.port)
    await server.start(tls)
    log.info("injection_started", host=address.host, port=server.port)
    if ready is not None:
        ready(server.port)
    await stop.wait()
    await server.stop(STOP_SECONDS)


def run(profile: Profile, address: Address) -> None:
    """Serve until SIGTERM or SIGINT."""
    asyncio.run(_until_signal(profile, address))


async def _until_signal(profile: Profile, address: Address) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(profile, address, stop)
