"""Spans of generative models as each instrumentation and engine writes them."""

from __future__ import annotations

from typing import Any

import pytest
from support.genai_dialects import DIALECTS
from support.genai_spans import (
    INTERNAL,
    PART,
    SERVED,
    SERVER,
    TOOK,
    USED,
    WAITED,
    call,
    derived,
    labels,
    observed,
)
from support.payloads import (
    resource,
    trace_payload,
)

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.genai_names import (
    NUMBERS,
    OPERATIONS,
    ROUTER_MARK,
    ROUTER_TIMES,
    TEXTS,
    USAGE,
    USAGE_MEMBERS,
)


@pytest.mark.parametrize("name", DIALECTS)
def test_what_each_program_writes(decoder: Decoder, name: str) -> None:
    dialect = DIALECTS[name]
    other = call({"http.route": "/"}, 9, kind=SERVER)
    payload = trace_payload(other, call(dialect.attributes, **dialect.more), of=resource("svc", dialect.of))
    assert derived(payload, decoder=decoder) == dialect.expected


REPORTED = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1}


@pytest.mark.parametrize(
    "alias", [alias for concept in ("provider", "request_model", "response_model") for alias in TEXTS[concept]]
)
def test_every_alias_of_a_label(decoder: Decoder, alias: str) -> None:
    concept = next(concept for concept, names in TEXTS.items() if alias in names)
    shown = derived(trace_payload(call({**REPORTED, alias: "it"})), decoder=decoder)
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
    assert derived(trace_payload(call({**tokens, **REPORTED, alias: "agent"})), decoder=decoder), "an operation decides"


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
def test_a_total_only_gives_the_one_that_is_missing(decoder: Decoder, alias: str) -> None:
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
    reported = derived(trace_payload(call({**engine, alias: 1.0})), decoder=decoder)
    assert reported[f"{name}_sum"] == 0.25, "as the engine reported it"
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
