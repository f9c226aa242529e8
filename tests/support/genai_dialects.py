"""Spans of generative models as each instrumentation and engine writes them, with what is shown of them."""

from __future__ import annotations

from support.genai_spans import (
    INTERNAL,
    PART,
    SECOND,
    SERVED,
    SERVER,
    WAITED,
    Dialect,
    client,
    labels,
    observed,
    server,
)
from support.payloads import (
    T0,
    event,
)

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
