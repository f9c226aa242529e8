"""A Prometheus in the cluster, asked by its API."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from support.engines import http_get
from support.kubernetes.node import Node


class Prometheus:
    """Reached at the address of its pod."""

    def __init__(self, node: Node, address: str) -> None:
        self._node, self.address = node, address

    def api(self, path: str) -> Any:
        """The data of an answer; empty where there is none."""
        status, body = self._node.inside(lambda: http_get(f"{self.address}/api/v1/{path}"))
        return json.loads(body)["data"] if status == 200 else {}

    def query(self, expression: str) -> list[dict[str, str]]:
        """Labels of what an expression gives now."""
        return [dict(r["metric"]) for r in self._result(expression)]

    def values(self, expression: str) -> list[float]:
        """Values of what it gives now."""
        return [float(r["value"][1]) for r in self._result(expression)]

    def _result(self, expression: str) -> list[Any]:
        return list(self.api(f"query?query={quote(expression)}").get("result", ()))
