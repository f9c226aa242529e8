"""Rules of the user: against sums made by hand, through the reference decoder."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import ValidationError
from support.derive_fakes import arrival, lines

from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.registry import DeriveOptions
from sidecar.derive.rule_metrics import Rule, RuleDeriver
from sidecar.derive.series import Budget

DECODER = ReferenceDecoder()


def shown(deriver: RuleDeriver) -> dict[str, str]:
    for table in deriver.kept:
        table.mark_exported()
    return lines(list(deriver.collect()))


RECEIVED = 2 * 10**18


def of_logs(rules: list[Rule], *batches: list[dict[str, Any]], budget: Budget | None = None) -> RuleDeriver:
    deriver = RuleDeriver(rules, "logs", budget or Budget())
    for records in batches:
        body = "\n".join(json.dumps(r) for r in records).encode()
        payload = DECODER.json_lines(body, 1).payload
        deriver.apply(deriver.decode(DECODER, [payload]), arrival(len(records), RECEIVED))
    return deriver


def of_spans(rules: list[Rule], spans: list[dict[str, Any]]) -> RuleDeriver:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for n, fields in enumerate(spans, 1):
        span = scope.spans.add(trace_id=n.to_bytes(16, "big"), span_id=n.to_bytes(8, "big"), name=fields["name"])
        span.start_time_unix_nano, span.trace_state = fields.get("start", 10**18), fields.get("state", "")
        span.end_time_unix_nano = span.start_time_unix_nano + fields.get("duration", 0)
        for key, value in fields.get("attributes", {}).items():
            span.attributes.add(key=key).value.double_value = value
    deriver = RuleDeriver(rules, "spans", Budget())
    deriver.apply(deriver.decode(DECODER, [request.SerializeToString()]), arrival(len(spans)))
    return deriver


def test_a_count_of_what_matches_by_label() -> None:
    rule = Rule(name="orders_total", match={"kind": "order*", "service": "shop"}, labels=("country",))
    deriver = of_logs(
        [rule],
        [
            {"service": "shop", "kind": "order.paid", "country": "DE"},
            {"service": "shop", "kind": "order.paid", "country": "FR"},
            {"service": "shop", "kind": "cart", "country": "DE"},
            {"service": "pay", "kind": "order.paid", "country": "DE"},
            {"service": "shop", "kind": "order"},
        ],
        [{"service": "shop", "kind": "order.paid", "country": "DE"}],
    )
    assert shown(deriver) == {'orders_total{country="DE"}': "2", 'orders_total{country="FR"}': "1", "orders_total": "1"}


def test_a_sum_counts_what_it_cannot_add() -> None:
    rule = Rule(name="ml_revenue_total", kind="sum", field="revenue")
    values = [12.5, 0.25, -1, "7.25", "much", True, None, 1e300, {"a": 1}]
    deriver = of_logs([rule], [{"m": 1, "revenue": v} for v in values])
    assert shown(deriver) == {"ml_revenue_total": "21.0"}
    assert deriver.ignored == {
        ("ml_revenue_total", "not_a_number"): 3,
        ("ml_revenue_total", "negative"): 1,
        ("ml_revenue_total", "too_large"): 1,
    }


def test_a_sum_that_may_fall_is_a_gauge() -> None:
    rule = Rule(name="ml_revenue_impact_daily", kind="sum", field="revenue", monotonic=False)
    deriver = of_logs([rule], [{"revenue": 10}, {"revenue": -12.5}])
    family = next(iter(deriver.collect()))
    assert (family.kind, lines([family])) == ("gauge", {"ml_revenue_impact_daily": "-2.5"})


def test_the_last_value_is_that_of_the_latest_record() -> None:
    rule = Rule(name="queue_length", kind="last", field="queue", labels=("host",))
    deriver = of_logs(
        [rule],
        [
            {"time": 1_700_000_300, "queue": 3, "host": "a"},
            {"time": 1_700_000_100, "queue": 1, "host": "a"},
            {"time": 1_700_000_100, "queue": -0.5, "host": "b"},
        ],
        [{"time": 1_700_000_200, "queue": 2, "host": "a"}],
    )
    assert lines(list(deriver.collect())) == {'queue_length{host="a"}': "3.0", 'queue_length{host="b"}': "-0.5"}


def test_a_clock_ahead_does_not_pin_the_last_value() -> None:
    rule = Rule(name="queue_length", kind="last", field="queue")
    deriver = of_logs([rule], [{"time": 9_000_000_000, "queue": 3}], [{"time": RECEIVED // 10**9, "queue": 2}])
    assert lines(list(deriver.collect())) == {"queue_length": "2.0"}


def test_a_histogram_has_the_buckets_asked_for() -> None:
    rule = Rule(name="basket", kind="histogram", field="items", buckets=(1, 5))
    deriver = of_logs([rule], [{"items": n} for n in (1, 2, 5, 6)])
    assert shown(deriver) == {
        'basket_bucket{le="1.0"}': "1",
        'basket_bucket{le="5.0"}': "3",
        'basket_bucket{le="+Inf"}': "4",
        "basket_count": "4",
        "basket_sum": "14.0",
    }


def test_sampled_spans_count_for_as_many_as_they_stand_for() -> None:
    rules = [
        Rule(name="calls_total", signal="spans", match={"span.name": "predict"}),
        Rule(name="tokens_total", signal="spans", kind="sum", field="tokens"),
        Rule(name="seconds", signal="spans", kind="histogram", field="span.duration", buckets=(1,)),
    ]
    spans = [
        {"name": "predict", "state": "ot=th:8", "attributes": {"tokens": 10.0}, "duration": 2 * 10**9},
        {"name": "predict", "attributes": {"tokens": 1.5}, "duration": 10**9},
        {"name": "other", "start": 0, "duration": 10**9},
    ]
    assert shown(of_spans(rules, spans)) == {
        "calls_total": "3",
        "tokens_total": "21.5",
        'seconds_bucket{le="1.0"}': "1",
        'seconds_bucket{le="+Inf"}': "3",
        "seconds_count": "3",
        "seconds_sum": "5.0",
    }


def test_labels_keep_to_the_budget() -> None:
    rule = Rule(name="orders", labels=("user",))
    deriver = of_logs([rule], [{"user": f"u{n}"} for n in range(50)], budget=Budget(values=5))
    got = shown(deriver)
    assert got['orders_total{user="__other__"}'] == "45"
    assert deriver.kept[0].overflowed == {"user": 45}


VALUES = st.one_of(st.floats(-(2.0**100), 2.0**100), st.floats(-1e-9, 1e-9), st.just(0.01))


@given(st.lists(VALUES, min_size=1, max_size=40), st.randoms())
def test_a_sum_does_not_depend_on_the_order_nor_on_the_batches(values: list[float], random: Any) -> None:
    rule = Rule(name="s", kind="sum", field="v", monotonic=False)
    records = [{"v": v} for v in values]
    shuffled = random.sample(records, len(records))
    cut = random.randint(0, len(records))
    one = of_logs([rule], records)
    two = of_logs([rule], *[part for part in (shuffled[:cut], shuffled[cut:]) if part])
    assert shown(one) == shown(two) == {"s": repr(math.fsum(values) + 0.0)}
    kept, other = ({k: v[16:] for k, v in made.kept[0].checkpoint() if v} for made in (one, two))
    assert kept == other


def test_a_sum_of_large_values_that_stand_for_many_has_no_limit() -> None:
    rule = Rule(name="s", signal="spans", kind="sum", field="v")
    weights = [{"name": "n", "state": "ot=th:ffffff", "attributes": {"v": 2.0**40}}] * 4
    assert float(shown(of_spans([rule], weights))["s_total"]) == 4 * 2.0**64


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([1.5e-7] * 1000, 1.5e-4),
        ([0.01] * 10_000, 100.0),
        ([1e-300, 1e30, -1e30], 1e-300),
        ([-0.0, 0.0], 0.0),
        ([5e-324] * 3, 1.5e-323),
        ([1e16, 1.0, 1.0, -1e16], 2.0),
        ([-0.1] * 10, -1.0),
    ],
)
def test_sums_of_small_and_large_values_are_exact(values: list[float], total: float) -> None:
    rules = [Rule(name="s", kind="sum", field="v", monotonic=False), Rule(name="h", kind="histogram", field="v")]
    got = shown(of_logs(rules, [{"v": v} for v in values]))
    assert (got["s"], got["h_sum"]) == (repr(total), repr(total))
    assert float(got["h_count"]) == len(values)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"name": "a b"}, "no name"),
        ({"name": "sidecar_x"}, "the program's own"),
        ({"name": "x", "kind": "sum"}, "need it"),
        ({"name": "x", "field": "y"}, "belongs to"),
        ({"name": "x", "kind": "histogram", "field": "y", "buckets": (2, 1)}, "ascend"),
        ({"name": "x", "kind": "sum", "field": "span.duration"}, "spans only"),
        ({"name": "x", "labels": ("a.b", "a_b")}, "same name"),
        ({"name": "x", "kind": "histogram", "field": "y", "labels": ("le",)}, "label of a histogram's buckets"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Rule(**rule)


def test_two_rules_of_one_metric_are_refused() -> None:
    with pytest.raises(ValidationError, match="the same metric: x"):
        DeriveOptions(rules=(Rule(name="x"), Rule(name="x_total")))


def test_a_rule_whose_name_is_a_part_of_anothers_metric_is_refused() -> None:
    histogram = Rule(name="x", kind="histogram", field="f")
    for name in ("x_count", "x_sum", "x_bucket", "x_created"):
        with pytest.raises(ValidationError, match=f"the same metric: {name}"):
            DeriveOptions(rules=(histogram, Rule(name=name, kind="last", field="f")))
    DeriveOptions(rules=(histogram, Rule(name="x_counts"), Rule(name="y", kind="last", field="f")))


@pytest.mark.parametrize("kind", ["count", "sum", "histogram", "last"])
def test_more_series_at_once_than_a_table_has_room_for_at_first(kind: Any) -> None:
    rule = Rule(name="x", kind=kind, field="" if kind == "count" else "v", labels=("host",), buckets=(1.0,))
    records = [{"host": f"h{n}", "v": 0.5} for n in range(300)]
    got = shown(of_logs([rule], records, budget=Budget(values=300)))
    assert len({series.split('"')[1] for series in got}) == 300
    assert set(got.values()) <= {"1", "0.5"}
