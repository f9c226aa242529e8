"""Which attributes of a span say what about a call of a generative model. Data only; the first that is there counts.

Read from: OpenTelemetry's conventions for generative AI (`opentelemetry-semantic-conventions` 0.66b2 with the names of
v1.26 to v1.36 that it marks deprecated, and the later repository `semantic-conventions-genai` as
`opentelemetry-util-genai` 1.3b0 writes it); `opentelemetry-semantic-conventions-ai` 0.1.0, 0.4.1 and 0.5.1
(Traceloop); `openinference-semantic-conventions` 0.1.42; `mlflow-tracing` 3.17.2; and the tracing code of vLLM
(`vllm/tracing`), SGLang (`sglang/srt/observability/trace.py`) and Text Generation Inference (`router/src/server.rs`).
"""

from __future__ import annotations

VERSION = 1

TEXTS: dict[str, tuple[str, ...]] = {
    "operation": ("gen_ai.operation.name", "openinference.span.kind", "llm.request.type", "mlflow.spanType"),
    "wrapper": ("traceloop.span.kind", "gen_ai.agent.name", "gen_ai.tool.name"),
    "provider": (
        "gen_ai.provider.name",
        "gen_ai.system",
        "llm.provider",
        "llm.system",
        "llm.vendor",
        "mlflow.llm.provider",
    ),
    "request_model": ("gen_ai.request.model", "llm.request.model_name", "llm.request.model"),
    "response_model": (
        "gen_ai.response.model",
        "llm.response.model_name",
        "llm.response.model",
        "llm.model_name",
        "embedding.model_name",
        "mlflow.llm.model",
    ),
    "error": ("error.type",),
}
"""Concept -> attributes with a text of few values. `wrapper`: a span that has one and no operation is no call."""

NUMBERS: dict[str, tuple[str, ...]] = {
    "input": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
    ),
    "output": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
    ),
    "total": ("gen_ai.usage.total_tokens", "llm.token_count.total", "llm.usage.total_tokens"),
    "cache_read": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "llm.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
    "first_chunk": ("gen_ai.response.time_to_first_chunk",),
    "first_token": ("gen_ai.latency.time_to_first_token",),
    "queue": ("gen_ai.latency.time_in_queue",),
    "decode": ("gen_ai.latency.time_in_model_decode",),
    "e2e": ("gen_ai.latency.e2e",),
}
"""Concept -> attributes with a number: tokens, and seconds. `cache_read` and `cache_write` are parts of `input`,
`reasoning` is a part of `output`: they are never added to them. `total` only gives the one of the two that is missing.
The last four are reported by engines (vLLM, SGLang) only."""

USAGE = "mlflow.chat.tokenUsage"
"""A JSON object as text, with the members of USAGE_MEMBERS."""
USAGE_MEMBERS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "total": "total_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_creation_input_tokens",
}

ROUTER_TIMES = {"e2e": "total_time", "queue": "queue_time", "per_token": "time_per_token"}
"""Concept -> attributes of the router of Text Generation Inference: durations as Rust prints them (`1.5s`, `20.3ms`,
`7.1µs`, `80ns`). Its spans name neither model nor tokens."""
ROUTER_MARK = "inference_time"
"""The router's spans have this one too: other programs' `queue_time` is not meant."""

OPERATIONS = {
    "chat": "chat",
    "text_completion": "text_completion",
    "generate_content": "generate_content",
    "embeddings": "embeddings",
    "LLM": "chat",
    "EMBEDDING": "embeddings",
    "completion": "text_completion",
    "embedding": "embeddings",
    "CHAT_MODEL": "chat",
    "llm_call": "chat",
}
"""Value of an operation attribute -> gen_ai.operation.name. Any other value (an agent, a tool, a chain, a workflow, a
retrieval) is no call of a model. Upper case: OpenInference and MLflow; `completion` and `embedding`: Traceloop's
`llm.request.type`; `llm_call`: Gemini CLI."""

FIRST_CHUNK_EVENTS = ("First Token Stream Event", "gen_ai.content.completion.chunk", "mlflow.chunk.item.0")
"""Span events at the arrival of a streamed answer's chunks (OpenInference, Traceloop, MLflow); the first one counts."""

MARKS = (b"gen_ai.", b"openinference.span.kind", b"llm.request.type", b"mlflow.spanType", b"time_per_token")
"""A trace request in which none of these stands has no call. Looked for one by one: a search for a single text
takes 2 us in 185 kB, one for several at once 800."""


def attributes() -> tuple[str, ...]:
    """Every attribute that is read."""
    named = [name for names in (*TEXTS.values(), *NUMBERS.values()) for name in names]
    return (*named, USAGE, *ROUTER_TIMES.values(), ROUTER_MARK)
