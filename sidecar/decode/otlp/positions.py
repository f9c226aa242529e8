"""Where the records of a request lie, for readers that need a few of its records, or a few of their fields: the rest is
stepped over, many times as fast as the whole decoder reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sidecar.decode.otlp.records import RecordContext
from sidecar.decode.otlp.tags import CHILDREN, HEAD, RESOURCES
from sidecar.decode.otlp.wire import fields, messages

Range = tuple[int, int]
"""Begin and end of a message's content in the payload."""


@dataclass(frozen=True, slots=True)
class ScopeRanges:
    """One scope's records, and what they stand under. Of a resource or a scope that stands more than once the last
    counts; None where there is none."""

    resource: Range | None
    scope: Range | None
    records: list[Range]


def accepted_records(
    payload: bytes, accepted: int, read: Callable[[bytes], Iterator[RecordContext]]
) -> list[ScopeRanges]:
    """The accepted records of a request of which `accepted` records were accepted, in wire order.

    Where others stand among them, `read` (`records.spans` or `records.log_records`), whose rules decide, says which.
    Raises DecodeError."""
    found = list(_scopes(payload))
    if sum(len(scope.records) for scope in found) == accepted:
        return found
    contexts = read(payload)
    return [
        ScopeRanges(scope.resource, scope.scope, [place for place in scope.records if not next(contexts).rejection])
        for scope in found
    ]


def _scopes(payload: bytes) -> Iterator[ScopeRanges]:
    for a, b in messages(payload, 0, len(payload), RESOURCES):
        resource, scopes = _split(payload, a, b)
        for c, d in scopes:
            yield ScopeRanges(resource, *_split(payload, c, d))


def _split(payload: bytes, begin: int, end: int) -> tuple[Range | None, list[Range]]:
    """The resource (or scope) and the children of an element of a request (or of a resource)."""
    head, children = None, []
    for tag, a, b, _, _ in fields(payload, begin, end):
        if tag == CHILDREN:
            children.append((a, b))
        elif tag == HEAD:
            head = a, b
    return head, children
