"""Arrays among attributes, written so that an engine takes them which takes none where names keep their dots.

OpenSearch 3 with `disable_objects` (seen on 3.6) refuses an array of values, `{"x": ["a", "b"], "y": 1}`, but takes an
array of objects, and indexes the values that a field has in all of them: `[{"y": 1}, {"x": "a"}, {"x": "b"}]` is found
by each element, and its `fields` show both. The first object holds what is no array, so that `join` gives back what was
sent.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sidecar.deliver.elasticsearch.line_pair import object_at, rewritten
from sidecar.lookup.document_traces import joined

HOLDERS = (("attributes",), ("scope", "attributes"), ("resource", "attributes"))
"""Where attributes are, in spans, span events and log records."""
_REFUSAL = re.compile(
    r"when disable_objects is enabled|failed to parse field \[.+?\] of type .*Preview of field's value: '\[", re.DOTALL
)


def spread_arrays(line_pair: bytes, reason: str) -> bytes | None:
    """The `_bulk` line pair again with its arrays spread; None where the refusal is not about one, or there is none."""
    return rewritten(line_pair, spread) if _REFUSAL.search(reason) else None


def spread(document: dict[str, Any]) -> bool:
    """Spread the arrays of a document, in place; True if there were any."""
    done = False
    for *outer, last in HOLDERS:
        holder = object_at(document, outer)
        found = holder.get(last)
        if isinstance(found, dict) and any(_has_array(value) for value in found.values()):
            holder[last] = _spread(found)
            done = True
    return done


def join(document: dict[str, Any]) -> bool:
    """The arrays of a document as they were before `spread`, in place; True if there were any."""
    done = False
    for *outer, last in HOLDERS:
        holder = object_at(document, outer)
        found = holder.get(last)
        if isinstance(found, list):
            holder[last] = joined(found)
            done = True
    return done


def _spread(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{}]
    for name, value in attributes.items():
        if not isinstance(value, list) or not value:
            parts[0][name] = _without_arrays(value)
            continue
        for place, element in enumerate(value, 1):
            if place == len(parts):
                parts.append({})
            parts[place][name] = _without_arrays(element)
    return parts


def _without_arrays(value: Any) -> Any:
    """An array that is further inside has no place of its own: it becomes text, as JSON."""
    if isinstance(value, dict):
        return {name: _without_arrays(inner) for name, inner in value.items()}
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) and value else value


def _has_array(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_array, value.values()))
    return isinstance(value, list) and bool(value)
