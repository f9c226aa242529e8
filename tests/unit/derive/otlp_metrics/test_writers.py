"""Several writers of one series of OTLP metrics, and attribute sets that become the same labels."""

from __future__ import annotations

import random
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from support.derive_fakes import arrival
from support.metric_points import OWN, SECOND, SHOP, deriver, feed, point, shown

from sidecar.decode.otlp.metrics import (
    Buckets,
    Data,
    ExponentialHistogram,
    Histogram,
    Number,
    PointKind,
    Summary,
)
from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.otlp_metrics.deriver import OtlpMetricsDeriver
from sidecar.derive.otlp_metrics.writers import GONE_NS, MAX_WRITERS, SILENT_NS
from sidecar.derive.target_info import Targets

HITS = f"hits_total{{{OWN}}}"
A, B, C = 5 * SECOND, 5 * SECOND + 17, 90 * SECOND


def value(built: OtlpMetricsDeriver, series: str = HITS) -> str:
    return shown(built)[series]


def test_two_writers_of_one_counter_add_up_whoever_spoke_last() -> None:
    built = deriver(point(Number(23), start=A, time=60 * SECOND))
    seen = []
    for start, count, time in ((B, 18, 61), (A, 23, 70), (B, 18, 71), (A, 25, 80), (B, 19, 81)):
        feed(built, point(Number(count), start=start, time=time * SECOND))
        seen.append(value(built))
    assert seen == ["41", "41", "41", "43", "44"]
    assert built.dropped == {}


def test_a_process_that_is_started_again_goes_on_from_what_was_counted() -> None:
    built = deriver(point(Number(100), start=A, time=60 * SECOND))
    feed(built, point(Number(3), start=C, time=100 * SECOND))
    assert shown(built, True) == {HITS: "103", f"hits_created{{{OWN}}}": "5.0"}
    feed(built, point(Number(4), start=C, time=110 * SECOND))
    assert value(built) == "104"


def test_one_of_two_workers_is_replaced() -> None:
    built = deriver(point(Number(10), start=A, time=60 * SECOND), point(Number(20), start=B, time=60 * SECOND))
    feed(built, point(Number(1), start=C, time=100 * SECOND), point(Number(21), start=B, time=100 * SECOND))
    assert value(built) == "32"


def test_late_points_are_counted_by_writer() -> None:
    built = deriver(point(Number(10), start=A, time=60 * SECOND), point(Number(20), start=B, time=50 * SECOND))
    feed(built, point(Number(9), start=A, time=55 * SECOND))
    assert (value(built), built.dropped) == ("30", {"out_of_order": 1})


@pytest.mark.parametrize(("start", "fallen"), [(0, "2"), (7 * SECOND, "14")])
def test_a_client_without_start_times_is_shown_as_it_is(start: int, fallen: str) -> None:
    """Where it keeps its first point's time as the start, a count that falls is that of another process."""
    built = deriver(point(Number(10), start=start, time=7 * SECOND))
    feed(built, point(Number(12), start=start, time=9 * SECOND))
    assert value(built) == "12"
    feed(built, point(Number(2), start=start, time=11 * SECOND))
    assert value(built) == fallen


def test_processes_forked_after_the_first_measurement_add_up() -> None:
    built = deriver(point(Number(23), time=60 * SECOND))
    seen = []
    for at, count in enumerate((18, 23, 19, 25, 25, 30, 27), 61):
        feed(built, point(Number(count), time=at * SECOND))
        seen.append(value(built))
    assert (seen, built.dropped) == (["41", "41", "42", "44", "44", "49", "57"], {})


@pytest.mark.parametrize("kind", ["sum", "histogram", "exponential_histogram"])
@pytest.mark.parametrize("seed", range(5))
def test_forked_processes_never_fall_nor_exceed_what_they_say(kind: PointKind, seed: int) -> None:
    drawn = random.Random(seed)
    counts, built, before, now = [5, 5, 5], deriver(), 0, SECOND

    def say(process: int) -> int:
        nonlocal now
        now += SECOND
        n = counts[process]
        made: dict[str, Data] = {
            "sum": Number(n),
            "histogram": Histogram(n, float(n), None, None, (1.0,), (n, 0)),
            "exponential_histogram": ExponentialHistogram(n, float(n), None, None, 0, n, 0.0, Buckets(), Buckets()),
        }
        feed(built, point(made[kind], kind, time=now))
        return int(value(built, HITS if kind == "sum" else f"hits_count{{{OWN}}}"))

    for _ in range(60):
        process = drawn.randrange(3)
        counts[process] += drawn.randrange(8)
        shown_now = say(process)
        assert before <= shown_now <= sum(counts)
        before = shown_now
    counts = [n + add for n, add in zip(counts, (0, 1, 2), strict=True)]
    assert [say(process) for _ in range(3) for process in range(3)][-1] == sum(counts)


@pytest.mark.parametrize(
    "resources",
    [
        [{"host.name": "a"}, {"host.name": "b"}],
        [{"process.pid": "7"}, {"process.pid": "8"}],
        [{"k8s.pod.name": "a"}, {"k8s.pod.name": "b"}],
        [{"service.namespace": "a", "service.name": "b"}, {"service.name": "a/b"}],
        [{}, {"service.name": "unknown_service"}],
    ],
)
def test_processes_of_one_target_with_one_start_time_add_up(resources: list[dict[str, str]]) -> None:
    given = [tuple(sorted(({"service.name": "shop"} | one if one else one).items())) for one in resources]
    built = deriver(*(point(Number(n), resource=resource) for resource in given for n in (1, 2)))
    assert list(shown(built).values()) == ["4"]


def test_a_resource_that_learns_more_stays_one_writer() -> None:
    given = [(("service.name", "shop"),), (("deployment.environment", "x"), ("service.name", "shop"))]
    built = deriver(*(point(Number(n), resource=given[n % 2], time=n) for n in range(1, 5)))
    assert list(shown(built).values()) == ["4"]


def test_two_views_of_one_instrument_add_up() -> None:
    built = deriver(
        point(Histogram(2, 3.0, None, None, (1.0,), (1, 1)), "histogram"),
        point(ExponentialHistogram(2, 3.0, None, None, 0, 2, 0.0, Buckets(), Buckets()), "exponential_histogram"),
    )
    assert shown(built)[f"hits_count{{{OWN}}}"] == "4"


def test_a_client_whose_start_time_is_always_that_of_the_point_is_shown_as_it_is() -> None:
    built = deriver(*(point(Number(n), start=n * SECOND, time=n * SECOND) for n in range(1, 9)))
    assert value(built) == "8"


def test_targets_that_nothing_tells_apart_add_up() -> None:
    pods = [(("host.name", host), ("service.name", "shop")) for host in "ab"]
    built = deriver(*(point(Number(n), start=0, resource=pods[n % 2], time=n) for n in range(1, 5)))
    assert list(shown(built).values()) == ["7"]


def test_histograms_of_two_writers_add_up() -> None:
    one = Histogram(6, 2.5, 0.1, 1.2, (0.5, 1.0), (1, 2, 3))
    built = deriver(*(point(one, "histogram", start=start, time=9 * SECOND) for start in (A, B, A)))
    got = shown(built)
    assert [got[f'hits_bucket{{{OWN},le="{le}"}}'] for le in ("0.5", "1.0", "+Inf")] == ["2", "6", "12"]
    assert (got[f"hits_count{{{OWN}}}"], got[f"hits_sum{{{OWN}}}"]) == ("12", "5.0")


def test_histograms_with_other_bounds_keep_those_that_both_have() -> None:
    one = Histogram(6, 0.1, None, None, (0.5, 1.0), (1, 2, 3))
    two = Histogram(10, 0.2, None, None, (1.0, 2.0), (4, 5, 1))
    built = deriver(point(one, "histogram", start=A), point(two, "histogram", start=B))
    got = shown(built)
    assert [got.get(f'hits_bucket{{{OWN},le="{le}"}}') for le in ("0.5", "1.0", "2.0", "+Inf")] == [
        None,
        "7",
        None,
        "16",
    ]
    assert float(got[f"hits_sum{{{OWN}}}"]) == pytest.approx(0.3)


def test_exponential_histograms_of_two_writers_add_up() -> None:
    one = ExponentialHistogram(5, 10.0, None, None, 0, 1, 0.0, Buckets(0, (1, 3)), Buckets())
    two = ExponentialHistogram(4, 1.0, None, None, 1, 0, 0.0, Buckets(0, (2, 2)), Buckets())
    built = deriver(*(point(data, "exponential_histogram", start=s) for data, s in ((one, A), (two, B), (one, A))))
    got = shown(built)
    assert [got[f'hits_bucket{{{OWN},le="{le}"}}'] for le in ("2.0", "4.0", "+Inf")] == ["6", "9", "9"]
    assert got[f"hits_sum{{{OWN}}}"] == "11.0"


def test_of_gauges_and_summaries_the_latest_counts() -> None:
    built = deriver(*(point(Number(n), "gauge", "temp", start=s, time=n) for n, s in ((1, A), (2, B), (3, A))))
    feed(built, *(point(Summary(n, n, ()), "summary", "wait", start=s, time=n) for n, s in ((1, A), (2, B))))
    assert shown(built) == {f"temp{{{OWN}}}": "3", f"wait_count{{{OWN}}}": "2", f"wait_sum{{{OWN}}}": "2"}


def test_sums_that_may_fall_add_up_and_a_new_process_replaces_the_old_one() -> None:
    built = deriver(*(point(Number(n), monotonic=False, start=s, time=60 * SECOND) for n, s in ((5, A), (2, B))))
    assert value(built, f"hits{{{OWN}}}") == "7"
    feed(built, *(point(Number(1), monotonic=False, start=s, time=95 * SECOND) for s in (C, B)))
    assert value(built, f"hits{{{OWN}}}") == "2"


def test_a_writer_of_a_sum_that_may_fall_goes_when_it_is_silent() -> None:
    gauge = f"hits{{{OWN}}}"
    built = deriver(*(point(Number(n), monotonic=False, start=s, time=60 * SECOND) for n, s in ((5, A), (2, B))))
    feed(built, point(Number(3), monotonic=False, start=B, time=70 * SECOND), now=SECOND + GONE_NS + 1)
    assert value(built, gauge) == "8"
    built.expire(0, ttl=0)
    assert (value(built, gauge), built.folded) == ("3", 1)


def test_a_silent_writer_of_a_counter_is_folded_and_its_count_stays() -> None:
    built = deriver(*(point(Number(n), start=s, time=60 * SECOND) for n, s in ((5, A), (2, B))))
    feed(built, point(Number(3), start=B, time=70 * SECOND), now=100 * SECOND)
    built.expire(50 * SECOND, ttl=0)
    assert (value(built), built.folded) == ("8", 1)
    feed(built, point(Number(4), start=B, time=80 * SECOND), now=110 * SECOND)
    assert value(built) == "9"


def test_writers_are_bounded() -> None:
    built = deriver(*(point(Number(1), start=A + n, time=60 * SECOND) for n in range(MAX_WRITERS)))
    feed(built, point(Number(1), start=C, time=100 * SECOND))
    assert (value(built), built.dropped, built.folded) == (str(MAX_WRITERS), {"too_many_writers": 1}, 0)
    feed(built, point(Number(1), start=C, time=100 * SECOND), now=2 * SECOND + SILENT_NS)
    assert (value(built), built.folded) == (str(MAX_WRITERS + 1), 1)


def test_a_writer_that_has_no_value_any_more_leaves_the_others() -> None:
    built = deriver(*(point(Number(n), start=s, time=60 * SECOND) for n, s in ((5, A), (2, B))))
    feed(built, point(None, start=A))
    assert value(built) == "7"
    feed(built, point(None, start=B))
    assert shown(built) == {}


def test_a_writer_that_falls_does_not_take_the_others_with_it() -> None:
    built = deriver(*(point(Number(n), start=s, time=60 * SECOND) for n, s in ((5, A), (9, B))))
    feed(built, point(Number(1), start=A, time=70 * SECOND))
    assert value(built) == "15"


def test_delta_points_of_small_amounts_add_up_exactly() -> None:
    built = deriver(*(point(Number(0.01), delta=True) for _ in range(10_000)), point(Number(0), name="other"))
    shown(built)
    assert value(built) == "100.0"
    tiny = Histogram(1, 1.5e-7, None, None, (1.0,), (1, 0))
    feed(built, *(point(tiny, "histogram", "wait", delta=True) for _ in range(1000)))
    shown(built)
    assert value(built, f"wait_sum{{{OWN}}}") == "0.00015"


def test_all_of_it_goes_on_from_a_checkpoint() -> None:
    steps = [
        point(Number(0.1), delta=True, name="d"),
        point(Number(23), start=A, time=60 * SECOND),
        point(Number(18), start=B, time=61 * SECOND),
        point(Number(4), monotonic=False, name="q", start=A, time=60 * SECOND),
        point(Number(4), "gauge", "g", time=60 * SECOND),
        point(Histogram(6, 0.1, None, None, (0.5,), (1, 5)), "histogram", "h", start=A),
        point(Histogram(6, 0.2, None, None, (0.5,), (1, 5)), "histogram", "h", start=B),
        point(Number(24), start=A, time=70 * SECOND),
        point(Number(1), start=C, time=100 * SECOND),
    ] * 3
    whole, parts, state = deriver(*steps), deriver(), dict[bytes, bytes | None]()
    for step in steps:
        feed(parts, step)
        state |= dict(parts.checkpoint())
        parts = OtlpMetricsDeriver(100, Targets(10))
        parts.restore({key: kept for key, kept in state.items() if kept is not None})
    whole.mark_exported()
    assert shown(parts) == shown(whole)
    assert shown(whole)[HITS] == "43"


COLLIDING: list[tuple[dict[str, Any], ...]] = [
    ({"a.b": "1"}, {"a_b": "1"}, {"a-b": "1"}),
    ({"n": 1}, {"n": "1"}, {"n": 1.0}),
    ({"n": True}, {"n": "true"}),
    ({}, {"n": ""}),
    ({"long": "x" * 2000}, {"long": "x" * 2001}),
    ({"a.b": "1;2"}, {"a.b": "1", "a_b": "2"}),
    ({"ü": "1"}, {"ö": "1"}),
    ({"le": "1"}, {"exported_le": "1"}),
]


@pytest.mark.parametrize("sets", COLLIDING)
def test_counters_whose_attributes_become_the_same_labels_add_up(sets: tuple[dict[str, Any], ...]) -> None:
    built = of_request(sets)
    feed_request(built, sets)
    (shown_value,) = shown(built).values()
    assert int(shown_value) == sum(10**n for n in range(len(sets)))
    assert built.dropped == {}


@pytest.mark.parametrize("sets", COLLIDING)
def test_a_gauge_that_hides_another_is_counted(sets: tuple[dict[str, Any], ...]) -> None:
    built = of_request(sets, gauge=True)
    assert list(shown(built).values()) == [str(10 ** (len(sets) - 1))]
    assert built.dropped == {"same_labels": len(sets) - 1}


@pytest.mark.parametrize(
    ("sets", "labels"),
    [
        (
            ({"job": "a", "exported_job": "x"}, {"job": "a", "exported_job": "y"}, {"job": "a"}),
            ('exported_job="x;a"', 'exported_job="y;a"', 'exported_job="a"'),
        ),
        (
            ({"instance": "p", "exported_instance": "q"}, {"instance": "p"}, {"exported_instance": "q"}),
            ('exported_instance="q;p"', 'exported_instance="p"', 'exported_instance="q"'),
        ),
        (
            ({"le": "1", "exported_le": "2", "quantile": "3"}, {"le": "1"}),
            ('exported_le="2;1",exported_quantile="3"', 'exported_le="1"'),
        ),
        (
            ({"otel_scope_name": "s", "otel.scope.name": "t"}, {"otel.scope.version": "9"}),
            ('exported_otel_scope_name="t;s"', 'exported_otel_scope_version="9"'),
        ),
        (({"a.b": "1", "a_b": "2", "a b": "3"}, {"a.b": "1"}), ('a_b="3;1;2"', 'a_b="1"')),
    ],
)
def test_attribute_sets_that_collide_stay_series_of_their_own(
    sets: tuple[dict[str, Any], ...], labels: tuple[str, ...]
) -> None:
    expected = {f"hits_total{{{OWN},{label}}}": str(10**n) for n, label in enumerate(labels)}
    assert shown(of_request(sets)) == expected


def test_attributes_of_scopes_are_labels() -> None:
    built = of_request(({"otel_scope_pool": "b"},), scope={"pool": "a", "name": "left out"})
    label = 'otel_scope_pool="a",exported_otel_scope_pool="b"'
    assert shown(built) == {f"hits_total{{{OWN},{label}}}": "1"}


def test_scopes_of_the_same_labels_add_up() -> None:
    built = of_request(({},), scope={"name": "x"})
    feed_request(built, ({},), scope={"name": "y"})
    assert shown(built) == {HITS: "2"}


def test_metrics_whose_names_become_the_same_add_up() -> None:
    built = deriver(
        point(Number(1), name="a.hits"), point(Number(2), name="a_hits"), point(Number(4), name="a-hits_total")
    )
    assert shown(built) == {f"a_hits_total{{{OWN}}}": "7"}


def test_resources_whose_attributes_collide_with_a_target_keep_their_values() -> None:
    targets = Targets(10)
    targets.see([(("job", "j"), ("resource.job", "r"), ("service.name", "shop"))], SECOND)
    (text,) = targets.snapshot().blocks[0].labels
    assert text == 'job="shop",resource_job="j;r"'


def request_of(sets: tuple[dict[str, Any], ...], gauge: bool, scope: dict[str, str]) -> bytes:
    """A counter (or gauge) `hits` with a point for each attribute set: 1, 10, 100, …"""
    request = ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add()
    for key, text in SHOP:
        of_resource.resource.attributes.add(key=key).value.string_value = text
    of_scope = of_resource.scope_metrics.add()
    of_scope.scope.name, of_scope.scope.version = "meter", "1"
    for key, text in scope.items():
        of_scope.scope.attributes.add(key=key).value.string_value = text
    metric = of_scope.metrics.add(name="hits")
    data = metric.gauge if gauge else metric.sum
    if not gauge:
        metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 2
    for n, attributes in enumerate(sets):
        found = data.data_points.add(as_int=10**n, start_time_unix_nano=A, time_unix_nano=60 * SECOND)
        for key, one in attributes.items():
            member = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}[type(one)]
            setattr(found.attributes.add(key=key).value, member, one)
    return request.SerializeToString()


def feed_request(
    built: OtlpMetricsDeriver,
    sets: tuple[dict[str, Any], ...],
    gauge: bool = False,
    scope: dict[str, str] | None = None,
) -> None:
    batch = built.decode(ReferenceDecoder(), [request_of(sets, gauge, scope or {})])
    built.apply(batch, arrival(len(batch), 70 * SECOND))


def of_request(
    sets: tuple[dict[str, Any], ...], gauge: bool = False, scope: dict[str, str] | None = None
) -> OtlpMetricsDeriver:
    built = OtlpMetricsDeriver(100, Targets(10))
    feed_request(built, sets, gauge, scope)
    return built
