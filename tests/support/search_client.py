"""What tests ask of a search engine: documents, counts, refreshes."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

SPANS = "traces-generic.otel-default"
LOGS = "logs-generic.otel-default"
_PAGE = 5000


def ask(url: str, body: Any = None, method: str = "POST") -> dict[str, Any]:
    """One request; the JSON answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as response:
        return dict(json.load(response))


def documents(url: str, index: str, fields: list[str]) -> list[dict[str, Any]]:
    """The `fields` of every document of the index, refreshed; [] if there is no such index."""
    ask(f"{url}/_refresh")
    found: list[dict[str, Any]] = []
    after: list[Any] = []
    while True:
        query: dict[str, Any] = {"size": _PAGE, "sort": [{"_seq_no": "asc"}], "_source": fields}
        if after:
            query["search_after"] = after
        answer = ask(f"{url}/{index}/_search?ignore_unavailable=true&allow_no_indices=true", query)
        hits = answer["hits"]["hits"]
        found += [hit["_source"] for hit in hits]
        if len(hits) < _PAGE:
            return found
        after = hits[-1]["sort"]


def count(url: str, index: str) -> int:
    """Number of documents after a refresh; 0 if there is no such index."""
    ask(f"{url}/_refresh")
    return int(ask(f"{url}/{index}/_count?ignore_unavailable=true&allow_no_indices=true", method="GET")["count"])
