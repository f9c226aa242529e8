"""What drills send: OTLP requests as JSON, each a second's worth of one service or model."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

Payload = tuple[str, Mapping[str, Any]]
"""Path of the ingest, and the OTLP request as JSON."""
Telemetry = Callable[[str, int], Payload]
"""(service, Unix ns) -> a second's worth of it."""

PER_SECOND = 20
LABEL_VALUES_PER_SECOND = 400
_PADDING_BYTES = 50_000
_FEATURES = ("width", "height", "depth")


def spans(failed: int = 0, seconds: float = 0.01) -> Telemetry:
    """Server spans of `POST /drill`, so many of which failed, each that long."""
    return lambda service, now: _traces(
        service, [_span(now + n, "POST /drill", seconds, n < failed) for n in range(PER_SECOND)]
    )


def spans_with_names(service: str, now: int) -> Payload:
    """Spans whose names there never were before."""
    made = [_span(now + n, f"GET /drill/{now + n}", 0.01, False) for n in range(LABEL_VALUES_PER_SECOND)]
    return _traces(service, made)


def large_spans(service: str, now: int) -> Payload:
    """Spans of about 2 MB together that do not compress well."""
    made = [_span(now + n, "POST /drill", 0.01, False) for n in range(PER_SECOND)]
    noise = random.Random(now)
    for span in made:
        span["attributes"].append(_text("drill.padding", noise.randbytes(_PADDING_BYTES).hex()))
    return _traces(service, made)


def predictions(seconds: float = 0.01, score: float = 0.9, error: str | None = None) -> Telemetry:
    """One event `ml.prediction` of a model with the service's name, which stands for a second's rows."""

    def made(service: str, now: int) -> Payload:
        if error is not None:
            return _event(service, now, seconds, {}, [_text("error.type", error)])
        return _event(service, now, seconds, {"score": [score] * PER_SECOND})

    return made


def features(moved: int = 0, by: float = 5, missing: bool = False) -> Telemetry:
    """The same with three features about 0 with a deviation of 1, of which so many are about `by` instead; where
    `missing`, the first one is null. Each twentieth of the distribution has one row of every second, so that a few
    minutes are much like it."""

    def made(service: str, now: int) -> Payload:
        noise = random.Random(now)
        normal = [NormalDist(by if at < moved else 0, 1) for at in range(len(_FEATURES))]
        columns: dict[str, Sequence[float | None]] = {
            name: [one.inv_cdf((n + noise.uniform(0.01, 0.99)) / PER_SECOND) for n in range(PER_SECOND)]
            for name, one in zip(_FEATURES, normal, strict=True)
        }
        if missing:
            columns[_FEATURES[0]] = [None] * PER_SECOND
        return _event(service, now, 0.01, {"features": columns})

    return made


def outcomes(right: int, rows: int = PER_SECOND) -> Telemetry:
    """One event `ml.prediction` with so many rows, and one label about all of them, by which so many are right."""

    def made(service: str, now: int) -> Payload:
        id_ = _text("ml.prediction.id", f"{service}-{now}")
        prediction = {
            "timeUnixNano": str(now),
            "eventName": "ml.prediction",
            "attributes": [id_, _text("ml.model.name", service), _text("ml.model.version", "1")],
            "body": _value({"class": ["yes"] * right + ["no"] * (rows - right)}),
        }
        label = {
            "timeUnixNano": str(now),
            "eventName": "ml.label",
            "attributes": [id_, _text("ml.label.value", "yes")],
        }
        return _logs(service, prediction, label)

    return made


def exposures(of_b: int, converting: int = 0) -> Telemetry:
    """Units of an experiment with the service's name, of which so many have the variant B, the others A; so many
    conversions of B."""

    def made(service: str, now: int) -> Payload:
        def record(event: str, variant: str) -> dict[str, Any]:
            attributes = [_text("ml.experiment", service), _text("ml.variant", variant)]
            return {"timeUnixNano": str(now), "eventName": event, "attributes": attributes}

        units = [record("ml.exposure", "B" if n < of_b else "A") for n in range(PER_SECOND)]
        return _logs(service, *units, *[record("ml.conversion", "B") for _ in range(converting)])

    return made


def orders(value: float) -> Telemetry:
    """Log records of orders, as the rule `ml_revenue_impact_total` of monitoring/sidecar/business-rules.yaml reads
    them."""

    def made(service: str, now: int) -> Payload:
        attributes = [_text("kind", "order"), {"key": "revenue_impact", "value": {"doubleValue": value}}]
        record = {"timeUnixNano": str(now), "body": {"stringValue": "order"}, "attributes": attributes}
        return _logs(service, record)

    return made


def conflicting_metrics(service: str, now: int) -> Payload:
    """A metric that is a gauge and, in the same request, a summary: the second is dropped."""
    point = {"timeUnixNano": str(now), "startTimeUnixNano": str(now - 10**9), "asInt": "1"}
    total = {"dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": False}
    summary = {"dataPoints": [{"timeUnixNano": str(now), "count": "1", "sum": 1.0}]}
    metrics = [{"name": "drill.conflict", "sum": total}, {"name": "drill.conflict", "summary": summary}]
    scope = {"resource": _resource(service), "scopeMetrics": [{"metrics": metrics}]}
    return "/v1/metrics", {"resourceMetrics": [scope]}


def _traces(service: str, made: Sequence[Mapping[str, Any]]) -> Payload:
    return "/v1/traces", {"resourceSpans": [{"resource": _resource(service), "scopeSpans": [{"spans": made}]}]}


def _span(number: int, name: str, seconds: float, failed: bool) -> dict[str, Any]:
    """A server span that ends at `number` ns since 1970, which also makes its ids."""
    return {
        "traceId": f"{number:032x}",
        "spanId": f"{number:016x}",
        "name": name,
        "kind": 2,
        "startTimeUnixNano": str(number - int(seconds * 1e9)),
        "endTimeUnixNano": str(number),
        "attributes": [_text("http.route", "/drill"), _int("http.response.status_code", 500 if failed else 200)],
        "status": {"code": 2} if failed else {},
    }


def _event(
    service: str, now: int, seconds: float, columns: Mapping[str, Any], more: Sequence[Mapping[str, Any]] = ()
) -> Payload:
    attributes = [
        _text("ml.model.name", service),
        _text("ml.model.version", "1"),
        _int("ml.prediction.count", PER_SECOND),
        {"key": "ml.prediction.duration", "value": {"doubleValue": seconds}},
        *more,
    ]
    body = _value({"rows": PER_SECOND, **({"one_in": 1} if columns else {}), **columns})
    return _logs(
        service, {"timeUnixNano": str(now), "eventName": "ml.prediction", "attributes": attributes, "body": body}
    )


def _logs(service: str, *records: Mapping[str, Any]) -> Payload:
    scope = {"logRecords": list(records)}
    return "/v1/logs", {"resourceLogs": [{"resource": _resource(service), "scopeLogs": [scope]}]}


def _resource(service: str) -> Mapping[str, Any]:
    return {"attributes": [_text("service.name", service)]}


def _text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def _int(key: str, value: int) -> dict[str, Any]:
    return {"key": key, "value": {"intValue": str(value)}}


def _value(value: Any) -> dict[str, Any]:
    """A value as an OTLP AnyValue."""
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": [{"key": k, "value": _value(v)} for k, v in value.items()]}}
    if isinstance(value, Sequence):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    if value is None:
        return {}
    return {"doubleValue": value} if isinstance(value, float) else {"intValue": str(value)}
