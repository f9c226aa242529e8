from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from structlog.testing import capture_logs

from sidecar.derive.families import Exemplar, FamilySnapshot, Histograms, Points, Summaries, label_text
from sidecar.serve.exposition import (
    OPENMETRICS_TYPE,
    PROTOBUF_TYPE,
    TEXT_TYPE,
    Exposition,
    from_client,
    merge,
    negotiate,
    render,
)
from sidecar.telemetry import Telemetry

Sample = tuple[str, tuple[tuple[str, str], ...]]


def parsed(families: Any, openmetrics: bool) -> dict[Sample, float]:
    """Samples as a Prometheus client reads them; fails where one comes twice."""
    text = render(families, openmetrics).decode()
    out: dict[Sample, float] = {}
    for family in (parse_openmetrics if openmetrics else parse_text)(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in out
            out[key] = sample.value
    return out


def counter(name: str, labels: list[str], values: list[float], created: tuple[float, ...] = ()) -> FamilySnapshot:
    return FamilySnapshot(name, "counter", "Help.", "", (Points(labels, values, created),))


def gauge(name: str, labels: list[str], values: list[float]) -> FamilySnapshot:
    return FamilySnapshot(name, "gauge", "Help.", "", (Points(labels, values),))


HISTOGRAM = FamilySnapshot(
    "latency_seconds",
    "histogram",
    "How long.",
    "seconds",
    (
        Histograms(
            ['a="1"', ""],
            (0.5, 1.0),
            [[1, 2, 3], [0, 0, 5]],
            [4.5, 0],
            (10.0, 20.0),
            {(0, 1): Exemplar("ab" * 16, "cd" * 8, 0.75, 1700000000.25)},
        ),
    ),
)


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_histogram_is_read_back(openmetrics: bool) -> None:
    got = parsed([HISTOGRAM], openmetrics)
    a = ("a", "1")
    assert got[("latency_seconds_bucket", (a, ("le", "0.5")))] == 1
    assert got[("latency_seconds_bucket", (a, ("le", "1.0")))] == 2
    assert got[("latency_seconds_bucket", (a, ("le", "+Inf")))] == 3
    assert got[("latency_seconds_count", (a,))] == 3
    assert got[("latency_seconds_sum", (a,))] == 4.5
    assert got[("latency_seconds_count", ())] == 5
    assert (("latency_seconds_created", (a,)) in got) == openmetrics


def test_exemplars_units_and_the_end_are_for_openmetrics_only() -> None:
    rich, plain = render([HISTOGRAM], True).decode(), render([HISTOGRAM], False).decode()
    (family,) = parse_openmetrics(rich)
    exemplars = [(s.labels["le"], s.exemplar) for s in family.samples if s.exemplar]
    ((le, exemplar),) = exemplars
    assert le == "1.0"
    assert exemplar.labels == {"trace_id": "ab" * 16, "span_id": "cd" * 8}
    assert (exemplar.value, float(exemplar.timestamp)) == (0.75, 1700000000.25)
    assert family.unit == "seconds"
    assert rich.endswith("# EOF\n")
    for word in ("EOF", "UNIT", "_created", "trace_id"):
        assert word not in plain


def test_a_unit_that_the_name_does_not_end_in_is_not_written() -> None:
    family = FamilySnapshot("latency", "histogram", "x", "seconds", HISTOGRAM.blocks)
    assert b"UNIT" not in render([family], True)
    parsed([family], True)


def test_counters_info_and_gauges_are_named_as_each_format_wants() -> None:
    families = [
        counter("hits", ['a="b"'], [3], (5.0,)),
        FamilySnapshot("target", "info", "x", "", (Points(['job="a"'], [1]),)),
        gauge("size", [""], [1.5]),
        FamilySnapshot("odd", "unknown", "x", "", (Points([""], [math.nan]),)),
    ]
    text, rich = render(families, False).decode(), render(families, True).decode()
    assert "# TYPE hits_total counter\n" in text
    assert "# TYPE target_info gauge\n" in text
    assert "# TYPE odd untyped\nodd NaN\n" in text
    assert "# TYPE hits counter\n" in rich
    assert 'hits_total{a="b"} 3\nhits_created{a="b"} 5.0\n' in rich
    assert "# TYPE target info\n" in rich
    assert "# TYPE odd unknown\n" in rich


def test_summaries() -> None:
    block = Summaries(['a="b"', ""], [[(0.5, 1.0), (1.0, math.inf)], []], [4, 0], [2.5, 0.0])
    for openmetrics in (False, True):
        got = parsed([FamilySnapshot("s", "summary", "x", "", (block,))], openmetrics)
        assert got[("s", (("a", "b"), ("quantile", "1.0")))] == math.inf
        assert got[("s_sum", (("a", "b"),))] == 2.5
        assert got[("s_count", ())] == 0


def test_a_histogram_without_sum_is_valid() -> None:
    family = FamilySnapshot("h", "histogram", "x", "", (Histograms([""], (1.0,), [[1, 2]], [None]),))
    assert ("h_sum", ()) not in parsed([family], True)
    assert parsed([family], False)[("h_count", ())] == 2


def test_parts_of_a_family_are_written_under_one_head() -> None:
    merged = merge([counter("a", ['x="1"'], [1]), gauge("b", [""], [2]), counter("a", ['x="2"', 'x="1"'], [3, 9])])
    text = render(merged, False).decode()
    assert text.count("# TYPE a_total") == 1
    assert text.index('a_total{x="2"} 3') < text.index("# HELP b")
    assert 'a_total{x="1"} 1\n' in text
    assert "9" not in text
    assert merged.dropped == []


def test_families_whose_series_would_clash_are_left_out_and_named() -> None:
    merged = merge(
        [
            counter("a", [""], [1]),
            gauge("a", [""], [2]),
            gauge("a_total", [""], [2]),
            HISTOGRAM,
            gauge("latency_seconds_count", [""], [2]),
            gauge("no name", [""], [2]),
            gauge("fine", [""], [2]),
        ]
    )
    assert merged.dropped == ["a", "a_total", "latency_seconds_count", "no name"]
    parsed(merged, True)


def test_a_clash_is_said_once() -> None:
    exposition = Exposition()
    families = [counter("a", [""], [1]), gauge("a", [""], [2])]
    with capture_logs() as logged:
        body, content_type = exposition.answer(families, "")
        exposition.answer(families, "application/openmetrics-text")
    assert body.endswith(b"a_total 1\n")
    assert content_type == TEXT_TYPE
    assert [(e["log_level"], e["metrics"]) for e in logged] == [("warning", ["a"])]


def test_sums_that_openmetrics_does_not_allow_are_left_out_there() -> None:
    block = [
        Histograms(['a="1"'], (-1.0, 2.0), [[1, 2, 3]], [4.5]),
        Histograms(['a="2"', 'a="3"'], (2.0,), [[2, 3], [0, 1]], [-4.5, math.nan]),
    ]
    family = FamilySnapshot("h", "histogram", "x", "", tuple(block))
    rich, plain = parsed([family], True), parsed([family], False)
    assert not [name for name, _ in rich if name.endswith(("_sum", "_count"))]
    assert plain[("h_sum", (("a", "1"),))] == 4.5
    assert plain[("h_count", (("a", "3"),))] == 1


def test_a_start_that_is_not_known_is_not_written() -> None:
    text = render([counter("c", ['a="1"', 'a="2"'], [1, 2], (0.0, 5.0))], True).decode()
    assert text.count("_created") == 1
    assert 'c_created{a="2"} 5.0' in text


def test_a_series_is_never_written_twice_even_within_a_block() -> None:
    got = parsed([counter("a", ["", 'x="1"', ""], [1, 2, 3])], False)
    assert got == {("a_total", ()): 1, ("a_total", (("x", "1"),)): 2}


def test_families_without_series_are_not_written() -> None:
    assert render([counter("a", [], [])], False) == b""
    assert render([counter("a", [], [])], True) == b"# EOF\n"


def test_a_registry_of_prometheus_client() -> None:
    registry = CollectorRegistry()
    Counter("jobs", "Jobs\nrun.", ["q"], registry=registry).labels('a"b').inc(3)
    Gauge("depth", "", registry=registry).set(2)
    Histogram("wait_seconds", "w", ["q"], buckets=(1.0, 2.0), registry=registry).labels("x").observe(1.5)
    families = from_client(registry.collect())
    for openmetrics in (False, True):
        got = parsed(families, openmetrics)
        assert got[("jobs_total", (("q", 'a"b'),))] == 3
        assert got[("depth", ())] == 2
        assert got[("wait_seconds_bucket", (("le", "2.0"), ("q", "x")))] == 1
    assert b"_created" not in render(families, False)


def test_the_programs_own_metrics_stand_beside_derived_ones() -> None:
    telemetry = Telemetry()
    telemetry.add("sidecar_receiver_bytes_total", 7, receiver="otlp_grpc", signal="spans")
    telemetry.record("sidecar_journal_commit_seconds", 0.01)
    telemetry.watch("sidecar_store_bytes", lambda: [(5, {})])
    target = FamilySnapshot("target", "info", "x", "", (Points(['job="a"'], [1]),))
    client = from_client(telemetry.collect())
    for openmetrics in (False, True):
        merged = merge([target, HISTOGRAM, *client])
        assert merged.dropped == []
        got = parsed(merged, openmetrics)
        names = {name for name, _ in got}
        assert {"sidecar_receiver_bytes_total", "sidecar_journal_commit_seconds_bucket", "sidecar_store_bytes"} <= names
        assert got[("target_info", (("job", "a"),))] == 1


DELIMITED = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT_TYPE),
        ("*/*", TEXT_TYPE),
        ("text/plain", TEXT_TYPE),
        ("application/openmetrics-text", OPENMETRICS_TYPE),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", OPENMETRICS_TYPE),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1", OPENMETRICS_TYPE),
        ("application/openmetrics-text;q=0.1, text/plain", TEXT_TYPE),
        ("application/openmetrics-text;q=0", TEXT_TYPE),
        ("application/openmetrics-text;q=oops", TEXT_TYPE),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily,text/plain;q=0.3", TEXT_TYPE),
        (f"{DELIMITED};q=0.6,application/openmetrics-text;q=0.5,text/plain;q=0.3", PROTOBUF_TYPE),
        (f"application/openmetrics-text;q=0.6,{DELIMITED};q=0.5,text/plain;q=0.3", OPENMETRICS_TYPE),
        (";;;,,", TEXT_TYPE),
    ],
)
def test_negotiation(accept: str, content_type: str) -> None:
    assert negotiate(accept) == content_type


@settings(deadline=None)
@given(st.lists(st.text(max_size=8), max_size=4, unique=True), st.booleans())
def test_any_label_value_is_read_back(values: list[str], openmetrics: bool) -> None:
    values = [v.encode("utf-8", "replace").decode() for v in values]
    labels = {label_text(("a", "b"), (v, "x")): v for v in values}
    got = parsed([counter("c", list(labels), list(range(len(labels))))], openmetrics)
    assert {dict(key[1]).get("a", "") for key in got} == set(values)


@given(st.floats(), st.booleans())
def test_any_number_is_read_back(value: float, openmetrics: bool) -> None:
    (got,) = parsed([gauge("g", [""], [value])], openmetrics).values()
    assert got == value or (math.isnan(got) and math.isnan(value))
