"""How many spans a sampled span stands for."""

from __future__ import annotations

_HEX = frozenset("0123456789abcdef")
_SPACE = 1 << 56


def adjusted_count(trace_state: str) -> float:
    """1 / sampling probability from the tracestate's `ot=th:` rejection threshold; 1 where there is none.

    Source: OpenTelemetry's "TraceState: Probability Sampling". The first `ot` member and its first `th` count; the
    threshold is 1 to 14 lower-case hex digits, padded with zeros on the right to 56 bits. Anything else gives 1.
    """
    for member in trace_state.split(","):
        key, _, value = member.strip(" \t").partition("=")
        if key == "ot":
            return _from_member(value)
    return 1.0


def _from_member(value: str) -> float:
    for part in value.split(";"):
        key, _, threshold = part.partition(":")
        if key == "th":
            if not 1 <= len(threshold) <= 14 or not _HEX.issuperset(threshold):
                return 1.0
            return _SPACE / (_SPACE - int(threshold.ljust(14, "0"), 16))
    return 1.0
