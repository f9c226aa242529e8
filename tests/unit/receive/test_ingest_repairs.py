"""Repairs are counted and logged, and what is stored is what every consumer renders."""

from __future__ import annotations

import asyncio
import json

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from structlog.testing import capture_logs
from support.receive_fakes import FakeLog, ingest_of

from sidecar.decode.api import Decoder
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder
from sidecar.receive import ingest as module
from sidecar.receive.encodings import OTLP_JSON, PROTOBUF, Encoding

NOW = 1_795_255_200 * 10**9


@pytest.fixture(params=["reference", "native"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    if request.param == "reference":
        return ReferenceDecoder()
    native = native_decoder()
    if native is None:
        pytest.skip("the native core is not installed")
    return native


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "time_ns", lambda: NOW)


def a_span_with_bad_links(links: int) -> bytes:
    request = ExportTraceServiceRequest()
    span = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, start_time_unix_nano=NOW, end_time_unix_nano=NOW)
    )
    for _ in range(links):
        span.links.add()
    return request.SerializeToString()


@pytest.mark.parametrize("links", [1, 20_000])
def test_a_span_with_a_bad_link_is_accepted_and_the_link_counted(links: int, decoder: Decoder) -> None:
    log = FakeLog()
    with ingest_of(log, decoder) as (ingest, counted), capture_logs() as events:
        for _ in range(2):
            body = a_span_with_bad_links(links)
            outcome = asyncio.run(ingest.accept("otlp_http", "spans", body, PROTOBUF))
            assert (outcome.kind, outcome.accepted, outcome.rejected) == ("accepted", 1, 0)
        counts = counted.values("sidecar_receiver_repaired_total")
        assert counts == {("otlp_http", "spans", "link"): 2 * links}
    assert [event["reason"] for event in events if "repaired" in event["event"]] == ["link"]
    assert [submission.digest is not None for submission in log.submissions] == [True, True]
    assert log.submissions[0].digest == log.submissions[1].digest


@pytest.mark.parametrize("encoding", [PROTOBUF, OTLP_JSON], ids=lambda encoding: encoding.name)
def test_a_log_record_without_time_has_that_of_its_arrival_stored(encoding: Encoding, decoder: Decoder) -> None:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(severity_text="info")
    body = request.SerializeToString()
    if encoding is OTLP_JSON:
        body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityText": "info"}]}]}]}).encode()
    log = FakeLog()
    with ingest_of(log, decoder) as (ingest, _):
        asyncio.run(ingest.accept("otlp_http", "logs", body, encoding))
    (submission,) = log.submissions
    assert submission.digest is None  # Sent again it has another time, and may be another record.
    document = json.loads(decoder.log_lines([submission.payload], ["id"]).body.split(b"\n")[1])
    assert document["@timestamp"] == document["observed_timestamp"] == "1795255200000.000000"
    assert document["severity_text"] == "INFO"
