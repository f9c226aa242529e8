"""Two services whose models have one name are two series, whatever way their predictions come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.derive_fakes import lines

from sidecar.decode.api import Decoder
from sidecar.derive.models.model_tables import ModelTables
from sidecar.derive.models.predictions import PredictionDeriver
from sidecar.derive.models.servings import ServingDeriver
from sidecar.derive.series import Arrival, Budget

SERVICES = ("shop", "bank", "", "unknown_service", "unknown_service:python", "bank")
"""Services of the six calls of a test."""
EXPECTED = {"shop": "1", "bank": "2", "": "3"}


def put(target: Any, value: Any) -> None:
    """An AnyValue."""
    match value:
        case str():
            target.string_value = value
        case int():
            target.int_value = value
        case list():
            for element in value:
                put(target.array_value.values.add(), element)
        case dict():
            for key, element in value.items():
                put(target.kvlist_value.values.add(key=key).value, element)


def log_request(attributes: dict[str, Any], event: str = "") -> bytes:
    request = ExportLogsServiceRequest()
    for service in SERVICES:
        of_resource = request.resource_logs.add()
        if service:
            of_resource.resource.attributes.add(key="service.name").value.string_value = service
        record = of_resource.scope_logs.add().log_records.add(time_unix_nano=1, event_name=event)
        for key, value in attributes.items():
            put(record.attributes.add(key=key).value, value)
    return request.SerializeToString()


def span_request() -> bytes:
    request = ExportTraceServiceRequest()
    for n, service in enumerate(SERVICES, 1):
        of_resource = request.resource_spans.add()
        if service:
            of_resource.resource.attributes.add(key="service.name").value.string_value = service
        span = of_resource.scope_spans.add().spans.add(trace_id=bytes([n]) * 16, span_id=bytes([n]) * 8, name="p")
        for key in ("model", "label"):
            span.attributes.add(key=key).value.string_value = "m"
    return request.SerializeToString()


@pytest.mark.parametrize("way", ["event", "attributes", "span", "payload"])
def test_services_with_one_model_name_are_told_apart(decoder: Decoder, way: str) -> None:
    tables = ModelTables((0.1,), Budget())
    deriver: Any = PredictionDeriver("spans" if way == "span" else "logs", tables)
    if way == "payload":
        deriver = ServingDeriver(tables, Budget(), 60)
    payload = {
        "event": lambda: log_request({"ml.model.name": "m", "ml.prediction.count": 1}, "ml.prediction"),
        "attributes": lambda: log_request({"model": "m", "label": "yes"}),
        "span": span_request,
        "payload": lambda: log_request({"model": "m", "response": {"predictions": ["yes"]}}),
    }[way]()
    deriver.apply(deriver.decode(decoder, [payload]), Arrival(np.array([6]), np.array([5]), 5))
    for table in tables.kept:
        table.mark_exported()
    got = {k: v for k, v in lines(list(tables.collect())).items() if k.startswith("model_predictions_total")}
    labels = {service: f'service="{service}",' if service else "" for service in EXPECTED}
    assert got == {
        f'model_predictions_total{{{labels[service]}model="m",status="ok"}}': n for service, n in EXPECTED.items()
    }
