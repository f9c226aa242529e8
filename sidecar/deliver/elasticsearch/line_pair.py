"""The two lines that a document has in `_bulk`: the action and the source."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any


def rewritten(line_pair: bytes, change: Callable[[dict[str, Any]], bool]) -> bytes | None:
    """The line pair with its document changed in place; None where `change` says that it changed nothing, and for what
    is no document of ours."""
    action, _, source = line_pair.partition(b"\n")
    try:
        document = json.loads(source)
        if not change(document):
            return None
        return action + b"\n" + compact(document).encode("utf-8", "replace") + b"\n"
    except (ValueError, TypeError, AttributeError, RecursionError):  # Foreign, or as deep as a well.
        return None


def object_at(document: dict[str, Any], place: Sequence[str]) -> dict[str, Any]:
    """The object at this path; an empty one where there is none."""
    for key in place:
        found = document.get(key)
        document = found if isinstance(found, dict) else {}
    return document


def compact(value: Any) -> str:
    """As JSON, without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
