"""Spans of calls of generative models, and what the deriver shows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sidecar.decode.api import Decoder
from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.genai.deriver import GenaiDeriver
from sidecar.derive.series import Arrival, Budget
from support.derive_fakes import lines
from support.payloads import (
    span,
)

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
        kept.mark_exported()
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
