"""Byte order marks at the beginning of whatever comes in."""

from __future__ import annotations

import json
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_LE
from typing import Any

import pytest

from sidecar.decode.api import Decoder
from sidecar.decode.logs.byte_order import is_utf16
from sidecar.decode.logs.containers import take
from sidecar.decode.logs.json_bodies import as_lines
from sidecar.decode.otlp import json as otlp_json
from sidecar.decode.otlp import records as otlp
from sidecar.decode.predictions import label_bodies
from sidecar.decode.protocols import cloudevents
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder

LINE = b'{"message":"one","level":"info","timestamp":"2026-01-02T03:04:05Z"}'
LABEL = b'{"prediction_id":"p1","truth":"yes"}'


@pytest.fixture(params=["native", "reference"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    found = native_decoder() if request.param == "native" else ReferenceDecoder()
    if found is None:
        pytest.skip("the native core is not installed")
    return found


@pytest.mark.parametrize(
    "body",
    [
        BOM_UTF8 + LINE,
        BOM_UTF8 + LINE + b"\n" + BOM_UTF8 + LINE + b"\r\n",
        b"\n" + BOM_UTF8 + LINE,
        BOM_UTF8 + b"\n" + BOM_UTF8 + b" \r\n" + LINE,
    ],
)
def test_lines(decoder: Decoder, body: bytes) -> None:
    records = [p.record for p in otlp.log_records(decoder.json_lines(body, 7).payload)]
    assert {(r.body, r.severity_number) for r in records if isinstance(r, otlp.LogRecord)} == {("one", 9)}
    assert len(records) == body.count(b"{")


def test_a_mark_elsewhere_is_part_of_the_text(decoder: Decoder) -> None:
    body = b"text" + BOM_UTF8 + b"\n" + BOM_UTF8 + b"text\n" + BOM_UTF8 * 2 + b"x"
    records = [p.record for p in otlp.log_records(decoder.json_lines(body, 7).payload)]
    assert [r.body for r in records if isinstance(r, otlp.LogRecord)] == ["text\ufeff", "text", "\ufeffx"]


@pytest.mark.parametrize(
    "body", [b"[" + LINE + b"]", b" [\n" + LINE + b",\n" + LINE + b"]", b'{\n"message":"one"\n}', LINE]
)
def test_documents(body: bytes) -> None:
    assert as_lines(BOM_UTF8 + body) == as_lines(body)


@pytest.mark.parametrize("transcode", [label_bodies.from_json, label_bodies.from_lines])
def test_labels(transcode: label_bodies.Transcode) -> None:
    assert transcode(BOM_UTF8 + LABEL, 7, b"") == transcode(LABEL, 7, b"")
    assert transcode(LABEL, 7, b"").check.items == 1


def test_labels_as_csv() -> None:
    body = b"prediction_id,truth\r\np1,yes\r\n"
    assert label_bodies.from_csv(BOM_UTF8 + body, 7) == label_bodies.from_csv(body, 7)
    assert label_bodies.from_csv(body, 7).check.items == 1


def test_otlp_json() -> None:
    body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"5"}]}]}]}'
    assert otlp_json.TRANSCODERS["logs"](BOM_UTF8 + body).check.items == 1


@pytest.mark.parametrize("batch", [False, True])
def test_cloud_events(batch: bool) -> None:
    event: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    kind = cloudevents.BATCH_TYPE if batch else cloudevents.STRUCTURED_TYPE
    body = json.dumps([event] if batch else event).encode()
    found = cloudevents.as_batch({}, kind, BOM_UTF8 + body)
    assert found == cloudevents.as_batch({}, kind, body)
    assert cloudevents.transcode(found, 7).check.items == 1


def test_envelopes() -> None:
    at = b"2026-01-02T03:04:05Z stdout "
    marked, bare = at + b"F " + BOM_UTF8, at + b"P " + BOM_UTF8 + b"{\n" + at + b"F }"
    taken = take(marked + LINE + b"\n" + marked + b"\n" + bare + b"\n", "cri", join=True)
    assert taken.body == LINE + b"\n{}\n"
    assert len(taken.times) == 2
    trace = BOM_UTF8 + b'Traceback (most recent call last):\n  File "x"\nValueError: bad\nINFO next\n'
    assert json.loads(take(trace, "plain", join=True).body.split(b"\n")[0])["message"] == "ValueError: bad"


def test_utf16_is_recognized() -> None:
    marks = (BOM_UTF16_LE, BOM_UTF16_BE, BOM_UTF32_LE, BOM_UTF8, b"", b"x", b"\xff")
    assert [is_utf16(mark + b"x") for mark in marks] == [True, True, True, False, False, False, False]
