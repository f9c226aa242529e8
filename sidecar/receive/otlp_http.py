"""OTLP over HTTP: `POST /v1/traces`, `/v1/logs`, `/v1/metrics`, protobuf or JSON; `MORE` is served beside them.

Replies are in the encoding of the request (OTLP specification, "OTLP/HTTP Response").
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pydantic import Field
from starlette.routing import BaseRoute

from sidecar.options import Size
from sidecar.pipeline import Signal
from sidecar.receive import cloudevents_http, json_http, labels_http
from sidecar.receive.credentials import Credentials
from sidecar.receive.encodings import OTLP_JSON, PROTOBUF
from sidecar.receive.http_body import HttpIngest, Media, no_route, route
from sidecar.receive.ingest import Ingest
from sidecar.receive.receiver import Listener, ReceiverOptions
from sidecar.receive.replies import JSON_TYPE, PROTOBUF_TYPE
from sidecar.telemetry import Telemetry
from sidecar.web import Deferred, WebServer

if TYPE_CHECKING:
    from fastapi import FastAPI
    from opentelemetry.metrics import MeterProvider

NAME = "otlp_http"
PATHS: dict[str, Signal] = {"/v1/traces": "spans", "/v1/logs": "logs", "/v1/metrics": "metrics"}
MORE = (json_http.lines_route, labels_http.labels_route, cloudevents_http.events_route)
"""What else is taken on this port. A new one is a file, a test and an entry here."""
TYPES = {PROTOBUF_TYPE: Media(PROTOBUF, "protobuf"), JSON_TYPE: Media(OTLP_JSON, "json")}


class Options(ReceiverOptions):
    """OTLP, JSON lines, labels and CloudEvents over HTTP."""

    enabled: bool = Field(True, description="Whether to listen for OTLP and JSON lines over HTTP.")
    host: str = Field(
        "127.0.0.1", description="Address to listen on. The containers of a pod share the loopback interface."
    )
    port: int = Field(4318, ge=0, le=65535, description="Port to listen on. 0 picks a free one.")
    max_message_bytes: Size = Field(
        20 << 20, ge=1 << 10, description="Largest request, after decompression. A larger one is refused."
    )

    def listeners(self) -> tuple[Listener, ...]:
        return (Listener(self.host, self.port),)


def build_app(http: HttpIngest, meter_provider: MeterProvider | None = None) -> FastAPI:
    """The application, without a socket. With a meter provider its requests are measured (and never traced: a trace
    of the arrival of traces would have no end)."""
    from fastapi import FastAPI

    routes = [route(path, http, NAME, signal, TYPES) for path, signal in PATHS.items()]
    routes += [make(http) for make in MORE]
    unrouted = no_route([one.path for one in routes])
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={404: unrouted, 405: unrouted},
        routes=list[BaseRoute](routes),
    )
    if meter_provider is not None:
        _measure(app, meter_provider)
    return app


def _measure(app: FastAPI, meter_provider: MeterProvider) -> None:
    # Without it the instrumentation counts in milliseconds, under names that the conventions have given up.
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.trace import NoOpTracerProvider

    FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=NoOpTracerProvider(),
        meter_provider=meter_provider,
        exclude_spans=["receive", "send"],
    )


class OtlpHttpReceiver:
    """An HTTP server in the running event loop."""

    name = NAME

    def __init__(self, options: Options, ingest: Ingest, credentials: Credentials, telemetry: Telemetry) -> None:
        self._host = options.host
        self._credentials = credentials
        http = HttpIngest(ingest, credentials, options.max_message_bytes)
        app = Deferred(lambda: build_app(http, telemetry.provider))
        self._server = WebServer("receive.otlp_http", app, options.host, options.port)

    @property
    def port(self) -> int:
        """The port that is listened on (of use where the option was 0)."""
        return self._server.port

    async def start(self) -> None:
        """Bind and begin to answer. Raises `ConfigError` if the address cannot be had."""
        self._credentials.warn_if_open(self.name, self._host)
        await self._server.start(self._credentials.ssl_context())

    async def stop(self, grace: float) -> None:
        """Take no more requests; wait for those in flight at most `grace` seconds, then cancel them."""
        await self._server.stop(grace)
