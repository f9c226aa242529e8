"""JSON documents that are not lines: an array of log records, a sequence of JSON texts (RFC 7464), or one record over
several lines."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from typing import Any

from sidecar.decode.logs.json_lenient import DECODER, repaired
from sidecar.decode.otlp.limits import MAX_DEPTH

_RECORD_SEPARATOR = b"\x1e"
_WHITE = b" \t\r\n"
_WHITE_TEXT = re.compile(r"[ \t\r\n]*")


def as_lines(body: bytes) -> bytes:
    """The records of a JSON body as lines for `Decoder.json_lines`.

    An array gives a line for each element (one that is no object is a line all the same, kept as text), one object over
    several lines gives one line. What is neither, lines among it, comes back as it is.
    """
    body = body.removeprefix(BOM_UTF8)
    begin = body[:64].lstrip(_WHITE)[:1] or body.lstrip(_WHITE)[:1]
    if begin == _RECORD_SEPARATOR:
        return b"".join(map(_of_sequence, body.split(_RECORD_SEPARATOR)[1:]))
    if begin != b"[" and not (begin == b"{" and _goes_on(body)):
        return body
    try:
        text = body.decode("utf-8", "replace")
        return _elements(text) if begin == b"[" else _line(DECODER.decode(text))
    except (ValueError, RecursionError):
        return body


def _of_sequence(text: bytes) -> bytes:
    """One text of a JSON text sequence (RFC 7464) as a line; as it is, separator included, where it cannot be read."""
    try:
        return _line(DECODER.decode(text.decode("utf-8", "replace"))) + b"\n"
    except (ValueError, RecursionError):
        return _RECORD_SEPARATOR + text


def _goes_on(body: bytes) -> bool:
    """Whether the first line is not a whole object."""
    start = len(body) - len(body.lstrip(_WHITE))
    end = body.find(b"\n", start)
    return end >= 0 and not body[start:end].rstrip(_WHITE).endswith(b"}")


def _elements(text: str) -> bytes:
    """The elements of an array as lines. One at a time: an array of a million empty objects must not be there as
    Python's objects all at once. Raises ValueError where it is no array."""
    lines = bytearray()
    place = _skip(text, text.index("[") + 1)
    while text[place : place + 1] != "]" or lines:
        element, place = DECODER.raw_decode(text, place)
        lines += _line(element) + b"\n"
        place = _skip(text, place)
        if text[place : place + 1] != ",":
            break
        place = _skip(text, place + 1)
    if text[place : place + 1] != "]" or _skip(text, place + 1) != len(text):
        raise ValueError("not an array")
    return bytes(lines)


def _skip(text: str, place: int) -> int:
    """The next place that is not white."""
    match = _WHITE_TEXT.match(text, place)
    assert match is not None
    return match.end()


def _line(record: Any) -> bytes:
    """One record. Raises ValueError where it is nested beyond reason."""
    if _deeper(record, 2 * MAX_DEPTH):
        raise ValueError("nested too deep")
    return repaired(json.dumps(record, ensure_ascii=False, separators=(",", ":"))).encode()


def _deeper(value: Any, limit: int) -> bool:
    if isinstance(value, dict):
        return limit < 1 or any(_deeper(element, limit - 1) for element in value.values())
    if isinstance(value, list):
        return limit < 1 or any(_deeper(element, limit - 1) for element in value)
    return False
