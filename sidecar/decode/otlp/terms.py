"""Hashes of what the spans of a payload can be found by: pairs of an attribute's key and value, and of the resource's.

A term is xxh3-64 of the value's text, seeded with xxh3-64 of the key. Texts: strings as they are; true and false;
numbers with the fewest digits, so that 200 and 200.0 are one term; bytes in hex, as documents show them. An array has
the terms of its elements. Maps, NaN, infinities and absent values have none.
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


def term(key: str, text: str) -> int:
    """The term of a key and the text of a value."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "replace"), xxhash.xxh3_64_intdigest(key.encode()))


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
    return (term(key, text) for key, value in attributes.values.items() for text in texts(value))
