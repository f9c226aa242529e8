"""What a block of spans may hold, in about a kilobyte: a search reads it to leave the block alone."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sidecar.decode.api import U64, SpanBatch
from sidecar.decode.otlp.limits import MAX_LABEL_CHARS
from sidecar.decode.otlp.terms import beginnings, term, texts
from sidecar.lookup.store import Condition, Needs

_BITS_A_TERM = 12
"""With 6 probes about one block in 270 is read in vain for a value that is not there (Bloom's formula)."""
_PROBES = 6
_SHARE = 16
"""The filter has at most one byte for so many of the payload."""
_MIN_BYTES = 32
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_MAX_I64 = (1 << 63) - 1
_MAX_TERMS = 64
"""Of a condition; one with more leaves no block out."""
_BYTES = f"x'{bytes(range(256)).hex()}'"
_STATUS_ERROR = "STATUS_CODE_ERROR"


@dataclass(frozen=True, slots=True)
class Summary:
    """Times in Unix nanoseconds."""

    start_ns: int
    """The earliest start of a span."""
    end_ns: int
    """The latest start of a span."""
    longest_ns: int
    failed_ns: int
    """The longest span in error, and one more; 0 where there is none."""
    terms: bytes
    """A Bloom filter of the terms."""
    operations: frozenset[tuple[str, str, str]]
    """(service, name, kind) of the spans."""


def _key(intrinsic: str) -> str:
    """Of a property of spans that is no attribute; no attribute's key begins with NUL NUL."""
    return f"\0\0{intrinsic}"


@functools.lru_cache(maxsize=4096)
def _intrinsic_terms(name: str, value: str) -> frozenset[int]:
    key = _key(name)
    return frozenset((term(key, value), *beginnings(key, value)))


def kind_word(kind: str) -> str:
    """`SPAN_KIND_SERVER` as `server`."""
    return kind.removeprefix("SPAN_KIND_").lower()


def summarise(batch: SpanBatch, begin: int, end: int, attribute_terms: U64, payload_bytes: int) -> Summary:
    """Of the spans `begin` to `end` (exclusive) of a batch, which are those of one payload."""
    used = [batch.groups[n] for n in set(batch.group[begin:end].tolist())]
    operations = frozenset((service, name, kind_word(kind)) for service, name, kind, *_ in used)
    own: set[int] = set()
    for values in operations:
        own.update(*map(_intrinsic_terms, ("service", "name", "kind"), values))
    start = batch.start[begin:end]
    sent = start[start > 0]
    # A span without a start is shown at its end, which is not among the columns: such a block is read by every search.
    whole = len(sent) == end - begin
    return Summary(
        int(sent.min()) if whole else 0,
        min(int(sent.max()), _MAX_I64) if whole else _MAX_I64,
        min(int(batch.duration[begin:end].max()), _MAX_I64),
        _failed_ns(batch, begin, end),
        _filter(np.concatenate((attribute_terms, np.array(sorted(own), np.uint64))), payload_bytes),
        operations,
    )


def _failed_ns(batch: SpanBatch, begin: int, end: int) -> int:
    in_error = [number for number, (_, _, _, status, *_) in enumerate(batch.groups) if status == _STATUS_ERROR]
    durations = batch.duration[begin:end][np.isin(batch.group[begin:end], in_error)]
    return min(int(durations.max()), _MAX_I64 - 1) + 1 if len(durations) else 0


def _filter(terms: U64, payload_bytes: int) -> bytes:
    size = max(_MIN_BYTES, min(len(terms) * _BITS_A_TERM // 8, payload_bytes // _SHARE))
    low, high = (terms & _LOW).astype(np.int64), (terms >> _HALF).astype(np.int64)
    # Double hashing (Kirsch and Mitzenmacher): the halves of a term make all its positions.
    positions = np.concatenate([(low + n * high) % (size * 8) for n in range(_PROBES)])
    bits = np.zeros(size * 8, np.uint8)
    bits[positions] = 1
    return np.packbits(bits, bitorder="little").tobytes()


def filter_clause(needs: Sequence[Needs]) -> str:
    """Whether the filter in the column `terms` may hold what one of the needs asks for, as an expression of SQLite's:
    so that blocks are left out without a step of Python each. One term at least of each condition has to be there.
    Empty where it leaves nothing out."""
    either = [[terms for c in need.every if (terms := _terms(c)) and len(terms) <= _MAX_TERMS] for need in needs]
    if not either or not all(either):
        return ""
    return _joined("OR", (_joined("AND", (_joined("OR", map(_has, terms)) for terms in every)) for every in either))


def _has(wanted: int) -> str:
    low, high = wanted & 0xFFFFFFFF, wanted >> 32
    return _joined("AND", (_bit(f"({low + n * high} % (length(terms) * 8))") for n in range(_PROBES)))


def _bit(position: str) -> str:
    # SQLite has no number of a byte: its place among all bytes is one.
    return f"((instr({_BYTES}, substr(terms, {position} / 8 + 1, 1)) - 1) >> ({position} % 8)) & 1"


def _joined(word: str, parts: Iterable[str]) -> str:
    return f"({f' {word} '.join(parts)})"


def _terms(condition: Condition) -> list[int]:
    """The terms of which a span that meets the condition has one; [] where there are none for it."""
    name = condition.term.name
    intrinsic = condition.term.scope == "intrinsic"
    if intrinsic and name not in ("service", "name", "kind"):
        return []
    key = _key(name) if intrinsic else name
    if condition.pieces:
        return beginnings(key, condition.pieces.texts[0])[:1]
    if intrinsic:
        # As long as columns have them, which summaries are made of.
        return [term(key, v[:MAX_LABEL_CHARS]) for v in condition.values if isinstance(v, str)]
    return [term(key, text) for value in condition.values for text in texts(value)]


def bounds(needs: Sequence[Needs]) -> tuple[int, int]:
    """What `longest_ns` and `failed_ns` of a block have to be at least for all of needs."""
    each = [_bounds(need) for need in needs]
    return (min(longest for longest, _ in each), min(failed for _, failed in each)) if each else (0, 0)


def _bounds(need: Needs) -> tuple[int, int]:
    own = [c for c in need.every if c.term.scope == "intrinsic"]
    longest = int(min(max((c.low for c in own if c.term.name == "duration" and c.low), default=0), _MAX_I64 - 1))
    in_error = any(c.term.name == "status" and c.values == ("error",) for c in own)
    return longest, longest + 1 if in_error else 0
