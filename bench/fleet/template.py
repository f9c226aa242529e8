"""What a busy sidecar shows, as Prometheus asks for it: a real one is sent something of everything."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from support.drift_data import event_request, reference
from support.engines import SidecarProcess, http_get, run_nullsink, sidecar_process, wait_for
from targets import MODEL, SERVICE

ACCEPT = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.5"}
BUSINESS = Path(__file__).resolve().parents[2] / "monitoring" / "sidecar" / "business-rules.yaml"
NUMBERS, CATEGORIES = 16, 4
ROWS, TRAINED = 2_000, 20_000
ROUTES = ("POST /predict", "POST /predict_batch", "GET /health", "GET /models/{name}")
INSIDE = (("SELECT orders", 3), ("GET features", 3), ("preprocess", 1), ("inference", 1))
"""Names and kinds of the spans below a request."""
PLAIN: Mapping[str, str] = {"SIDECAR_DERIVE__PREDICTIONS__ATTRIBUTES": "true"}
FULL: Mapping[str, str] = {
    **PLAIN,
    "SIDECAR_DERIVE__OUTCOMES__ENABLED": "true",
    "SIDECAR_DERIVE__EXPERIMENTS__ENABLED": "true",
    "SIDECAR_DERIVE__DRIFT__CHECK_INTERVAL": "1s",
    "SIDECAR_DERIVE__DRIFT__WARM_UP": "0",
}
"""With drift beside a reference, outcomes, an experiment and the business figures."""
PROFILES = ("plain", "full")


def exposition(profile: str) -> str:
    """OpenMetrics text of one pod. `plain`: requests, predictions, log records; `full`: all that has rules."""
    random = np.random.default_rng(500)
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder, run_nullsink() as sink:
        environ = {**(FULL if profile == "full" else PLAIN), "SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": sink.url}
        if profile == "full":
            path = Path(folder) / "reference.json"
            path.write_text(reference(_columns(random, TRAINED), MODEL).dump())
            environ |= {"SIDECAR_DERIVE__DRIFT__REFERENCE": str(path), "SIDECAR_CONFIG": str(BUSINESS)}
        with sidecar_process(environ) as sidecar:
            _send(sidecar, "logs", _event(random))
            _send(sidecar, "traces", json.dumps(_spans(random)).encode())
            _send(sidecar, "json", _lines(random, profile == "full"))
            return _shown(sidecar, random, profile == "full")


def _event(random: np.random.Generator, rows: int = ROWS) -> bytes:
    """Rows with features."""
    request = ExportLogsServiceRequest.FromString(event_request(_columns(random, rows), MODEL))
    request.resource_logs[0].resource.attributes.add(key="service.name").value.string_value = SERVICE
    return request.SerializeToString()


def _columns(random: np.random.Generator, rows: int) -> dict[str, Any]:
    numbers = {f"number_{n}": random.normal(10 * n, n + 1, rows) for n in range(NUMBERS)}
    texts = {f"text_{n}": random.choice(["a", "b", "c", "d", "e"], rows).tolist() for n in range(CATEGORIES)}
    return {**numbers, **texts}


def _spans(random: np.random.Generator, requests: int = 500) -> dict[str, Any]:
    """Requests with what they call; one in fifty fails."""
    made: list[dict[str, Any]] = []
    now = time.time_ns()
    for number in range(requests):
        trace, route = f"{random.integers(1, 1 << 62):032x}", ROUTES[number % len(ROUTES)]
        failed, root = number % 50 == 0, f"{random.integers(1, 1 << 62):016x}"
        status = [{"key": "http.response.status_code", "value": {"intValue": "500" if failed else "200"}}]
        attributes = [{"key": "http.route", "value": {"stringValue": route.partition(" ")[2]}}, *status]
        made.append(_span(random, trace, root, "", route, 2, now, attributes, failed))
        for name, kind in INSIDE:
            made.append(_span(random, trace, f"{random.integers(1, 1 << 62):016x}", root, name, kind, now, [], False))
    attribute = {"key": "service.name", "value": {"stringValue": SERVICE}}
    return {"resourceSpans": [{"resource": {"attributes": [attribute]}, "scopeSpans": [{"spans": made}]}]}


def _span(
    random: np.random.Generator,
    trace: str,
    own: str,
    parent: str,
    name: str,
    kind: int,
    now: int,
    attributes: Sequence[Mapping[str, Any]],
    failed: bool,
) -> dict[str, Any]:
    took = int(random.lognormal(3, 1) * 1e6)
    return {
        **{"traceId": trace, "spanId": own, "parentSpanId": parent, "name": name, "kind": kind},
        **{"startTimeUnixNano": str(now - took), "endTimeUnixNano": str(now), "attributes": list(attributes)},
        "status": {"code": 2} if failed else {},
    }


def _lines(random: np.random.Generator, everything: bool, count: int = 1_000) -> bytes:
    """Log lines, and predictions in them; with all of it also an experiment, labels, conversions and money."""
    made: list[dict[str, Any]] = []
    named = {"service.name": SERVICE}
    for number in range(count):
        made.append({**named, "level": ("info", "info", "warning", "error")[number % 4], "message": f"event {number}"})
        prediction: dict[str, Any] = {
            **named,
            **{"message": "scored", "model": MODEL, "version": "7", "predicted_class": "abc"[number % 3]},
            **{"confidence": round(float(random.random()), 3), "latency_ms": round(float(random.lognormal(2, 1)), 3)},
        }
        if everything:
            prediction |= {"prediction_id": f"p-{number}", "experiment": "ranking", "variant": "AB"[number % 2]}
            made.append({**named, "event": "conversion", "prediction_id": f"p-{number * 7}", "value": 20.0})
            made.append({**named, "kind": "order", "message": "order", "revenue_impact": 20.0})
        made.append(prediction)
    return "\n".join(map(json.dumps, made)).encode()


def _labels(count: int = 1_000) -> bytes:
    return "\n".join(json.dumps({"prediction_id": f"p-{n}", "label": "abc"[n % 4 % 3]}) for n in range(count)).encode()


def _send(sidecar: SidecarProcess, what: str, body: bytes) -> None:
    kind = (
        "application/x-protobuf"
        if what == "logs"
        else "application/json"
        if what == "traces"
        else "application/x-ndjson"
    )
    request = urllib.request.Request(f"{sidecar.otlp_url}/v1/{what}", body, {"content-type": kind})
    with urllib.request.urlopen(request, timeout=120) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{what}: {answer.status} {answer.read()[:500]!r}")


def _shown(sidecar: SidecarProcess, random: np.random.Generator, everything: bool) -> str:
    """The second of two scrapes, once all is in it: a new series is shown at 0 first."""
    wanted = ["traces_span_metrics_calls_total", "model_predictions_total", "sidecar_finished_items_total"]
    if everything:
        _send(sidecar, "labels", _labels())
        wanted += ["data_drift_score{", "model_accuracy{", "ab_test_p_value{", "ml_revenue_impact_total{"]

    missing: list[str] = []

    def complete() -> str:
        if everything:
            _send(sidecar, "logs", _event(random, 50))  # Drift is checked when something comes.
        text = http_get(f"{sidecar.serve_url}/metrics", ACCEPT)[1].decode()
        missing[:] = [name for name in wanted if name not in text]
        return "" if missing else text

    try:
        wait_for(complete, 60, "all metrics", interval=0.5)
    except AssertionError as error:
        error.add_note(f"not in /metrics: {', '.join(missing)}")
        raise
    time.sleep(2)
    return complete()
