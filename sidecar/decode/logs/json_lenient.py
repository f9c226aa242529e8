"""JSON as loggers write it.

Strict but for single values that would cost a whole line its structure: NaN and the infinities (also as C and Go write
them), numbers beyond a double's range (infinite), control characters in a string, lone surrogates (U+FFFD), and a
backslash that begins no escape, which stands for itself. What is broken in its structure is no JSON: trailing commas,
other quotes, Python's None and True.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sidecar.decode.otlp.message import Value

_LONGEST_INT64 = len("-9223372036854775808")
_SURROGATE = re.compile("[\ud800-\udfff]")
_OPENING = re.compile(r"[ \t\r\x1e]*[\[,]?[ \t\r\x1e]*")
"""What may stand before the first object of a line: the bracket of an array, or the comma behind the line before."""
_BETWEEN = re.compile(r"[ \t\r\n\x1e]*,?[ \t\r\n\x1e]*")
_CLOSING = re.compile(r"\][ \t\r\n\x1e]*,?[ \t\r\n\x1e]*")
_ESCAPE = re.compile(r"\\([\"\\/bfnrt]|u[0-9a-fA-F]{4})?")
_WORD = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*"|(?<![-+])(?:[-+]?(?:NaN|nan|NAN)'
    r"|(\+|-?)(?:Infinity|INFINITY|Inf|inf|INF))",
    re.DOTALL,
)


def read_objects(text: str) -> list[dict[str, Value]]:
    """The JSON objects that are all of the text, one behind the other, or an array of them, or a part of that; empty
    where it is anything else."""
    return _read_row(text) or _read_row(_WORD.sub(_python_word, _ESCAPE.sub(_python_escape, text)))


def _read_row(text: str) -> list[dict[str, Value]]:
    decoder = _REPAIRING if "\\u" in text else DECODER
    objects: list[dict[str, Value]] = []
    opening = _OPENING.match(text)
    place = opening.end() if opening else 0
    try:
        while place < len(text):
            found, place = decoder.raw_decode(text, place)
            if not isinstance(found, dict):
                return []
            objects.append(found)
            between = _BETWEEN.match(text, place)
            place = between.end() if between else place
            if closing := _CLOSING.match(text, place):
                return objects if closing.end() == len(text) else []
    except (ValueError, RecursionError):
        return []
    return objects


def _python_escape(found: re.Match[str]) -> str:
    return found[0] if found[1] else "\\\\"


def _python_word(found: re.Match[str]) -> str:
    """A number word as Python's decoder knows it; texts as they are."""
    if found[0][0] == '"':
        return found[0]
    if found[1] is None:
        return "NaN"
    return "-Infinity" if found[1] == "-" else "Infinity"


def integer(digits: str) -> int | float:
    """An int where it fits 64 bits signed, else a double; minus zero is a double, for an int cannot hold it."""
    if len(digits) > _LONGEST_INT64:
        return float(digits)
    value = int(digits)
    if value == 0 and digits.startswith("-"):
        return -0.0
    return value if -(1 << 63) <= value < 1 << 63 else float(digits)


def _repaired_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {repaired(key): _repaired(value) for key, value in pairs}


def _repaired(value: Any) -> Any:
    """Objects in it were repaired before."""
    match value:
        case str():
            return repaired(value)
        case list():
            return [_repaired(element) for element in value]
        case _:
            return value


def repaired(text: str) -> str:
    """Lone surrogates as U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


DECODER = json.JSONDecoder(parse_int=integer, strict=False)
"""For Python's own words: what it reads may hold lone surrogates."""
_REPAIRING = json.JSONDecoder(parse_int=integer, strict=False, object_pairs_hook=_repaired_pairs)
