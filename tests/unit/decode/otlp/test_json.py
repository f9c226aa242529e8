"""OTLP/JSON, as clients write it and as they should not."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.payload_strategies import trace_requests
from support.payloads import (
    T0,
    TRACE_ID,
    histogram,
    log,
    logs_payload,
    metrics_payload,
)

from sidecar.decode.otlp import metrics, records
from sidecar.decode.otlp.json import TRANSCODERS
from sidecar.errors import DecodeError

SPAN = {
    "traceId": TRACE_ID.hex(),
    "spanId": "b7ad6b7169203331",
    "name": "n",
    "kind": 2,
    "startTimeUnixNano": str(T0),
    "endTimeUnixNano": str(T0 + 5),
}
AT = "resource_spans[0].scope_spans[0].spans[0]"


def trace(*spans: Any, **resource: Any) -> bytes:
    return json.dumps({"resourceSpans": [{**resource, "scopeSpans": [{"spans": list(spans)}]}]}).encode()


def read(**fields: Any) -> records.Span:
    done = TRANSCODERS["spans"](trace(SPAN | fields))
    assert done.check.errors == ()
    (placed,) = records.spans(done.payload)
    assert isinstance(placed.record, records.Span)
    return placed.record


def value_of(value: Any) -> Any:
    return read(attributes=[{"key": "k", "value": value}]).attributes.values["k"]


def refusal(**fields: Any) -> str:
    done = TRANSCODERS["spans"](trace(SPAN | fields, SPAN))
    assert (done.check.items, done.check.rejected) == (1, 1)
    (message,) = done.check.errors
    return message


def official(request: ExportTraceServiceRequest) -> bytes:
    """What protobuf's own JSON mapping writes, with the ids as the OTLP specification has them."""
    message = json_format.MessageToDict(request)
    for outer in message.get("resourceSpans", []):
        for inner in outer.get("scopeSpans", []):
            for one in inner.get("spans", []):
                for holder in (one, *one.get("links", [])):
                    for name in ("traceId", "spanId", "parentSpanId"):
                        if name in holder:
                            holder[name] = base64.b64decode(holder[name]).hex()
    return json.dumps(message).encode()


@settings(max_examples=60, deadline=None)
@given(trace_requests())
def test_what_protobuf_writes_gives_the_same_records(request: ExportTraceServiceRequest) -> None:
    payload = request.SerializeToString()
    done = TRANSCODERS["spans"](official(request))
    assert done.check == records.check_spans(payload)
    assert repr(list(records.spans(done.payload))) == repr(list(records.spans(payload)))


def test_snake_case_enum_names_and_unknown_fields() -> None:
    body = {
        "resource_spans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"string_value": "s"}}], "x": {}},
                "scope_spans": [
                    {
                        "scope": {"name": "lib"},
                        "spans": [
                            {
                                "trace_id": TRACE_ID.hex().upper(),
                                "span_id": SPAN["spanId"],
                                "kind": "SPAN_KIND_CLIENT",
                                "status": {"code": "STATUS_CODE_ERROR", "message": "m"},
                                "start_time_unix_nano": T0,
                                "future": [1, {"a": 2}],
                            }
                        ],
                    }
                ],
            }
        ],
        "more": 1,
    }
    (placed,) = records.spans(TRANSCODERS["spans"](json.dumps(body).encode()).payload)
    record = placed.record
    assert isinstance(record, records.Span)
    assert (record.trace_id, record.kind, record.status) == (TRACE_ID, 3, records.Status("m", 2))
    assert record.start_time_unix_nano == T0
    assert (placed.scope.name, placed.resource.attributes.values) == ("lib", {"service.name": "s"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"intValue": "12"}, 12),
        ({"intValue": 12}, 12),
        ({"intValue": 1e3}, 1000),
        ({"intValue": "1e3"}, 1000),
        ({"intValue": 1e300}, 1e300),
        ({"intValue": 2**63}, float(2**63)),
        ({"intValue": -(2**63)}, -(2**63)),
        ({"intValue": 1.5}, 1.5),
        ({"doubleValue": 2}, 2.0),
        ({"doubleValue": "2.5"}, 2.5),
        ({"doubleValue": "Infinity"}, math.inf),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"boolValue": False}, False),
        ({"boolValue": "true"}, True),
        ({"stringValue": ""}, ""),
        ({"stringValue": 5}, "5"),
        ({"stringValue": "\ud800x"}, "�x"),
        ({"bytesValue": "AP8="}, b"\x00\xff"),
        ({"bytesValue": "_-8"}, b"\xff\xef"),
        ({"arrayValue": {"values": [{"intValue": 1}, {}, None]}}, [1, None, None]),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": [{"key": "a", "value": {"intValue": 1}}]}}, {"a": 1}),
        ({"stringValue": "x", "intValue": None}, "x"),
        ({"stringValue": None}, None),
        ({"newKind": 1}, None),
        ({}, None),
        (None, None),
    ],
)
def test_attribute_values(value: Any, expected: Any) -> None:
    found = value_of(value)
    assert found == expected
    assert type(found) is type(expected)


def test_null_double_is_nan() -> None:
    assert math.isnan(value_of({"doubleValue": None}))
    assert math.isnan(value_of({"doubleValue": "NaN"}))
    assert math.copysign(1, value_of({"doubleValue": -0.0})) == -1


@pytest.mark.parametrize(
    "value",
    [
        [], {"intValue": "x"}, {"intValue": True}, {"intValue": "1_0"}, {"boolValue": 1}, {"bytesValue": "!"},
        {"bytesValue": 5}, {"arrayValue": []}, {"arrayValue": {"values": 5}}, {"kvlistValue": {"values": [5]}},
        {"stringValue": {}}, {"doubleValue": "one"},
    ],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_left_out_and_its_record_stays(value: Any) -> None:
    known = {"key": "k", "value": {"intValue": 1}}
    done = TRANSCODERS["spans"](trace(SPAN | {"attributes": [{"key": "bad", "value": value}, known]}))
    assert (done.check.items, done.check.rejected, done.repairs) == (1, 0, {"value": 1})
    (placed,) = records.spans(done.payload)
    assert placed.record.attributes.values == {"k": 1}


@pytest.mark.parametrize(("value", "expected"), [(5, 5), ("x", "x"), (True, True), (1.5, 1.5), (2**70, float(2**70))])
def test_a_value_without_the_object_around_it(value: Any, expected: Any) -> None:
    found = value_of(value)
    assert (found, type(found)) == (expected, type(expected))


def test_too_deep_is_cut() -> None:
    value: dict[str, Any] = {"intValue": 1}
    for _ in range(31):
        value = {"arrayValue": {"values": [value]}}
    assert value_of(value)
    done = TRANSCODERS["spans"](
        trace(SPAN | {"attributes": [{"key": "k", "value": {"arrayValue": {"values": [value]}}}]})
    )
    assert (done.check.items, done.check.rejected, done.repairs) == (1, 0, {"depth": 1})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"traceId": "zz"}, "trace_id: 'zz' is not hexadecimal"),
        ({"traceId": "abc"}, "trace_id: 'abc' is not hexadecimal"),
        ({"traceId": 5}, "trace_id: 5 is not hexadecimal"),
        ({"traceId": "abcd"}, "trace_id: 2 bytes, must be 16"),
        ({"traceId": None}, "trace_id: 0 bytes, must be 16"),
    ],
)
def test_refused_record(fields: dict[str, Any], message: str) -> None:
    assert refusal(**fields) == f"{AT}.{message}"


def test_unknown_enum_is_unspecified() -> None:
    assert read(kind="SPAN_KIND_NEW").kind == 0
    assert read(kind=77).kind == 0
    assert read(kind="3").kind == 3


def test_base64_ids_of_protobufs_own_mapping() -> None:
    assert read(traceId=base64.b64encode(TRACE_ID).decode()).trace_id == TRACE_ID


def test_times_as_exponents() -> None:
    assert read(startTimeUnixNano=1.7e18, endTimeUnixNano="1.7e18").start_time_unix_nano == 17 * 10**17


def test_refused_records_are_left_out_and_paths_stay_true() -> None:
    bad = SPAN | {"spanId": ""}
    done = TRANSCODERS["spans"](trace(bad, SPAN, 5, bad | {"name": "x"}))
    assert (done.check.items, done.check.rejected) == (1, 3)
    assert [error.split(":")[0].split(".")[2] for error in done.check.errors] == ["spans[0]", "spans[2]", "spans[3]"]
    assert records.check_spans(done.payload).rejected == 0


def test_a_resource_that_makes_no_sense_refuses_all_below_it() -> None:
    body = {
        "resourceSpans": [
            {"resource": 5, "scopeSpans": [{"spans": [SPAN, SPAN]}, {"spans": [SPAN]}]},
            7,
            {"scopeSpans": [{"scope": {"name": []}, "spans": [SPAN]}, {"spans": [SPAN]}]},
        ]
    }
    check = TRANSCODERS["spans"](json.dumps(body).encode()).check
    assert (check.items, check.rejected) == (2, 4)
    assert check.errors == (
        "resource_spans[0].resource: must be an object",
        "resource_spans[1]: must be an object",
    )


@pytest.mark.parametrize(
    ("body", "offset"),
    [
        (b"", 0),
        (b"{", 1),
        (b'{"resourceSpans": [}', 19),
        ('{"é": [}'.encode(), 8),
        (b"[]", 0),
        (b"null", 0),
        (b"{} x", 3),
        (b'{"resourceSpans": 5}', None),
        (b'{"resourceSpans": {}}', None),
        (b"[" * 100_000, None),
    ],
)
def test_bad_json(body: bytes, offset: int | None) -> None:
    with pytest.raises(DecodeError) as caught:
        TRANSCODERS["spans"](body)
    assert caught.value.offset == offset


@pytest.mark.parametrize("body", [b"{}", b'{"resourceSpans": null}', b'{"resourceSpans": []}', b'\xef\xbb\xbf{"a":1}'])
def test_empty_requests(body: bytes) -> None:
    check = TRANSCODERS["spans"](body).check
    assert (check.items, check.rejected, check.timed) == (0, 0, False)


def test_giant_numbers_cost_nothing() -> None:
    assert value_of({"intValue": int("9" * 4000)}) == math.inf


def test_text_that_is_not_utf8_is_repaired() -> None:
    done = TRANSCODERS["spans"](trace(SPAN | {"name": "BROKEN"}).replace(b"BROKEN", b"\xff"))
    (placed,) = records.spans(done.payload)
    assert isinstance(placed.record, records.Span)
    assert placed.record.name == "�"


def test_logs() -> None:
    record = {
        "timeUnixNano": str(T0),
        "severityNumber": "SEVERITY_NUMBER_ERROR2",
        "body": {"kvlistValue": {"values": [{"key": "a", "value": {"doubleValue": None}}]}},
        "traceId": "",
        "eventName": "e",
    }
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record, {"body": 5}, {"traceId": "ab"}]}]}]}
    done = TRANSCODERS["logs"](json.dumps(body).encode())
    assert (done.check.items, done.check.rejected, done.check.timed) == (3, 0, False)
    assert done.repairs == {"trace_id": 1}
    placed, plain, without_id = records.log_records(done.payload)
    assert isinstance(plain.record, records.LogRecord)
    assert (plain.record.body, without_id.record.trace_id) == (5, b"")
    found = placed.record
    assert isinstance(found, records.LogRecord)
    assert (found.severity_number, found.event_name, found.time) == (18, "e", T0)
    assert isinstance(found.body, dict)
    assert repr(found.body) == "{'a': nan}"


POINT = {"timeUnixNano": str(T0), "asInt": "5"}


def points(kind: str, *data_points: Any) -> tuple[list[metrics.Point], tuple[str, ...]]:
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", kind: {"dataPoints": data_points}}]}]}]}
    done = TRANSCODERS["metrics"](json.dumps(body).encode())
    found = metrics.metric_batch([done.payload]).points
    assert len(found) == done.check.items == len(data_points) - done.check.rejected
    return list(found), done.check.errors


def test_numbers() -> None:
    found, errors = points(
        "gauge",
        POINT,
        {"asDouble": 1},
        {"asDouble": None},
        {"asInt": 1e30},
        {"asInt": 2.5},
        {"asInt": None, "asDouble": 3},
        {"asDouble": None, "asInt": 4},
        {"asInt": "x"},
        {},
        {"flags": 1},
    )
    assert repr([point.data.value for point in found if isinstance(point.data, metrics.Number)]) == (
        "[5, 1.0, nan, 1e+30, 2.5, 3.0, 4]"
    )
    assert found[-1].data is None
    at = "resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points"
    assert errors == (f"{at}[7].as_int: 'x' is not a number", f"{at}[8]: no value")


def test_histogram_points() -> None:
    good = {"count": "3", "sum": 4.5, "min": None, "bucketCounts": ["1", 2], "explicitBounds": [1]}
    exemplar = {"asDouble": 0.5, "traceId": TRACE_ID.hex(), "spanId": "00", "timeUnixNano": T0}
    found, errors = points(
        "histogram",
        good | {"exemplars": [exemplar]},
        good | {"bucketCounts": [1]},
        good | {"explicitBounds": [None]},
        good | {"bucketCounts": [-1, 2]},
    )
    assert found[0].data == metrics.Histogram(3, 4.5, None, None, (1.0,), (1, 2))
    assert found[0].exemplars == (metrics.Exemplar(0.5, T0, TRACE_ID, b""),)
    assert [error.rpartition("data_points[")[2] for error in errors] == [
        "1].bucket_counts: 1, must be one more than the 1 bounds",
        "2].explicit_bounds: not ascending",
        f"3].bucket_counts: -1 is not an integer from 0 to {2**64 - 1}",
    ]


def test_exponential_histogram_and_summary_points() -> None:
    (point,), _ = points(
        "exponentialHistogram",
        {"scale": -2, "zeroCount": "1", "positive": {"offset": -3, "bucketCounts": ["1", 0, 2]}, "negative": {}},
    )
    assert point.data == metrics.ExponentialHistogram(
        0, None, None, None, -2, 1, 0.0, metrics.Buckets(-3, (1, 0, 2)), metrics.Buckets()
    )
    (point,), _ = points("summary", {"count": 2, "sum": 3, "quantileValues": [{"quantile": 0.5, "value": 1}]})
    assert point.data == metrics.Summary(2, 3.0, ((0.5, 1.0),))


def test_a_metric_that_makes_no_sense_refuses_its_points() -> None:
    bad = {"name": [], "gauge": {"dataPoints": [POINT, POINT]}}
    good = {"name": "m", "gauge": {"dataPoints": [POINT]}}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [bad, 5, {"name": "u", "newKind": {}}, good]}]}]}
    check = TRANSCODERS["metrics"](json.dumps(body).encode()).check
    assert (check.items, check.rejected) == (1, 4)


def test_the_other_signals_official_mapping() -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    payload = logs_payload(log({"a": [1, b"\x01"]}, observed=3, attributes={"x": 1.5}))
    body = json_format.MessageToJson(ExportLogsServiceRequest.FromString(payload)).encode()
    assert list(records.log_records(TRANSCODERS["logs"](body).payload)) == list(records.log_records(payload))
    payload = metrics_payload(histogram("h", [1, 2], [1, 0, 4], 9.5, attributes={"a": "b"}))
    body = json_format.MessageToJson(ExportMetricsServiceRequest.FromString(payload)).encode()
    assert metrics.metric_batch([TRANSCODERS["metrics"](body).payload]) == metrics.metric_batch([payload])
