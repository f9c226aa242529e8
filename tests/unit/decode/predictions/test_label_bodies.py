"""Bodies of labels to OTLP logs requests, and the checks about them."""

from __future__ import annotations

import json

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from sidecar.decode.api import Check
from sidecar.decode.otlp.encode import key_value
from sidecar.decode.predictions import label_bodies
from sidecar.decode.predictions.label_bodies import MAX_RECORDS, from_csv, from_json, from_lines
from sidecar.decode.python import ReferenceDecoder
from sidecar.errors import DecodeError, TooLarge

TIMED = "2026-01-02T03:04:05Z"
TWO = [{"id": "a", "label": 1, "time": TIMED}, {"id": "b", "label": 0, "time": TIMED}]
LINES = "\n".join(map(json.dumps, TWO)).encode()


def test_all_formats_give_the_same_request() -> None:
    csv = f"id,label,time\na,1,{TIMED}\nb,0,{TIMED}\n".encode()
    made = from_csv(csv, 5), from_lines(LINES, 5), from_json(json.dumps(TWO).encode(), 5)
    assert {one.payload for one in made} == {made[0].payload}
    assert {one.check for one in made} == {Check(2, timed=True)}
    request = ExportLogsServiceRequest.FromString(made[0].payload)
    [records] = [scope.log_records for resource in request.resource_logs for scope in resource.scope_logs]
    assert [(r.event_name, r.attributes[0].value.string_value, r.attributes[1].value.int_value) for r in records] == [
        ("ml.label", "a", 1),
        ("ml.label", "b", 0),
    ]


def test_labels_get_the_resource_of_lines_that_name_no_service() -> None:
    made = from_lines(LINES, 5, key_value(1, "service.name", "scorer"))
    [resource] = ExportLogsServiceRequest.FromString(made.payload).resource_logs
    assert [(a.key, a.value.string_value) for a in resource.resource.attributes] == [("service.name", "scorer")]


def test_the_result_is_that_of_every_later_reader() -> None:
    made = from_lines(LINES + b"\nnonsense\n", 5, key_value(1, "service.name", "scorer"))
    assert made.check == Check(2, rejected=1, errors=("line 3: not a JSON object",), timed=True)
    assert ReferenceDecoder().check_logs(made.payload) == Check(2, timed=True)


def test_a_resend_is_recognized_only_where_each_label_has_a_time_of_its_own() -> None:
    untimed = LINES + b'\n{"id":"c","label":1}'
    assert not from_lines(untimed, 5).check.timed
    assert from_lines(LINES + b'\n{"id":"","label":1}', 5).check.timed


def test_refusals_are_named_and_only_the_first_few() -> None:
    check = from_csv(b"id,label\n" + b",1\n" * 20 + b"a,1\n", 5).check
    assert (check.items, check.rejected, len(check.errors)) == (1, 20, 5)
    assert check.errors[0].startswith("line 2: no prediction id (any of ml.prediction.id, prediction_id,")
    assert check.errors[4].startswith("line 6: ")


def test_nothing_usable_and_nothing_at_all() -> None:
    made = from_json(b'[{"id":1},2]', 5)
    assert (made.payload, made.check.items, made.check.rejected, made.check.timed) == (b"", 0, 2, False)
    assert from_json(b"[]", 5) == from_lines(b"", 5) == from_csv(b"id,label\n", 5)
    assert from_json(b"", 5).check == Check(0)
    with pytest.raises(DecodeError, match="no column for the prediction id"):
        from_csv(b"", 5)


def test_the_number_of_labels_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_bodies, "MAX_RECORDS", 2)
    assert from_lines(LINES, 5).check.items == 2
    with pytest.raises(TooLarge, match="more than 2 labels in one request"):
        from_lines(LINES + b"\nnonsense", 5)
    assert MAX_RECORDS == 100_000


def test_a_large_resource_is_counted_for_each_label() -> None:
    body = b"\n".join(b'{"id":"%d","label":1,"time":"%s"}' % (n, TIMED.encode()) for n in range(200))
    resource = key_value(1, "note", "x" * (1 << 20))
    made = from_lines(body + b"\nnonsense", 5, resource)
    later = ReferenceDecoder().check_logs(made.payload)
    assert 0 < later.rejected < 200
    assert (made.check.items, made.check.rejected) == (later.items, later.rejected + 1)
    assert made.check.errors[0] == "line 201: not a JSON object"
    assert "send fewer records in one" in made.check.errors[1]
    assert made.check.timed
