"""Calls of generative models, found among the spans of a payload.

What is a call:

1. A span with an operation attribute is one if that names a call of a model (`OPERATIONS`), and else it is not: agents,
   tools, chains and workflows repeat the tokens of the calls below them.
2. A span without an operation is one if an engine's latencies are known, or if it is of kind client or server and has
   tokens; not if it is marked as a wrapper.
3. Of calls inside of each other (a framework's span around the provider's, for one request) only the innermost counts;
   an embedding inside of a generation is another request. The same where a framework only hears of the call, and its
   span stands beside (`call_dedupe`). Looked for within a payload, so that what is counted does not depend on which
   payloads are read together.

A call is the server's where the span's kind is server or an engine's latencies are known, otherwise the client's. The
two are kept apart, so that a request that both tell of is in each once.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64, Decoder, SpanBatch
from sidecar.decode.predictions.genai_names import (
    FIRST_CHUNK_EVENTS,
    NUMBERS,
    OPERATIONS,
    ROUTER_MARK,
    ROUTER_TIMES,
    TEXTS,
    USAGE,
    USAGE_MEMBERS,
)
from sidecar.derive.genai.call_dedupe import apart, innermost
from sidecar.derive.genai.spans import Flags, Indexes, Spans, spans
from sidecar.derive.series import I64, MAX_WEIGHT

VALUES = ("input", "output", "cache_read", "cache_write", "reasoning", "seconds", "first", "per_token", "queue")
"""What is known of a call: tokens, and seconds."""
MAX_VALUE = float(1 << 40)
"""No call has more tokens, or takes more seconds."""
OTHER_ERROR = "_OTHER"
"""error.type of a span that failed and does not say why (OpenTelemetry's fallback value)."""

_DIMENSIONS = tuple(name for names in TEXTS.values() for name in names)
_COLUMNS = tuple(name for names in NUMBERS.values() for name in names)
_ENGINE = ("first_token", "queue", "decode", "e2e")
_CHUNK_MARKS = tuple(name.encode() for name in FIRST_CHUNK_EVENTS)
_TIMES = (ROUTER_MARK, *ROUTER_TIMES.values())
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|ms|µs|us|ns)")
_SECONDS_OF = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
_NEVER, _PERHAPS, _ALWAYS = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Identity:
    """What the labels of a call are made from."""

    server: bool
    labels: tuple[str, ...]
    """service, operation, provider, requested model, model that answered; empty where not known."""
    error: str
    """Empty for a call that did not fail."""


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of some payloads as columns of equal length."""

    identities: Sequence[Identity]
    code: npt.NDArray[np.uint32]
    """Row of `identities` for each call."""
    payload: I64
    """Index of the payload that it is in, ascending."""
    weight: F64
    """How many calls it stands for."""
    values: Mapping[str, F64]
    """One column for each of VALUES, NaN where it is not known."""

    def __len__(self) -> int:
        return len(self.code)


@dataclass(frozen=True, slots=True)
class _Group:
    """What the texts of a group of spans say."""

    labels: tuple[str, ...]
    error: str
    call: int
    """_NEVER, _PERHAPS (its numbers decide) or _ALWAYS."""
    outgoing: bool
    """Of kind client or server."""
    server: bool
    embeds: bool

    def flags(self) -> tuple[int, ...]:
        return self.call, self.outgoing, self.server, self.embeds


def calls(decoder: Decoder, payloads: Sequence[tuple[int, bytes]]) -> Calls:
    """The calls that these payloads, with their indexes, tell of. Raises DecodeError."""
    if not payloads:
        return Calls((), np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0), {})
    found = spans(decoder, [payload for _, payload in payloads], _DIMENSIONS, _COLUMNS)
    batch, known = found.batch, _known(decoder, found)
    groups = [_group(group) for group in batch.groups]
    picked, server = _calls(found, known, groups)
    values = _values(found, known, server, picked)
    kinds, kind = np.unique(2 * batch.group[picked].astype(np.int64) + server[picked], return_inverse=True)
    own = [(groups[n // 2], bool(n % 2)) for n in kinds.tolist()]
    return Calls(
        [Identity(side, group.labels, group.error) for group, side in own],
        kind.astype(np.uint32),
        np.array([place for place, _ in payloads], np.int64)[found.payload[picked]],
        np.clip(batch.adjusted_count[picked], 0, MAX_WEIGHT),
        {name: column[picked] for name, column in values.items()},
    )


def _calls(found: Spans, known: Mapping[str, F64], groups: Sequence[_Group]) -> tuple[Indexes, Flags]:
    """(indexes of the spans that count as calls, whether each span would be the server's)."""
    flags = np.array([group.flags() for group in groups], np.intp).reshape(-1, 4)
    call, outgoing, server, embeds = flags[found.batch.group].T
    engine = np.isfinite([known[name] for name in (*_ENGINE, "per_token")]).any(axis=0)
    tokens = np.isfinite(known["input"]) | np.isfinite(known["output"])
    counts = (call == _ALWAYS) | ((call == _PERHAPS) & (engine | (tokens & (outgoing == 1))))
    by_server = (server == 1) | engine
    sort = 2 * by_server + embeds
    codes: dict[str, int] = {}
    service = np.array([codes.setdefault(group.labels[0], len(codes)) for group in groups], np.intp)
    providers = [group.labels[2].lower() for group in groups]
    picked = innermost(found, np.flatnonzero(counts), sort)
    kind = 4 * service[found.batch.group] + sort
    return apart(found, picked, kind, providers, (known["input"], known["output"])), by_server


def _group(group: tuple[str, ...]) -> _Group:
    service, _, kind, status = group[:4]
    own = dict(zip(_DIMENSIONS, group[4:], strict=True))
    named = _first(own, "operation")
    operation = OPERATIONS.get(named, "")
    return _Group(
        (service, operation, _first(own, "provider"), _first(own, "request_model"), _first(own, "response_model")),
        _first(own, "error") or (OTHER_ERROR if status == "STATUS_CODE_ERROR" else ""),
        _ALWAYS if operation else _NEVER if named or _first(own, "wrapper") else _PERHAPS,
        kind in ("SPAN_KIND_CLIENT", "SPAN_KIND_SERVER"),
        kind == "SPAN_KIND_SERVER",
        operation == "embeddings",
    )


def _first(own: Mapping[str, str], concept: str) -> str:
    return next((_plain(own[name]) for name in TEXTS[concept] if own[name]), "")


def _plain(text: str) -> str:
    """MLflow writes every attribute as JSON: a text stands in quotes."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text)).encode("utf-8", "replace").decode()  # Half of a surrogate pair is no text.
        except ValueError:
            return text
    return text


def _known(decoder: Decoder, found: Spans) -> dict[str, F64]:
    """Concept -> its value in each span, NaN where it is not known."""
    known: dict[str, F64] = {}
    columns = iter(found.batch.numbers)
    for concept, names in NUMBERS.items():
        value = next(columns)
        for _ in names[1:]:
            value = np.where(np.isnan(value), next(columns), value)
        known[concept] = value
    known["per_token"] = np.full(len(found.batch), math.nan)
    for mark, names, meaning in ((USAGE, (USAGE,), _usage), (ROUTER_TIMES["per_token"], _TIMES, _router_times)):
        if any(decoder.contains_any(payload, (mark.encode(),)) for payload in found.payloads):
            _fill(known, decoder.spans(found.payloads, names), meaning)
    known = {concept: np.where((n >= 0) & (n <= MAX_VALUE), n, math.nan) for concept, n in known.items()}
    missing = known.pop("total")
    for one, other in (("input", "output"), ("output", "input")):
        rest = missing - known[other]
        known[one] = np.where(np.isnan(known[one]) & (rest > 0), rest, known[one])
    return known


def _fill(known: dict[str, F64], texts: SpanBatch, read: Callable[[tuple[str, ...]], dict[str, float]]) -> None:
    """Put in what attributes say that are not numbers; what is known already stays."""
    found = [read(group[4:]) for group in texts.groups]
    for concept in {concept for values in found for concept in values}:
        column = np.array([values.get(concept, math.nan) for values in found])[texts.group]
        known[concept] = np.where(np.isnan(known[concept]), column, known[concept])


def _usage(texts: tuple[str, ...]) -> dict[str, float]:
    try:
        members: Any = json.loads(texts[0]) if texts[0] else {}
    except (ValueError, RecursionError):
        return {}
    if not isinstance(members, dict):
        return {}
    found = {concept: members.get(member) for concept, member in USAGE_MEMBERS.items()}
    return {concept: float(n) for concept, n in found.items() if type(n) is int and abs(n) < 1 << 53}


def _router_times(texts: tuple[str, ...]) -> dict[str, float]:
    if not all(map(_DURATION.fullmatch, texts)):
        return {}
    return {concept: _duration(text) for concept, text in zip(ROUTER_TIMES, texts[1:], strict=True)}


def _duration(text: str) -> float:
    number, unit = _DURATION.fullmatch(text).groups()  # type: ignore[union-attr]
    return float(number) * _SECONDS_OF[unit]


def _values(found: Spans, known: Mapping[str, F64], server: Flags, picked: Indexes) -> Mapping[str, F64]:
    batch = found.batch
    seconds = np.where(batch.start > 0, batch.duration / 1e9, math.nan)
    seconds = np.where(np.isnan(known["e2e"]), seconds, known["e2e"])
    decoding = np.where(np.isnan(known["decode"]), seconds - known["first_token"], known["decode"])
    further = np.where(known["output"] > 1, known["output"] - 1, math.nan)
    per_token = np.where(np.isnan(known["per_token"]), decoding / further, known["per_token"])
    return {
        **{name: known[name] for name in ("input", "output", "cache_read", "cache_write", "reasoning", "queue")},
        "seconds": seconds,
        "first": np.where(server, known["first_token"], _first_chunks(found, known["first_chunk"], picked)),
        "per_token": np.where(per_token >= 0, per_token, math.nan),
    }


def _first_chunks(found: Spans, known: F64, picked: Indexes) -> F64:
    """What is known, else the time from the start to the first event of a chunk."""
    chunks = known.copy()
    telling = np.array([any(mark in payload for mark in _CHUNK_MARKS) for payload in found.payloads], np.bool_)
    for call in picked[telling[found.payload[picked]] & np.isnan(known[picked])].tolist():
        start = int(found.batch.start[call])
        waited = found.first(call, FIRST_CHUNK_EVENTS) - start
        if start and waited >= 0:
            chunks[call] = waited / 1e9
    return chunks
