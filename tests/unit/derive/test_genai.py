"""Metrics of generative models, from the spans that each instrumentation and engine writes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from support.derive_fakes import FakeLog, lines
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

from sidecar.decode.batch import Decoder
from sidecar.decode.genai_names import NUMBERS, OPERATIONS, ROUTER_MARK, ROUTER_TIMES, TEXTS, USAGE, USAGE_MEMBERS
from sidecar.decode.native import native_decoder
from sidecar.decode.reference import ReferenceDecoder
from sidecar.derive.amounts import MAX_VALUE
from sidecar.derive.engine import DeriveEngine, DeriveOptions
from sidecar.derive.genai import GenaiDeriver, GenaiOptions
from sidecar.derive.genai_tables import FIRST_TOKEN, PER_TOKEN, SECONDS, TOKENS
from sidecar.derive.series import Arrival, Budget
from sidecar.errors import DecodeError
from sidecar.serve.exposition import render
from sidecar.telemetry import Telemetry

SECOND = 10**9
CLIENT, SERVER, INTERNAL = Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER, Span.SPAN_KIND_INTERNAL
REFERENCE = ReferenceDecoder()
USED, TOOK, WAITED = (
    "gen_ai_client_token_usage",
    "gen_ai_client_operation_duration_seconds",
    "gen_ai_client_operation_time_to_first_chunk_seconds",
)
SERVED = "gen_ai_server_"
PART = "gen_ai_client_inference_usage_"
NAMES = dict(zip("opqr", ("operation_name", "provider_name", "request_model", "response_model"), strict=True))


@pytest.fixture(params=["reference", "native"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    if request.param == "reference":
        return REFERENCE
    return native_decoder() or pytest.skip("the native core is not installed")


def call(attributes: Mapping[str, Any], number: int = 1, **more: Any) -> Span:
    """A client's span of half a second, in a trace of its own."""
    ids = {"trace_id": number.to_bytes(16, "big"), "span_id": number.to_bytes(8, "big")}
    return span(attributes=attributes, **{"kind": CLIENT, "duration": SECOND // 2, "name": "chat m", **ids, **more})


def derived(
    *payloads: bytes, decoder: Decoder = REFERENCE, budget: Budget | None = None, at_once: bool = True
) -> dict[str, float]:
    """Series without buckets -> value, zeros and `service_name="svc"` left out."""
    deriver = GenaiDeriver(budget or Budget())
    for some in [payloads] if at_once else [[payload] for payload in payloads]:
        feed(deriver, some, decoder)
    return seen(deriver)


def feed(deriver: GenaiDeriver, payloads: Sequence[bytes], decoder: Decoder = REFERENCE) -> None:
    ends = np.cumsum([decoder.check_spans(payload).items for payload in payloads], dtype=np.int64)
    times = np.array([(n + 1) * SECOND for n in range(len(payloads))], np.int64)
    deriver.apply(deriver.decode(decoder, payloads), Arrival(ends, times, 99 * SECOND))


def seen(deriver: GenaiDeriver, buckets: bool = False) -> dict[str, float]:
    for kept in deriver.kept:
        kept.all_shown()
    shown = lines(list(deriver.collect())).items()
    return {
        series.replace('service_name="svc",', "").replace('{service_name="svc"}', ""): float(value)
        for series, value in shown
        if float(value) and (buckets or "_bucket{" not in series)
    }


def observed(name: str, labels: str, total: float, count: int = 1) -> dict[str, Any]:
    """What a histogram shows."""
    braces = f"{{{labels}}}" if labels else ""
    return {f"{name}_sum{braces}": pytest.approx(total, abs=1e-6), f"{name}_count{braces}": count}


def labels(o: str = "", p: str = "", q: str = "", r: str = "", **more: str) -> str:
    """Of operation, provider, requested model, answering model."""
    values = dict(zip(NAMES, (o, p, q, r), strict=True))
    named = [f'gen_ai_{NAMES[key]}="{value}"' for key, value in values.items() if value]
    return ",".join([*named, *(f'{key}="{value}"' for key, value in more.items())])


@dataclass(frozen=True)
class Dialect:
    """A span as one program writes it, and what is shown of it."""

    attributes: Mapping[str, Any]
    expected: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)
    of: Mapping[str, Any] = field(default_factory=dict)
    """Resource attributes."""


def client(own: str, into: float, out: float, seconds: float = 0.5) -> dict[str, Any]:
    tokens = observed(USED, f'{own},gen_ai_token_type="input"', into)
    if out:
        tokens |= observed(USED, f'{own},gen_ai_token_type="output"', out)
    return {**tokens, **observed(TOOK, own, seconds)}


def server(own: str, into: float, out: float, seconds: float, first: float, token: float, **more: float) -> Any:
    comma = f"{own}," if own else ""
    return {
        **observed(f"{SERVED}token_usage", f'{comma}gen_ai_token_type="input"', into),
        **observed(f"{SERVED}token_usage", f'{comma}gen_ai_token_type="output"', out),
        **observed(f"{SERVED}request_duration_seconds", own, seconds),
        **observed(f"{SERVED}time_to_first_token_seconds", own, first),
        **observed(f"{SERVED}time_per_output_token_seconds", own, token),
        **{
            key: value
            for name, at in more.items()
            for key, value in observed(f"{SERVED}{name}_seconds", own, at).items()
        },
    }


OPENAI = labels("chat", "openai", "gpt-4o", "gpt-4o-2024")
DIALECTS = {
    "conventions 1.26": Dialect(
        {
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024",
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 20,
        },
        client(labels("", "openai", "gpt-4o", "gpt-4o-2024"), 100, 20),
    ),
    "conventions 1.30": Dialect(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
        },
        client(OPENAI, 100, 20),
    ),
    "conventions of 2026": Dialect(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 64,
            "gen_ai.usage.cache_write.input_tokens": 32,
            "gen_ai.usage.reasoning.output_tokens": 12,
            "gen_ai.response.time_to_first_chunk": 0.125,
        },
        {
            **client(OPENAI, 100, 20),
            **observed(WAITED, OPENAI, 0.125),
            f"{PART}cache_read_input_tokens_total{{{OPENAI}}}": 64,
            f"{PART}cache_write_input_tokens_total{{{OPENAI}}}": 32,
            f"{PART}reasoning_output_tokens_total{{{OPENAI}}}": 12,
        },
    ),
    "embeddings": Dialect(
        {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "ada",
            "gen_ai.usage.input_tokens": 7,
        },
        client(labels("embeddings", "openai", "ada"), 7, 0),
    ),
    "Traceloop of 2024": Dialect(
        {
            "llm.vendor": "Anthropic",
            "llm.request.type": "completion",
            "llm.request.model": "claude",
            "llm.response.model": "claude-3",
            "llm.usage.prompt_tokens": 9,
            "llm.usage.completion_tokens": 4,
            "llm.usage.total_tokens": 13,
        },
        client(labels("text_completion", "Anthropic", "claude", "claude-3"), 9, 4),
    ),
    "Traceloop 0.4": Dialect(
        {
            "gen_ai.system": "OpenAI",
            "llm.request.type": "chat",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024",
            "gen_ai.usage.prompt_tokens": 9,
            "gen_ai.usage.completion_tokens": 4,
            "llm.usage.total_tokens": 13,
            "gen_ai.usage.cache_read_input_tokens": 3,
            "llm.usage.reasoning_tokens": 2,
        },
        {
            **client(labels("chat", "OpenAI", "gpt-4o", "gpt-4o-2024"), 9, 4),
            f"{PART}cache_read_input_tokens_total{{{labels('chat', 'OpenAI', 'gpt-4o', 'gpt-4o-2024')}}}": 3,
            f"{PART}reasoning_output_tokens_total{{{labels('chat', 'OpenAI', 'gpt-4o', 'gpt-4o-2024')}}}": 2,
        },
    ),
    "Traceloop 0.5, streamed": Dialect(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024",
            "gen_ai.usage.input_tokens": 6,
            "gen_ai.usage.output_tokens": 4,
            "gen_ai.usage.total_tokens": 10,
        },
        {**client(OPENAI, 6, 4), **observed(WAITED, OPENAI, 0.25)},
        {"events": [event("gen_ai.content.completion.chunk", T0 + SECOND * n // 4) for n in (2, 1, 3)]},
    ),
    "OpenInference, streamed": Dialect(
        {
            "openinference.span.kind": "LLM",
            "llm.system": "openai",
            "llm.model_name": "gpt-4o-2024",
            "llm.token_count.prompt": 6,
            "llm.token_count.completion": 4,
            "llm.token_count.total": 10,
            "llm.token_count.prompt_details.cache_read": 2,
            "llm.token_count.prompt_details.cache_write": 1,
            "llm.token_count.completion_details.reasoning": 1,
        },
        {
            **client(labels("chat", "openai", "", "gpt-4o-2024"), 6, 4),
            **observed(WAITED, labels("chat", "openai", "", "gpt-4o-2024"), 0.25),
            f"{PART}cache_read_input_tokens_total{{{labels('chat', 'openai', '', 'gpt-4o-2024')}}}": 2,
            f"{PART}cache_write_input_tokens_total{{{labels('chat', 'openai', '', 'gpt-4o-2024')}}}": 1,
            f"{PART}reasoning_output_tokens_total{{{labels('chat', 'openai', '', 'gpt-4o-2024')}}}": 1,
        },
        {"kind": INTERNAL, "events": [event("First Token Stream Event", T0 + SECOND // 4)]},
    ),
    "OpenInference, embedding": Dialect(
        {
            "openinference.span.kind": "EMBEDDING",
            "llm.provider": "azure",
            "embedding.model_name": "ada-2",
            "llm.token_count.prompt": 3,
            "llm.token_count.total": 3,
        },
        client(labels("embeddings", "azure", "", "ada-2"), 3, 0),
        {"kind": INTERNAL},
    ),
    "MLflow, streamed": Dialect(
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.llm.model": '"gpt-4o-2024"',
            "mlflow.llm.provider": '"openai"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 3, "output_tokens": 2, "total_tokens": 5, '
            '"cache_read_input_tokens": 2, "cache_creation_input_tokens": 1}',
        },
        {
            **client(labels("chat", "openai", "", "gpt-4o-2024"), 3, 2),
            **observed(WAITED, labels("chat", "openai", "", "gpt-4o-2024"), 0.1),
            f"{PART}cache_read_input_tokens_total{{{labels('chat', 'openai', '', 'gpt-4o-2024')}}}": 2,
            f"{PART}cache_write_input_tokens_total{{{labels('chat', 'openai', '', 'gpt-4o-2024')}}}": 1,
        },
        {"kind": INTERNAL, "events": [event("mlflow.chunk.item.0", T0 + SECOND // 10)]},
    ),
    "vLLM": Dialect(
        {
            "gen_ai.request.id": "cmpl-1",
            "gen_ai.request.max_tokens": 256,
            "gen_ai.usage.prompt_tokens": 512,
            "gen_ai.usage.completion_tokens": 101,
            "gen_ai.latency.time_in_queue": 0.02,
            "gen_ai.latency.time_to_first_token": 0.25,
            "gen_ai.latency.e2e": 2.5,
            "gen_ai.latency.time_in_model_prefill": 0.2,
            "gen_ai.latency.time_in_model_decode": 2.0,
            "gen_ai.latency.time_in_model_inference": 2.2,
        },
        server("", 512, 101, 2.5, 0.25, 0.02, time_in_queue=0.02),
        {"kind": SERVER, "name": "llm_request"},
    ),
    "SGLang": Dialect(
        {
            "rid": "1",
            "gen_ai.request.id": "1",
            "gen_ai.response.model": "llama",
            "gen_ai.usage.prompt_tokens": 40,
            "gen_ai.usage.completion_tokens": 11,
            "gen_ai.usage.cached_tokens": 32,
            "gen_ai.latency.time_to_first_token": 0.5,
            "gen_ai.latency.e2e": 1.5,
            "gen_ai.latency.time_in_model_decode": 1.0,
        },
        server(labels("", "", "", "llama"), 40, 11, 1.5, 0.5, 0.1),
        {"kind": INTERNAL, "name": "Req 1"},
    ),
    "Text Generation Inference": Dialect(
        {
            "parameters": "GenerateParameters { best_of: None }",
            "total_time": "1.250000084s",
            "validation_time": "451.5µs",
            "queue_time": "20.25ms",
            "inference_time": "1.2292985s",
            "time_per_token": "24.585971ms",
            "seed": "None",
        },
        {
            **observed(f"{SERVED}request_duration_seconds", "", 1.250000084),
            **observed(f"{SERVED}time_per_output_token_seconds", "", 0.024585971),
            **observed(f"{SERVED}time_in_queue_seconds", "", 0.02025),
        },
        {"kind": INTERNAL, "name": "generate"},
    ),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_what_each_program_writes(decoder: Decoder, name: str) -> None:
    dialect = DIALECTS[name]
    other = call({"http.route": "/"}, 9, kind=SERVER)
    payload = trace_payload(other, call(dialect.attributes, **dialect.more), of=resource("svc", dialect.of))
    assert derived(payload, decoder=decoder) == dialect.expected


TOLD = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1}


@pytest.mark.parametrize(
    "alias", [alias for concept in ("provider", "request_model", "response_model") for alias in TEXTS[concept]]
)
def test_every_alias_of_a_label(decoder: Decoder, alias: str) -> None:
    concept = next(concept for concept, names in TEXTS.items() if alias in names)
    shown = derived(trace_payload(call({**TOLD, alias: "it"})), decoder=decoder)
    label = {"provider": "p", "request_model": "q", "response_model": "r"}[concept]
    assert f"{TOOK}_count{{{labels('chat', **{label: 'it'})}}}" in shown


@pytest.mark.parametrize("alias", TEXTS["operation"])
@pytest.mark.parametrize("value", OPERATIONS)
def test_every_alias_and_value_of_an_operation(decoder: Decoder, alias: str, value: str) -> None:
    shown = derived(trace_payload(call({alias: value}, kind=INTERNAL)), decoder=decoder)
    assert shown == observed(TOOK, labels(OPERATIONS[value]), 0.5)


@pytest.mark.parametrize("alias", TEXTS["wrapper"])
def test_every_mark_of_a_wrapper(decoder: Decoder, alias: str) -> None:
    tokens = {"gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 5}
    assert derived(trace_payload(call(tokens)), decoder=decoder), "without the mark it counts"
    assert derived(trace_payload(call({**tokens, alias: "agent"})), decoder=decoder) == {}
    assert derived(trace_payload(call({**tokens, **TOLD, alias: "agent"})), decoder=decoder), "an operation decides"


@pytest.mark.parametrize("alias", TEXTS["error"])
def test_every_alias_of_an_error(decoder: Decoder, alias: str) -> None:
    failed = call({"gen_ai.operation.name": "chat", alias: "timeout"}, status=2)
    assert derived(trace_payload(failed), decoder=decoder) == observed(TOOK, labels("chat", error_type="timeout"), 0.5)


NUMBER_SHOWN = {
    "input": (USED, "chat", {"gen_ai_token_type": "input"}),
    "output": (USED, "chat", {"gen_ai_token_type": "output"}),
    "cache_read": (f"{PART}cache_read_input_tokens_total", "chat", {}),
    "cache_write": (f"{PART}cache_write_input_tokens_total", "chat", {}),
    "reasoning": (f"{PART}reasoning_output_tokens_total", "chat", {}),
    "first_chunk": (WAITED, "chat", {}),
    "first_token": (f"{SERVED}time_to_first_token_seconds", "chat", {}),
    "queue": (f"{SERVED}time_in_queue_seconds", "chat", {}),
    "e2e": (f"{SERVED}request_duration_seconds", "chat", {}),
}


@pytest.mark.parametrize("alias", [alias for concept in NUMBER_SHOWN for alias in NUMBERS[concept]])
def test_every_alias_of_a_number(decoder: Decoder, alias: str) -> None:
    concept = next(concept for concept, names in NUMBERS.items() if alias in names)
    name, operation, more = NUMBER_SHOWN[concept]
    shown = derived(trace_payload(call({"gen_ai.operation.name": "chat", alias: 3})), decoder=decoder)
    own = labels(operation, **more)
    assert shown.get(f"{name}_sum{{{own}}}", shown.get(f"{name}{{{own}}}")) == 3


@pytest.mark.parametrize("alias", NUMBERS["total"])
def test_a_total_only_tells_the_one_that_is_missing(decoder: Decoder, alias: str) -> None:
    chat = {"gen_ai.operation.name": "chat", alias: 10}
    spans = [
        call({**chat, "gen_ai.usage.input_tokens": 7}, 1),
        call({**chat, "gen_ai.usage.output_tokens": 2}, 2),
        call({**chat, "gen_ai.usage.input_tokens": 6, "gen_ai.usage.output_tokens": 5}, 3),
        call(chat, 4),
    ]
    shown = derived(trace_payload(*spans), decoder=decoder)
    assert shown == {
        **observed(USED, labels("chat", gen_ai_token_type="input"), 7 + 8 + 6, 3),
        **observed(USED, labels("chat", gen_ai_token_type="output"), 3 + 2 + 5, 3),
        **observed(TOOK, labels("chat"), 2, 4),
    }


@pytest.mark.parametrize("alias", NUMBERS["decode"])
def test_the_time_of_a_token_after_the_first(decoder: Decoder, alias: str) -> None:
    engine = {"gen_ai.latency.e2e": 3.0, "gen_ai.latency.time_to_first_token": 1.0, "gen_ai.usage.output_tokens": 5}
    name = f"{SERVED}time_per_output_token_seconds"
    told = derived(trace_payload(call({**engine, alias: 1.0})), decoder=decoder)
    assert told[f"{name}_sum"] == 0.25, "as the engine told it"
    assert derived(trace_payload(call(engine)), decoder=decoder)[f"{name}_sum"] == 0.5, "all but the first token's time"
    one = derived(trace_payload(call({**engine, "gen_ai.usage.output_tokens": 1})), decoder=decoder)
    assert f"{name}_sum" not in one, "one token has no time between"


def test_every_member_of_the_usage_text(decoder: Decoder) -> None:
    for concept, member in USAGE_MEMBERS.items():
        known = '"output_tokens": 1, ' if concept == "total" else ""
        attributes = {"mlflow.spanType": '"LLM"', USAGE: f'{{{known}"{member}": 4}}'}
        shown = derived(trace_payload(call(attributes)), decoder=decoder)
        values = {key: value for key, value in shown.items() if TOOK not in key and "_count" not in key}
        assert sum(values.values()) == 4, concept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '{"input_tokens": "many"}',
        '{"input_tokens": 1.5}',
        "[" * 2000,
        '{"input_tokens": -3}',
        '{"input_tokens": true}',
        "7",
        "null",
    ],
)
def test_a_usage_text_that_says_nothing(decoder: Decoder, text: str) -> None:
    attributes = {"mlflow.spanType": '"LLM"', USAGE: text}
    assert derived(trace_payload(call(attributes)), decoder=decoder) == observed(TOOK, labels("chat"), 0.5)


def test_every_attribute_of_the_router_is_needed(decoder: Decoder) -> None:
    whole = {ROUTER_MARK: "1s", **dict.fromkeys(ROUTER_TIMES.values(), "80ns")}
    assert derived(trace_payload(call(whole, kind=INTERNAL)), decoder=decoder)
    for name in whole:
        rest = {key: value for key, value in whole.items() if key != name}
        assert derived(trace_payload(call(rest, kind=INTERNAL)), decoder=decoder) == {}
        assert derived(trace_payload(call({**whole, name: "5 m"}, kind=INTERNAL)), decoder=decoder) == {}


def test_the_first_alias_counts_and_none_are_added_up(decoder: Decoder) -> None:
    both = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.prompt_tokens": 9,
        "llm.token_count.prompt": 11,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.output_tokens": "2",
        "gen_ai.provider.name": "a",
        "gen_ai.system": "b",
    }
    shown = derived(trace_payload(call(both)), decoder=decoder)
    assert shown[f"{USED}_sum{{{labels('chat', 'a', gen_ai_token_type='input')}}}"] == 7
    assert shown[f"{USED}_sum{{{labels('chat', 'a', gen_ai_token_type='output')}}}"] == 2, "a text that is a number"


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.operation.name": "invoke_agent"},
        {"gen_ai.operation.name": "execute_tool"},
        {"gen_ai.operation.name": "invoke_workflow"},
        {"gen_ai.operation.name": "retrieval"},
        {"openinference.span.kind": "CHAIN"},
        {"openinference.span.kind": "AGENT"},
        {"openinference.span.kind": "RERANKER"},
        {"llm.request.type": "rerank"},
        {"mlflow.spanType": '"AGENT"'},
        {"gen_ai.operation.name": "invoke_agent", "openinference.span.kind": "LLM"},
        {},
    ],
    ids=lambda attributes: ",".join(map(str, attributes.values())) or "no operation",
)
def test_what_repeats_the_tokens_of_calls_is_no_call(decoder: Decoder, attributes: dict[str, Any]) -> None:
    tokens = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10, "gen_ai.request.model": "m"}
    assert derived(trace_payload(call({**tokens, **attributes}, kind=INTERNAL)), decoder=decoder) == {}


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

    def mentions(self, payload: bytes, needles: tuple[bytes, ...], fold: bool = False) -> bool:
        return REFERENCE.mentions(payload, needles, fold)


def test_payloads_of_other_programs_are_not_read() -> None:
    http = call({"http.route": "/predict", "llm": "no", "time": 3}, kind=SERVER)
    deriver = GenaiDeriver(Budget())
    batch = deriver.decode(cast(Decoder, Forbidding()), [trace_payload(http)] * 3)
    deriver.apply(batch, Arrival(np.array([1, 2, 3]), np.array([1, 2, 3]), 9))
    assert seen(deriver) == {}


def test_a_payload_that_cannot_be_read_is_told(decoder: Decoder) -> None:
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
    while engine.pull(0):
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
