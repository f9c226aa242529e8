"""Records as columns."""

from __future__ import annotations

import pytest
from support.payloads import (
    T0,
    TRACE_ID,
    log,
    logs_payload,
    resource,
    resource_spans,
    span,
    trace_payload,
)

from sidecar.decode.otlp.columns import Wanted, log_batch, span_batch


def groups_of(*spans: object, dimensions: tuple[str, ...] = (), **kwargs: object) -> list[tuple[str, ...]]:
    batch = span_batch([trace_payload(*spans, **kwargs)], Wanted(dimensions))  # type: ignore[arg-type]
    return [batch.groups[row] for row in batch.group]


def test_span_columns() -> None:
    other = bytes(range(1, 17))
    batch = span_batch(
        [
            trace_payload(span(trace_state="ot=th:8"), span("b", kind=3, status=2, trace_id=other)),
            trace_payload(span(duration=-1), span(trace_id=b"refused")),
        ],
        Wanted(),
    )
    assert len(batch) == 3
    assert batch.start.tolist() == [T0] * 3
    assert batch.duration.tolist() == [5_000_000, 5_000_000, 0]
    assert batch.adjusted_count.tolist() == [2.0, 1.0, 1.0]
    assert batch.trace_ids == TRACE_ID + other + TRACE_ID
    assert len(batch.span_ids) == 24
    assert batch.group.tolist() == [0, 1, 0]
    assert batch.groups == [
        ("svc", "GET /predict", "SPAN_KIND_SERVER", "STATUS_CODE_UNSET"),
        ("svc", "b", "SPAN_KIND_CLIENT", "STATUS_CODE_ERROR"),
    ]
    assert batch.resource.tolist() == [0, 0, 0]
    assert batch.resources == [(("service.name", "svc"),)]


def test_nothing() -> None:
    batch = span_batch([], Wanted(["a"]))
    assert len(batch) == 0
    assert (batch.groups, batch.resources, batch.repaired) == ([], [], 0)
    assert batch.start.dtype == "uint64"
    assert batch.group.dtype == "uint32"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a", "a"), (None, "unknown_service"), ("", "unknown_service"), (7, "7"), (True, "true"), ([1], "[1]")],
)
def test_service_name(name: object, expected: str) -> None:
    assert groups_of(span(), of=resource(name))[0][0] == expected


def test_unknown_kind_and_status() -> None:
    assert groups_of(span(kind=6, status=3))[0][2:] == ("SPAN_KIND_UNSPECIFIED", "STATUS_CODE_UNSET")


def test_dimensions_span_beats_resource_first_of_a_duplicate_key_counts() -> None:
    of = resource(attributes={"both": "resource", "inherited": 1.5})
    rows = groups_of(
        span(attributes=[("both", "first"), ("both", "second")]),
        span(attributes={"both": ""}),
        span(),
        of=of,
        dimensions=("both", "inherited", "absent"),
    )
    assert [row[4:] for row in rows] == [("first", "1.5", ""), ("", "1.5", ""), ("resource", "1.5", "")]


def test_labels_are_cut() -> None:
    (row,) = groups_of(span("n" * 2000, attributes={"d": "é" * 2000}), dimensions=("d",))
    assert (len(row[1]), len(row[4])) == (1024, 1024)


def test_resources_are_sorted_first_wins_empty_left_out() -> None:
    of = resource("s", [("z", 1), ("a", b"\x01"), ("z", 2), ("empty", ""), ("none", None)])
    batch = span_batch([trace_payload(span(), of=of)], Wanted([]))
    assert batch.resources == [(("a", "AQ=="), ("service.name", "s"), ("z", "1"))]


def test_two_pods_of_one_service_share_a_group_and_not_a_resource() -> None:
    pods = [resource_spans(span(), of=resource(attributes={"k8s.pod.name": pod})) for pod in ("a", "b")]
    batch = span_batch([trace_payload(*pods)], Wanted([]))
    assert batch.group.tolist() == [0, 0]
    assert batch.resource.tolist() == [0, 1]


def broken(payload: bytes, *words: bytes) -> bytes:
    """The payload with the first byte of those words made invalid UTF-8."""
    for word in words:
        assert word in payload
        payload = payload.replace(word, b"\xff" + word[1:])
    return payload


def test_repaired_counts_span_texts_each_and_resource_texts_once() -> None:
    spans = [span("NAME", attributes={"dim": "VALUE", "other": "OTHER"}) for _ in range(3)]
    payload = trace_payload(*spans, of=resource("SERVICE", {"dim": "INHERITED"}))
    assert span_batch([payload], Wanted(["dim"])).repaired == 0
    assert span_batch([broken(payload, b"NAME")], Wanted(["dim"])).repaired == 3
    assert span_batch([broken(payload, b"NAME", b"VALUE", b"OTHER")], Wanted(["dim"])).repaired == 6
    batch = span_batch([broken(payload, b"SERVICE", b"INHERITED")], Wanted(["dim"]))
    assert batch.repaired == 2
    assert batch.groups[0][0] == "�ERVICE"


def test_log_columns() -> None:
    payload = logs_payload(
        log(trace_id=TRACE_ID, span_id=b"12345678"),
        log(time=0, observed=T0 + 1, attributes={"exception.type": "ValueError", "d": 1}),
        log(time=0),
        log(trace_id=b"bad"),
    )
    batch = log_batch([payload], Wanted(["d"]))
    assert batch.time.tolist() == [T0, T0 + 1, 0]
    assert batch.trace_ids == TRACE_ID + bytes(32)
    assert batch.span_ids == b"12345678" + bytes(16)
    assert [batch.groups[row] for row in batch.group] == [
        ("svc", "INFO", "", ""),
        ("svc", "INFO", "ValueError", "1"),
        ("svc", "INFO", "", ""),
    ]


@pytest.mark.parametrize(
    ("number", "text", "expected"),
    [
        (1, "", "TRACE"), (4, "", "TRACE"), (5, "", "DEBUG"), (9, "ERROR", "INFO"), (12, "", "INFO"), (13, "", "WARN"),
        (20, "", "ERROR"), (21, "", "FATAL"), (24, "", "FATAL"), (25, "", "UNSPECIFIED"), (25, "warn", "WARN"),
        (0, "Warning", "WARN"), (0, "CRITICAL", "ERROR"), (0, "whatever", "UNSPECIFIED"), (0, "", "UNSPECIFIED"),
    ],
)  # fmt: skip
def test_log_severity(number: int, text: str, expected: str) -> None:
    batch = log_batch([logs_payload(log(severity=number, text=text))], Wanted([]))
    assert batch.groups[0][1] == expected


def test_attributes_as_numbers() -> None:
    attributes = {"n": 2, "d": 2.5, "t": "-1e3", "b": True, "word": "x", "list": [1]}
    of = resource("svc", attributes={"d": 7.0, "inherited": 4})
    names = ["n", "d", "t", "b", "word", "list", "inherited", "absent"]
    batch = span_batch([trace_payload(span(attributes=attributes), of=of)], Wanted([], names))
    assert [str(column[0]) for column in batch.numbers] == ["2.0", "2.5", "-1000.0", "1.0", "nan", "nan", "4.0", "nan"]


def test_a_double_of_a_measure_makes_no_group() -> None:
    spans = [span(attributes={"p": value}) for value in (0.25, 0.5, 3, "a")]
    of = resource("svc", attributes={"p": "inherited"})
    batch = span_batch([trace_payload(*spans, of=of)], Wanted(["p", "q"], ["p"], frozenset({"p"})))
    assert [batch.groups[row][4] for row in batch.group] == ["", "", "3", "a"]
    assert batch.numbers[0].tolist()[:3] == [0.25, 0.5, 3.0]
