"""OTLP protobuf messages read by the tables of `schema`, into plain dicts and values.

Rules for both decoders: every known field of every message is walked, in wire order, so that a malformed message
anywhere makes the whole payload malformed. Unknown fields, and known ones with another wire type, are skipped. Of a
field (or a oneof) that may stand once and stands more often the last one counts, nothing is merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sidecar.decode.otlp import tags
from sidecar.decode.otlp.limits import MAX_DEPTH
from sidecar.decode.otlp.schema import ENUMS, MESSAGES, Field, Kind, by_tag
from sidecar.decode.otlp.wire import double, fields, signed, varint, zigzag32
from sidecar.errors import DecodeError

Value: TypeAlias = "bool | int | float | str | bytes | list[Value] | dict[str, Value] | None"
"""An AnyValue. None where no value is set. Of a duplicate key in a dict the first one counted."""


class LossyStr(str):
    """Text in which bytes that are not UTF-8 became U+FFFD."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Attributes:
    """A repeated KeyValue field."""

    values: Mapping[str, Value]
    """First of a duplicate key, in wire order of the first appearance."""
    count: int = 0
    """KeyValues on the wire, duplicates included."""
    deep: bool = False
    """A value nests deeper than MAX_DEPTH; it is cut to None there."""


NO_ATTRIBUTES = Attributes({})


def text(raw: bytes) -> str:
    """UTF-8 to text; what is not UTF-8 becomes U+FFFD (one for each maximal invalid part) and the text `LossyStr`."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return LossyStr(raw.decode("utf-8", "replace"))


def read(data: bytes, pos: int, end: int, message: str) -> dict[str, Any]:
    """The known fields of `data[pos:end]` by name; absent ones are left out, repeated ones are lists.

    Messages are dicts of this same kind, `attributes` an Attributes, `any` a (value, deep) pair.
    """
    found: dict[str, Any] = {}
    pairs: dict[str, list[tuple[str, Value, bool]]] = {}
    known = by_tag(message)
    for tag, a, b, _, _ in fields(data, pos, end):
        field = known.get(tag)
        if field is None:
            continue
        if field.kind == "attributes":
            pairs.setdefault(field.name, []).append(_key_value(data, a, b, 0))
        elif field.repeated:
            found.setdefault(field.name, []).extend(_elements(field, tag, data, a, b))
        else:
            if field.oneof:
                _forget(found, message, field.oneof)
            found[field.name] = _single(field, data, a, b)
    for name, entries in pairs.items():
        found[name] = Attributes(_first_wins(entries), len(entries), any(deep for _, _, deep in entries))
    return found


def _single(field: Field, data: bytes, a: int, b: int) -> Any:
    match field.kind:
        case "message":
            return read(data, a, b, field.of)
        case "any":
            return any_value(data, a, b, 1)
        case "string":
            return text(data[a:b])
        case "bytes":
            return data[a:b]
        case "enum":
            return enum(field.of, a)
        case _:
            return _SCALARS[field.kind](a)


def _elements(field: Field, tag: int, data: bytes, a: int, b: int) -> list[Any]:
    """The elements that one field of a repeated field holds: one, or all of a packed run."""
    if field.kind == "message":
        return [read(data, a, b, field.of)]
    convert = _SCALARS[field.kind]
    return [convert(number) for number in scalars(field, tag, data, a, b)]


def scalars(field: Field, tag: int, data: bytes, a: int, b: int) -> Iterator[int]:
    """The unsigned values in one field of a repeated scalar: one, or all of a packed run. Raises DecodeError."""
    if tag == field.tag:
        yield a
    elif field.kind in ("fixed64", "double"):
        if (b - a) % 8:
            raise DecodeError(f"{field.name}: packed length {b - a} is not a multiple of 8", a)
        yield from (int.from_bytes(data[place : place + 8], "little") for place in range(a, b, 8))
    else:
        while a < b:
            number, a = varint(data, a, b, a)
            yield number


def _forget(found: dict[str, Any], message: str, oneof: str) -> None:
    for field in MESSAGES[message]:
        if field.oneof == oneof:
            found.pop(field.name, None)


def enum(name: str, value: int) -> int:
    """An enum's value from its varint (32 bit); 0 where the enum has no such value."""
    value &= 0xFFFFFFFF
    return value if value < len(ENUMS[name]) else 0


def read_value(data: bytes, pos: int, end: int) -> Value:
    """The AnyValue in `data[pos:end]`."""
    return any_value(data, pos, end, 1)[0]


def read_pair(data: bytes, pos: int, end: int) -> tuple[str, Value]:
    """The KeyValue in `data[pos:end]`."""
    key, value, _ = _key_value(data, pos, end, 0)
    return key, value


def _key_value(data: bytes, pos: int, end: int, depth: int) -> tuple[str, Value, bool]:
    """KeyValue {1: key, 2: AnyValue} whose value has depth `depth` + 1, as (key, value, deep)."""
    key, value, deep = "", None, False
    for tag, a, b, _, _ in fields(data, pos, end):
        if tag == tags.KEY:
            key = text(data[a:b])
        elif tag == tags.VALUE:
            value, too_deep = any_value(data, a, b, depth + 1)
            deep |= too_deep
    return key, value, deep


def any_value(data: bytes, pos: int, end: int, depth: int) -> tuple[Value, bool]:
    """AnyValue as (value, deep). What nests deeper than MAX_DEPTH is not walked."""
    if depth > MAX_DEPTH:
        return None, True
    value: Value = None
    deep = False
    for tag, a, b, _, _ in fields(data, pos, end):
        match tag:
            case tags.STRING:
                value = text(data[a:b])
            case tags.BOOL:
                value = a != 0
            case tags.INT:
                value = signed(a)
            case tags.DOUBLE:
                value = double(a)
            case tags.ARRAY:
                value, too_deep = _array(data, a, b, depth)
                deep |= too_deep
            case tags.MAP:
                value, too_deep = _key_value_list(data, a, b, depth)
                deep |= too_deep
            case tags.BYTES:
                value = data[a:b]
    return value, deep


def _array(data: bytes, pos: int, end: int, depth: int) -> tuple[Value, bool]:
    """ArrayValue {1: repeated AnyValue}."""
    elements = [any_value(data, a, b, depth + 1) for tag, a, b, _, _ in fields(data, pos, end) if tag == tags.ELEMENT]
    return [value for value, _ in elements], any(deep for _, deep in elements)


def _key_value_list(data: bytes, pos: int, end: int, depth: int) -> tuple[Value, bool]:
    """KeyValueList {1: repeated KeyValue}."""
    entries = [_key_value(data, a, b, depth) for tag, a, b, _, _ in fields(data, pos, end) if tag == tags.ELEMENT]
    return _first_wins(entries), any(deep for _, _, deep in entries)


def _first_wins(entries: list[tuple[str, Value, bool]]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for key, value, _ in entries:
        values.setdefault(key, value)
    return values


_SCALARS: Mapping[Kind, Callable[[int], Any]] = {
    "bool": bool,
    "uint32": lambda value: value & 0xFFFFFFFF,
    "uint64": int,
    "int64": signed,
    "sint32": zigzag32,
    "fixed32": int,
    "fixed64": int,
    "sfixed64": signed,
    "double": double,
}
