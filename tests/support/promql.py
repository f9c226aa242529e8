"""What tests ask a Prometheus."""

from __future__ import annotations

import json
import time
import urllib.parse
from typing import Any

from support.engines import http_get


def query(url: str, expression: str) -> list[dict[str, Any]]:
    """The result of an instant query. AssertionError with Prometheus' words where it has an error."""
    body = json.loads(http_get(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}", timeout=30)[1])
    assert body["status"] == "success", (expression, body.get("error"))
    found: list[dict[str, Any]] = body["data"]["result"]
    return found


def values(url: str, expression: str) -> list[float]:
    """The values of the series that an instant query gives."""
    return [float(one["value"][1]) for one in query(url, expression)]


def exemplars(url: str, expression: str) -> list[dict[str, Any]]:
    """The exemplars of the last ten minutes."""
    now = time.time()
    asked = urllib.parse.urlencode({"query": expression, "start": now - 600, "end": now + 60})
    body = json.loads(http_get(f"{url}/api/v1/query_exemplars?{asked}", timeout=30)[1])
    return [exemplar for series in body["data"] for exemplar in series["exemplars"]]
