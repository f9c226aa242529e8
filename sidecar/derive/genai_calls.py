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

import itertools
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from sidecar.decode.span_links import SpanLinks
from sidecar.derive.amounts import MAX_VALUE
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


def calls(decoder: Decoder, payloads: Sequence[tuple[int, bytes]]) -> Calls:
    """The calls that these payloads, with their indexes, tell of. Raises DecodeError."""
    if not payloads:
        return Calls((), np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0), {})
    read = _read(decoder, [payload for _, payload in payloads])
    batch, told = read.batch, _told(decoder, read)
    groups = [_group(group) for group in batch.groups]
    flags = np.array([group.flags() for group in groups], np.intp).reshape(-1, 4)
    call, outgoing, server, embeds = flags[batch.group].T
    engine = np.isfinite([told[name] for name in (*_ENGINE, "per_token")]).any(axis=0)
    tokens = np.isfinite(told["input"]) | np.isfinite(told["output"])
    counts = (call == _ALWAYS) | ((call == _PERHAPS) & (engine | (tokens & (outgoing == 1))))
    server = (server == 1) | engine
    picked = _innermost(read, np.flatnonzero(counts), 2 * server + embeds)
    figures = _figures(read, told, server, picked)
    kinds, kind = np.unique(2 * batch.group[picked].astype(np.int64) + server[picked], return_inverse=True)
    own = [(groups[n // 2], bool(n % 2)) for n in kinds.tolist()]
    return Calls(
        [Identity(side, group.labels, group.error) for group, side in own],
        kind.astype(np.uint32),
        np.array([place for place, _ in payloads], np.int64)[read.payload[picked]],
        np.clip(batch.weight[picked], 0, MAX_WEIGHT),
        {name: column[picked] for name, column in figures.items()},
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """Payloads and their spans, one batch for all."""

    payloads: Sequence[bytes]
    batch: SpanBatch
    payload: Indexes
    """Index of the payload of each span."""
    begins: Sequence[int]
    """Index of the first span of each payload."""
    _links: dict[int, SpanLinks] = field(default_factory=dict)

    def links(self, payload: int) -> SpanLinks:
        """Read when they are first asked for: most payloads need none."""
        found = self._links.get(payload)
        if found is None:
            ends = [*self.begins[1:], len(self.batch)]
            found = self._links[payload] = SpanLinks(self.payloads[payload], ends[payload] - self.begins[payload])
        return found


def _read(decoder: Decoder, payloads: Sequence[bytes]) -> _Read:
    batch = decoder.spans(payloads, _DIMENSIONS, _COLUMNS)
    sizes = [len(batch)] if len(payloads) == 1 else [decoder.check_spans(payload).items for payload in payloads]
    return _Read(payloads, batch, np.repeat(np.arange(len(payloads)), sizes), [0, *itertools.accumulate(sizes[:-1])])


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
            return str(json.loads(text)).encode("utf-8", "replace").decode()  # Half of a surrogate pair is no text.
        except ValueError:
            return text
    return text


def _told(decoder: Decoder, read: _Read) -> dict[str, F64]:
    """Concept -> its value in each span, NaN where it is not told."""
    told: dict[str, F64] = {}
    columns = iter(read.batch.numbers)
    for concept, names in NUMBERS.items():
        value = next(columns)
        for _ in names[1:]:
            value = np.where(np.isnan(value), next(columns), value)
        told[concept] = value
    told["per_token"] = np.full(len(read.batch), math.nan)
    for mark, names, meaning in ((USAGE, (USAGE,), _usage), (ROUTER_TIMES["per_token"], _TIMES, _router_times)):
        if any(decoder.mentions(payload, (mark.encode(),)) for payload in read.payloads):
            _fill(told, decoder.spans(read.payloads, names), meaning)
    told = {concept: np.where((n >= 0) & (n <= MAX_VALUE), n, math.nan) for concept, n in told.items()}
    missing = told.pop("total")
    for one, other in (("input", "output"), ("output", "input")):
        rest = missing - told[other]
        told[one] = np.where(np.isnan(told[one]) & (rest > 0), rest, told[one])
    return told


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


def _innermost(read: _Read, picked: Indexes, sort: Indexes) -> Indexes:
    """The calls without those that have another call of their sort below them."""
    batch = read.batch
    traces = np.frombuffer(batch.trace_ids, "V16")[picked].tolist()
    if len(set(traces)) == len(traces):
        return picked
    by_trace: dict[tuple[int, bytes], list[int]] = {}
    for call, payload, trace in zip(picked.tolist(), read.payload[picked].tolist(), traces, strict=True):
        by_trace.setdefault((payload, trace), []).append(call)
    outer: set[int] = set()
    for payload in sorted({payload for (payload, _), found in by_trace.items() if len(found) > 1}):
        begin, links = read.begins[payload], read.links(payload)
        places = {_id(batch, i): i for i in np.flatnonzero(read.payload == payload).tolist()}
        together = {call for (of, _), found in by_trace.items() if of == payload and len(found) > 1 for call in found}
        for call in together:
            trace, above = _id(batch, call)[:16], call
            for _ in range(_MOST_ANCESTORS):
                above = places.get(trace + links.parent(above - begin), -1)
                if above in (-1, call):
                    break
                if above in together and sort[above] == sort[call]:
                    outer.add(above)
    return np.array([call for call in picked.tolist() if call not in outer], np.intp)


def _id(batch: SpanBatch, span: int) -> bytes:
    return batch.trace_ids[16 * span : 16 * span + 16] + batch.span_ids[8 * span : 8 * span + 8]


def _figures(read: _Read, told: Mapping[str, F64], server: Flags, picked: Indexes) -> Mapping[str, F64]:
    batch = read.batch
    seconds = np.where(batch.start > 0, batch.duration / 1e9, math.nan)
    seconds = np.where(np.isnan(told["e2e"]), seconds, told["e2e"])
    decoding = np.where(np.isnan(told["decode"]), seconds - told["first_token"], told["decode"])
    further = np.where(told["output"] > 1, told["output"] - 1, math.nan)
    per_token = np.where(np.isnan(told["per_token"]), decoding / further, told["per_token"])
    return {
        **{name: told[name] for name in ("input", "output", "cache_read", "cache_write", "reasoning", "queue")},
        "seconds": seconds,
        "first": np.where(server, told["first_token"], _first_chunks(read, told["first_chunk"], picked)),
        "per_token": np.where(per_token >= 0, per_token, math.nan),
    }


def _first_chunks(read: _Read, told: F64, picked: Indexes) -> F64:
    """What is told, else the time from the start to the first event of a chunk."""
    found = told.copy()
    telling = np.array([any(mark in payload for mark in _CHUNK_MARKS) for payload in read.payloads], np.bool_)
    for call in picked[telling[read.payload[picked]] & np.isnan(told[picked])].tolist():
        payload, start = int(read.payload[call]), int(read.batch.start[call])
        waited = read.links(payload).first(call - read.begins[payload], FIRST_CHUNK_EVENTS) - start
        if start and waited >= 0:
            found[call] = waited / 1e9
    return found
