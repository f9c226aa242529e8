"""What identifies an OTLP point: its labels in Prometheus, and what it was before it became labels."""

from __future__ import annotations

import hashlib

from sidecar.decode.api import Resource
from sidecar.decode.otlp.metrics import Point
from sidecar.derive.families import labels_of
from sidecar.derive.target_info import job_and_instance

Labels = tuple[tuple[str, str], ...]

_OF_BUCKETS = {"le", "quantile"}
_SCOPE = "otel_scope_"
_OF_SCOPE = {"name", "version", "schema_url"}
"""Attributes of a scope that would be taken for what a scope has (OpenTelemetry's rules leave them out)."""

_OF_PROCESS = frozenset(
    {"service.namespace", "service.name", "service.instance.id", "process.pid", "host.name", "host.id"}
    | {"container.id", "k8s.pod.uid", "k8s.pod.name"}
)
"""Attributes of a resource that stay while a process runs, and tell it from others."""


def labels_of_point(point: Point) -> Labels:
    """The labels of a point: those of its target and scope, then its attributes.

    An attribute whose name is taken is called `exported_…`, as Prometheus calls it; values of attributes that become
    the same label are joined with `;` (OpenTelemetry's Prometheus compatibility rules)."""
    job, instance = job_and_instance(point.resource)
    scope = labels_of([(key, value) for key, value in point.scope_attributes if key not in _OF_SCOPE])
    own = {
        "job": job,
        "instance": instance,
        "otel_scope_name": point.scope_name,
        "otel_scope_version": point.scope_version,
        **{_SCOPE + name: value for name, value in scope.items()},
    }
    given = labels_of(point.attributes, own.keys() | _OF_BUCKETS)
    return tuple((k, v) for k, v in (*own.items(), *given.items()) if v)


def stream_of(point: Point) -> str:
    """The attributes, scope and metric that a point belongs to as they were, as a short text; of what adds up also the
    kind and the process. The rest of a resource is not part of it: of one target it may change while it runs."""
    identity = (point.name, point.unit, point.scope_name, point.scope_version, point.scope_attributes)
    process: Resource = ()
    if point.kind not in ("gauge", "summary"):
        process = (("", point.kind), *((key, value) for key, value in point.resource if key in _OF_PROCESS))
    return _digest((*identity, point.attributes, point.identity, process))


def resource_of(point: Point) -> str:
    """The resource of a point as a short text."""
    return _digest(point.resource)


def _digest(value: tuple[object, ...] | Resource) -> str:
    return hashlib.blake2b(repr(value).encode("utf-8", "replace"), digest_size=8).hexdigest()
