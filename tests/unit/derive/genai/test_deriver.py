"""Metrics of generative models: which spans are calls, and what they add up to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from support.derive_fakes import FakeLog
from support.genai_dialects import DIALECTS
from support.genai_spans import (
    CLIENT,
    INTERNAL,
    REFERENCE,
    SECOND,
    SERVED,
    SERVER,
    TOOK,
    USED,
    WAITED,
    call,
    derived,
    feed,
    labels,
    observed,
    seen,
)
from support.payloads import (
    T0,
    event,
    histogram,
    metrics_payload,
    resource,
    resource_spans,
    scope,
    span,
    trace_payload,
)

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.genai_names import NUMBERS
from sidecar.decode.select import native_decoder
from sidecar.derive.engine import DeriveEngine
from sidecar.derive.fixed_point import MAX_VALUE
from sidecar.derive.genai.deriver import GenaiDeriver, GenaiOptions
from sidecar.derive.genai.genai_tables import FIRST_TOKEN, PER_TOKEN, SECONDS, TOKENS
from sidecar.derive.registry import DeriveOptions
from sidecar.derive.series import Arrival, Budget
from sidecar.errors import DecodeError
from sidecar.serve.exposition import render
from sidecar.telemetry import Telemetry


def family(*members: tuple[int, int, Mapping[str, Any]], trace: int = 1, **more: Any) -> list[Span]:
    """Spans of one trace: (own id, parent's id, attributes)."""
    return [
        call(
            attributes,
            span_id=own.to_bytes(8, "big"),
            parent=parent.to_bytes(8, "big") if parent else b"",
            trace_id=trace.to_bytes(16, "big"),
            **more,
        )
        for own, parent, attributes in members
    ]


def tokens(n: int, **more: Any) -> dict[str, Any]:
    return {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": n, **more}


def counted(shown: Mapping[str, float], name: str = USED) -> tuple[float, float]:
    """(tokens, calls) in all."""
    return (
        sum(value for key, value in shown.items() if key.startswith(f"{name}_sum")),
        sum(value for key, value in shown.items() if key.startswith(f"{name}_count")),
    )


def test_of_calls_inside_of_each_other_the_innermost_counts(decoder: Decoder) -> None:
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 11}
    chain = [(5, 0, agent), (4, 5, tokens(11)), (3, 4, {"http.route": "/"}), (2, 3, tokens(11)), (1, 2, tokens(11))]
    for spans in (family(*chain), family(*reversed(chain))):
        assert counted(derived(trace_payload(*spans), decoder=decoder)) == (11, 1)


def test_calls_beside_each_other_all_count(decoder: Decoder) -> None:
    agent = {"gen_ai.operation.name": "invoke_agent"}
    beside = family((1, 0, agent), (2, 1, tokens(3)), (3, 1, tokens(4)), (4, 1, tokens(5)))
    elsewhere = family((2, 9, tokens(6)), (9, 0, tokens(7)), trace=2)
    assert counted(derived(trace_payload(*beside, *elsewhere), decoder=decoder)) == (3 + 4 + 5 + 6, 4)
    same_ids = family((2, 1, tokens(8)), trace=3) + family((1, 0, tokens(9)), trace=4)
    assert counted(derived(trace_payload(*same_ids), decoder=decoder)) == (17, 2), "another trace's parent is none"


def test_an_embedding_inside_of_a_generation_is_a_call_of_its_own(decoder: Decoder) -> None:
    embedding = {"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 2}
    spans = family((1, 0, tokens(5)), (2, 1, embedding), (3, 1, {**embedding, "openinference.span.kind": "EMBEDDING"}))
    assert counted(derived(trace_payload(*spans), decoder=decoder)) == (9, 3)


def beside(*calls: tuple[str, int, int, Mapping[str, Any]], service: str = "svc") -> list[ResourceSpans]:
    """Calls in traces of their own: (instrumentation, start and end in ms, attributes)."""
    return [
        resource_spans(
            call({"gen_ai.provider.name": "openai", **own}, n, start=T0 + a * 10**6, duration=(b - a) * 10**6),
            of=resource(service),
            by=scope(by),
        )
        for n, (by, a, b, own) in enumerate(calls, 1)
    ]


FAILS = {"gen_ai.operation.name": "chat", "error.type": "timeout"}
FRAMEWORK, LIBRARY = ("langchain", 0, 100, tokens(7)), ("openai", 10, 90, tokens(7))
ALIKE: dict[str, tuple[list[ResourceSpans], int]] = {
    "a framework that only hears of the call": (beside(FRAMEWORK, LIBRARY), 1),
    "in any order": (beside(LIBRARY, FRAMEWORK), 1),
    "of the same time": (beside(FRAMEWORK, ("openai", 0, 100, tokens(7))), 1),
    "two that fail": (beside(("langchain", 0, 100, FAILS), ("openai", 10, 90, FAILS)), 1),
    "without a provider": (beside(("langchain", 0, 100, tokens(7, **{"gen_ai.provider.name": ""})), LIBRARY), 1),
    "a provider in capitals": (beside(("x", 0, 100, tokens(7, **{"gen_ai.provider.name": "OpenAI"})), LIBRARY), 1),
    "three around each other": (beside(FRAMEWORK, ("litellm", 5, 95, tokens(7)), LIBRARY), 1),
    "two at a time": (
        beside(FRAMEWORK, ("langchain", 1, 99, tokens(7)), LIBRARY, ("openai", 11, 89, tokens(7))),
        2,
    ),
    "one around two": (beside(FRAMEWORK, LIBRARY, ("openai", 91, 99, tokens(7))), 2),
    "of the same instrumentation": (beside(FRAMEWORK, ("langchain", 10, 90, tokens(7))), 2),
    "other tokens": (beside(FRAMEWORK, ("openai", 10, 90, tokens(8))), 2),
    "another provider": (beside(FRAMEWORK, ("openai", 10, 90, tokens(7, **{"gen_ai.provider.name": "cohere"}))), 2),
    "not within its time": (beside(FRAMEWORK, ("openai", 50, 101, tokens(7))), 2),
    "before it": (beside(FRAMEWORK, ("openai", 101, 102, tokens(7))), 2),
    "another operation": (
        beside(FRAMEWORK, ("openai", 10, 90, tokens(7, **{"gen_ai.operation.name": "embeddings"}))),
        2,
    ),
    "another service": (beside(FRAMEWORK) + beside(LIBRARY, service="other"), 2),
}


@pytest.mark.parametrize("name", ALIKE)
def test_calls_beside_each_other_that_are_alike(decoder: Decoder, name: str) -> None:
    spans, count = ALIKE[name]
    shown = derived(trace_payload(*spans), decoder=decoder)
    assert counted(shown, TOOK)[1] == count
    if name == "a framework that only hears of the call":
        assert counted(shown, TOOK)[0] == pytest.approx(0.08, abs=1e-6), "the provider's counts"
    apart = [trace_payload(one) for one in spans]
    assert counted(derived(*apart, decoder=decoder), TOOK)[1] == len(spans), "of other payloads nothing is known"


def test_many_calls_at_a_time_that_are_alike(decoder: Decoder) -> None:
    pairs = [(FRAMEWORK[0], n, 1000 - n, tokens(7)) for n in range(0, 60, 2)]
    pairs += [(LIBRARY[0], n, 1000 - n, tokens(7)) for n in range(1, 61, 2)]
    assert counted(derived(trace_payload(*beside(*pairs)), decoder=decoder)) == (7 * 30, 30)


def test_a_span_that_is_its_own_parent(decoder: Decoder) -> None:
    ring = family((1, 2, tokens(3)), (2, 1, tokens(4)), (3, 3, tokens(5)))
    assert counted(derived(trace_payload(*ring), decoder=decoder))[0] == 5


def test_client_and_server_of_one_request_count_each_on_its_side(decoder: Decoder) -> None:
    outer, inner = family((1, 0, tokens(5)), (2, 1, tokens(5)))
    inner.kind = SERVER
    shown = derived(trace_payload(outer, inner), decoder=decoder)
    assert counted(shown) == counted(shown, f"{SERVED}token_usage") == (5, 1)


def test_payloads_are_looked_at_each_alone(decoder: Decoder) -> None:
    outer, inner = family((1, 0, tokens(5)), (2, 1, tokens(5)))
    apart = [trace_payload(outer), trace_payload(inner)]
    assert counted(derived(*apart, decoder=decoder)) == (10, 2)
    assert counted(derived(*apart, decoder=decoder, at_once=False)) == (10, 2), "however they are read together"


def test_refused_spans_do_not_shift_parents_and_events(decoder: Decoder) -> None:
    outer, inner = family((1, 0, tokens(5)), (2, 1, tokens(5)))
    inner.events.append(event("First Token Stream Event", T0 + SECOND // 8))
    refused = call(tokens(1000), trace_id=bytes(16))
    shown = derived(trace_payload(refused, outer, refused, inner), decoder=decoder)
    assert counted(shown) == (5, 1)
    assert counted(shown, WAITED) == (0.125, 1)


def test_first_chunks_that_make_no_sense(decoder: Decoder) -> None:
    before = call(tokens(1), 1, events=[event("First Token Stream Event", T0 - 1)])
    unknown = call(tokens(1), 2, start=0, events=[event("First Token Stream Event", T0)])
    failed = call({**tokens(1), "gen_ai.response.time_to_first_chunk": 0.1}, 3, status=2)
    other = call(tokens(1), 4, events=[event("exception", T0 + 5)])
    assert counted(derived(trace_payload(before, unknown, failed, other), decoder=decoder), WAITED) == (0, 0)


def test_a_failed_call_has_a_duration_and_its_tokens(decoder: Decoder) -> None:
    shown = derived(trace_payload(call(tokens(3), status=2)), decoder=decoder)
    assert shown == {
        **observed(USED, labels("chat", gen_ai_token_type="input"), 3),
        **observed(TOOK, labels("chat", error_type="_OTHER"), 0.5),
    }


def test_a_span_without_a_start_has_no_duration(decoder: Decoder) -> None:
    shown = derived(trace_payload(call(tokens(3), start=0)), decoder=decoder)
    assert shown == observed(USED, labels("chat", gen_ai_token_type="input"), 3)


def test_sampled_spans_stand_for_as_many_as_their_tracestate_says(decoder: Decoder) -> None:
    spans = [
        call(tokens(10), 1, trace_state="ot=th:8"),
        call(tokens(10), 2, trace_state="ot=th:e"),
        call(tokens(10), 3),
    ]
    shown = derived(trace_payload(*spans), decoder=decoder)
    assert shown == {
        **observed(USED, labels("chat", gen_ai_token_type="input"), 110, 11),
        **observed(TOOK, labels("chat"), 5.5, 11),
    }


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, 2**50, "many", [5], b"5"])
def test_numbers_that_are_no_tokens(decoder: Decoder, value: Any) -> None:
    shown = derived(trace_payload(call(tokens(value))), decoder=decoder)
    assert shown == observed(TOOK, labels("chat"), 0.5)


@given(st.dictionaries(st.sampled_from([a for names in NUMBERS.values() for a in names]), st.floats(), min_size=1))
def test_any_numbers_give_figures_that_make_sense(numbers: dict[str, float]) -> None:
    payload = trace_payload(call({"gen_ai.operation.name": "chat", **numbers}))
    shown = derived(payload, decoder=native_decoder() or REFERENCE)
    assert all(0 <= value <= MAX_VALUE for value in shown.values())
    assert sum(value for key, value in shown.items() if "duration_seconds_count" in key) == 1


TEXTS_IN_JSON = ['"\\ud800x"', '"', '""', '"a\x00b"', '"\\u0000"', '"unfinished', '{"a": 1}', "é" * 2000]


@pytest.mark.parametrize("text", TEXTS_IN_JSON)
def test_any_text_is_a_model(decoder: Decoder, text: str) -> None:
    payload = trace_payload(call({**tokens(3), "mlflow.llm.model": text}))
    deriver = GenaiDeriver(Budget())
    feed(deriver, [payload], decoder)
    assert counted(seen(deriver)) == (3, 1)
    kept = {key: value for table in deriver.kept for key, value in table.checkpoint() if value is not None}
    again = GenaiDeriver(Budget())
    assert set().union(*(table.restore(kept) for table in again.kept)) == kept.keys()
    assert seen(again) == seen(deriver)


def test_buckets_are_those_of_the_conventions() -> None:
    assert TOKENS == (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
    assert SECONDS == (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
    assert FIRST_TOKEN == (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert PER_TOKEN == (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
    deriver = GenaiDeriver(Budget())
    feed(deriver, [trace_payload(call(tokens(4), 1), call(tokens(5), 2, duration=SECOND))])
    shown = seen(deriver, buckets=True)
    own = labels("chat", gen_ai_token_type="input")
    counts = {key.partition("le=")[2]: value for key, value in shown.items() if key.startswith(f"{USED}_bucket{{{own}")}
    assert counts['"4.0"}'] == 1
    assert counts['"16.0"}'] == counts['"+Inf"}'] == 2
    assert '"1.0"}' not in counts


def test_models_over_the_budget_are_named_other() -> None:
    spans = [call({**tokens(1), "gen_ai.request.model": f"m{n}"}, n) for n in range(1, 9)]
    shown = derived(trace_payload(*spans), budget=Budget(series=50, values=3))
    named = {key.partition('request_model="')[2].partition('"')[0] for key in shown if key.startswith(TOOK)}
    assert named == {"m1", "m2", "m3", "__other__"}
    assert counted(shown) == (8, 8)


class Forbidding:
    """A decoder that may only be asked whether something stands in a payload."""

    def contains_any(self, payload: bytes, needles: tuple[bytes, ...], fold: bool = False) -> bool:
        return REFERENCE.contains_any(payload, needles, fold)


def test_payloads_of_other_programs_are_not_read() -> None:
    http = call({"http.route": "/predict", "llm": "no", "time": 3}, kind=SERVER)
    deriver = GenaiDeriver(Budget())
    batch = deriver.decode(cast(Decoder, Forbidding()), [trace_payload(http)] * 3)
    deriver.apply(batch, Arrival(np.array([1, 2, 3]), np.array([1, 2, 3]), 9))
    assert seen(deriver) == {}


def test_a_payload_that_cannot_be_read_is_reported(decoder: Decoder) -> None:
    with pytest.raises(DecodeError):
        GenaiDeriver(Budget()).decode(decoder, [trace_payload(call(tokens(1)))[:-5]])


one_call = st.builds(
    lambda number, state, into, model, took: call(
        {**tokens(into), "gen_ai.request.model": model, "gen_ai.response.time_to_first_chunk": took / 3},
        number,
        trace_state=state,
        duration=took * 1_000_003,
    ),
    st.integers(1, 2**60),
    st.sampled_from(["", "", "ot=th:8", "ot=th:3"]),
    st.integers(0, 2**31),
    st.sampled_from("ab"),
    st.integers(0, 10**5),
)


@given(st.lists(one_call, max_size=8), st.lists(st.integers(0, 8), max_size=3), st.integers(0, 3))
def test_any_split_and_a_restart_give_the_same_figures(spans: list[Span], cuts: list[int], restart: int) -> None:
    whole, rough = GenaiDeriver(Budget()), GenaiDeriver(Budget())
    if spans:
        feed(whole, [trace_payload(*spans)])
    edges = sorted({0, len(spans), *(cut for cut in cuts if cut < len(spans))})
    kept: dict[bytes, bytes | None] = {}
    for n, (a, b) in enumerate(itertools.pairwise(edges)):
        feed(rough, [trace_payload(*spans[a:b])])
        if n == restart:
            kept.update({key: value for table in rough.kept for key, value in table.checkpoint()})
            rough = GenaiDeriver(Budget())
            state = {key: value for key, value in kept.items() if value is not None}
            used = [table.restore(state) for table in rough.kept]
            assert set().union(*used) == state.keys()
    assert seen(rough, buckets=True) == seen(whole, buckets=True)


any_span = st.builds(
    lambda own, parent, trace, attributes, kind, chunk, refused: span(
        attributes=attributes,
        kind=kind,
        trace_id=bytes(16) if refused else bytes([trace]) * 16,
        span_id=bytes([own]) * 8,
        parent=bytes([parent]) * 8 if parent else b"",
        events=[event(name, T0 + at) for name, at in chunk],
    ),
    st.integers(1, 5),
    st.integers(0, 5),
    st.integers(1, 3),
    st.sampled_from(
        [
            {"http.route": "/"},
            tokens(3),
            tokens(5, **{"gen_ai.response.time_to_first_chunk": 0.5}),
            {"openinference.span.kind": "EMBEDDING", "llm.token_count.prompt": 2},
            DIALECTS["vLLM"].attributes,
            DIALECTS["MLflow, streamed"].attributes,
            DIALECTS["Text Generation Inference"].attributes,
        ]
    ),
    st.sampled_from([CLIENT, SERVER, INTERNAL]),
    st.lists(st.tuples(st.sampled_from(["First Token Stream Event", "x"]), st.integers(-9, 10**9)), max_size=2),
    st.integers(0, 6).map(lambda n: n == 6),
)


@given(st.lists(st.lists(any_span, max_size=6), min_size=1, max_size=5))
def test_payloads_read_together_give_what_each_gives_alone(groups: list[list[Span]]) -> None:
    decoder = native_decoder() or REFERENCE
    payloads = [trace_payload(*spans) for spans in groups]
    together = derived(*payloads, decoder=decoder)
    assert together == derived(*payloads, decoder=decoder, at_once=False)
    assert together == derived(*payloads, decoder=REFERENCE)


def both_ways(decoder: Decoder, options: DeriveOptions | None = None) -> str:
    """The exposition where two apps send a metric of their own and one of them has spans too."""
    log = FakeLog()
    spans = trace_payload(call(tokens(7)), of=resource("app", {"service.namespace": "shop"}))
    own = histogram("gen_ai.client.token.usage", [10.0], [3, 0], 21.0, attributes={"gen_ai.token.type": "input"})
    took = histogram("gen_ai.client.operation.duration", [10.0], [3, 0], 21.0, unit="s")
    chunk = histogram("gen_ai.client.operation.time_per_output_chunk", [10.0], [3, 0], 21.0, unit="s")
    log.append("spans", spans)
    for service in ("app", "other"):
        about = resource(service, {"service.namespace": "shop"})
        log.append("metrics", metrics_payload(own, took, chunk, of=about))
    engine = DeriveEngine(log.consumer(None), decoder, options or DeriveOptions(), Telemetry(), lambda: 10 * SECOND)
    engine.restore()
    while engine.pull():
        pass
    engine.collect()
    return render(engine.collect(), openmetrics=True).decode()


def test_a_metric_that_the_app_sends_too_is_shown_once(decoder: Decoder) -> None:
    text = both_ways(decoder)
    for name in (USED, TOOK):
        assert text.count(f"# TYPE {name} ") == 1
        series = [line for line in text.splitlines() if line.startswith(f"{name}_count{{")]
        assert len(series) == 2
        assert 'service_name="app"' in series[0], "of the app with spans what they say"
        assert 'job="shop/other"' in series[1], "of the other one what it sends"
        assert series[1].split()[-1] == "3"
    chunks = [line for line in text.splitlines() if "time_per_output_chunk_seconds_count" in line]
    assert len(chunks) == 2, "what spans do not say is shown of both"


def test_where_it_is_off_what_apps_send_is_shown(decoder: Decoder) -> None:
    text = both_ways(decoder, DeriveOptions(genai=GenaiOptions(enabled=False)))
    series = [line for line in text.splitlines() if line.startswith(f"{USED}_count{{")]
    assert [part for line in series for part in ("shop/app", "shop/other") if part in line] == [
        "shop/app",
        "shop/other",
    ]
