"""The index with a document of figures for each model, version and window."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sidecar.deliver.common.http import Request
from sidecar.deliver.elasticsearch.answers import answer, reason_of, rejection
from sidecar.errors import Permanent

_BATCH = 500
_KEYWORD = {"type": "keyword", "ignore_above": 8191}
MAPPINGS: Mapping[str, Any] = {
    "date_detection": False,
    "dynamic_templates": [
        {"strings": {"match_mapping_type": "string", "mapping": _KEYWORD}},
        {"numbers": {"match_mapping_type": "*", "path_match": "metrics.*", "mapping": {"type": "double"}}},
    ],
    "properties": {"@timestamp": {"type": "date"}, "model": _KEYWORD, "version": _KEYWORD, "window": _KEYWORD},
}
"""Classes and their figures stay objects; those of one document belong together only in its source."""


def store(request: Request, index: str, documents: Iterable[tuple[str, Mapping[str, Any]]]) -> int:
    """Put them, whether they are there or not; how many. Raises `Unreached` and `Permanent`."""
    stored = 0
    for part in _parts(documents):
        if not stored:
            _make(request, index)
        body = "".join(
            f"{json.dumps({'index': {'_index': index, '_id': id_}})}\n{json.dumps(document)}\n"
            for id_, document in part
        )
        reply = answer(request("POST", "/_bulk", body.encode()), f"storing figures in {index}") or {}
        if reply.get("errors"):
            failed: Any = next((item["index"] for item in reply["items"] if "error" in item["index"]), {})
            raise Permanent(f"storing figures in {index}: {reason_of(failed) or 'no reason given'}")
        stored += len(part)
    return stored


def _parts(
    documents: Iterable[tuple[str, Mapping[str, Any]]],
) -> Iterable[list[tuple[str, Mapping[str, Any]]]]:
    part: list[tuple[str, Mapping[str, Any]]] = []
    for document in documents:
        part.append(document)
        if len(part) == _BATCH:
            yield part
            part = []
    if part:
        yield part


def _make(request: Request, index: str) -> None:
    """The index with its mappings, where it is not there."""
    if request("HEAD", f"/{index}", None).status != 404:
        return
    reply = request("PUT", f"/{index}", json.dumps({"mappings": MAPPINGS}).encode())
    if not 200 <= reply.status < 300 and b"resource_already_exists" not in reply.body:
        raise rejection(reply, f"making the index {index}")
