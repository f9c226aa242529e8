from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from structlog.testing import capture_logs
from support import payloads
from support.derive_fakes import SECOND, Span, arrival, lines, span_batch
from support.jaeger import calls
from support.jaeger.golden import CALLS

from sidecar.decode.api import Decoder
from sidecar.decode.python import ReferenceDecoder
from sidecar.decode.select import native_decoder
from sidecar.derive.series import Budget
from sidecar.derive.service_graph import DATABASE, PEER, Half, ServiceGraphDeriver, ServiceGraphOptions, unpacked

CLIENT, SERVER = "SPAN_KIND_CLIENT", "SPAN_KIND_SERVER"
ERROR = "STATUS_CODE_ERROR"
DECODERS = [decoder for decoder in (ReferenceDecoder(), native_decoder()) if decoder is not None]
NAMES = (*DATABASE, *PEER)


def attributes(**given: str) -> tuple[str, ...]:
    """Values of the attributes that the deriver asks for; `peer_service="x"` is `peer.service`."""
    named = {name.replace(".", "_"): i for i, name in enumerate(NAMES)}
    values = [""] * len(NAMES)
    for name, value in given.items():
        values[named[name]] = value
    return tuple(values)


def client(service: str, number: int, **given: str) -> Span:
    return Span(service=service, kind=CLIENT, number=number, dimensions=attributes(**given), duration=SECOND)


def server(service: str, parent: int, number: int = 99) -> Span:
    return Span(service=service, kind=SERVER, number=number, parent=parent, dimensions=attributes())


def built(**options: object) -> ServiceGraphDeriver:
    return ServiceGraphDeriver(ServiceGraphOptions.model_validate({"enabled": True, **options}), Budget())


def feed(graph: ServiceGraphDeriver, *spans: Span, trace: int = 1, now: int = SECOND) -> None:
    batch = replace(span_batch(spans), trace_ids=trace.to_bytes(16, "big") * len(spans))
    graph.apply(batch, arrival(len(spans), now))


def shown(graph: ServiceGraphDeriver) -> dict[str, str]:
    for table in graph.kept[1:]:
        table.mark_exported()  # type: ignore[union-attr]
    return lines(list(graph.collect()))


def edges(graph: ServiceGraphDeriver, name: str = "request_total") -> dict[str, float]:
    start = f"traces_service_graph_{name}{{"
    return {k.removeprefix(start).rstrip("}"): float(v) for k, v in shown(graph).items() if k.startswith(start)}


def test_a_pair_is_a_request_with_both_durations() -> None:
    graph = built()
    feed(graph, client("web", 5), replace(server("model", 5), duration=SECOND // 4, status=ERROR))
    found = shown(graph)
    key = '{client="web",server="model"}'
    assert edges(graph) == {'client="web",server="model"': 1}
    assert found[f"traces_service_graph_request_failed_total{key}"] == "1"
    assert float(found[f"traces_service_graph_request_server_seconds_sum{key}"]) == 0.25
    assert float(found[f"traces_service_graph_request_client_seconds_sum{key}"]) == 1.0
    assert found['traces_service_graph_request_server_seconds_bucket{client="web",server="model",le="0.4"}'] == "1"
    assert not len(graph.waiting)


def test_a_pair_that_did_not_fail_has_failures_of_0() -> None:
    graph = built()
    feed(graph, client("web", 5), server("model", 5))
    assert edges(graph, "request_failed_total") == {'client="web",server="model"': 0}


def test_halves_wait_over_batches_in_either_order_and_only_for_their_trace() -> None:
    graph = built()
    feed(graph, server("model", 5))
    feed(graph, client("web", 5), trace=2)
    assert edges(graph) == {}
    feed(graph, client("web", 5))
    assert edges(graph) == {'client="web",server="model"': 1}
    assert len(graph.waiting) == 1


def test_producers_and_consumers_are_a_messaging_system() -> None:
    graph = built()
    feed(
        graph,
        replace(client("web", 5), kind="SPAN_KIND_PRODUCER"),
        replace(server("worker", 5), kind="SPAN_KIND_CONSUMER"),
    )
    assert edges(graph) == {'client="web",server="worker",connection_type="messaging_system"': 1}


@pytest.mark.parametrize(
    ("given", "name"),
    [({"db_namespace": "shop", "db_system_name": "postgresql"}, "shop"), ({"db_system": "redis"}, "redis")],
)
def test_a_database_is_known_from_the_client_alone(given: dict[str, str], name: str) -> None:
    graph = built()
    feed(graph, client("web", 5, **given))
    assert edges(graph) == {f'client="web",server="{name}",connection_type="database"': 1}
    assert edges(graph, "request_server_seconds_sum") == {f'client="web",server="{name}",connection_type="database"': 1}


def test_who_calls_a_root_is_the_user() -> None:
    graph = built()
    feed(graph, server("web", 0))
    assert edges(graph) == {'client="user",server="web",connection_type="virtual_node"': 1}


def test_internal_spans_are_no_calls() -> None:
    graph = built()
    feed(graph, replace(client("web", 5), kind="SPAN_KIND_INTERNAL"))
    assert (edges(graph), len(graph.waiting)) == ({}, 0)


def test_what_waited_too_long_is_unpaired_or_a_virtual_node() -> None:
    graph = built(max_wait="10s")
    feed(graph, client("web", 5, peer_service="billing"), client("web", 6), server("model", 7), now=SECOND)
    feed(graph, now=11 * SECOND)
    assert len(graph.waiting) == 3
    graph.expire(11 * SECOND + 1, 3600 * SECOND)
    assert edges(graph) == {'client="web",server="billing",connection_type="virtual_node"': 1}
    assert edges(graph, "unpaired_spans_total") == {'client="web"': 1, 'server="model"': 1}
    feed(graph, server("late", 6), now=12 * SECOND)
    assert len(graph.waiting) == 1


def test_what_waits_is_bounded_and_what_is_left_out_counted() -> None:
    graph = built(max_waiting=2)
    with capture_logs() as logs:
        feed(graph, client("web", 5), client("web", 6), client("web", 7), server("model", 8))
    assert edges(graph, "dropped_spans_total") == {'client="web"': 1, 'server="model"': 1}
    assert [line["event"] for line in logs] == ["service_graph_full"]
    feed(graph, server("model", 5))
    assert edges(graph) == {'client="web",server="model"': 1}


def test_a_second_span_of_the_same_side_takes_the_place_of_the_first_which_is_unpaired() -> None:
    graph = built()
    feed(graph, server("a", 5), server("b", 5), client("web", 5))
    assert edges(graph) == {'client="web",server="b"': 1}
    assert edges(graph, "unpaired_spans_total") == {'server="a"': 1}


def test_sampled_calls_count_for_those_they_stand_for() -> None:
    graph = built()
    feed(graph, replace(client("web", 5), weight=4.0), replace(server("model", 5), weight=4.0))
    assert edges(graph) == {'client="web",server="model"': 4}


def test_halves_are_read_back_and_others_refused() -> None:
    half = Half(True, False, 5, 2.5, 7, "wéb", "", "peer")
    assert unpacked(half.pack()) == half
    for damaged in (b"", b"x", half.pack()[:-1]):
        assert unpacked(damaged) is None


spans = st.lists(
    st.one_of(
        st.builds(client, st.sampled_from(["web", "api"]), st.integers(1, 6)),
        st.builds(server, st.sampled_from(["model", "api"]), st.integers(0, 6), st.integers(10, 20)),
        st.builds(client, st.just("web"), st.integers(1, 6), db_name=st.just("shop")),
    ),
    max_size=20,
)


@settings(deadline=None, max_examples=60)
@given(spans, st.sets(st.integers(0, 20)), st.integers(0, 20))
def test_any_split_and_a_crash_anywhere_give_the_same(found: list[Span], cuts: set[int], crash: int) -> None:
    whole = built()
    feed(whole, *found)
    parts: list[Sequence[Span]] = [
        found[a:b] for a, b in itertools.pairwise(sorted({0, len(found), *(c for c in cuts if c < len(found))}))
    ]
    graph, state = built(), {}
    for i, part in enumerate(parts):
        feed(graph, *part)
        for kept in graph.kept:
            state.update(kept.checkpoint())
        if i == crash:
            graph = built()
            left = {key: value for key, value in state.items() if value is not None}
            assert set().union(*(kept.restore(left) for kept in graph.kept)) == set(left)
    assert shown(graph) == shown(whole)
    assert len(graph.waiting) == len(whole.waiting)


@pytest.mark.parametrize("decoder", DECODERS)
def test_from_payloads_by_both_decoders(decoder: Decoder) -> None:
    graph = built()
    web = payloads.span(span_id=b"c" * 8, kind=OtlpSpan.SPAN_KIND_CLIENT)
    model = payloads.span(span_id=b"s" * 8, parent=b"c" * 8, kind=OtlpSpan.SPAN_KIND_SERVER)
    root = payloads.span(span_id=b"r" * 8, kind=OtlpSpan.SPAN_KIND_SERVER)
    stored = payloads.span(
        span_id=b"d" * 8, kind=OtlpSpan.SPAN_KIND_CLIENT, attributes={"db.name": "shop", "peer.service": "pg"}
    )
    payload = payloads.trace_payload(
        payloads.resource_spans(web, root, of=payloads.resource("web")),
        payloads.resource_spans(model, stored, of=payloads.resource("model")),
    )
    graph.apply(graph.decode(decoder, [payload]), arrival(4))
    assert edges(graph) == {
        'client="web",server="model"': 1,
        'client="user",server="web",connection_type="virtual_node"': 1,
        'client="model",server="shop",connection_type="database"': 1,
    }


@pytest.mark.parametrize("decoder", DECODERS)
def test_requests_between_services_are_those_that_jaeger_counts(decoder: Decoder) -> None:
    """`tests/golden/jaeger/calls.json`: what the real Jaeger says of the same spans. It counts a span whose parent is
    of another service, whatever their kinds; here every such pair is one of a client and a server, or over a queue."""
    graph = built()
    for number, body in enumerate(calls.payloads(), 1):
        graph.apply(decoder.spans([body], NAMES), arrival(len(decoder.spans([body], ())), number * SECOND))
    found: dict[tuple[str, str], float] = {}
    for labels, count in edges(graph).items():
        own = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if own.get("connection_type") not in ("database", "virtual_node"):
            pair = own["client"], own["server"]
            found[pair] = found.get(pair, 0) + count
    theirs = {(one["parent"], one["child"]): one["callCount"] for one in json.loads(CALLS.read_text("utf-8"))}
    assert found == theirs
    assert sum(theirs.values()) > 100
