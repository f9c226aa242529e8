"""Secrets in every place of spans and logs: none of them is in any byte that any sink is sent or keeps."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from support.delivery import START, trace_id
from support.engines import SidecarProcess
from support.every_sink import Delivered, every_sink, forms_of, forms_of_number, leaks, ways_taken, ways_there_are

from sidecar.decode.select import native_decoder

EMAIL, CARD, DASHED, TOKEN = "jane.roe@clinic.example", "4111111111111111", "5500-0055-5555-5559", "tok3n-of-jane-4711"
KEYED, FEATURE, NUMBER = "hunter2-by-key", "feature-text-of-jane", 48213.62517
OWN = "PATIENT-0047110815"
SECRETS = (EMAIL, CARD, DASHED, TOKEN, KEYED, FEATURE, OWN)
RULES = {
    "KEYS": "user.password=drop,*.secret=mask,session=hash",
    "VALUES": "email=mask,card=mask,bearer=drop,patient=hash",
    "PATTERNS": '{"patient": "PATIENT-[0-9]{10}"}',
    "HASH_KEY": "a key of twenty-four bytes",
}
MARKS = (b"[email]", b"[card]", b"[masked]", b"[patient:")
TRACE = trace_id(77)


def text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


def said() -> str:
    """A sentence that holds what patterns look for."""
    return f"mail {EMAIL}, card {CARD} or {DASHED}, file {OWN}."


def key_values() -> list[KeyValue]:
    """Attributes with a secret in each, down to maps in arrays in maps."""
    nested = AnyValue(
        kvlist_value=KeyValueList(
            values=[
                KeyValue(key="user.password", value=text(KEYED)),
                KeyValue(key="deep", value=AnyValue(array_value=ArrayValue(values=[text(said()), text(f"x {OWN}")]))),
                KeyValue(key="api.secret", value=AnyValue(array_value=ArrayValue(values=[text(KEYED)]))),
            ]
        )
    )
    return [
        KeyValue(key="user.password", value=text(KEYED)),
        KeyValue(key="db.secret", value=text(KEYED)),
        KeyValue(key="session", value=text(KEYED)),
        KeyValue(key="note", value=text(said())),
        KeyValue(key="header", value=text(f"authorization: Bearer {TOKEN}")),
        KeyValue(key="raw", value=AnyValue(bytes_value=said().encode())),
        KeyValue(key="list", value=AnyValue(array_value=ArrayValue(values=[nested, text(said())]))),
        KeyValue(key=f"of {EMAIL}", value=text("in a key")),
        KeyValue(key="ml.features.text", value=text(FEATURE)),
        KeyValue(key="ml.features.number", value=AnyValue(double_value=NUMBER)),
    ]


def spans() -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add(schema_url=f"https://{EMAIL}")
    resource.resource.attributes.append(KeyValue(key="service.name", value=text("clinic")))
    resource.resource.attributes.extend(key_values())
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = said(), f"1 {EMAIL}"
    scope.scope.attributes.extend(key_values())
    for number in (1, 2):
        span = scope.spans.add(
            trace_id=TRACE,
            span_id=number.to_bytes(8, "big"),
            name=f"GET /patients/{OWN}/{EMAIL}",
            trace_state=f"who={EMAIL}",
            kind=2,
            start_time_unix_nano=START,
            end_time_unix_nano=START + 10,
        )
        span.attributes.extend(key_values())
        span.status.code, span.status.message = 2, f"failed: {said()}"  # type: ignore[assignment]
        event = span.events.add(name=f"sent to {EMAIL}", time_unix_nano=START)
        event.attributes.extend(key_values())
        link = span.links.add(trace_id=trace_id(78), span_id=b"12345678", trace_state=f"who={EMAIL}")
        link.attributes.extend(key_values())
    return request.SerializeToString()


def logs() -> bytes:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.append(KeyValue(key="service.name", value=text("clinic")))
    resource.resource.attributes.extend(key_values())
    records = resource.scope_logs.add().log_records
    columns = KeyValueList(
        values=[KeyValue(key="text", value=text(FEATURE)), KeyValue(key="n", value=AnyValue(double_value=NUMBER))]
    )
    prediction = KeyValueList(values=[KeyValue(key="features", value=AnyValue(kvlist_value=columns))])
    for name, body in (
        ("", text(said())),
        (f"about {EMAIL}", AnyValue(kvlist_value=KeyValueList(values=key_values()))),
        ("ml.prediction", AnyValue(kvlist_value=prediction)),
    ):
        record = records.add(
            time_unix_nano=START, severity_number=9, severity_text=f"INFO {EMAIL}", event_name=name, body=body
        )
        record.trace_id = TRACE
        record.attributes.extend(key_values())
    return request.SerializeToString()


@contextmanager
def delivering(directory: Path, environ: Mapping[str, str]) -> Iterator[Delivered]:
    """The corpus through a sidecar with a sink of every kind and way."""
    with every_sink(directory, environ) as (sidecar, delivered):
        for path, payload in (("traces", spans()), ("logs", logs())):
            post(sidecar, f"/v1/{path}", payload)
        yield delivered()


def post(sidecar: SidecarProcess, path: str, payload: bytes) -> None:
    headers = {"content-type": "application/x-protobuf"}
    with urllib.request.urlopen(urllib.request.Request(sidecar.otlp_url + path, payload, headers), timeout=60) as reply:
        assert reply.status == 200


def environ_of(decoder: str, directory: Path) -> dict[str, str]:
    """What makes an installed sidecar run on one decoder."""
    if decoder == "native":
        if native_decoder() is None:
            pytest.skip("the native core is not installed")
        return {}
    (directory / "sidecar_native.py").write_text("raise ImportError('as if it were not installed')\n")
    return {"PYTHONPATH": os.pathsep.join([str(directory), os.environ.get("PYTHONPATH", "")])}


ALL = {secret: forms_of(secret) for secret in SECRETS} | {"number": forms_of_number(NUMBER)}


def test_the_corpus_has_a_sink_of_every_kind() -> None:
    assert ways_taken() == ways_there_are()


@pytest.mark.parametrize("decoder", ["native", "reference"])
def test_no_secret_leaves(decoder: str, tmp_path: Path) -> None:
    rules = {f"SIDECAR_DELIVER__REDACTION__{name}": value for name, value in RULES.items()}
    with delivering(tmp_path, rules | environ_of(decoder, tmp_path)) as delivered:
        assert delivered.decoder == decoder
        assert leaks(delivered.bytes, ALL) == []
        for sink, wire in delivered.bytes.items():
            missing = [mark for mark in MARKS if mark not in wire]
            assert sink == "log" or not missing, f"{sink}: the corpus did not arrive, or rules did not work: {missing}"
        assert delivered.ledger["problems"] == []
        assert b"metrics_not_redacted" in delivered.bytes["log"], "sinks that take metrics are named"
        assert all(changed > 50 for changed in delivered.changed.values()), delivered.changed
        documents = [json.loads(line) for line in delivered.bytes["file"].splitlines()]
        assert len(documents) == 2 + 2 + 3, "spans, their events and logs; none is lost by what is taken out of it"


def test_without_rules_feature_values_stay_and_all_else_leaves(tmp_path: Path) -> None:
    with delivering(tmp_path, {}) as delivered:
        found = leaks(delivered.bytes, ALL)
        features = {FEATURE, "number"}
        assert [(sink, name) for sink, name in found if name in features] == []
        expected = {(sink, name) for sink in delivered.bytes if sink != "log" for name in ALL if name not in features}
        assert expected - set(found) == set()


def test_feature_values_leave_where_that_is_asked_for(tmp_path: Path) -> None:
    with delivering(tmp_path, {"SIDECAR_DELIVER__EXPORT_FEATURES": "true"}) as delivered:
        found = set(leaks(delivered.bytes, ALL))
        assert {(sink, name) for sink in delivered.bytes if sink != "log" for name in ALL} == found
        assert not any(delivered.changed.values())
