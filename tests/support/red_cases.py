"""Payloads on which our RED figures are held against those of the OpenTelemetry Collector's spanmetrics connector."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from prometheus_client.parser import text_string_to_metric_families

from sidecar.decode.api import Decoder
from sidecar.derive.red import RedDeriver, RedOptions
from sidecar.derive.series import Arrival, Budget
from sidecar.derive.target_info import Targets
from sidecar.serve.exposition import render
from sidecar.telemetry import Telemetry

DIMENSIONS = ("http.route", "http.response.status_code", "model.name", "model.version")
START = 1_700_000_000 * 10**9
BOUNDS = (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10000, 15000)
"""Milliseconds."""

Figures = dict[str, dict[str, float]]
"""Kind of figure (`calls`, `count`, `sum`, `bucket`) -> labels as `k=v` joined by `|` -> value."""

_KINDS = {
    "traces_span_metrics_calls_total": "calls",
    "traces_span_metrics_duration_seconds_bucket": "bucket",
    "traces_span_metrics_duration_seconds_count": "count",
    "traces_span_metrics_duration_seconds_sum": "sum",
}
_COLLECTORS_OWN = ("collector_instance_id", "job", "instance", "otel_scope_")


def figures(exposition: str) -> Figures:
    """RED figures of an exposition in the text format; labels that only the Collector has are left out, as are empty
    ones, which Prometheus does not tell from absent ones."""
    out: Figures = {kind: {} for kind in _KINDS.values()}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name in _KINDS:
                labels = {k: v for k, v in sample.labels.items() if v and not k.startswith(_COLLECTORS_OWN)}
                if "le" in labels:
                    labels["le"] = repr(float(labels["le"]))
                key = "|".join(f"{k}={v}" for k, v in sorted(labels.items()))
                out[_KINDS[sample.name]][key] = sample.value
    return out


def ours(decoder: Decoder, payloads: list[bytes]) -> Figures:
    """What this program shows for these payloads."""
    red = RedDeriver(RedOptions(dimensions=DIMENSIONS), Budget(), Targets(100), Telemetry())
    batch = red.decode(decoder, payloads)
    red.apply(batch, Arrival(np.array([len(batch)]), np.array([START]), START))
    red.table.mark_exported()
    return figures(render(list(red.collect()), False).decode())


def value(given: Any) -> AnyValue:
    """A Python value as an OTLP attribute value."""
    if isinstance(given, bool):
        return AnyValue(bool_value=given)
    if isinstance(given, int):
        return AnyValue(int_value=given)
    if isinstance(given, float):
        return AnyValue(double_value=given)
    if isinstance(given, bytes):
        return AnyValue(bytes_value=given)
    if isinstance(given, list):
        return AnyValue(array_value=ArrayValue(values=map(value, given)))
    if isinstance(given, dict):
        return AnyValue(kvlist_value=KeyValueList(values=attributes(given)))
    return AnyValue() if given is None else AnyValue(string_value=given)


def attributes(given: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=k, value=value(v)) for k, v in given.items()]


class Payload:
    """An export request that is put together span by span."""

    def __init__(self) -> None:
        self.request = ExportTraceServiceRequest()
        self._spans = 0

    def resource(self, given: Mapping[str, Any]) -> ResourceSpans:
        found = self.request.resource_spans.add()
        found.resource.attributes.extend(attributes(given))
        found.scope_spans.add()
        return found

    def span(self, resource: ResourceSpans, **fields: Any) -> Span:
        """`ms` and `ns` add up to the duration; `attributes` is a mapping."""
        self._spans += 1
        duration = fields.pop("ms", 0) * 10**6 + fields.pop("ns", 0)
        start = fields.pop("start", START + self._spans * 10**9)
        given = {
            "trace_id": self._spans.to_bytes(16, "big"),
            "span_id": self._spans.to_bytes(8, "big"),
            "name": "GET /",
            "kind": 2,
            "start_time_unix_nano": start,
            "end_time_unix_nano": fields.pop("end", start + duration),
            **fields,
            "attributes": attributes(fields.get("attributes", {})),
        }
        status = given.pop("status", 0)
        span = resource.scope_spans[0].spans.add(**given)
        span.status.code = status
        return span

    def done(self) -> bytes:
        return self.request.SerializeToString(deterministic=True)


def regular() -> bytes:
    """A mix of services, names, kinds, results and durations."""
    rng, payload = random.Random(155), Payload()
    for service in ("shop", "fraud-scorer"):
        resource = payload.resource({"service.name": service, "model.version": "2", "service.version": "1"})
        for _ in range(100):
            known = {
                "http.route": rng.choice(["/a", "/b/{id}"]),
                "http.response.status_code": rng.choice([200, 500]),
                "model.name": rng.choice(["xgb", "gnn"]),
            }
            payload.span(
                resource,
                name=rng.choice(["GET /a", "predict"]),
                kind=rng.choice([2, 3]),
                status=rng.randrange(3),
                ns=int(rng.lognormvariate(16, 3)),
                attributes={k: v for k, v in known.items() if rng.random() < 0.8},
            )
    return payload.done()


def bucket_edges() -> bytes:
    """One nanosecond below, at and above each bound, and the extremes."""
    payload = Payload()
    resource = payload.resource({"service.name": "edges"})
    for bound in BOUNDS:
        for ns in (-1, 0, 1):
            payload.span(resource, ms=bound, ns=ns, name=f"around {bound}")
    for ns in (0, 1, 10**15, 9 * 10**18):
        payload.span(resource, start=1, ns=ns, name="extremes")
    return payload.done()


def no_service() -> bytes:
    payload = Payload()
    payload.span(payload.resource({"service.version": "1"}), ms=3)
    return payload.done()


def service_not_text() -> bytes:
    payload = Payload()
    for name in (7, True, 1.5, ["a", 1], None, ""):
        payload.span(payload.resource({"service.name": name}), ms=3)
    return payload.done()


def empty_name() -> bytes:
    payload = Payload()
    payload.span(payload.resource({"service.name": "shop"}), name="", ms=3)
    return payload.done()


def end_before_start() -> bytes:
    payload = Payload()
    payload.span(payload.resource({"service.name": "shop"}), ns=-5_000_000)
    return payload.done()


def start_zero() -> bytes:
    payload = Payload()
    resource = payload.resource({"service.name": "shop"})
    payload.span(resource, start=0, end=START)
    payload.span(resource, ms=3)
    return payload.done()


def unknown_kind_and_status() -> bytes:
    payload = Payload()
    resource = payload.resource({"service.name": "shop"})
    for kind, status in ((0, 0), (6, 1), (99, 2), (1, 3), (2, 77)):
        payload.span(resource, kind=kind, status=status, ms=3)
    return payload.done()


def attribute_types() -> bytes:
    """Every type as a dimension."""
    payload = Payload()
    resource = payload.resource({"service.name": "shop"})
    given: list[Any] = ["text", 7, -(2**63), True, False, 1.5, 3.0, 1e300, b"\x00\xff", [1, "a", [True]]]
    for i, item in enumerate([*given, {"b": 1, "a": [None, 2.5]}, [], {}]):
        payload.span(resource, name=f"type {i}", ms=3, attributes={"model.name": item})
    return payload.done()


def duplicates_and_precedence() -> bytes:
    """First of a duplicate key wins; the span's own beats the resource's."""
    payload = Payload()
    resource = payload.resource({"service.name": "shop", "model.name": "resource", "model.version": "1"})
    resource.resource.attributes.extend(attributes({"model.version": "2"}))
    span = payload.span(resource, ms=3, attributes={"model.name": "span"})
    span.attributes.extend(attributes({"model.name": "second"}))
    payload.span(resource, ms=3)
    return payload.done()


def empty_and_absent() -> bytes:
    payload = Payload()
    resource = payload.resource({"service.name": "shop"})
    payload.span(resource, ms=3, attributes={"model.name": ""})
    payload.span(resource, ms=3)
    return payload.done()


def two_pods() -> bytes:
    """Two resources of one service with the same labels."""
    payload = Payload()
    for pod, spans in (("a", 2), ("b", 1)):
        resource = payload.resource({"service.name": "shop", "k8s.pod.name": pod})
        for _ in range(spans):
            payload.span(resource, ms=3)
    return payload.done()


def sampling() -> bytes:
    payload = Payload()
    resource = payload.resource({"service.name": "shop"})
    for state in ("ot=th:8", "ot=th:e", "ot=th:0", "a=b,ot=rv:abcdef01234567;th:c", "ot=th:zz", "ot=", ""):
        payload.span(resource, name=f"state {state}", trace_state=state, ms=3)
        payload.span(resource, name=f"state {state}", trace_state=state, ms=300)
    return payload.done()


def not_utf8() -> bytes:
    payload = Payload()
    resource = payload.resource({"service.name": "shop-@@"})
    payload.span(resource, name="name-@@", ms=3, attributes={"model.name": "model-@@"})
    payload.span(payload.resource({"service.name": "fine"}), ms=3)
    return payload.done().replace(b"@@", b"\xff\xfe")


def control_characters() -> bytes:
    payload = Payload()
    resource = payload.resource({"service.name": "shop"})
    for name in ("a\0b", "ab", 'q"u\\o\nte', "tab\there", "é😀"):
        payload.span(resource, name=name, ms=3)
    return payload.done()


CASES: dict[str, Callable[[], bytes]] = {
    case.__name__: case
    for case in (
        regular,
        bucket_edges,
        no_service,
        service_not_text,
        empty_name,
        end_before_start,
        start_zero,
        unknown_kind_and_status,
        attribute_types,
        duplicates_and_precedence,
        empty_and_absent,
        two_pods,
        sampling,
        not_utf8,
        control_characters,
    )
}
