"""A trace sampler whose spans say how many they stand for: `OTEL_TRACES_SAMPLER=sidecar_ratio`.

Metrics made from sampled spans can only be scaled if a span says with which probability it was kept. The SDK's ratio
samplers do not tell; its experimental ones are not in every supported release, and as of 1.45 their threshold does not
reach child spans, which lose their attributes as well.

Source of the rules: OpenTelemetry's "TraceState: Probability Sampling" and "TraceState handling". A trace is kept if
its 56 bits of randomness (`rv` of the tracestate's `ot` member, else the last 56 bits of the trace id) are not below
the rejection threshold; `th` of that member is the threshold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceState
from opentelemetry.util.types import Attributes

SPACE = 1 << 56
_MEMBER = "ot"
_THRESHOLD = re.compile("[0-9a-f]{1,14}")
_RANDOM = re.compile("[0-9a-f]{14}")


def from_argument(argument: str | None) -> Sampler:
    """The sampler for a value of `OTEL_TRACES_SAMPLER_ARG`: a ratio from 0 to 1; 1 where there is none. Raises
    ValueError for anything else, whereupon the SDK says so and samples everything."""
    text = (argument or "").strip() or "1"
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ValueError(f"OTEL_TRACES_SAMPLER_ARG={text} is no ratio from 0 to 1, such as 0.1")
    return RatioSampler(ratio)


class RatioSampler(Sampler):
    """Keeps a share `ratio` of the traces that begin here. A trace that began elsewhere is kept or not as its sampled
    flag says, with the threshold that it came with, if that agrees with the flag; without one it stays without one."""

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._threshold = SPACE - round(ratio * SPACE)
        # At a ratio of 0 nothing is kept, and nothing bears this.
        self._state = TraceState([(_MEMBER, "th:" + (f"{self._threshold:014x}".rstrip("0") or "0"))])

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        parent = trace.get_current_span(parent_context).get_span_context()
        if parent.is_valid:
            # What came over the wire is checked once; spans of this process were decided on here.
            state = _checked(parent) if parent.is_remote else parent.trace_state
            return _result(parent.trace_flags.sampled, attributes, state)
        sampled = _last_bits(trace_id) >= self._threshold
        return _result(sampled, attributes, self._state if sampled else None)

    def get_description(self) -> str:
        return f"SidecarRatio{{{self._ratio}}}"


def _result(sampled: bool, attributes: Attributes, state: TraceState | None) -> SamplingResult:
    if sampled:
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, state)
    return SamplingResult(Decision.DROP, None, state)


def _last_bits(trace_id: int) -> int:
    return trace_id & (SPACE - 1)


def _checked(parent: SpanContext) -> TraceState:
    """The parent's tracestate, without `th` where it cannot be true: malformed, or at odds with the sampled flag."""
    state = parent.trace_state
    said = state.get(_MEMBER)
    if said is None:
        return state
    parts = said.split(";")
    threshold = next((part[3:] for part in parts if part.startswith("th:")), None)
    if threshold is None:
        return state
    given = next((part[3:] for part in parts if part.startswith("rv:")), "")
    randomness = int(given, 16) if _RANDOM.fullmatch(given) else _last_bits(parent.trace_id)
    if _THRESHOLD.fullmatch(threshold):
        sampled = randomness >= int(threshold.ljust(14, "0"), 16)
        if sampled == bool(parent.trace_flags.sampled):
            return state
    rest = ";".join(part for part in parts if not part.startswith("th:"))
    return state.update(_MEMBER, rest) if rest else state.delete(_MEMBER)
