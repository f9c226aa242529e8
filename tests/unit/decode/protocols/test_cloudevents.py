"""CloudEvents of every mode as log records."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.api import Check
from sidecar.decode.otlp import records as otlp
from sidecar.decode.otlp.encode import key_value
from sidecar.decode.protocols.cloudevents import (
    BATCH_TYPE,
    DATA_BYTES,
    MAX_BATCH_BYTES,
    MAX_DATA_BYTES,
    MAX_EVENTS,
    STRUCTURED_TYPE,
    as_batch,
    transcode,
)
from sidecar.errors import DecodeError, TooLarge

NEEDED = {"id": "1", "source": "/s", "type": "t", "specversion": "1.0"}
INFERENCE = "org.kubeflow.serving.inference.request"
OBSERVED = 99


def headers(**more: str) -> dict[str, str]:
    return {f"ce-{name}": value for name, value in {**NEEDED, **more}.items()}


def records(batch: bytes, anonymous: bytes = b"") -> list[otlp.RecordContext]:
    done = transcode(batch, OBSERVED, anonymous)
    placed = list(otlp.log_records(done.payload))
    assert [one.rejection for one in placed] == [""] * done.check.items
    assert otlp.check_logs(done.payload).items == done.check.items
    return placed


def record(event: Any) -> otlp.LogRecord:
    (placed,) = records(json.dumps([event]).encode())
    assert isinstance(placed.record, otlp.LogRecord)
    return placed.record


def test_binary_event() -> None:
    sent = headers(
        time="2026-01-02T03:04:05.25Z",
        subject="a%20b%22%C3%A4",
        inferenceservicename="fraud",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    (placed,) = records(as_batch({**sent, "host": "x"}, "application/json", b'{"predictions": [1, 2.5]}'))
    made = placed.record
    assert isinstance(made, otlp.LogRecord)
    assert made.event_name == "t"
    assert made.body == {"data": {"predictions": [1, 2.5]}}
    assert (made.time_unix_nano, made.observed_time_unix_nano) == (1_767_323_045_250_000_000, 0)
    assert made.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert (made.span_id.hex(), made.flags) == ("b7ad6b7169203331", 1)
    assert dict(made.attributes.values) == {
        "cloudevents.event_id": "1",
        "cloudevents.event_source": "/s",
        "cloudevents.event_type": "t",
        "cloudevents.event_spec_version": "1.0",
        "cloudevents.event_subject": 'a b"ä',
        "datacontenttype": "application/json",
        "inferenceservicename": "fraud",
    }
    assert dict(placed.resource.attributes.values) == {"service.name": "fraud"}


def test_every_mode_says_the_same() -> None:
    event = {**NEEDED, "time": "2026-01-02T03:04:05Z", "datacontenttype": "application/json"}
    structured = json.dumps({**event, "data": {"a": [1]}}).encode()
    made = [
        transcode(batch, OBSERVED).payload
        for batch in (
            as_batch({}, STRUCTURED_TYPE, structured),
            as_batch({}, BATCH_TYPE, b"[" + structured + b"]"),
        )
    ]
    assert made[0] == made[1]
    binary = as_batch(headers(time="2026-01-02T03:04:05Z"), "application/json", b'{"a":[1]}')
    read = [next(otlp.log_records(payload)).record for payload in (*made, transcode(binary, OBSERVED).payload)]
    assert [(one.time, dict(one.attributes.values)) for one in read] == [(read[0].time, read[0].attributes.values)] * 3


def test_an_event_without_time_has_the_time_at_which_it_came() -> None:
    done = transcode(as_batch(headers(), "application/json", b"{}"), OBSERVED, key_value(1, "service.name", "x"))
    (placed,) = otlp.log_records(done.payload)
    assert placed.record.time == OBSERVED
    assert placed.resource.attributes.values == {"service.name": "x"}
    assert done.check == Check(1, timed=False)


@pytest.mark.parametrize(
    ("kind", "content_type", "raw", "body"),
    [
        ("t", "application/json", b"[1]", {"data": [1]}),
        ("t", "application/vnd.x+json", b'"a"', {"data": "a"}),
        ("t", "", b'{"a":1}', {"data": {"a": 1}}),
        ("t", "text/plain", "grün".encode(), "grün"),
        ("t", "application/json", b"", None),
        ("t", "application/json", b'{"n": 123456789012345678901234567890}', {"data": {"n": 1.2345678901234568e29}}),
        (INFERENCE, "text/csv", b'{"instances":[1]}', {"data": {"instances": [1]}}),
        (INFERENCE, "application/octet-stream", b'{"id":"4"}\x00\x01\xff}', {"data": {"id": "4"}}),
    ],
)  # fmt: skip
def test_data(kind: str, content_type: str, raw: bytes, body: Any) -> None:
    event = {**NEEDED, "type": kind, "datacontenttype": content_type, "data_base64": base64.b64encode(raw).decode()}
    made = record(event)
    assert made.body == body
    assert DATA_BYTES not in made.attributes.values


@pytest.mark.parametrize(
    ("kind", "content_type", "raw"),
    [
        ("t", "application/octet-stream", b"abc"),
        ("t", "", b"not json"),
        (INFERENCE, "text/csv", b"1,2,3"),
        (INFERENCE, "application/json", b"{broken"),
        ("t", "application/json", b'"' + b"x" * MAX_DATA_BYTES + b'"'),
    ],
)
def test_data_that_is_left_out_says_its_size(kind: str, content_type: str, raw: bytes) -> None:
    made = record(
        {**NEEDED, "type": kind, "datacontenttype": content_type, "data_base64": base64.b64encode(raw).decode()}
    )
    assert made.body is None
    assert made.attributes.values[DATA_BYTES] == len(raw)


def test_large_data_of_a_binary_event_is_not_even_carried() -> None:
    batch = as_batch(headers(), "application/json", b" " * (MAX_DATA_BYTES + 1))
    assert len(batch) < 1000
    assert record(json.loads(batch)[0]).attributes.values[DATA_BYTES] == str(MAX_DATA_BYTES + 1)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (7, "[0]: must be a JSON object"),
        ({**NEEDED, "id": ""}, "[0].id: missing"),
        ({k: v for k, v in NEEDED.items() if k != "source"}, "[0].source: missing"),
        ({**NEEDED, "specversion": "2.0"}, "[0].specversion: 2.0, must be 1.0 or 0.3"),
        ({**NEEDED, "x": {"a": 1}}, "[0].x: must be a text, a number or a boolean"),
        ({**NEEDED, "data_base64": "*"}, "[0].data_base64: is not base64"),
        ({**NEEDED, "datacontenttype": "application/json", "data_base64": "ew=="}, "[0].data: is not JSON"),
        ({**NEEDED, "data": json.loads("[" * 40 + "]" * 40)}, "[0].data: nested deeper than 31"),
        ({**NEEDED, "subject": "\ud800"}, "[0]: holds a lone surrogate"),
        ({**NEEDED, **{f"x{n}": "1" for n in range(1100)}}, "[0]: 1104 attributes, at most 1024"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused_alone(event: Any, why: str) -> None:
    done = transcode(json.dumps([event, NEEDED]).encode(), OBSERVED)
    assert (done.check.items, done.check.rejected) == (1, 1)
    assert done.check.errors[0].startswith(why)
    assert otlp.check_logs(done.payload).items == 1


@pytest.mark.parametrize(
    ("batch", "why"),
    [
        (b"{", "body is not JSON"),
        (b"{}", "must be a JSON array"),
        (b"[" + b"1," * MAX_EVENTS + b"1]", f"{MAX_EVENTS + 1} events, at most {MAX_EVENTS}"),
        (b"[" * 100_000, "body is not JSON"),
    ],
)
def test_what_is_no_batch(batch: bytes, why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        transcode(batch, OBSERVED)


def test_what_is_in_no_mode() -> None:
    with pytest.raises(DecodeError, match="no CloudEvent"):
        as_batch({"host": "x"}, "application/json", b"{}")
    with pytest.raises(DecodeError, match="application/cloudevents\\+avro: must be"):
        as_batch({}, "application/cloudevents+avro", b"{}")
    with pytest.raises(TooLarge, match="at most"):
        as_batch({}, BATCH_TYPE, b" " * (MAX_BATCH_BYTES + 1))


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=15,
)
NAMES = st.sampled_from([*NEEDED, "data", "data_base64", "datacontenttype", "time", "traceparent", "subject", "x"])


@given(st.lists(JSON | st.dictionaries(NAMES, JSON).map(lambda more: {**NEEDED, **more}), max_size=3))
def test_whatever_events_say_the_request_is_sound(events: Any) -> None:
    done = transcode(json.dumps(events).encode(), OBSERVED)
    assert done.check.items + done.check.rejected == len(events)
    check = otlp.check_logs(done.payload)
    assert (check.items, check.rejected) == (done.check.items, 0)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8)), st.binary(max_size=40))
def test_any_headers_and_body(more: dict[str, str], body: bytes) -> None:
    try:
        done = transcode(as_batch({**headers(), **more}, "application/json", body), OBSERVED)
    except DecodeError:
        return
    assert done.check.items + done.check.rejected == 1


@given(st.binary(max_size=60))
def test_any_bytes_are_a_batch_or_malformed(body: bytes) -> None:
    try:
        done = transcode(as_batch({}, BATCH_TYPE, body), OBSERVED)
    except DecodeError:
        return
    assert otlp.check_logs(done.payload).items == done.check.items
