"""The records of an OTLP payload, one by one, with the resource and scope that each stands under. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.decode.otlp.message import read
from sidecar.decode.otlp.records import build_log_record, build_span
from sidecar.decode.otlp.tags import CHILDREN, RESOURCES
from sidecar.decode.otlp.wire import fields, put_bytes
from sidecar.pipeline import Signal


def without_rejected(signal: Signal, payload: bytes) -> bytes | None:
    """The payload without the records that were rejected when they came in; None for metrics. Raises DecodeError."""
    build = _BUILD.get(signal)
    if build is None:
        return None
    return assemble([record for record in records_of(payload) if not _refused(record.field, build)])


@dataclass(frozen=True, slots=True)
class Record:
    """One record and where it stands."""

    resource: tuple[int, bytes]
    """Ordinal of the element of the outer list, and its fields other than the inner list."""
    scope: tuple[int, bytes]
    """The same one level down."""
    field: bytes
    """The whole field, with tag and length."""


def records_of(payload: bytes) -> Iterator[Record]:
    """Every record of an export request, in wire order. Raises DecodeError."""
    for outer, (tag, a, b, _, _) in enumerate(fields(payload, 0, len(payload))):
        if tag != RESOURCES:
            continue
        resource = (outer, _rest(payload, a, b))
        for inner, (tag, c, d, _, _) in enumerate(fields(payload, a, b)):
            if tag != CHILDREN:
                continue
            scope = (inner, _rest(payload, c, d))
            for tag, _, _, start, end in fields(payload, c, d):
                if tag == CHILDREN:
                    yield Record(resource, scope, payload[start:end])


def _rest(data: bytes, begin: int, end: int) -> bytes:
    return b"".join(data[start:finish] for tag, _, _, start, finish in fields(data, begin, end) if tag != CHILDREN)


def assemble(records: Sequence[Record]) -> bytes:
    """A request of these records under the resources and scopes that they had."""
    outer: list[tuple[tuple[int, bytes], list[tuple[tuple[int, bytes], list[bytes]]]]] = []
    for record in records:
        if not outer or outer[-1][0][0] != record.resource[0]:
            outer.append((record.resource, []))
        scopes = outer[-1][1]
        if not scopes or scopes[-1][0][0] != record.scope[0]:
            scopes.append((record.scope, []))
        scopes[-1][1].append(record.field)
    return b"".join(
        put_bytes(1, rest + b"".join(put_bytes(2, inner + b"".join(found)) for (_, inner), found in scopes))
        for (_, rest), scopes in outer
    )


_BUILD: dict[str, tuple[str, Callable[[dict[str, Any], str], tuple[Any, str]]]] = {
    "spans": ("Span", build_span),
    "logs": ("LogRecord", build_log_record),
}
"""Signal -> message of a record, and the function that gives the record and why it is refused."""


def _refused(field: bytes, build: tuple[str, Callable[[dict[str, Any], str], tuple[Any, str]]]) -> bool:
    message, make = build
    _, begin, end, _, _ = next(fields(field, 0, len(field)))
    return bool(make(read(field, begin, end, message), "")[1])
