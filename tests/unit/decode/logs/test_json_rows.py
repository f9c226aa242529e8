"""Several records on a line, as real writers put them there, in both decoders."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from sidecar.decode.api import Decoder
from sidecar.decode.logs import containers
from sidecar.decode.logs.annotate import annotate
from sidecar.decode.logs.json_bodies import as_lines
from sidecar.decode.otlp import records
from sidecar.decode.otlp.limits import MAX_LINE_BYTES
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder

AT = 1_795_255_200_000_000_000  # 2026-11-21T10:00:00Z


@pytest.fixture(params=["reference", "native"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    if request.param == "reference":
        return ReferenceDecoder()
    native = native_decoder()
    if native is None:
        pytest.skip("the native core is not installed")
    return native


def found(payload: bytes) -> list[records.LogRecord]:
    return [one.record for one in records.log_records(payload) if isinstance(one.record, records.LogRecord)]


def texts(decoder: Decoder, body: bytes) -> list[object]:
    return [record.body for record in found(decoder.json_lines(body, 1).payload)]


A, B, C = (b'{"level":"info","message":"%c"}' % letter for letter in b"abc")


@pytest.mark.parametrize(
    "body",
    [
        # jq 1.6 --seq -n -c
        b"\x1e" + A + b"\n\x1e" + B + b"\n\x1e" + C + b"\n",
        # pandas 3.1 DataFrame.to_json(orient="records"), jq -s -c
        b"[" + A + b"," + B + b"," + C + b"]",
        # An array written one element a line, in the ways in which that is done.
        b"[" + A + b",\n" + B + b",\n" + C + b"]\n",
        A + b",\n" + B + b",\n" + C + b"\n",
        A + b"\n," + B + b"\n," + C + b"\n",
        b"[ " + A + b" ,\r\n" + B + b" ,\r\n" + C + b" ]\r\n",
        A + B + b"\n" + C,
        A + b" , " + B + b"\t" + C,
        b"\x1e" + A + b"\x1e" + B + b"\x1e" + C,
        b"[" + A + b"," + B + b"," + C + b"],",
    ],
)
def test_each_object_is_a_record(decoder: Decoder, body: bytes) -> None:
    assert texts(decoder, body) == ["a", "b", "c"]
    assert decoder.json_lines(body, 1).check.items == 3


@pytest.mark.parametrize(
    "line",
    [
        "[1, 2]", "[]", "[", "]", ",", "[[{}]]", '[{"a":1}, 2]', '[{"a":1}] done', '[{"a":1}]]', '[{"a":1},,{"b":2}]',
        '{"a":1},,', '{"a":1} ; {"b":2}', "[INFO] {}", "\x1e", "\x1enot json", ',,{"a":1}',
    ],
)  # fmt: skip
def test_anything_else_is_a_text(decoder: Decoder, line: str) -> None:
    (record,) = found(decoder.json_lines(line.encode(), 1).payload)
    assert (record.body, dict(record.attributes.values)) == (line, {"log.unparsed": True})


def test_rows_say_which_lines_gave_more_than_one_record(decoder: Decoder) -> None:
    body = b"\n".join([A, b"", A + B, b"text", b"[" + A + b"," + B + b"," + C + b"]", b"x" * (MAX_LINE_BYTES + 1)])
    assert decoder.json_lines(body, 1).rows == ((1, 2), (3, 3))


def test_records_of_a_line_of_a_container_have_its_time_and_stream(decoder: Decoder) -> None:
    lines = (A, A + B, b"text")
    piece = b"".join(b"2026-11-21T10:00:0%dZ stderr F %s\n" % (n, line) for n, line in enumerate(lines))
    taken = containers.take(piece, "cri", join=True, as_text=False, final=True, seen=b"")
    made = decoder.json_lines(taken.body, 1)
    seen = found(annotate(made.payload, {}, taken.times, taken.streams, made.rows))
    second = 1_000_000_000
    assert [(one.body, one.time_unix_nano - AT) for one in seen] == [
        ("a", 0), ("a", second), ("b", second), ("text", 2 * second),
    ]  # fmt: skip
    assert {one.attributes.values["log.iostream"] for one in seen} == {"stderr"}


def test_a_sequence_of_json_texts_over_several_lines_is_read_as_its_records() -> None:
    body = b'\x1e{\n  "a": 1\n}\n\x1e{\n  "b": 2\n}\n\x1e{"cut off\n'  # jq 1.6 --seq -n, the last one cut off
    assert as_lines(body) == b'{"a":1}\n{"b":2}\n\x1e{"cut off\n'


@pytest.mark.parametrize(
    ("time", "nanoseconds"),
    [
        # pymongo 4.20 bson.json_util.dumps: relaxed, canonical and legacy
        ({"$date": "2026-11-21T10:00:00.123Z"}, 123_000_000),
        ({"$date": {"$numberLong": "1795255200123"}}, 123_000_000),
        ({"$date": 1795255200123}, 123_000_000),
        # Python's email.utils.format_datetime and formatdate(usegmt=True)
        ("Sat, 21 Nov 2026 10:00:00 +0000", 0),
        ("Sat, 21 Nov 2026 10:00:00 GMT", 0),
        # nginx $time_local, Apache %t
        ("21/Nov/2026:10:00:00 +0000", 0),
        ("[21/Nov/2026:11:00:00 +0100]", 0),
        ({"seconds": 1795255200, "nanos": 123000000}, 123_000_000),
    ],
)
def test_times_of_real_writers(decoder: Decoder, time: object, nanoseconds: int) -> None:
    (record,) = found(decoder.json_lines(json.dumps({"timestamp": time, "message": "x"}).encode(), 1).payload)
    assert (record.time_unix_nano, dict(record.attributes.values)) == (AT + nanoseconds, {})


@pytest.mark.parametrize(
    ("members", "time", "left"),
    [
        ({"timestampSeconds": 1795255200, "timestampNanos": 5}, AT + 5, set()),
        ({"timestampSeconds": "1795255200", "timestampNanos": 5}, AT + 5, set()),
        (
            {"timestampSeconds": 1795255200, "timestampNanos": 5, "time": "2026-11-21T10:00:00Z"},
            AT,
            {"Seconds", "Nanos"},
        ),
        ({"timestampSeconds": 1795255200}, 0, {"Seconds"}),
        ({"timestampSeconds": 1795255200, "timestampNanos": -1}, 0, {"Seconds", "Nanos"}),
    ],
)
def test_seconds_and_nanoseconds_in_members_of_their_own(
    decoder: Decoder, members: Mapping[str, object], time: int, left: set[str]
) -> None:
    (record,) = found(decoder.json_lines(json.dumps({"message": "x", **members}).encode(), 1).payload)
    assert record.time_unix_nano == time
    assert record.attributes.values.keys() == {f"timestamp{name}" for name in left}
