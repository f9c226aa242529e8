"""A document that an engine refuses because of one of its fields, made acceptable: the field's value moves to text.

The engine names the field in words. The patterns are of the refusals seen on OpenSearch 3.6, Elasticsearch 8.19 and
Elasticsearch 9.5. What is moved is kept as JSON in one attribute, `KEY`, so that it adds no field to the mapping
whatever it was called, and no name of it can be in conflict again.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sidecar.deliver.elasticsearch import arrays
from sidecar.deliver.elasticsearch.line_pair import compact, object_at, rewritten

KEY = "sidecar.conflicts"
"""Attribute with what was moved: a text, the JSON of an object, path of the field -> its value."""
MOST_FIELDS = 4
"""Fields moved one by one (a refusal names one only); past that, everything that the sender named goes at once."""
EVERYTHING = ""
"""The path where the refusal names no field, such as at the limit of fields."""

_REFUSAL = re.compile(
    r"""failed\ to\ parse\ field\ \[(?P<type>.+?)\]\ of\ type
    | object\ mapping\ for\ \[(?P<scalar>.+?)\]\ tried\ to\ parse
    | can't\ merge\ a\ non[ -]object\ mapping\ \[(?P<both>.+?)\]\ with
    | mapper\ \[(?P<mixed>.+?)\]\ (?:cannot\ be\ changed|of\ different\ type)
    | [Ee]xisting\ mapping\ for\ \[(?P<object>.+?)\]\ must\ be\ of\ type\ object
    | object\ resolution\ ambiguous:\ \[(?P<dots>.+?)\](?=;|$)
    | cannot\ contain\ only\ whitespace:\ \['(?P<blank>.+?)'\]
    | dynamic\ introduction\ of\ \[(?P<new>.+?)\]\ within\ \[(?P<within>.+?)\]
    | immense\ term\ in\ field="(?P<long>.+?)"
    | mapping\ depth\ \[\d+\]\ has\ been\ exceeded\ due\ to\ object\ field\ \[(?P<deep>.+?)\]
    | (?P<all>Limit\ of\ total\ fields | depth\ of\ the\ field\ has\ exceeded | contain\ only\ (?:the\ character|dots)
      | Invalid\ field\ name)
    """,
    re.VERBOSE | re.DOTALL,
)
_OURS = ("@timestamp", "data_stream")
"""Fields without which there is no document."""
_OF_RECORD = (("attributes",), ("body", "structured"))
_OF_SENDER = (("scope", "attributes"), ("resource", "attributes"), ("links",))
"""Where senders name fields; moved only where moving those of the record was not enough."""


def conflicting_field(reason: str) -> str | None:
    """Path of the field that a refusal is about, as the engine writes it; `EVERYTHING` where it names none; None where
    the refusal is about something else."""
    found = _REFUSAL.search(reason)
    if found is None:
        return None
    groups = {name: text for name, text in found.groupdict().items() if text}
    if "all" in groups:
        return EVERYTHING
    within = groups.pop("within", "_doc")
    (path,) = groups.values()
    return path if within == "_doc" else f"{within}.{path}"


def move_field(line_pair: bytes, reason: str) -> bytes | None:
    """The `_bulk` line pair again, without the field that `reason` is about and with its value under `KEY`; None where
    the refusal is about no field, or nothing is left to move."""
    path = conflicting_field(reason)
    if path is None or path == f"attributes.{KEY}" or path.partition(".")[0] in _OURS:
        return None
    return rewritten(line_pair, lambda document: _move(document, path))


def _move(document: dict[str, Any], path: str) -> bool:
    spread = arrays.join(document)
    moved = json.loads(document.get("attributes", {}).pop(KEY, "{}"))
    taken = _take(document, path) if path != EVERYTHING and len(moved) < MOST_FIELDS else {}
    taken = taken or _take_all(document, _OF_RECORD) or _take_all(document, _OF_SENDER)
    if not taken:
        return False
    document.setdefault("attributes", {})[KEY] = compact({**moved, **taken})
    if spread:
        arrays.spread(document)
    return True


def _take(document: dict[str, Any], path: str) -> dict[str, Any]:
    """Remove the field, wherever it is: an engine may leave out the object that it is in."""
    found: dict[str, list[Any]] = {}
    kept = {key: document.pop(key) for key in _OURS if key in document}
    _claim(document, path, "", found)
    if not found:
        for place in _OF_RECORD + _OF_SENDER:
            holder = object_at(document, place[:-1]).get(place[-1])
            _claim(holder, path, ".".join(place) + ".", found)
    rest = dict(document)
    document.clear()
    document.update(kept | rest)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _claim(node: Any, path: str, trail: str, found: dict[str, list[Any]]) -> None:
    """Keys may have dots of their own: `a.b` is the key `a.b`, or `b` in `a`, or every key that begins with `a.b.`."""
    if isinstance(node, list):
        for element in node:
            _claim(element, path, trail, found)
    if not isinstance(node, dict):
        return
    for key in list(node):
        if key == path or key.startswith(f"{path}."):
            found.setdefault(trail + key, []).append(node.pop(key))
        elif path.startswith(f"{key}."):
            _claim(node[key], path[len(key) + 1 :], f"{trail}{key}.", found)


def _take_all(document: dict[str, Any], places: tuple[tuple[str, ...], ...]) -> dict[str, Any]:
    taken = {}
    for place in places:
        holder = object_at(document, place[:-1])
        if holder.get(place[-1]):
            taken[".".join(place)] = holder.pop(place[-1])
    return taken
