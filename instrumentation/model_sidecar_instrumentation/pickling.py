"""Tracers, meters and loggers in what an app pickles: FastAPI's instrumentation puts a tracer and a meter into the app,
and Ray Serve sends the app to other processes (cloudpickle). They have locks and threads, which cannot be pickled. What
is written instead is their names, and the process that reads them takes those of its own providers."""

from __future__ import annotations

import copyreg
from collections.abc import Callable
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger, get_logger_provider


def prepare() -> None:
    """Called by OpenTelemetry's auto-instrumentation when it is done (entry point `opentelemetry_post_instrument`)."""
    name = __name__
    _by_name(trace.get_tracer(name), trace.get_tracer)
    _by_name(metrics.get_meter(name), metrics.get_meter)
    _by_name(get_logger(name), get_logger)
    _its_own(trace.get_tracer_provider(), trace.get_tracer_provider)
    _its_own(metrics.get_meter_provider(), metrics.get_meter_provider)
    _its_own(get_logger_provider(), get_logger_provider)


def _by_name(example: Any, get: Callable[..., Any]) -> None:
    """`get` is the API's, so that a process without this package can read what was written."""

    def reduced(found: Any) -> tuple[Any, ...]:
        scope = getattr(found, "instrumentation_scope", None) or found._instrumentation_scope
        return get, (scope.name, scope.version or "", None, scope.schema_url)

    if type(example).__module__.startswith("opentelemetry.sdk."):
        copyreg.pickle(type(example), reduced)


def _its_own(example: Any, get: Callable[[], Any]) -> None:
    if type(example).__module__.startswith("opentelemetry.sdk."):
        copyreg.pickle(type(example), lambda _: (get, ()))
