"""Hashes of what the spans of a payload can be found by: pairs of an attribute's key and value, and of the resource's.

A term is xxh3-64 of the value's text, seeded with xxh3-64 of the key. Texts: strings as they are; true and false;
numbers with the fewest digits, so that 200 and 200.0 are one term; bytes in hex, as documents show them. An array has
the terms of its elements. Maps, NaN, infinities and absent values have none.

A string has terms for its beginnings as well, so that what a pattern begins with can be looked for: xxh3-64 of its
first 1, 2, 4, 6, 8, 12 and 16 bytes, seeded with the complement of the key's hash.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import xxhash

from sidecar.decode.api import U64
from sidecar.decode.documents.text import double_text
from sidecar.decode.otlp import records
from sidecar.decode.otlp.message import Attributes, Value

BEGINNINGS = (16, 12, 8, 6, 4, 2, 1)
"""Bytes."""
_COMPLEMENT = (1 << 64) - 1


def term(key: str, text: str) -> int:
    """The term of a key and the text of a value."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "replace"), xxhash.xxh3_64_intdigest(key.encode()))


def beginnings(key: str, text: str) -> list[int]:
    """The terms of the beginnings of a text, that of the longest first."""
    whole, seed = text.encode("utf-8", "replace"), xxhash.xxh3_64_intdigest(key.encode()) ^ _COMPLEMENT
    return [xxhash.xxh3_64_intdigest(whole[:length], seed) for length in BEGINNINGS if length <= len(whole)]


def texts(value: Value) -> Iterator[str]:
    """The texts that a value is found by."""
    match value:
        case str():
            yield value
        case bool():
            yield "true" if value else "false"
        case int():
            yield str(value)
        case float():
            if math.isfinite(value):
                yield double_text(value)
        case bytes():
            yield value.hex()
        case list():
            for element in value:
                yield from texts(element)


def span_terms(payload: bytes) -> U64:
    """The distinct terms of the accepted spans, in order. Raises DecodeError."""
    found: set[int] = set()
    last = -1
    for placed in records.spans(payload):
        if placed.rejection:
            continue
        if placed.resource_index != last:
            last = placed.resource_index
            found.update(_terms(placed.resource.attributes))
        found.update(_terms(placed.record.attributes))
    return np.array(sorted(found), np.uint64)


def _terms(attributes: Attributes) -> Iterator[int]:
    for key, value in attributes.values.items():
        yield from (term(key, text) for text in texts(value))
        for text in _strings(value):
            yield from beginnings(key, text)


def _strings(value: Value) -> Iterator[str]:
    """The texts that patterns may match."""
    if isinstance(value, list):
        for element in value:
            yield from _strings(element)
    elif isinstance(value, (str, bytes)):
        yield from texts(value)
