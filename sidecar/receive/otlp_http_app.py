"""The application behind OTLP over HTTP: its routes. Imported by the first request, with what they need."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.routing import BaseRoute

from sidecar.pipeline import Signal
from sidecar.receive import cloudevents_http, json_http, labels_http
from sidecar.receive.encodings import OTLP_JSON, PROTOBUF
from sidecar.receive.http_body import HttpIngest, Media, no_route, route
from sidecar.receive.replies import JSON_TYPE, PROTOBUF_TYPE

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

PATHS: dict[str, Signal] = {"/v1/traces": "spans", "/v1/logs": "logs", "/v1/metrics": "metrics"}
MORE = (json_http.lines_route, labels_http.labels_route, cloudevents_http.events_route)
"""What else is taken on this port. A new one is a file, a test and an entry here."""
TYPES = {PROTOBUF_TYPE: Media(PROTOBUF, "protobuf"), JSON_TYPE: Media(OTLP_JSON, "json")}


def build_app(http: HttpIngest, receiver: str, meter_provider: MeterProvider | None = None) -> FastAPI:
    """The application of a receiver, without a socket. With a meter provider its requests are measured (and never
    traced: a trace of the arrival of traces would have no end)."""
    routes = [route(path, http, receiver, signal, TYPES) for path, signal in PATHS.items()]
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
