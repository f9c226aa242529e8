"""AnyValue as text (labels) and as JSON (documents)."""

from __future__ import annotations

import base64
import json
import math
import re

from sidecar.decode.otlp.limits import MAX_LABEL_CHARS
from sidecar.decode.otlp.message import LossyStr, Value

_PLAIN_FROM, _PLAIN_BELOW = 1e-6, 1e21
_MAX_DIGITS = 64
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def label(value: Value) -> str:
    """A value as label text: the text of it, cut at MAX_LABEL_CHARS characters."""
    return as_text(value)[:MAX_LABEL_CHARS]


def as_text(value: Value) -> str:
    """A string as it is; numbers and booleans as JSON; NaN, Infinity, -Infinity; bytes base64; arrays and maps as
    compact JSON with keys sorted by code point; nothing as the empty text."""
    match value:
        case str():
            return value
        case None:
            return ""
        case float() if not math.isfinite(value):
            return _not_finite(value)
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return _sorted_json(value)


def number(value: Value) -> float:
    """A value as a number: a bool as 0 or 1; a text that is a decimal number (ASCII digits, no blanks, 64 characters at
    most) as that; NaN for anything else and for what is not finite."""
    match value:
        case bool() | int():
            return float(value)
        case float():
            return value if math.isfinite(value) else math.nan
        case str() if len(value) <= _MAX_DIGITS and _NUMBER.fullmatch(value):
            found = float(value)
            return found if math.isfinite(found) else math.nan
        case _:
            return math.nan


def repaired(value: Value) -> bool:
    """Whether bytes that are not UTF-8 were replaced anywhere in the value, map keys included."""
    match value:
        case str():
            return isinstance(value, LossyStr)
        case list():
            return any(repaired(element) for element in value)
        case dict():
            return any(repaired(key) or repaired(element) for key, element in value.items())
        case _:
            return False


def double_text(value: float) -> str:
    """A finite double with the fewest digits that read back as the same double; plain notation from 1e-6 to below
    1e21 (and 0), else with an exponent as in 1e+21 and 1e-7. Integral values have no point."""
    digits, exponent, sign = _shortest(value)
    size = abs(value)
    if value == 0:
        return sign + "0"
    if _PLAIN_FROM <= size < _PLAIN_BELOW:
        if exponent < 0:
            return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
        whole = digits[: exponent + 1].ljust(exponent + 1, "0")
        rest = digits[exponent + 1 :]
        return f"{sign}{whole}.{rest}" if rest else sign + whole
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{sign}{mantissa}e{'+' if exponent >= 0 else '-'}{abs(exponent)}"


def _shortest(value: float) -> tuple[str, int, str]:
    """(significant digits without trailing zeros, decimal exponent of the first one, sign) of a finite double."""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    first = len(whole) - 1 - (len(whole + fraction) - len(digits))
    sign = "-" if math.copysign(1, value) < 0 else ""
    return digits.rstrip("0") or "0", first + int(exponent or 0), sign


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def quote(value: str) -> str:
    """JSON string: only `"`, `\\` and control characters below U+0020 are escaped (short forms where JSON has them)."""
    return _JSON.encode(value)


_JSON = json.JSONEncoder(ensure_ascii=False)


def _sorted_json(value: Value) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return double_text(value) if math.isfinite(value) else quote(_not_finite(value))
        case str():
            return quote(value)
        case bytes():
            return quote(base64.b64encode(value).decode())
        case list():
            return "[" + ",".join(_sorted_json(element) for element in value) + "]"
        case dict():
            return "{" + ",".join(f"{quote(key)}:{_sorted_json(value[key])}" for key in sorted(value)) + "}"


def document_json(value: Value) -> str:
    """A value inside a document: keys in their own order, integral doubles with `.0` (so that the engine maps the field
    as a floating number), NaN and infinities null, bytes hex as the Collector's exporter writes them."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _document_double(value)
        case str():
            return quote(value)
        case bytes():
            return quote(value.hex())
        case list():
            return "[" + ",".join(document_json(element) for element in value) + "]"
        case dict():
            return document_object(value)


def document_object(values: dict[str, Value]) -> str:
    """A map inside a document. A key without any character but blanks becomes `_`, since engines refuse such names."""
    members: dict[str, str] = {}
    for key, value in values.items():
        name = key if key.strip(" \t\r\n") else "_"
        if name not in members:
            members[name] = f"{quote(name)}:{document_json(value)}"
    return "{" + ",".join(members.values()) + "}"


def _document_double(value: float) -> str:
    if not math.isfinite(value):
        return "null"
    shown = double_text(value)
    return shown if "." in shown or "e" in shown else shown + ".0"
