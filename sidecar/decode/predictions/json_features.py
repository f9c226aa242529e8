"""Features in a text of JSON: SDKs of OpenTelemetry take no maps and no arrays of arrays as attributes of spans."""

from __future__ import annotations

import json
from typing import Any

from sidecar.decode.otlp.message import Value

MAX_CHARS = 1 << 20
"""A longer text is not read: it has more values than are kept of one record (`call.MAX_CELLS`)."""
_BLANKS = " \t\n\r"
_LONGEST_INTEGER = 19
"""Characters; of a longer one the nearest double is taken."""


def is_json(text: str) -> bool:
    """Whether a text begins as an array or a map does. What begins so never leaves as features (`KeyRule.json_texts`),
    whole or not."""
    return text.lstrip(_BLANKS).startswith(("{", "["))


def read(text: str) -> Value:
    """The array or map; None where the text is too long, or no JSON: cut off by an SDK's limit, say."""
    if len(text) > MAX_CHARS:
        return None
    try:
        found: Value = _loaded(text)
        if "\\u" in text:  # An escape can be half of a surrogate pair, which is no text and could not be kept.
            found = _loaded(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace").decode())
    except (ValueError, RecursionError):
        return None
    return found


def _loaded(text: str) -> Any:
    return json.loads(text, parse_int=_integer)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)
