"""One odd value does not cost a line its structure. Lines marked with a library were printed by it."""

from __future__ import annotations

import json
import math

import pytest

from sidecar.decode.api import Decoder
from sidecar.decode.logs import json_bodies
from sidecar.decode.otlp import records as otlp
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder

OBSERVED = 1_795_255_200 * 10**9
NAN, INF = math.nan, math.inf


@pytest.fixture(params=["reference", "native"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    if request.param == "reference":
        return ReferenceDecoder()
    native = native_decoder()
    if native is None:
        pytest.skip("the native core is not installed")
    return native


def records(decoder: Decoder, body: bytes) -> list[otlp.LogRecord]:
    placed = [one.record for one in otlp.log_records(decoder.json_lines(body, OBSERVED).payload)]
    return [record for record in placed if isinstance(record, otlp.LogRecord)]


def shown(record: otlp.LogRecord) -> tuple[object, str, str]:
    return record.body, record.severity_text, repr(dict(record.attributes.values))


@pytest.mark.parametrize(
    ("line", "attributes"),
    [
        (
            json.dumps({"level": "error", "msg": "m", "score": NAN, "top": [INF, -INF]}),
            {"score": NAN, "top": [INF, -INF]},
        ),
        # ujson, and python-json-logger
        (
            r'{"msg":"m","level":"error","score":NaN,"inf":-Infinity,"s":"caf\udce9.csv"}',
            {"score": NAN, "inf": -INF, "s": "caf�.csv"},
        ),
        # structlog
        (r'{"score": NaN, "s": "caf\udce9.csv", "event": "m", "level": "error"}', {"score": NAN, "s": "caf�.csv"}),
        # winston
        (r'{"level":"error","message":"m","s":"caf\udce9.csv","score":null}', {"s": "caf�.csv", "score": None}),
        # zap, zerolog and slog
        (
            r'{"level":"error","msg":"m","score":"NaN","inf":"-Inf","s":"caf\ufffd"}',
            {"score": "NaN", "inf": "-Inf", "s": "caf�"},
        ),
        (r'{"level":"error","score":"NaN","inf":"+Inf","message":"m"}', {"score": "NaN", "inf": "+Inf"}),
        # printf
        (
            '{"level":"error","msg":"m","a":nan,"b":-nan,"c":inf,"d":-inf,"e":Inf}',
            {"a": NAN, "b": NAN, "c": INF, "d": -INF, "e": INF},
        ),
        ('{"level":"error","msg":"m","a":1e999,"b":-1e999,"c":' + "9" * 5000 + "}", {"a": INF, "b": -INF, "c": INF}),
        ('{"level":"error","msg":"m","a":18446744073709551616,"b":-0}', {"a": float(2**64), "b": -0.0}),
        ('{"level":"error","msg":"m","a":"x\ty\0z\x1f"}', {"a": "x\ty\0z\x1f"}),
        # nginx without `escape=json`, and paths of templates
        (
            r'{"level":"error","msg":"m","agent":"\x22curl\x22","path":"C:\Users\new"}',
            {"agent": r"\x22curl\x22", "path": "C:\\Users\new"},
        ),
        (
            r'{"level":"error","msg":"m","a":"\u12","b":"\ud83d\u12","c":"\ud83d\ude00\ud83d"}',
            {"a": r"\u12", "b": r"�\u12", "c": "😀�"},
        ),
        (
            r'{"level":"error","msg":"m","\ud800":1,"�":2,"\udfff":3,"l":["\ud800",{"k":"\udc00"}]}',
            {"�": 3, "l": ["�", {"k": "�"}]},
        ),
    ],
)
def test_only_the_value_is_odd(line: str, attributes: dict[str, object], decoder: Decoder) -> None:
    (record,) = records(decoder, line.encode())
    assert shown(record) == ("m", "error", repr(attributes))


@pytest.mark.parametrize("odd", [b'"score":NaN', b'"s":"caf\\udce9.csv"', b'"s":"caf\xe9.csv"', b'"n":-Infinity'])
def test_the_trace_is_read_beside_an_odd_value(odd: bytes, decoder: Decoder) -> None:
    (record,) = records(
        decoder, b'{"level":"error","msg":"m",' + odd + b',"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}'
    )
    assert record.trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_bytes_that_are_not_utf8_cost_no_structure(decoder: Decoder) -> None:
    """loguru writes a surrogate escape of a file's name as the byte that it was."""
    body = b'{"level":"error","msg":"m","s":"caf\xe9.csv"}\n{"level":"error","msg":"m","s":"caf\xc3\xa9"}\n\xff{}\n'
    first, second, third = records(decoder, body)
    assert shown(first) == ("m", "error", "{'s': 'caf�.csv'}")
    assert shown(second) == ("m", "error", "{'s': 'café'}")
    assert shown(third) == ("�{}", "", "{'log.unparsed': True}")


def test_objects_in_a_row_are_a_record_each(decoder: Decoder) -> None:
    body = b'{"msg":"a"}{"msg":"b","n":NaN} \t{"msg":"c"}\n{"msg":"d"}'
    assert [record.body for record in records(decoder, body)] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "line", ['{"msg":"a"}{"msg":', '{"msg":"a"} x', '{"msg":"a"}{"b":' + "[" * 33 + "]" * 33 + "}"]
)
def test_what_is_not_all_objects_is_text(line: str, decoder: Decoder) -> None:
    (record,) = records(decoder, line.encode())
    assert (record.body, record.attributes.values) == (line, {"log.unparsed": True})


@pytest.mark.parametrize("name", ["time", "ts", "timestamp"])
def test_a_time_that_is_no_number_stays_an_attribute(name: str, decoder: Decoder) -> None:
    for value in (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "NAN",
        "INF",
        "-INF",
        "+Inf",
        "+Infinity",
        "-INFINITY",
        "+nan",
    ):
        (record,) = records(decoder, f'{{"{name}":{value}}}'.encode())
        assert record.time_unix_nano == 0
        assert list(record.attributes.values) == [name]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20261121T100000Z", 0.0), ("20261121T100000", 0.0), ("20261121T100000,5Z", 0.5), ("20261121t1000z", 0.0),
        ("20261121T110000+0100", 0.0), ("20261121 10:00:00", 0.0), ("2026-11-21T100000-00:00", 0.0),
        ("20261121T10:00:00.25 UTC", 0.25),
    ],
)  # fmt: skip
def test_basic_iso_times(text: str, seconds: float, decoder: Decoder) -> None:
    (record,) = records(decoder, json.dumps({"time": text}).encode())
    assert record.time_unix_nano == OBSERVED + int(seconds * 10**9)


@pytest.mark.parametrize(
    "text", ["2026-11-21", "20261121", "2026-W47-6", "2026-325", "20261121T10", "2026-1121T10:00:00"]
)
def test_no_times(text: str, decoder: Decoder) -> None:
    (record,) = records(decoder, json.dumps({"time": text}).encode())
    assert (record.time_unix_nano, record.attributes.values) == (0, {"time": text})


def test_documents_with_odd_values_are_lines_too(decoder: Decoder) -> None:
    body = b'[{"msg":"a","n":NaN,"big":1e999,"huge":' + b"9" * 5000 + b'},\n {"msg":"b\\ud800","tab":"\t","s":"\xe9"}]'
    first, second = records(decoder, json_bodies.as_lines(body))
    assert shown(first) == ("a", "", repr({"n": NAN, "big": INF, "huge": INF}))
    assert shown(second) == ("b�", "", repr({"tab": "\t", "s": "�"}))
