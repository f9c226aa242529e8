"""One call of a model that several instrumentations tell of counts once. Each payload is looked at alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from sidecar.decode.api import F64
from sidecar.derive.genai.spans import Indexes, Spans

_MOST_ANCESTORS = 64
_MOST_SCOPES = 4
_MOST_OPEN = 64
"""Calls under way at the same time with the same tokens that a call is compared with."""


def innermost(spans: Spans, picked: Indexes, sort: Indexes) -> Indexes:
    """The calls without those that have another call of their sort below them."""
    traces = np.frombuffer(spans.batch.trace_ids, "V16")[picked].tolist()
    if len(set(traces)) == len(traces):
        return picked
    by_trace: dict[tuple[int, bytes], set[int]] = {}
    for call, payload, trace in zip(picked.tolist(), spans.payload[picked].tolist(), traces, strict=True):
        by_trace.setdefault((payload, trace), set()).add(call)
    outer: set[int] = set()
    together = [(payload, found) for (payload, _), found in by_trace.items() if len(found) > 1]
    for payload in sorted({payload for payload, _ in together}):
        above = _Above(spans, payload)
        for found in (found for of, found in together if of == payload):
            for call in found:
                outer.update(span for span in above.all(call) if span in found and sort[span] == sort[call])
    return np.array([call for call in picked.tolist() if call not in outer], np.intp)


class _Above:
    """Which spans of a payload are above others."""

    def __init__(self, spans: Spans, payload: int) -> None:
        self._spans = spans
        self._places = {spans.id(i): i for i in np.flatnonzero(spans.payload == payload).tolist()}
        self._known: dict[int, int] = {}

    def all(self, span: int) -> Iterator[int]:
        """Those above a span, from its parent on."""
        above = self._parent(span)
        for _ in range(_MOST_ANCESTORS):
            if above in (-1, span):
                return
            yield above
            above = self._parent(above)

    def _parent(self, span: int) -> int:
        """-1 where the payload does not have it."""
        if span not in self._known:
            trace = self._spans.id(span)[:16]
            self._known[span] = self._places.get(trace + self._spans.parent(span), -1)
        return self._known[span]


def apart(spans: Spans, picked: Indexes, kind: Indexes, provider: Sequence[str], tokens: Sequence[F64]) -> Indexes:
    """The calls without those of a framework that only hears of a call, so that its span is not above the provider's.

    Such a span is left out for another one of the same kind and tokens that lies within its time, was made by another
    instrumentation, and does not name another provider. `kind` is of each span, `provider` (lower case) of each group.
    """
    alike: dict[tuple[float, ...], list[int]] = {}
    counts = (np.nan_to_num(column[picked], nan=-1).tolist() for column in tokens)  # NaN is not equal to itself.
    keys = zip(spans.payload[picked].tolist(), kind[picked].tolist(), *counts, strict=True)
    for call, key in zip(picked.tolist(), keys, strict=True):
        alike.setdefault(key, []).append(call)
    twice = {call for calls in alike.values() if len(calls) > 1 for call in _around(spans, calls, provider)}
    return np.array([call for call in picked.tolist() if call not in twice], np.intp) if twice else picked


def _around(spans: Spans, calls: Sequence[int], provider: Sequence[str]) -> Iterator[int]:
    """Of calls that are alike those that stand around one of another instrumentation, one around each."""
    by_scope: dict[bytes, list[int]] = {}
    for call in calls:
        by_scope.setdefault(spans.scope(call), []).append(call)
    for one, other in itertools.combinations(sorted(by_scope)[:_MOST_SCOPES], 2):
        # Alike calls at the same time stand around each other by chance too: the framework is who does so more often.
        ways = ((by_scope[one], by_scope[other]), (by_scope[other], by_scope[one]))
        yield from max((_pairs(spans, outer, inner, provider) for outer, inner in ways), key=len)


def _pairs(spans: Spans, outer: Sequence[int], inner: Sequence[int], provider: Sequence[str]) -> list[int]:
    """Those of `outer` that have one of `inner` within their time; each of `inner` is in one of them."""
    start, duration, group = spans.batch.start, spans.batch.duration, spans.batch.group
    timed = sorted((int(start[call]), is_inner, call) for is_inner, of in enumerate((outer, inner)) for call in of)
    under_way: list[tuple[int, int]] = []
    found = []
    for begin, is_inner, call in timed:
        end, own = begin + int(duration[call]), provider[group[call]]
        if not is_inner:
            under_way.append((end, call))
            continue
        under_way = [one for one in under_way if one[0] >= begin][-_MOST_OPEN:]
        around = (one for one in reversed(under_way) if one[0] >= end and _may_be(provider[group[one[1]]], own))
        match = next(around, None)
        if begin and match is not None:
            under_way.remove(match)
            found.append(match[1])
    return found


def _may_be(provider: str, other: str) -> bool:
    return not provider or not other or provider == other
