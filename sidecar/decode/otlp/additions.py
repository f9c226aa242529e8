"""Bytes added to records of a request. What stands around them stays as it is."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from sidecar.decode.otlp.tags import CHILDREN, RESOURCES
from sidecar.decode.otlp.wire import fields, put_again

_PATH = (RESOURCES, CHILDREN, CHILDREN)


def added_to(payload: bytes, added: Mapping[int, bytes]) -> bytes:
    """The request with more fields at the end of some records. `added`: offset at which the content of a record begins
    -> the fields. Raises DecodeError."""
    return _rewritten(payload, 0, len(payload), 0, sorted(added), added)


def _rewritten(
    data: bytes, begin: int, end: int, depth: int, places: Sequence[int], added: Mapping[int, bytes]
) -> bytes:
    if depth == len(_PATH):
        return data[begin:end] + added.get(begin, b"")
    parts = []
    for field in fields(data, begin, end):
        tag, a, b, first, last = field
        if tag == _PATH[depth] and bisect_left(places, a) < bisect_left(places, b):
            parts.append(put_again(data, field, _rewritten(data, a, b, depth + 1, places, added)))
        else:
            parts.append(data[first:last])
    return b"".join(parts)
