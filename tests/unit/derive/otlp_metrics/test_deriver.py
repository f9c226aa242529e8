from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from support.derive_fakes import lines
from support.metric_points import OWN, SECOND, deriver, feed, point, shown

from sidecar.decode.otlp.metrics import Buckets, ExponentialHistogram, Histogram, Number, Summary
from sidecar.derive.otlp_metrics.deriver import OtlpMetricsDeriver
from sidecar.derive.scrapes import Scrapes
from sidecar.derive.target_info import Targets
from sidecar.serve.exposition import render


def test_a_cumulative_sum_is_shown_as_the_client_has_it_and_goes_on_when_the_client_starts_again() -> None:
    built = deriver(point(Number(7), time=1))
    assert shown(built) == {f"hits_total{{{OWN}}}": "7"}
    feed(built, point(Number(9.5), time=2))
    assert shown(built) == {f"hits_total{{{OWN}}}": "9.5"}
    feed(built, point(Number(1), time=3, start=50 * SECOND))
    assert shown(built, True) == {f"hits_total{{{OWN}}}": "10.5", f"hits_created{{{OWN}}}": "5.0"}


def test_a_late_point_does_not_replace_a_newer_one() -> None:
    built = deriver(point(Number(9), time=2), point(Number(7), time=1))
    assert shown(built) == {f"hits_total{{{OWN}}}": "9"}
    assert built.dropped == {"out_of_order": 1}


def test_delta_points_add_up_and_begin_at_zero() -> None:
    built = deriver(point(Number(3), delta=True), point(Number(4), delta=True))
    assert shown(built) == {f"hits_total{{{OWN}}}": "0"}
    assert shown(built) == {f"hits_total{{{OWN}}}": "7"}
    feed(built, point(Number(0.5), delta=True, start=9 * SECOND))
    assert shown(built, True) == {f"hits_total{{{OWN}}}": "7.5", f"hits_created{{{OWN}}}": "5.0"}


def test_a_delta_sum_that_may_fall_is_a_gauge() -> None:
    built = deriver(point(Number(3), delta=True, monotonic=False), point(Number(-5), delta=True, monotonic=False))
    assert shown(built) == {f"hits{{{OWN}}}": "-2"}


def test_gauges() -> None:
    built = deriver(
        point(Number(0.25), "gauge", "cpu.utilization", unit="1", attributes=(("cpu.mode", "idle"),), start=0)
    )
    (family,) = built.collect()
    assert (family.name, family.kind, family.unit, family.help) == ("cpu_utilization_ratio", "gauge", "ratio", "Help.")
    assert shown(built) == {f'cpu_utilization_ratio{{{OWN},cpu_mode="idle"}}': "0.25"}


HISTOGRAM = Histogram(6, 2.5, 0.1, 1.2, (0.5, 1.0), (1, 2, 3))


def test_histograms_cumulative_and_delta() -> None:
    cumulative = {'le="0.5"': "1", 'le="1.0"': "3", 'le="+Inf"': "6"}
    for delta in (False, True):
        built = deriver(point(HISTOGRAM, "histogram", "wait", unit="s", delta=delta))
        shown(built)
        got = shown(built)
        assert {le: got[f"wait_seconds_bucket{{{OWN},{le}}}"] for le in cumulative} == cumulative
        assert (got[f"wait_seconds_count{{{OWN}}}"], got[f"wait_seconds_sum{{{OWN}}}"]) == ("6", "2.5")
        feed(built, point(HISTOGRAM, "histogram", "wait", unit="s", delta=delta))
        assert shown(built)[f"wait_seconds_count{{{OWN}}}"] == ("12" if delta else "6")


def test_a_delta_histogram_with_other_bounds_begins_again() -> None:
    other = Histogram(1, 2.0, None, None, (9.0,), (1, 0))
    built = deriver(point(HISTOGRAM, "histogram", delta=True), point(other, "histogram", delta=True, start=77 * SECOND))
    shown(built)
    got = shown(built, True)
    assert got[f"hits_count{{{OWN}}}"] == "1"
    assert got[f"hits_created{{{OWN}}}"] == "77.0"


def test_exponential_histograms_have_explicit_buckets() -> None:
    data = ExponentialHistogram(10, 12.5, None, None, 0, 1, 0.0, Buckets(0, (2, 3, 4)), Buckets())
    built = deriver(point(data, "exponential_histogram", "wait", delta=True))
    feed(built, point(data, "exponential_histogram", "wait", delta=True))
    shown(built)
    got = shown(built)
    assert [got[f'wait_bucket{{{OWN},le="{le}"}}'] for le in ("0.0", "2.0", "4.0", "8.0", "+Inf")] == [
        *("2", "6", "12", "20", "20")
    ]
    assert got[f"wait_sum{{{OWN}}}"] == "25.0"


def test_summaries() -> None:
    built = deriver(point(Summary(4, 8.0, ((0.5, 1.5), (0.99, 3.0))), "summary", "rpc"))
    assert shown(built) == {
        f'rpc{{{OWN},quantile="0.5"}}': "1.5",
        f'rpc{{{OWN},quantile="0.99"}}': "3.0",
        f"rpc_sum{{{OWN}}}": "8.0",
        f"rpc_count{{{OWN}}}": "4",
    }


def test_two_instances_are_two_series() -> None:
    other = (("service.instance.id", "i2"), ("service.name", "shop"), ("service.namespace", "eu"))
    built = deriver(point(Number(1)), point(Number(2), resource=other))
    assert sorted(shown(built).values()) == ["1", "2"]
    assert any('job="eu/shop",instance="i2"' in series for series in shown(built))


def test_labels_that_prometheus_means_something_else_by_are_renamed() -> None:
    built = deriver(point(Number(1), attributes=(("job", "x"), ("le", "1"))))
    assert list(shown(built)) == [f'hits_total{{{OWN},exported_job="x",exported_le="1"}}']


def test_what_cannot_be_shown_is_counted() -> None:
    built = deriver(
        point(Number(1)),
        point(Number(1), "gauge", "hits"),
        point(Number(1), "gauge", "hits.total"),
        point(HISTOGRAM, "histogram", "hits"),
        point(Number(-1), name="falls"),
        point(Number(float("nan")), name="falls"),
        point(Number(1), "gauge", "sidecar.build.info"),
        point(Number(1), "gauge", "target_info"),
    )
    assert built.dropped == {"type_conflict": 2, "not_a_count": 2, "reserved_name": 2}


def test_a_series_that_says_it_has_no_value_any_more_goes() -> None:
    built = deriver(point(Number(1), attributes=(("a", "1"),)), point(Number(1)))
    feed(built, point(None))
    assert list(shown(built)) == [f'hits_total{{{OWN},a="1"}}']


def test_series_are_bounded_and_the_label_is_named() -> None:
    built = deriver(*(point(Number(1), attributes=(("user", str(i)), ("zone", "z"))) for i in range(1000)), budget=10)
    assert len(shown(built)) == 10
    assert list(built.overflow()) == [("hits", "user", 990)]
    assert dict(built.sizes()) == {"hits": 10}
    assert built.dropped == {"series_budget": 990}


def test_an_idle_series_goes_only_when_a_scrape_has_shown_its_last_value() -> None:
    built = deriver(point(Number(1), delta=True))
    built.expire(100 * SECOND, ttl=0)
    assert shown(built) == {f"hits_total{{{OWN}}}": "0"}
    built.expire(100 * SECOND, ttl=0)
    assert shown(built) == {f"hits_total{{{OWN}}}": "1"}
    built.expire(SECOND, ttl=0)
    assert shown(built) != {}
    built.expire(100 * SECOND, ttl=0)
    assert shown(built) == {}
    assert [value for _, value in built.checkpoint()] == [None]


ALL_KINDS = [
    point(Number(0.1), delta=True, name="a"),
    point(Number(2**60), name="b"),
    point(Number(float("inf")), "gauge", "c"),
    point(HISTOGRAM, "histogram", "d", delta=True),
    point(
        ExponentialHistogram(10, 12.5, None, None, 9, 1, 0.0, Buckets(-9, (2, 3, 4)), Buckets(3, (0,))),
        "exponential_histogram",
        "e",
        delta=True,
    ),
    point(Summary(4, 8.0, ((0.5, -1.5),)), "summary", "f"),
    point(Histogram(2, -3.5, None, None, (-1.0, 0.0), (1, 0, 1)), "histogram", "g"),
    point(Histogram(2, None, None, None, (), ()), "histogram", "h", attributes=(("ä", 'q"\n\\'),)),
]


def test_restored_series_go_on_where_they_were() -> None:
    whole = deriver(*ALL_KINDS, *ALL_KINDS, *ALL_KINDS)
    parts = deriver(*ALL_KINDS)
    state: dict[bytes, bytes] = {}
    for _ in range(2):
        state.update({k: v for k, v in parts.checkpoint() if v is not None})
        parts = OtlpMetricsDeriver(100, Targets(10))
        assert parts.restore({**state, b"other": b"x"}) == set(state)
        feed(parts, *ALL_KINDS)
    whole.mark_exported()
    assert shown(parts, True) == shown(whole, True)
    assert len(dict(parts.checkpoint())) == len(ALL_KINDS)
    assert dict(parts.checkpoint()) == {}


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"name":"a"}', b"\xff"])
def test_damaged_state_is_left_out(value: bytes) -> None:
    built = OtlpMetricsDeriver(10, Targets(10))
    assert built.restore({b"metric\0x": value}) == set()


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_prometheus_client_reads_all_of_it(openmetrics: bool) -> None:
    built = deriver(*ALL_KINDS)
    built.mark_exported()
    text = render(list(built.collect()), openmetrics).decode()
    families = list((parse_openmetrics if openmetrics else parse_text)(text))
    kinds: Sequence[Any] = [family.type for family in families]
    assert kinds == ["counter", "counter", "gauge", "histogram", "histogram", "summary", "histogram", "histogram"]


def test_a_person_does_not_let_the_last_value_of_a_batch_job_go() -> None:
    scrapes, built = Scrapes(), deriver(point(Number(5)))
    assert lines(list(built.collect(scrapes.view("", SECOND))))
    built.expire(100 * SECOND, ttl=0)
    assert lines(list(built.collect(scrapes.view("prometheus", SECOND))))
    built.expire(100 * SECOND, ttl=0)
    assert lines(list(built.collect(scrapes.view("", SECOND)))) == {}


def test_a_series_that_nobody_ever_scrapes_goes_after_a_day() -> None:
    built = deriver(point(Number(5)))
    built.expire(90_000 * SECOND, ttl=0)
    assert dict(built.sizes()) == {}
