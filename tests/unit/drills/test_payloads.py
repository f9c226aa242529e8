"""What drills send, read by the program's own decoder."""

from __future__ import annotations

import json
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support import monitoring_source as source
from support.outcome_data import START, Outcomes

from sidecar.decode.api import FeatureKind
from sidecar.decode.predictions.event import prediction_batch
from sidecar.drills.catalog import DRILLS
from sidecar.drills.drill import Drill
from sidecar.drills.payloads import LABEL_VALUES_PER_SECOND, PER_SECOND, Telemetry

NOW = 1_700_000_000_000_000_000
REQUESTS: dict[str, type[Message]] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}
SENT = [(d.name, t) for d in DRILLS for t in (d.before, d.telemetry, d.after) if t is not None]


def request(telemetry: Telemetry) -> Any:
    """The OTLP request; ParseError where it is none."""
    path, payload = telemetry("sidecar-drill-x", NOW)
    return json_format.ParseDict(json.loads(json.dumps(payload)), REQUESTS[path]())


def of(name: str) -> Drill:
    (found,) = [drill for drill in DRILLS if drill.name == name]
    return found


def telemetry_of(name: str) -> Telemetry:
    found = of(name).telemetry
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "telemetry"), SENT, ids=lambda v: str(v) if isinstance(v, str) else "")
def test_it_is_otlp_of_the_drills_service_alone(name: str, telemetry: Telemetry) -> None:
    (scope,) = next(iter(request(telemetry).ListFields()))[1]
    (service,) = scope.resource.attributes
    assert (service.key, service.value.string_value) == ("service.name", "sidecar-drill-x")


@pytest.mark.parametrize(("name", "failed"), [("errors", 20), ("error-budget-medium", 2), ("error-budget-slow", 1)])
def test_so_many_requests_fail(name: str, failed: int) -> None:
    spans = request(telemetry_of(name)).resource_spans[0].scope_spans[0].spans
    assert len(spans) == PER_SECOND
    assert sum(span.status.code == 2 for span in spans) == failed


def test_names_never_come_twice_and_large_spans_do_not_compress() -> None:
    made = [telemetry_of("label-values")("x", now) for now in (NOW, NOW + 10**9)]
    names = [s["name"] for _, body in made for s in body["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    assert len(set(names)) == 2 * LABEL_VALUES_PER_SECOND
    assert len(json.dumps(telemetry_of("journal-filling")("x", NOW)[1])) > 2_000_000


def test_predictions_are_read_as_such() -> None:
    batch = prediction_batch([request(telemetry_of("slow-model")).SerializeToString()])
    assert batch.groups == [("ml.prediction", "sidecar-drill-x", "1", "", "", "sidecar-drill-x")]
    assert (batch.rows[0], batch.seconds[0], len(batch.score)) == (PER_SECOND, 5, PER_SECOND)


@pytest.mark.parametrize(
    ("name", "moved"),
    [("drift", ["width"]), ("drift-widespread", ["width", "height"]), ("drift-slow", []), ("data-quality", [])],
)
def test_so_many_features_move(name: str, moved: list[str]) -> None:
    drill = of(name)
    assert drill.before is not None
    before, after = (_columns(one) for one in (drill.before, telemetry_of(name)))
    assert before.keys() == after.keys() == {"width", "height", "depth"}
    assert [n for n in after if after[n].size and np.mean(after[n]) - np.mean(before[n]) > 3] == moved
    assert [n for n in after if not after[n].size] == (["width"] if name == "data-quality" else [])


def _columns(telemetry: Telemetry) -> dict[str, Any]:
    """The numbers of each feature."""
    features = prediction_batch([request(telemetry).SerializeToString()], features=True).features
    assert features is not None
    columns = zip(
        features.name,
        np.split(features.number, features.ends[:-1]),
        np.split(features.kind, features.ends[:-1]),
        strict=True,
    )
    return {features.names[name]: values[kinds == FeatureKind.NUMBER] for name, values, kinds in columns}


def test_a_feature_moves_so_little_that_it_is_no_drift() -> None:
    """Its deviation is the same, and PSI beside the normal distribution is an effect nowhere."""
    seconds = [_columns(_later(telemetry_of("drift-slow"), second)) for second in range(100)]
    for name, mean in (("width", 0.29), ("height", 0.0), ("depth", 0.0)):
        values = np.concatenate([one[name] for one in seconds])
        assert (np.mean(values), np.std(values)) == pytest.approx((mean, 1.0), abs=0.02)
        counts = np.histogram(values, [-np.inf, *(NormalDist().inv_cdf(n / 20) for n in range(1, 20)), np.inf])[0]
        shares = (counts + 0.5) / (len(values) + 10)
        assert np.sum((shares - 0.05) * np.log(shares / 0.05)) < 0.095


def _later(telemetry: Telemetry, seconds: int) -> Telemetry:
    return lambda service, now: telemetry(service, now + seconds * 10**9)


@pytest.mark.parametrize(
    ("name", "threshold"), [("accuracy-low", "accuracy_warning"), ("accuracy-drop", "accuracy_critical")]
)
def test_accuracy_drops_and_recovers(name: str, threshold: str) -> None:
    """As the sidecar computes it from what is sent: 25 seconds of the drill, and what makes up for them."""
    drill, computed, now = of(name), Outcomes(), START * 10**9
    limits = source.build().text.thresholds().values

    def accuracy(telemetry: Telemetry | None, times: int) -> float:
        nonlocal now
        assert telemetry is not None
        for _ in range(times):
            now += 1
            made = json_format.ParseDict(telemetry(drill.service, now)[1], ExportLogsServiceRequest())
            computed.feed(made.SerializeToString())
        return computed.figure("model_accuracy", model=drill.service)

    assert accuracy(drill.telemetry, 25) < limits[threshold]
    assert accuracy(drill.after, 3) > limits["accuracy_warning"]
