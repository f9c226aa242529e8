"""Fields added to records of a request."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from sidecar.decode.otlp.additions import added_to
from sidecar.decode.otlp.encode import key_value
from sidecar.decode.otlp.positions import accepted_records
from sidecar.decode.otlp.records import log_records
from sidecar.decode.otlp.wire import put_uint


def test_only_these_records_grow_and_lengths_are_right_again() -> None:
    request = ExportLogsServiceRequest()
    for service in ("a", "b"):
        resource = request.resource_logs.add(schema_url="s")
        resource.resource.attributes.add(key="service.name").value.string_value = service
        for _ in range(2):
            scope = resource.scope_logs.add()
            scope.scope.name = "x" * 100  # So that a length takes another byte afterwards.
            for n in range(3):
                scope.log_records.add(time_unix_nano=n).body.string_value = "y" * 10
    payload = request.SerializeToString() + put_uint(99, 7)  # A field that nobody knows stays.
    places = [a for scope in accepted_records(payload, 12, log_records) for a, _ in scope.records]
    added = key_value(6, "k", "v" * 20)
    chosen = {0, 4, 11}
    found = added_to(payload, {places[n]: added for n in chosen})
    records = [r for one in request.resource_logs for scope in one.scope_logs for r in scope.log_records]
    for n in chosen:
        records[n].attributes.add(key="k").value.string_value = "v" * 20
    assert found == request.SerializeToString() + put_uint(99, 7)
    assert added_to(payload, {}) == payload
