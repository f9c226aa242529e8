"""An instance id for each process: two processes that send one cumulative metric under one resource are one series to
whoever reads it, whose value jumps between theirs.

OpenTelemetry's SDK makes an id of its own (since version 1.42) or none. One that is given (`OTEL_RESOURCE_ATTRIBUTES`)
names the container or the pod: the first process of it keeps it as given, and each process below that one, whether it
was forked, spawned or started, has `<given>-<pid>`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, MutableMapping
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider

KEY = "service.instance.id"
FIRST = "SIDECAR_INSTANCE_PID"
"""Environment variable with the pid of the container's first instrumented process. Set here; not for people."""


def identify() -> None:
    """Called by OpenTelemetry's auto-instrumentation when it is done (entry point `opentelemetry_post_instrument`)."""
    given = given_id(os.environ)
    update(_providers(), instance_id(given, os.environ))
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: update(_providers(), instance_id(given, os.environ)))


def given_id(environ: MutableMapping[str, str]) -> str:
    """`service.instance.id` of `OTEL_RESOURCE_ATTRIBUTES`, percent-encoded as it is there; empty if it has none."""
    found = ""
    for item in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, _, value = item.partition("=")
        if key.strip() == KEY:
            found = value.strip()
    return found


def instance_id(given: str, environ: MutableMapping[str, str]) -> str:
    """The id of this process."""
    if not given:
        return str(uuid.uuid4())
    from urllib.parse import unquote

    first = environ.setdefault(FIRST, str(os.getpid()))
    return unquote(given) if first == str(os.getpid()) else f"{unquote(given)}-{os.getpid()}"


def update(providers: Iterable[Any], instance: str) -> None:
    """Resources are replaced in place: tracers, loggers and meters hold them too."""
    from opentelemetry.sdk.resources import Resource

    for resource in {id(r): r for r in map(_resource, providers) if isinstance(r, Resource)}.values():
        resource._attributes = resource.merge(Resource({KEY: instance}))._attributes


def _resource(provider: Any) -> Any:
    config = getattr(provider, "_sdk_config", None)
    return getattr(provider, "resource", None) or getattr(config, "resource", None)


def _providers() -> list[Any]:
    return [get_logger_provider(), trace.get_tracer_provider(), metrics.get_meter_provider()]
