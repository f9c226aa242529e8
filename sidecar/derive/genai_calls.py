"""Calls of generative models, found among the spans of a payload.

What is a call:

1. A span with an operation attribute is one if that names a call of a model (`OPERATIONS`), and else it is not: agents,
   tools, chains and workflows repeat the tokens of the calls below them.
2. A span without an operation is one if an engine's latencies are told, or if it is of kind client or server and has
   tokens; not if it is marked as a wrapper.
3. Of calls inside of each other (a framework's span around the provider's, for one request) only the innermost counts;
   an embedding inside of a generation is another request. Looked for within a payload, so that what is counted does
   not depend on which payloads are read together.

A call is the server's where the span's kind is server or an engine's latencies are told, otherwise the client's. The
two are kept apart, so that a request that both tell of is in each once.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sidecar.decode.batch import F64, Decoder, SpanBatch
from sidecar.decode.genai_names import (
    FIRST_CHUNK_EVENTS,
    NUMBERS,
    OPERATIONS,
    ROUTER_MARK,
    ROUTER_TIMES,
    TEXTS,
    USAGE,
    USAGE_MEMBERS,
)
from sidecar.decode.span_links import Link, links
from sidecar.derive.series import I64, MAX_WEIGHT

FIGURES = ("input", "output", "cache_read", "cache_write", "reasoning", "seconds", "first", "per_token", "queue")
"""What is known of a call: tokens, and seconds."""
OTHER_ERROR = "_OTHER"
"""error.type of a span that failed and does not say why (OpenTelemetry's fallback value)."""

_DIMENSIONS = tuple(name for names in TEXTS.values() for name in names)
_COLUMNS = tuple(name for names in NUMBERS.values() for name in names)
_ENGINE = ("first_token", "queue", "decode", "e2e")
_CHUNK_MARKS = tuple(name.encode() for name in FIRST_CHUNK_EVENTS)
_TIMES = (ROUTER_MARK, *ROUTER_TIMES.values())
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|ms|µs|us|ns)")
_SECONDS_OF = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
_MOST_ANCESTORS = 64
_NEVER, _PERHAPS, _ALWAYS = 0, 1, 2

Indexes = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


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
    """Index of the payload that told of it, ascending."""
    weight: F64
    """How many calls it stands for."""
    figures: Mapping[str, F64]
    """One column for each of FIGURES, NaN where it is not known."""

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


def calls(decoder: Decoder, payloads: Iterable[tuple[int, bytes]]) -> Calls:
    """The calls that these payloads, with their indexes, tell of. Raises DecodeError."""
    known: dict[Identity, int] = {}
    found = [_of_payload(decoder, payload, place, known) for place, payload in payloads]
    if not found:
        return Calls([], np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0), {})
    return Calls(
        list(known),
        np.concatenate([calls.code for calls in found]),
        np.concatenate([calls.payload for calls in found]),
        np.concatenate([calls.weight for calls in found]),
        {name: np.concatenate([calls.figures[name] for calls in found]) for name in FIGURES},
    )


def _of_payload(decoder: Decoder, payload: bytes, place: int, known: dict[Identity, int]) -> Calls:
    """The calls of one payload; their identities are put in `known`, whose values are the codes."""
    batch = decoder.spans([payload], _DIMENSIONS, _COLUMNS)
    told = _told(decoder, payload, batch)
    groups = [_group(group) for group in batch.groups]
    flags = np.array([group.flags() for group in groups], np.intp).reshape(-1, 4)
    call, outgoing, server, embeds = flags[batch.group].T
    engine = np.isfinite([told[name] for name in (*_ENGINE, "per_token")]).any(axis=0)
    tokens = np.isfinite(told["input"]) | np.isfinite(told["output"])
    counts = (call == _ALWAYS) | ((call == _PERHAPS) & (engine | (tokens & (outgoing == 1))))
    server = (server == 1) | engine
    links_of = _Links(payload, len(batch))
    picked = _innermost(batch, np.flatnonzero(counts), 2 * server + embeds, links_of)
    figures = _figures(batch, told, server, picked, links_of)
    kinds, kind = np.unique(2 * batch.group[picked].astype(np.int64) + server[picked], return_inverse=True)
    own = [(groups[n // 2], bool(n % 2)) for n in kinds.tolist()]
    codes = [known.setdefault(Identity(side, group.labels, group.error), len(known)) for group, side in own]
    return Calls(
        (),
        np.array(codes, np.uint32)[kind],
        np.full(len(picked), place, np.int64),
        np.clip(batch.weight[picked], 0, MAX_WEIGHT),
        {name: column[picked] for name, column in figures.items()},
    )


def _group(group: tuple[str, ...]) -> _Group:
    service, _, kind, status = group[:4]
    own = dict(zip(_DIMENSIONS, group[4:], strict=True))
    said = _first(own, "operation")
    operation = OPERATIONS.get(said, "")
    return _Group(
        (service, operation, _first(own, "provider"), _first(own, "request_model"), _first(own, "response_model")),
        _first(own, "error") or (OTHER_ERROR if status == "STATUS_CODE_ERROR" else ""),
        _ALWAYS if operation else _NEVER if said or _first(own, "wrapper") else _PERHAPS,
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
            return str(json.loads(text))
        except ValueError:
            return text
    return text


def _told(decoder: Decoder, payload: bytes, batch: SpanBatch) -> dict[str, F64]:
    """Concept -> its value in each span, NaN where it is not told."""
    told: dict[str, F64] = {}
    columns = iter(batch.numbers)
    for concept, names in NUMBERS.items():
        value = next(columns)
        for _ in names[1:]:
            value = np.where(np.isnan(value), next(columns), value)
        told[concept] = value
    told["per_token"] = np.full(len(batch), math.nan)
    if decoder.mentions(payload, (USAGE.encode(),)):
        _fill(told, decoder.spans([payload], (USAGE,)), _usage)
    if decoder.mentions(payload, (b"time_per_token",)):
        _fill(told, decoder.spans([payload], _TIMES), _router_times)
    missing = told.pop("total")
    for one, other in (("input", "output"), ("output", "input")):
        rest = missing - told[other]
        told[one] = np.where(np.isnan(told[one]) & (rest > 0), rest, told[one])
    return {concept: np.where(value >= 0, value, math.nan) for concept, value in told.items()}


def _fill(told: dict[str, F64], texts: SpanBatch, read: Callable[[tuple[str, ...]], dict[str, float]]) -> None:
    """Put in what attributes say that are not numbers; what is told already stays."""
    found = [read(group[4:]) for group in texts.groups]
    for concept in {concept for values in found for concept in values}:
        column = np.array([values.get(concept, math.nan) for values in found])[texts.group]
        told[concept] = np.where(np.isnan(told[concept]), column, told[concept])


def _usage(texts: tuple[str, ...]) -> dict[str, float]:
    try:
        members: Any = json.loads(texts[0]) if texts[0] else {}
    except (ValueError, RecursionError):
        return {}
    found = {concept: members.get(member) for concept, member in USAGE_MEMBERS.items()} if _is_map(members) else {}
    return {concept: float(n) for concept, n in found.items() if isinstance(n, int) and abs(n) < 1 << 53}


def _is_map(value: Any) -> bool:
    return isinstance(value, dict)


def _router_times(texts: tuple[str, ...]) -> dict[str, float]:
    if not all(map(_DURATION.fullmatch, texts)):
        return {}
    return {concept: _duration(text) for concept, text in zip(ROUTER_TIMES, texts[1:], strict=True)}


def _duration(text: str) -> float:
    number, unit = _DURATION.fullmatch(text).groups()  # type: ignore[union-attr]
    return float(number) * _SECONDS_OF[unit]


class _Links:
    """The links of a payload's spans, read when they are first asked for: most payloads need none."""

    def __init__(self, payload: bytes, accepted: int) -> None:
        self._payload, self._accepted = payload, accepted
        self._read: list[Link] = []
        self.has_chunks = any(mark in payload for mark in _CHUNK_MARKS)

    def __call__(self) -> list[Link]:
        if not self._read:
            self._read = links(self._payload, self._accepted, FIRST_CHUNK_EVENTS if self.has_chunks else ())
        return self._read


def _innermost(batch: SpanBatch, picked: Indexes, sort: Indexes, links_of: _Links) -> Indexes:
    """The calls without those that have another call of their sort below them."""
    traces = np.frombuffer(batch.trace_ids, "V16")[picked]
    if len(picked) < 2 or len(set(traces.tolist())) == len(picked):
        return picked
    read = links_of()
    ids = [batch.trace_ids[16 * i : 16 * i + 16] + batch.span_ids[8 * i : 8 * i + 8] for i in range(len(batch))]
    place = {own: i for i, own in enumerate(ids)}
    calls = set(picked.tolist())
    outer: set[int] = set()
    for call in picked.tolist():
        above = call
        for _ in range(_MOST_ANCESTORS):
            above = place.get(ids[call][:16] + read[above].parent, -1)
            if above in (-1, call):
                break
            if above in calls and sort[above] == sort[call]:
                outer.add(above)
    return np.array(sorted(calls - outer), np.intp)


def _figures(
    batch: SpanBatch, told: Mapping[str, F64], server: Flags, picked: Indexes, links_of: _Links
) -> Mapping[str, F64]:
    seconds = np.where(batch.start > 0, batch.duration / 1e9, math.nan)
    seconds = np.where(np.isnan(told["e2e"]), seconds, told["e2e"])
    decoding = np.where(np.isnan(told["decode"]), seconds - told["first_token"], told["decode"])
    further = np.where(told["output"] > 1, told["output"] - 1, math.nan)
    per_token = np.where(np.isnan(told["per_token"]), decoding / further, told["per_token"])
    chunk = told["first_chunk"]
    if links_of.has_chunks:
        chunk = chunk.copy()
        for i in picked[np.isnan(chunk[picked])].tolist():
            waited = links_of()[i].first - int(batch.start[i])
            if batch.start[i] and waited >= 0:
                chunk[i] = waited / 1e9
    return {
        **{name: told[name] for name in ("input", "output", "cache_read", "cache_write", "reasoning", "queue")},
        "seconds": seconds,
        "first": np.where(server, told["first_token"], chunk),
        "per_token": np.where(per_token >= 0, per_token, math.nan),
    }
