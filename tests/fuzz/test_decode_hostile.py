"""Any input gives a value or DecodeError, and never anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import payload_strategies as some

from sidecar.decode.api import Check
from sidecar.decode.otlp.json import TRANSCODERS
from sidecar.decode.otlp.metrics import check_metrics, metric_batch
from sidecar.decode.python import ReferenceDecoder
from sidecar.errors import DecodeError

DECODER = ReferenceDecoder()


@settings(max_examples=150, deadline=None)
@given(some.hostile("spans"))
def test_spans(payload: bytes) -> None:
    try:
        check = DECODER.check_spans(payload)
    except DecodeError as error:
        offset = error.offset
    else:
        offset = None
        assert_spans(payload, check)
    assert offset is None or 0 <= offset < len(payload)


def assert_spans(payload: bytes, check: Check) -> None:
    batch = DECODER.spans([payload], ["http.route", ""])
    lines = DECODER.span_lines([payload])
    assert len(batch) == check.items == len(batch.group) == len(batch.resource) == len(batch.trace_ids) // 16
    assert lines.docs == [check.items + check.events]
    assert int(lines.event.sum()) == check.events
    assert_documents(lines.body)


@settings(max_examples=150, deadline=None)
@given(some.hostile("logs"))
def test_logs(payload: bytes) -> None:
    try:
        check = DECODER.check_logs(payload)
    except DecodeError:
        return
    batch = DECODER.logs([payload], ["http.route"])
    lines = DECODER.log_lines([payload], ["p"])
    assert len(batch) == check.items == len(batch.group) == len(batch.trace_ids) // 16
    assert lines.docs == [check.items]
    assert_documents(lines.body)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80))
def test_metrics(payload: bytes) -> None:
    try:
        check = check_metrics(payload)
    except DecodeError:
        return
    assert len(metric_batch([payload])) == check.items


JSON_TEXT = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(lambda text: text.encode()),
    st.recursive(
        some.JSON_VALUES,
        lambda inner: st.dictionaries(
            st.sampled_from(
                [
                    "resourceSpans",
                    "scopeSpans",
                    "spans",
                    "resource",
                    "scope",
                    "attributes",
                    "key",
                    "value",
                    "stringValue",
                    "intValue",
                    "arrayValue",
                    "traceId",
                    "events",
                    "links",
                    "resourceLogs",
                    "scopeLogs",
                    "logRecords",
                    "body",
                    "kvlistValue",
                    "values",
                    "resourceMetrics",
                    "scopeMetrics",
                    "metrics",
                    "name",
                    "gauge",
                    "sum",
                    "histogram",
                    "dataPoints",
                    "asInt",
                    "asDouble",
                    "bucketCounts",
                ]
            ),
            inner | st.lists(inner, max_size=2),
            max_size=4,
        ),
        max_leaves=20,
    ).map(lambda value: json.dumps(value).encode()),
)


@pytest.mark.parametrize("signal", ["spans", "logs", "metrics"])
@settings(max_examples=100, deadline=None)
@given(body=JSON_TEXT)
def test_otlp_json(signal: str, body: bytes) -> None:
    try:
        done = TRANSCODERS[signal](body)
    except DecodeError:
        return
    checks = {"spans": DECODER.check_spans, "logs": DECODER.check_logs, "metrics": check_metrics}
    assert checks[signal](done.payload).items == done.check.items


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.dictionaries(
                st.sampled_from(
                    [
                        "level",
                        "severity",
                        "levelno",
                        "time",
                        "ts",
                        "trace_id",
                        "dd.trace_id",
                        "span_id",
                        "traceparent",
                        "service",
                        "exception",
                        "stack",
                        "error",
                        "log",
                        "message",
                        "event",
                        "x",
                    ]
                ),
                some.JSON_VALUES,
            ).map(lambda value: json.dumps(value).encode()),
        ),
        max_size=4,
    )
)
def test_json_lines_lose_no_line(lines: list[bytes]) -> None:
    lines = [line.replace(b"\n", b" ") for line in lines]
    done = DECODER.json_lines(b"\n".join(lines), 7)
    assert done.check.items == sum(1 for line in lines if line.strip(b" \t\r"))
    assert done.check.rejected == 0
    kept = DECODER.check_logs(done.payload)
    assert (kept.items, kept.rejected) == (done.check.items, 0)


def assert_documents(body: bytes) -> None:
    """Each line is strict JSON without duplicate members."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    for line in body.decode().split("\n")[:-1]:
        json.loads(line, object_pairs_hook=unique, parse_constant=pytest.fail)
