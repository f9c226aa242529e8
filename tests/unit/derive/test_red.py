from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.derive_fakes import SECOND, Span, arrival, lines, span_batch

from sidecar.derive.families import Histograms
from sidecar.derive.red import RedDeriver, RedOptions
from sidecar.derive.series import Budget
from sidecar.derive.target_info import Targets
from sidecar.telemetry import Telemetry

MS = 10**6
BOUNDS = (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10000, 15000)


def deriver(budget: Budget | None = None, **options: object) -> RedDeriver:
    chosen = RedOptions.model_validate({"dimensions": (), **options})
    return RedDeriver(chosen, budget or Budget(), Targets(10), Telemetry())


def fed(spans: list[Span], **options: object) -> RedDeriver:
    red = deriver(**options)
    red.apply(span_batch(spans), arrival(len(spans)))
    red.table.mark_exported()
    return red


def values(red: RedDeriver) -> dict[str, str]:
    return lines(list(red.collect()))


ALL = 'service_name="shop",span_name="GET /",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_UNSET"'
NAME = "traces_span_metrics_duration_seconds"


def test_calls_sum_and_every_bucket() -> None:
    red = fed([Span(duration=d) for d in (0, 2 * MS, 2 * MS + 1, 4 * MS, 15 * SECOND, 15 * SECOND + 1, 99 * SECOND)])
    got = values(red)
    assert got[f"traces_span_metrics_calls_total{{{ALL}}}"] == "7"
    assert got[f"{NAME}_count{{{ALL}}}"] == "7"
    assert float(got[f"{NAME}_sum{{{ALL}}}"]) == 129.008000002
    cumulative = {"0.002": 2, "0.004": 4, "0.006": 4, "10.0": 4, "15.0": 5, "+Inf": 7}
    for le, count in cumulative.items():
        assert got[f'{NAME}_bucket{{{ALL},le="{le}"}}'] == str(count), le


def test_calls_and_durations_of_a_new_series_are_shown_at_zero_together() -> None:
    red = deriver()
    red.apply(span_batch([Span()] * 3), arrival(3))
    assert set(values(red).values()) == {"0", "0.0"}
    after = values(red)
    assert after[f"traces_span_metrics_calls_total{{{ALL}}}"] == after[f"{NAME}_count{{{ALL}}}"] == "3"


def test_a_span_without_start_is_a_call_but_no_duration() -> None:
    red = fed([Span(start=0, duration=1_700_000_000 * SECOND), Span()])
    got = values(red)
    assert got[f"traces_span_metrics_calls_total{{{ALL}}}"] == "2"
    assert got[f"{NAME}_count{{{ALL}}}"] == "1"
    assert float(got[f"{NAME}_sum{{{ALL}}}"]) == 0.003


def test_sampled_spans_count_for_those_they_stand_for() -> None:
    red = fed([Span(weight=2.0), Span(weight=8.0), Span(weight=4 / 3)])
    got = values(red)
    assert got[f"traces_span_metrics_calls_total{{{ALL}}}"] == "11"
    assert got[f"{NAME}_count{{{ALL}}}"] == got[f"traces_span_metrics_calls_total{{{ALL}}}"]
    assert float(got[f"{NAME}_sum{{{ALL}}}"]) == pytest.approx(0.034, abs=1e-8)


def test_an_impossible_weight_cannot_overturn_the_counter() -> None:
    red = fed([Span(weight=2.0**56, duration=2**63 - 1)] * 50)
    got = values(red)
    assert float(got[f"traces_span_metrics_calls_total{{{ALL}}}"]) == 50 * 2**24
    assert float(got[f"{NAME}_sum{{{ALL}}}"]) > 0


def test_very_long_durations_add_up_exactly() -> None:
    red = fed([Span(duration=2**62 + i) for i in range(10)])
    assert float(values(red)[f"{NAME}_sum{{{ALL}}}"]) == (10 * 2**62 + 45) / 10**9


def test_milliseconds() -> None:
    got = values(fed([Span(duration=3 * MS)], unit="ms"))
    assert got[f'traces_span_metrics_duration_milliseconds_bucket{{{ALL},le="4.0"}}'] == "1"
    assert got[f'traces_span_metrics_duration_milliseconds_bucket{{{ALL},le="2.0"}}'] == "0"
    assert got[f"traces_span_metrics_duration_milliseconds_sum{{{ALL}}}"] == "3.0"


def test_names_that_tempo_gives() -> None:
    red = fed([Span(dimensions=("gold",))], names="tempo", unit="ms", dimensions=("customer.tier",))
    got = values(red)
    labels = ALL.replace("service_name", "service") + ',customer_tier="gold"'
    assert got[f"traces_spanmetrics_calls_total{{{labels}}}"] == "1"
    assert got[f'traces_spanmetrics_latency_bucket{{{labels},le="0.004"}}'] == "1"
    assert got['traces_target_info{job="shop"}'] == "1"
    assert not [series for series in got if series.startswith("traces_span_metrics")]


def test_both_sets_of_names_agree() -> None:
    got = values(fed([Span(), Span(status="STATUS_CODE_ERROR")], names="both"))
    ours = {k: v for k, v in got.items() if k.startswith("traces_span_metrics_duration_seconds")}
    tempo = {
        k.replace("traces_spanmetrics_latency", "traces_span_metrics_duration_seconds").replace(
            "{service=", "{service_name="
        ): v
        for k, v in got.items()
        if k.startswith("traces_spanmetrics_latency")
    }
    assert ours == tempo
    assert len(ours) == 38


def test_the_first_attribute_there_is_taken_for_a_dimension() -> None:
    red = fed(
        [Span(dimensions=("", "xgb", "1")), Span(dimensions=("gnn", "x", "")), Span(dimensions=("", "", ""))],
        dimensions=("model.name|ml.model.name", "model.version"),
    )
    calls = [k for k in values(red) if k.startswith("traces_span_metrics_calls_total")]
    assert calls == [
        f'traces_span_metrics_calls_total{{{ALL},model_name="xgb",model_version="1"}}',
        f'traces_span_metrics_calls_total{{{ALL},model_name="gnn"}}',
        f"traces_span_metrics_calls_total{{{ALL}}}",
    ]
    assert red._options.attributes() == ("model.name", "ml.model.name", "model.version")


def test_groups_that_only_differ_in_an_alias_add_up() -> None:
    red = fed([Span(dimensions=("a", "")), Span(dimensions=("", "a"))], dimensions=("m|n",))
    assert values(red)[f'traces_span_metrics_calls_total{{{ALL},m="a"}}'] == "2"


def test_the_latest_trace_of_each_bucket_is_its_exemplar() -> None:
    red = fed([Span(number=n, duration=n * MS) for n in (1, 2, 3, 300)])
    red.apply(span_batch([Span(number=5, duration=1 * MS)]), arrival(1))
    (family,) = [f for f in red.collect() if f.kind == "histogram"]
    (block,) = family.blocks
    assert isinstance(block, Histograms)
    by_bucket = {bucket: exemplar for (_, bucket), exemplar in block.exemplars.items()}
    assert {b: int(e.trace_id, 16) for b, e in by_bucket.items()} == {0: 5, 1: 3, 8: 300}
    assert by_bucket[8].value == 0.3
    assert by_bucket[8].time == 1_700_000_000.3
    assert len(by_bucket[8].trace_id) == 32
    assert len(by_bucket[8].span_id) == 16


def test_an_expired_series_takes_its_exemplars_with_it() -> None:
    red = deriver()
    red.apply(span_batch([Span(name="old", number=7)]), arrival(1, 10))
    red.expire(11, ttl=0)
    red.apply(span_batch([Span(name="new", number=8, start=0)]), arrival(1, 20))
    red.table.mark_exported()
    (family,) = [f for f in red.collect() if f.kind == "histogram"]
    assert isinstance(family.blocks[0], Histograms)
    assert family.blocks[0].exemplars == {}


def test_any_order_and_any_split_gives_the_same_values() -> None:
    rng = random.Random(7)
    spans = [
        Span(name=f"n{rng.randrange(4)}", duration=rng.randrange(10**11), weight=rng.choice([1.0, 1.0, 1.1, 8.0]))
        for _ in range(300)
    ]
    whole = fed(spans)
    rng.shuffle(spans)
    parts = deriver()
    while spans:
        cut = rng.randrange(1, 40)
        parts.apply(span_batch(spans[:cut]), arrival(len(spans[:cut])))
        del spans[:cut]
    parts.table.mark_exported()
    assert values(parts) == values(whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimensions": ("a.b", "a_b")}, "would both become the label 'a_b'"),
        ({"dimensions": ("status.code",)}, "every series has already"),
        ({"dimensions": ("le",)}, "every series has already"),
        ({"dimensions": ("a|",)}, "name is empty"),
        ({"buckets": (1.0, 0.5)}, "ascending"),
        ({"buckets": (0.0, 0.5)}, "above 0"),
        ({"buckets": ()}, "at least 1"),
        ({"nmaes": "both"}, "Extra inputs"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RedOptions.model_validate(options)


random_spans = st.lists(
    st.builds(
        Span,
        name=st.sampled_from("abc"),
        status=st.sampled_from(["STATUS_CODE_UNSET", "STATUS_CODE_ERROR"]),
        start=st.sampled_from([0, SECOND]),
        duration=st.one_of(
            st.integers(0, 2**63 - 1), st.sampled_from([b * MS + d for b in BOUNDS for d in (-1, 0, 1)])
        ),
        weight=st.sampled_from([1.0, 1.0, 2.0, 1024.0]),
    ),
    min_size=1,
    max_size=30,
)


@settings(deadline=None)
@given(random_spans, st.integers(1, 10))
def test_figures_are_those_of_plain_counting(spans: list[Span], at_once: int) -> None:
    red = deriver()
    for i in range(0, len(spans), at_once):
        part = spans[i : i + at_once]
        red.apply(span_batch(part), arrival(len(part)))
    red.table.mark_exported()
    got = values(red)
    for name, status in {(s.name, s.status) for s in spans}:
        mine = [s for s in spans if (s.name, s.status) == (name, status)]
        timed = [s for s in mine if s.start]
        labels = f'service_name="shop",span_name="{name}",span_kind="SPAN_KIND_SERVER",status_code="{status}"'
        assert int(got[f"traces_span_metrics_calls_total{{{labels}}}"]) == sum(int(s.weight) for s in mine)
        for bound in BOUNDS:
            below = sum(int(s.weight) for s in timed if s.duration <= bound * MS)
            assert int(got[f'{NAME}_bucket{{{labels},le="{bound / 1000}"}}']) == below
        # A span's share of the sum is bounded; up to there it is exact.
        shares = [s.duration if s.weight == 1 else min(round(float(s.duration) * s.weight), 2**62) for s in timed]
        assert float(got[f"{NAME}_sum{{{labels}}}"]) == sum(shares) / 10**9


def test_native_buckets_are_of_seconds_and_count_what_the_classic_ones_count() -> None:
    spans = [Span(duration=0), Span(duration=SECOND // 2, weight=8.0), Span(duration=SECOND), Span(start=0)]
    red = deriver(Budget(native=True), names="both", unit="ms")
    red.apply(span_batch(spans), arrival(len(spans)))
    red.table.mark_exported()
    found = {family.name: family.blocks[0] for family in red.collect() if family.kind == "histogram"}
    seconds, milliseconds = found["traces_spanmetrics_latency"], found["traces_span_metrics_duration_milliseconds"]
    assert isinstance(seconds, Histograms)
    assert isinstance(milliseconds, Histograms)
    (native,) = seconds.natives
    assert native is not None
    assert (native.zero_count, native.indexes, native.counts) == (1, [-8, 0], [8, 1])
    assert seconds.counts[0][-1] == 10
    assert not milliseconds.natives
