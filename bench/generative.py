"""What metrics of generative models cost, decoding and adding up: CPU time per span, the best of several rounds.

`python bench/generative.py`; payloads of 512 spans as several programs write them, with RED on the same beside it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

import numpy as np  # noqa: E402
from support.payloads import T0, event, span, trace_payload  # noqa: E402

from sidecar.decode.api import Decoder  # noqa: E402
from sidecar.decode.python import ReferenceDecoder  # noqa: E402
from sidecar.decode.select import native_decoder  # noqa: E402
from sidecar.derive.genai.deriver import GenaiDeriver  # noqa: E402
from sidecar.derive.red import RedDeriver, RedOptions  # noqa: E402
from sidecar.derive.series import Arrival, Budget  # noqa: E402
from sidecar.derive.target_info import Targets  # noqa: E402
from sidecar.telemetry import Telemetry  # noqa: E402

SPANS = 512
AT_ONCE = 32
"""Payloads that the engine decodes together."""
ROUND_SECONDS = 0.3
ROUNDS = 7
INTERNAL, SERVER, CLIENT = 1, 2, 3

HTTP = {
    "http.request.method": "POST",
    "http.route": "/predict",
    "http.response.status_code": 200,
    "url.path": "/predict/x",
    "url.scheme": "http",
    "server.address": "model",
    "server.port": 8080,
    "user_agent.original": "python-requests/2.33",
    "network.peer.address": "10.0.0.1",
    "client.address": "10.2.3.4",
}


def client(n: int) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-4o-2024",
        "gen_ai.response.id": f"chatcmpl-{n}",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 100 + n,
        "gen_ai.usage.output_tokens": 20 + n,
        "gen_ai.usage.cache_read.input_tokens": 64,
        "gen_ai.usage.reasoning.output_tokens": 3,
        "gen_ai.response.time_to_first_chunk": 0.1 + n / 1000,
        "server.address": "api.openai.com",
        "server.port": 443,
    }


def engine(n: int) -> dict[str, Any]:
    return {
        "gen_ai.request.id": f"cmpl-{n}",
        "gen_ai.request.max_tokens": 256,
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.n": 1,
        "gen_ai.usage.prompt_tokens": 500 + n,
        "gen_ai.usage.completion_tokens": 100 + n,
        "gen_ai.latency.time_in_queue": 0.01,
        "gen_ai.latency.time_to_first_token": 0.2,
        "gen_ai.latency.e2e": 2.0,
        "gen_ai.latency.time_in_model_prefill": 0.1,
        "gen_ai.latency.time_in_model_decode": 1.8,
        "gen_ai.latency.time_in_model_inference": 1.9,
    }


def openinference(n: int) -> dict[str, Any]:
    return {
        "openinference.span.kind": "LLM",
        "llm.system": "openai",
        "llm.model_name": "gpt-4o-2024",
        "llm.invocation_parameters": '{"model": "gpt-4o"}',
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "c" * 100,
        "input.value": "x" * 400,
        "output.value": "y" * 400,
        "llm.token_count.prompt": 6 + n,
        "llm.token_count.completion": 4,
        "llm.token_count.total": 10 + n,
        "llm.token_count.prompt_details.cache_read": 2,
    }


def mlflow(n: int) -> dict[str, Any]:
    return {
        "mlflow.traceRequestId": f'"tr-{n}"',
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.llm.model": '"gpt-4o-2024"',
        "mlflow.chat.tokenUsage": f'{{"input_tokens": {n}, "output_tokens": 3, "total_tokens": {n + 3}}}',
        "mlflow.spanInputs": "x" * 200,
        "mlflow.spanOutputs": "y" * 300,
    }


def payload(attributes: Sequence[Mapping[str, Any]], kind: int = CLIENT, trace_of: int = 1, **more: Any) -> bytes:
    """Spans with these attributes, `trace_of` of them in a trace."""
    spans = (
        span(
            "chat gpt-4o",
            kind=kind,
            trace_id=(n // trace_of + 1).to_bytes(16, "big"),
            span_id=(n + 1).to_bytes(8, "big"),
            parent=(1 << 20).to_bytes(8, "big"),
            attributes=own,
            **more,
        )
        for n, own in enumerate(attributes)
    )
    return trace_payload(*spans)


def cases() -> Iterator[tuple[str, list[bytes]]]:
    calls = [client(n) for n in range(SPANS)]
    first = event("First Token Stream Event", T0 + 1_000_000)
    yield "calls of a client", [payload(calls)]
    yield "calls of agents, four in a trace", [payload(calls, trace_of=4)]
    yield "vLLM", [payload([engine(n) for n in range(SPANS)], SERVER)]
    yield "OpenInference, streamed", [payload([openinference(n) for n in range(SPANS)], INTERNAL, events=[first])]
    yield "MLflow", [payload([mlflow(n) for n in range(SPANS)], INTERNAL)]
    yield "calls, each in a payload alone", [payload([own]) for own in calls[:AT_ONCE]]
    yield "one call among HTTP spans", [payload([*calls[:1], *[HTTP] * (SPANS - 1)], SERVER)]
    yield "HTTP spans only", [payload([HTTP] * SPANS, SERVER)]


def measured(deriver: GenaiDeriver | RedDeriver, decoder: Decoder, payloads: Sequence[bytes]) -> float:
    """CPU seconds of one span."""
    items = [decoder.check_spans(one).items for one in payloads]
    arrival = Arrival(np.cumsum(items), np.full(len(items), T0, np.int64), T0)
    best = float("inf")
    for _ in range(ROUNDS):
        times, began = 0, time.process_time()
        while (spent := time.process_time() - began) < ROUND_SECONDS:
            deriver.apply(deriver.decode(decoder, payloads), arrival)  # type: ignore[arg-type]
            times += 1
        best = min(best, spent / times / sum(items))
    return best


def main() -> int:
    decoder = native_decoder() or ReferenceDecoder()
    print(f"{decoder.name} decoder, µs of CPU a span; RED on the same payloads in brackets")
    for name, payloads in cases():
        own = measured(GenaiDeriver(Budget()), decoder, payloads)
        red = measured(RedDeriver(RedOptions(), Budget(), Targets(100), Telemetry()), decoder, payloads)
        print(f"{name:34} {own * 1e6:8.3f} ({red * 1e6:.3f})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
