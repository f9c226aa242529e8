"""Labels read from logs requests, however they came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from sidecar.decode.predictions.label_bodies import from_csv, from_lines
from sidecar.decode.predictions.label_event import LabelEvent, label_events
from sidecar.decode.predictions.label_names import MARK
from sidecar.decode.predictions.label_record import Label
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder

DECODER = ReferenceDecoder()
TIME = 1_767_323_045_000_000_000


def by_sdk(*made: dict[str, Any]) -> bytes:
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    for one in made:
        provider.get_logger("test").emit(**{"timestamp": TIME, "severity_number": SeverityNumber.INFO, **one})
    return encode_logs(memory.get_finished_logs()).SerializeToString()


def read(payload: bytes) -> list[LabelEvent]:
    return list(label_events(payload, DECODER.check_logs(payload).items))


def test_an_event_of_the_sdk() -> None:
    attributes = {"ml.prediction.id": "p-1", "ml.label.value": "cat", "ml.model.name": "churn", "ml.label.row": 2}
    [event] = read(by_sdk({"event_name": "ml.label", "attributes": attributes}, {"body": "something else"}))
    assert event == LabelEvent("churn", "", Label("p-1", "cat", "churn", row=2, time=TIME))


@pytest.mark.parametrize(
    "line",
    [
        {"event.name": "ml.label"},
        {"event_name": "ml.label"},
        {"event": "ml.label"},
        {"message": "ml.label"},
    ],
)
def test_a_json_line_says_that_it_is_a_label(line: dict[str, Any]) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    line = {**line, "timestamp": "2026-01-02T03:04:05Z", "request_id": "r", "actual": 0.5, "trace_id": trace}
    decoders = [decoder for decoder in (DECODER, native_decoder()) if decoder is not None]
    for decoder in decoders:
        payload = decoder.json_lines(json.dumps(line).encode(), 5).payload
        assert decoder.contains_any(payload, MARK)
        label = Label("r", 0.5, time=TIME, trace_id=bytes.fromhex(trace))
        assert read(payload) == [LabelEvent("", "", label)]


@pytest.mark.parametrize("classes", [["b", "a"], ["a"], []], ids=len)
def test_a_set_of_classes_however_it_comes(classes: list[str]) -> None:
    attributes = {"ml.prediction.id": "p-1", "ml.label.value": classes}
    line = json.dumps({"event": "ml.label", **attributes}).encode()
    cell = json.dumps(classes).replace('"', '""')
    payloads = [
        by_sdk({"event_name": "ml.label", "attributes": attributes}),
        DECODER.json_lines(line, 5).payload,
        from_lines(json.dumps({"id": "p-1", "label": classes}).encode(), 5).payload,
        from_csv(f'id,label\np-1,"{cell}"\n'.encode(), 5).payload,
    ]
    for payload in payloads:
        [event] = read(payload)
        assert event.label is not None
        assert (event.label.prediction, event.label.value) == ("p-1", tuple(sorted(classes)))


def test_what_was_posted_is_read_back() -> None:
    lines = [
        {"id": "a", "label": 1, "model": "churn", "version": 7, "row": 0, "source": "review", "time": TIME},
        {"id": "b", "label": "x", "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "00f067aa0ba902b7"},
    ]
    payload = from_lines("\n".join(map(json.dumps, lines)).encode(), 5).payload
    first, second = (event.label for event in read(payload))
    assert first == Label("a", 1, "churn", "7", 0, "review", TIME)
    trace, span = bytes.fromhex("0af7651916cd43dd8448eb211c80319c"), bytes.fromhex("00f067aa0ba902b7")
    assert second == Label("b", "x", time=5, trace_id=trace, span_id=span)


@pytest.mark.parametrize(
    "attributes",
    [
        {"ml.label.value": "cat"},
        {"ml.prediction.id": "p"},
        {"ml.prediction.id": "p", "ml.label.value": float("nan")},
        {"ml.prediction.id": "p", "ml.label.value": b"bytes"},
        {"ml.prediction.id": "p", "ml.label.value": [[1], 2]},
    ],
)
def test_a_label_that_cannot_be_used_is_reported(attributes: dict[str, Any]) -> None:
    named = {"ml.model.name": "churn", "ml.model.version": "7", **attributes}
    assert read(by_sdk({"event_name": "ml.label", "attributes": named})) == [LabelEvent("churn", "7", None)]


def test_refused_records_of_a_payload_are_left_out() -> None:
    made = {"event_name": "ml.label", "attributes": {"id": "p", "label": 1}}
    request = ExportLogsServiceRequest.FromString(by_sdk(made, made))
    request.resource_logs[0].scope_logs[0].log_records[0].trace_id = b"short"
    assert len(read(request.SerializeToString())) == 1


def test_other_records_are_no_labels() -> None:
    attributes = {"ml.prediction.id": "p", "ml.label.value": "cat"}
    others = ({"attributes": attributes}, {"body": "the ml.label came"}, {"event_name": "ml.labels"})
    assert read(by_sdk(*others, {"body": {"event_name": "ml.label"}})) == []
