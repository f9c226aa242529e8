"""JSON values as the scalars and AnyValues of OTLP protobuf, read leniently."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from sidecar.decode.otlp.limits import MAX_DEPTH
from sidecar.decode.otlp.schema import ENUMS, Field, Kind, json_name
from sidecar.decode.otlp.wire import put_bytes, put_double, put_fixed32, put_fixed64, put_uint

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")
_ID_BYTES = (8, 16)
_INT64 = (-(1 << 63), (1 << 63) - 1)
_UINT64 = (0, (1 << 64) - 1)
_UINT32 = (0, (1 << 32) - 1)
_INT32 = (-(1 << 31), (1 << 31) - 1)


class InvalidJson(Exception):
    """A JSON value that cannot be what it stands for; the message has the path. Never leaves `otlp_json`."""


def member(value: Mapping[str, Any], name: str) -> Any:
    """The member of that protobuf field name: lowerCamelCase or as it is; None if absent."""
    found = value.get(json_name(name))
    return value.get(name) if found is None else found


def objects(value: object, path: str) -> list[Any]:
    """A repeated field's elements."""
    if not isinstance(value, list):
        raise InvalidJson(f"{path}: must be an array")
    return value


def scalar(field: Field, value: object, path: str) -> bytes:
    """One scalar field, key included."""
    match field.kind:
        case "string":
            return put_bytes(field.number, utf8(value, path))
        case "bytes":
            return put_bytes(field.number, _identifier(value, path))
        case "double":
            return put_double(field.number, _double(value, path))
        case "enum":
            return put_uint(field.number, _enum(field.of, value, path))
        case "bool":
            return put_uint(field.number, _boolean(value, path))
        case kind:
            return _integer_field(kind, field.number, value, path)


def _integer_field(kind: Kind, number: int, value: object, path: str) -> bytes:
    limits, put = _INTEGERS[kind]
    integer = _number(value, path)
    if not isinstance(integer, int) or not _within(integer, limits):
        raise InvalidJson(f"{path}: {_shown(value)} is not an integer from {limits[0]} to {limits[1]}")
    return put(number, integer)


def _put_zigzag(number: int, value: int) -> bytes:
    return put_uint(number, value << 1 if value >= 0 else (-value << 1) - 1)


_INTEGERS: Mapping[Kind, tuple[tuple[int, int], Callable[[int, int], bytes]]] = {
    "uint32": (_UINT32, put_uint),
    "uint64": (_UINT64, put_uint),
    "int64": (_INT64, put_uint),
    "sint32": (_INT32, _put_zigzag),
    "fixed32": (_UINT32, put_fixed32),
    "fixed64": (_UINT64, put_fixed64),
    "sfixed64": (_INT64, put_fixed64),
}


def key_value(number: int, value: object, path: str, depth: int = 0) -> bytes:
    """An attribute (`{"key": …, "value": {…}}`) as a KeyValue field of that number."""
    if not isinstance(value, dict):
        raise InvalidJson(f"{path}: must be an array of objects")
    key = put_bytes(1, utf8(value.get("key") or "", path))
    return put_bytes(number, key + put_bytes(2, any_value(value.get("value"), path, depth + 1)))


def any_value(value: object, path: str, depth: int) -> bytes:
    """The content of an AnyValue at that depth. Of several values the last known one counts; null is no value, and
    neither is what nests deeper than MAX_DEPTH."""
    if value is None or depth > MAX_DEPTH:
        return b""
    if isinstance(value, str | bool | int | float):
        return _any_plain(value, path, depth)
    if not isinstance(value, dict):
        raise InvalidJson(f"{path}: {_shown(value)} is not an attribute value")
    content = b""
    for name, element in value.items():
        read = _ANY_VALUES.get(name)
        if read is not None and (element is not None or name in _NULL_IS_NAN):
            content = read(element, path, depth)
    return content


def _any_plain(value: str | bool | int | float, path: str, depth: int) -> bytes:
    """A value without the object around it, as requests written by hand have it."""
    match value:
        case str():
            return _any_string(value, path, depth)
        case bool():
            return _any_bool(value, path, depth)
        case int():
            return _any_int(value, path, depth)
        case _:
            return _any_double(value, path, depth)


def _any_string(value: object, path: str, depth: int) -> bytes:
    return put_bytes(1, utf8(value, path))


def _any_bool(value: object, path: str, depth: int) -> bytes:
    return put_uint(2, _boolean(value, path))


def _any_int(value: object, path: str, depth: int) -> bytes:
    """An integer that 64 bits cannot hold, or a fraction, becomes a double."""
    number = _number(value, path)
    return put_uint(3, number) if isinstance(number, int) and _within(number, _INT64) else put_double(4, float(number))


def _any_double(value: object, path: str, depth: int) -> bytes:
    return put_double(4, _double(value, path))


def _any_array(value: object, path: str, depth: int) -> bytes:
    elements = objects(_values(value, path), path)
    return put_bytes(5, b"".join(put_bytes(1, any_value(element, path, depth + 1)) for element in elements))


def _any_map(value: object, path: str, depth: int) -> bytes:
    return put_bytes(6, b"".join(key_value(1, one, path, depth) for one in objects(_values(value, path), path)))


def _any_bytes(value: object, path: str, depth: int) -> bytes:
    return put_bytes(7, _base64(value, path))


def _values(value: object, path: str) -> object:
    if not isinstance(value, dict):
        raise InvalidJson(f"{path}: must be an object with values")
    return value.get("values") or []


_ANY_VALUES: Mapping[str, Callable[[object, str, int], bytes]] = {
    "stringValue": _any_string, "string_value": _any_string,
    "boolValue": _any_bool, "bool_value": _any_bool,
    "intValue": _any_int, "int_value": _any_int,
    "doubleValue": _any_double, "double_value": _any_double,
    "arrayValue": _any_array, "array_value": _any_array,
    "kvlistValue": _any_map, "kvlist_value": _any_map,
    "bytesValue": _any_bytes, "bytes_value": _any_bytes,
}  # fmt: skip
_NULL_IS_NAN = ("doubleValue", "double_value")


def utf8(value: object, path: str) -> bytes:
    """Text as UTF-8, lone surrogates as U+FFFD; a number is taken as its text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidJson(f"{path}: {_shown(value)} is not text")
    try:
        return value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _identifier(value: object, path: str) -> bytes:
    """A trace or span id: hex; base64 too, where it gives an id, as protobuf's own JSON mapping writes it."""
    if isinstance(value, str) and _HEX.fullmatch(value):
        return bytes.fromhex(value)
    found = _base64(value, path) if isinstance(value, str) and value.endswith("=") else b""
    if len(found) not in _ID_BYTES:
        raise InvalidJson(f"{path}: {_shown(value)} is not hexadecimal")
    return found


def _base64(value: object, path: str) -> bytes:
    """Standard or URL-safe alphabet, padded or not."""
    if not isinstance(value, str):
        raise InvalidJson(f"{path}: {_shown(value)} is not base64 text")
    text = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidJson(f"{path}: {_shown(value)} is not base64") from None


def _boolean(value: object, path: str) -> bool:
    match value:
        case bool():
            return value
        case "true" | "false":
            return value == "true"
        case _:
            raise InvalidJson(f"{path}: {_shown(value)} is not true or false")


def number_value(value: Mapping[str, Any]) -> dict[str, Any]:
    """A point or exemplar with one value at most: `as_int` where 64 bits hold it, else `as_double`; null as_double is
    NaN (JavaScript writes NaN and the infinities so)."""
    rest = {key: element for key, element in value.items() if key not in _NUMBER_NAMES}
    integer, double = member(value, "as_int"), member(value, "as_double")
    if integer is not None and not _is_int64(integer):
        integer, double = None, integer
    if integer is not None:
        rest["as_int"] = integer
    elif double is not None:
        rest["as_double"] = double
    elif "asDouble" in value or "as_double" in value:
        rest["as_double"] = math.nan
    return rest


_NUMBER_NAMES = ("asInt", "as_int", "asDouble", "as_double")


def _is_int64(value: object) -> bool:
    try:
        number = _number(value, "")
    except InvalidJson:
        return True  # Reported where the field is written, with its path.
    return isinstance(number, int) and _within(number, _INT64)


def _double(value: object, path: str) -> float:
    """null is NaN: JavaScript writes NaN and the infinities so."""
    match value:
        case None:
            return math.nan
        case float():
            return value
        case "NaN" | "Infinity" | "-Infinity":
            return float(value)
        case _:
            return float(_number(value, path))


def _number(value: object, path: str) -> int | float:
    """A number or the text of one; an int where it is integral and finite, exponent or not."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value) if _INTEGER.fullmatch(value) else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidJson(f"{path}: {_shown(value)} is not a number")
    return int(value) if isinstance(value, float) and value.is_integer() else value


_INTEGER = re.compile(r"-?[0-9]{1,40}")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def _enum(name: str, value: object, path: str) -> int:
    """By number or by name; 0 for one that the enum has not got."""
    names = ENUMS[name]
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        return names.index(value) if value in names else 0
    number = _number(value, path)
    return number if isinstance(number, int) and 0 <= number < len(names) else 0


def _within(value: int, limits: tuple[int, int]) -> bool:
    return limits[0] <= value <= limits[1]


def _shown(value: object) -> str:
    """The value for a message, short and in characters that are safe anywhere."""
    return ascii(value)[:40]
