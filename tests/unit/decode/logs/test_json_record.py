"""JSON log lines: what is taken out of them, and what is kept of those that are no JSON."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import structlog
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from sidecar.decode.api import Check
from sidecar.decode.logs import fields
from sidecar.decode.logs.json_record import LogLine, json_lines, read_line
from sidecar.decode.otlp.limits import MAX_ATTRIBUTES, MAX_DEPTH, MAX_LINE_BYTES
from sidecar.decode.otlp.records import check_logs, log_records

TEN = 1_795_255_200_000_000_000
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def read(**members: Any) -> LogLine:
    return read_line(json.dumps(members).encode())


def line(text: str) -> LogLine:
    return read_line(text.encode())


def assert_text(found: LogLine, body: str) -> None:
    assert found == LogLine(body, {"log.unparsed": True})


@pytest.mark.parametrize("name", fields.BODY)
def test_body_names(name: str) -> None:
    assert read(**{name: "hello", "n": 1}) == LogLine("hello", {"n": 1})


def test_first_body_name_that_holds_text_counts_the_others_stay() -> None:
    found = read(event={"kind": "x"}, text="t", msg="m", message=7)
    assert found.body == "m"
    assert found.attributes == {"event": {"kind": "x"}, "text": "t", "message": 7}
    assert read(message="").body == ""
    assert read(n=1).body is None


@pytest.mark.parametrize("name", fields.TIME)
def test_time_names(name: str) -> None:
    assert read(**{name: "2026-11-21T10:00:00Z"}) == LogLine(None, {}, time=TEN)


def test_what_is_no_time_stays() -> None:
    found = read(timestamp="yesterday", time=0.25, ts=1_795_255_200)
    assert found.time == TEN
    assert found.attributes == {"timestamp": "yesterday", "time": 0.25}


@pytest.mark.parametrize(
    ("members", "number", "text"),
    [
        ({"level": "info"}, 9, "info"),
        ({"severity": "WARNING"}, 13, "WARNING"),
        ({"levelname": "CRITICAL"}, 18, "CRITICAL"),
        ({"log.level": "error"}, 17, "error"),
        ({"log": {"level": "error"}}, 17, "error"),
        ({"level": 30}, 9, "INFO"),
        ({"level": 60}, 21, "FATAL"),
        ({"level": 3}, 17, "ERROR"),
        ({"levelno": 30}, 13, "WARN"),
        ({"level_number": 20}, 9, "INFO"),
        ({"PRIORITY": "6"}, 9, "INFO"),
        ({"SeverityNumber": 17}, 17, "ERROR"),
        ({"severity_text": "Warn", "severity_number": 14}, 13, "Warn"),
        ({"level": "audit"}, 0, "audit"),
        ({"@l": "Fatal"}, 21, "Fatal"),
    ],
)
def test_levels(members: dict[str, Any], number: int, text: str) -> None:
    found = read(**members)
    assert (found.severity_number, found.severity_text) == (number, text)


def test_level_of_another_type_stays() -> None:
    assert read(level=True, lvl=1.5).attributes == {"level": True, "lvl": 1.5}
    assert read(level="", severity="info").attributes == {"level": ""}


@pytest.mark.parametrize("name", [name for name in fields.TRACE_ID if "dd" not in name])
def test_trace_names(name: str) -> None:
    assert read(**{name: TRACE}) == LogLine(None, {}, trace_id=bytes.fromhex(TRACE))
    assert read(**{name: TRACE.upper()}).trace_id == bytes.fromhex(TRACE)


@pytest.mark.parametrize(
    "bad", ["", "0", "0" * 32, TRACE[:-1], TRACE[:-1] + "g", TRACE + "00", 7, None, "é" * 16, " " * 32]
)
def test_invalid_ids_stay(bad: Any) -> None:
    assert read(trace_id=bad).attributes == {"trace_id": bad}
    assert read(trace_id=bad, otelTraceID=TRACE).trace_id == bytes.fromhex(TRACE)


def test_span_id() -> None:
    assert read(span_id=SPAN).span_id == bytes.fromhex(SPAN)
    assert read(span={"id": SPAN}, trace={"id": TRACE}).span_id == bytes.fromhex(SPAN)


@pytest.mark.parametrize("number", ["123456789", 123456789])
def test_datadog_ids_are_decimal(number: Any) -> None:
    found = read(**{"dd.trace_id": number, "dd.span_id": number})
    assert found.trace_id == (123456789).to_bytes(16, "big")
    assert found.span_id == (123456789).to_bytes(8, "big")
    assert read(dd={"trace_id": "18446744073709551615"}).trace_id == bytes(8) + b"\xff" * 8
    assert read(**{"dd.trace_id": TRACE}).trace_id == bytes.fromhex(TRACE)
    for bad in ("0", "18446744073709551616", "-1", "x", 0, True):
        assert read(**{"dd.trace_id": bad}).trace_id == b""


def test_traceparent() -> None:
    parent = f"00-{TRACE}-{SPAN}-01"
    found = read(traceparent=parent)
    assert (found.trace_id.hex(), found.span_id.hex(), found.flags, found.attributes) == (TRACE, SPAN, 1, {})
    assert read(traceparent=parent, trace_id="11" * 16).attributes == {"traceparent": parent}
    assert read(traceparent=parent, span_id="22" * 8).span_id.hex() == "22" * 8


@pytest.mark.parametrize(
    "bad", ["", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-0g", 5]
)
def test_bad_traceparent_stays(bad: Any) -> None:
    found = read(traceparent=bad)
    assert (found.trace_id, found.attributes) == (b"", {"traceparent": bad})


@pytest.mark.parametrize("name", fields.SERVICE)
def test_service_names(name: str) -> None:
    assert read(**{name: "scorer"}) == LogLine(None, {}, service="scorer")


def test_service_object() -> None:
    found = read(service={"name": "scorer", "version": "3"})
    assert (found.service, found.attributes) == ("scorer", {"service.version": "3"})
    assert read(service="").attributes == {"service": ""}


def test_attributes_keep_order_and_types() -> None:
    found = line(
        '{"z":1,"a":1.0,"big":9223372036854775808,"neg":-9223372036854775808,"o":{"k":[1,null]},"n":null,"t":true}'
    )
    assert list(found.attributes.items()) == [
        ("z", 1), ("a", 1.0), ("big", 9223372036854775808.0), ("neg", -(2**63)), ("o", {"k": [1, None]}), ("n", None),
        ("t", True),
    ]  # fmt: skip
    assert isinstance(found.attributes["a"], float)
    assert isinstance(found.attributes["big"], float)
    assert str(line('{"a":-0}').attributes["a"]) == "-0.0"


def test_last_of_a_duplicate_member_counts_at_the_first_place() -> None:
    assert list(line('{"a":1,"b":2,"a":3}').attributes.items()) == [("a", 3), ("b", 2)]


PYTHON = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nValueError: bad'


@pytest.mark.parametrize("name", [name for name in fields.STACKTRACE if name != "exception.stacktrace"])
def test_stack_traces(name: str) -> None:
    assert list(read(**{"a": 1, name: PYTHON, "b": 2}).attributes.items()) == [
        ("a", 1), ("exception.stacktrace", PYTHON), ("b", 2), ("exception.type", "ValueError"),
        ("exception.message", "bad"),
    ]  # fmt: skip


def test_text_that_is_no_stack_trace_stays() -> None:
    assert read(exception="boom", stack="top").attributes == {"exception": "boom", "stack": "top"}
    assert read(exc_info=True).attributes == {"exc_info": True}


def test_ecs_error_and_pino_err() -> None:
    expected = {"exception.type": "E", "exception.message": "m", "exception.stacktrace": PYTHON}
    assert read(error={"type": "E", "message": "m", "stack_trace": PYTHON}).attributes == expected
    assert read(**{"error.type": "E", "error.message": "m", "error.stack_trace": PYTHON}).attributes == expected
    assert read(err={"type": "E", "message": "m", "stack": PYTHON}).attributes == expected
    assert read(error="just text").attributes == {"exception.message": "just text"}


def test_a_name_that_is_taken_is_not_overwritten() -> None:
    found = read(**{"exception.stacktrace": "short", "stack": PYTHON, "exception.type": "Mine", "error.type": "Other"})
    assert found.attributes == {
        "exception.stacktrace": "short", "stack": PYTHON, "exception.type": "Mine", "error.type": "Other",
        "exception.message": "bad",
    }  # fmt: skip


def test_an_empty_name_is_kept() -> None:
    assert read(**{"": 1, "a": 2}).attributes == {"": 1, "a": 2}


@pytest.mark.parametrize(
    "text",
    [
        "plain text", "  indented", '"a string"', "[1,2]", "7", "null", "{", '{"a":1', '{"a":1} x', "{'a':1}",
        '{"a":01}', '{"a":0x1F}', '{"a":+1}', '{"a":.5}', '{"a":5.}', '{"a":NULL}', '{"a":nano}', '{"a":infinity}',
        '{"a":--inf}', '{"a":True}', '{"a":1,}', '{NaN:1}', '{"a":1}{', '{"a":1}[]', '{"a":1},,{"b":2}', '{"a":"\\"}',
        "{'a': 1, 'b': None}", "\ufeff{}",
        '{"a":' + "[" * 33 + "]" * 33 + "}",
        '{"a":' * 3000 + "1" + "}" * 3000, "{" + ",".join(f'"k{i}":1' for i in range(MAX_ATTRIBUTES + 1)) + "}",
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_kept_as_text(text: str) -> None:
    assert_text(line(text), text)


def test_what_is_neither_json_nor_utf8_is_kept_as_repaired_text() -> None:
    assert_text(read_line(b'{"a":\xff}'), '{"a":�}')


@pytest.mark.parametrize(
    "text", ["{}", ' {"a" : 1 } ', '{"a":"\\ud83d\\ude00"}', '{"a":"\x7f"}', '{"a":1E5,"b":-1.5e-3}']
)
def test_odd_but_right_json(text: str) -> None:
    assert "log.unparsed" not in line(text).attributes


def test_deepest_and_widest_that_is_still_an_object() -> None:
    depth = MAX_DEPTH
    assert line('{"a":' + "[" * depth + "]" * depth + "}").body is None
    assert line('{"a":' + "[" * (depth - 1) + "1" + "]" * (depth - 1) + "}").body is None
    assert_text(line('{"a":' + "[" * depth + "1" + "]" * depth + "}"), '{"a":' + "[" * depth + "1" + "]" * depth + "}")
    assert len(line("{" + ",".join(f'"k{i}":1' for i in range(MAX_ATTRIBUTES)) + "}").attributes) == MAX_ATTRIBUTES


def test_long_line_is_cut_on_a_character_boundary() -> None:
    whole = "é" * (MAX_LINE_BYTES // 2)
    assert_text(read_line(whole.encode()), whole)
    assert read_line(b"x" + whole.encode()) == LogLine("x" + whole[:-1], {"log.truncated": True})
    assert read_line(b"\x80" * (MAX_LINE_BYTES + 1)).body == "�" * (MAX_LINE_BYTES - 3)


def test_the_level_of_a_line_that_is_cut() -> None:
    found = read_line(b'{"event": "refused", "level": "error", "dump": "' + b"x" * MAX_LINE_BYTES + b'"}')
    assert (found.severity_number, found.severity_text) == (17, "error")


def test_lines_to_a_request() -> None:
    body = b"\n".join(
        [
            json.dumps({"message": "a", "service": "x", "time": 1_795_255_200, "level": "info"}).encode(),
            b"",
            b" \t\r",
            json.dumps({"message": "b", "service": "x", "traceparent": f"00-{TRACE}-{SPAN}-01"}).encode() + b"\r",
            b"text\r",
            json.dumps({"message": "c", "service": "x"}).encode(),
        ]
    )
    done = json_lines(body, 5)
    assert done.check == Check(4)
    request = ExportLogsServiceRequest.FromString(done.payload)
    assert [len(one.scope_logs[0].log_records) for one in request.resource_logs] == [2, 1, 1]
    assert [len(one.resource.attributes) for one in request.resource_logs] == [1, 0, 1]
    first, second = request.resource_logs[0].scope_logs[0].log_records
    assert (first.time_unix_nano, first.observed_time_unix_nano, first.body.string_value) == (TEN, 5, "a")
    assert (second.trace_id.hex(), second.span_id.hex(), second.flags) == (TRACE, SPAN, 1)
    assert request.resource_logs[1].scope_logs[0].log_records[0].body.string_value == "text"
    assert check_logs(done.payload) == Check(4, timed=True)


def test_timed_only_if_every_line_has_a_time() -> None:
    assert json_lines(b'{"ts":1795255200}\n{"ts":1795255201}', 1).check.timed
    assert not json_lines(b'{"ts":1795255200}\n{}', 1).check.timed
    assert not json_lines(b"\n", 1).check.timed


def test_values_survive_the_way_through_protobuf() -> None:
    members = {"e": "", "f": False, "i": 0, "n": -5, "d": 0.5, "x": None, "l": [], "m": {}, "k": {"a": [{"b": None}]}}
    (placed,) = log_records(json_lines(json.dumps(members).encode(), 1).payload)
    assert placed.record.attributes.values == members


def test_lines_of_structlog(capsys: pytest.CaptureFixture[str]) -> None:
    for exceptions in (structlog.processors.format_exc_info, structlog.processors.dict_tracebacks):
        logger = structlog.wrap_logger(
            structlog.PrintLogger(),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                exceptions,
                structlog.processors.JSONRenderer(),
            ],
        )
        try:
            raise LookupError("no such model")
        except LookupError:
            logger.exception("prediction failed", model="m")
        found = line(capsys.readouterr().out.rstrip("\n"))
        assert (found.body, found.severity_number) == ("prediction failed", 17)
        assert found.time > TEN - 10**18
        assert found.attributes["model"] == "m"
        assert found.attributes["exception.type"] == "LookupError"
        assert found.attributes["exception.message"] == "no such model"
        assert "exception" not in found.attributes


def test_lines_of_the_standard_library() -> None:
    record = logging.LogRecord("app", logging.WARNING, "a.py", 3, "slow %s", ("call",), None)
    members = {
        "name": record.name,
        "levelname": record.levelname,
        "levelno": record.levelno,
        "message": record.getMessage(),
    }
    members["asctime"] = "2026-11-21 10:00:00,000"
    assert read(**members) == LogLine("slow call", {"name": "app", "levelno": 30}, "", TEN, 13, "WARNING")
