"""The records of an OTLP payload, one by one, with the resource and scope that each stands under. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.decode.otlp.message import read
from sidecar.decode.otlp.records import build_log_record, build_span
from sidecar.decode.otlp.wire import put_bytes, varint
from sidecar.errors import DecodeError
from sidecar.pipeline import Signal

_LIST = 1 << 3 | 2
"""`resource_spans`, `resource_logs`, `resource_metrics` of a request."""
_INNER_LIST = 2 << 3 | 2
"""`scope_*` of those, and `spans`, `log_records`, `metrics` of those again."""
_FIXED = {1: 8, 5: 4}


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
    for outer, (tag, _, a, b) in enumerate(_fields(payload, 0, len(payload))):
        if tag != _LIST:
            continue
        resource = (outer, _rest(payload, a, b))
        for inner, (tag, _, c, d) in enumerate(_fields(payload, a, b)):
            if tag != _INNER_LIST:
                continue
            scope = (inner, _rest(payload, c, d))
            for tag, start, _, f in _fields(payload, c, d):
                if tag == _INNER_LIST:
                    yield Record(resource, scope, payload[start:f])


def _rest(data: bytes, begin: int, end: int) -> bytes:
    return b"".join(data[start:b] for tag, start, _, b in _fields(data, begin, end) if tag != _INNER_LIST)


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


def _fields(data: bytes, pos: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(tag, first byte of the field, first byte of its content, its end)."""
    while pos < end:
        start = pos
        tag, pos = varint(data, pos, end, start)
        kind = tag & 7
        begin = pos
        if kind == 0:
            _, pos = varint(data, pos, end, start)
        elif kind == 2:
            length, begin = varint(data, pos, end, start)
            pos = begin + length
        elif kind in _FIXED:
            pos += _FIXED[kind]
        else:
            raise DecodeError(f"wire type {kind} is not used by OTLP", start)
        if pos > end:
            raise DecodeError("field is cut off", start)
        yield tag, start, begin, pos


_BUILD: dict[str, tuple[str, Callable[[dict[str, Any], str], tuple[Any, str]]]] = {
    "spans": ("Span", build_span),
    "logs": ("LogRecord", build_log_record),
}
"""Signal -> message of a record, and the function that gives the record and why it is refused."""


def _refused(field: bytes, build: tuple[str, Callable[[dict[str, Any], str], tuple[Any, str]]]) -> bool:
    message, make = build
    _, _, begin, end = next(_fields(field, 0, len(field)))
    return bool(make(read(field, begin, end, message), "")[1])
