"""What OpenTelemetry's instrumentation measures of our own ingest over HTTP. Imported by the first request."""

from __future__ import annotations

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry

from sidecar.telemetry import Telemetry

NAMES = (
    "http.server.request.duration",
    "http.server.active_requests",
    "http.server.request.body.size",
    "http.server.response.body.size",
)
"""Shown with `sidecar` before each: the model's own metrics of these names pass through; both must not be added up."""
LABELS = {"http.request.method", "http.route", "http.response.status_code"}
"""Those that are kept. The others would take a value, and a series, from each Host header that a client makes up."""


def meter_provider(telemetry: Telemetry) -> MeterProvider:
    """A meter provider whose metrics are shown beside the program's own."""
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=registry)
    telemetry.instrumented(registry.collect)
    return MeterProvider(
        metric_readers=(reader,),
        views=[View(instrument_name=name, name=f"sidecar.{name}", attribute_keys=LABELS) for name in NAMES],
        resource=Resource({"service.name": "model-sidecar"}),
        shutdown_on_exit=False,
    )
