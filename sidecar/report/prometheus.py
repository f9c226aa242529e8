"""Prometheus' HTTP API: https://prometheus.io/docs/prometheus/latest/querying/api/ (`query`, `query_range`). Thanos,
Mimir and VictoriaMetrics answer the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from sidecar.deliver.common.http import Send, Unreached
from sidecar.errors import Permanent

_FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One series at one time."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Points:
    """One series over time: (Unix seconds, value)."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class Prometheus:
    """Queries. `address` is for messages."""

    def __init__(self, send: Send, address: str) -> None:
        self._send, self.address = send, address

    def query(self, expr: str, at: float) -> list[Sample]:
        """An instant vector at that time (Unix seconds); NaN is left out. Raises `Permanent` with what is wrong."""
        rows = self._result("query", expr, "vector", {"time": _seconds(at)})
        found = [Sample(row["metric"], float(row["value"][1])) for row in rows if "value" in row]
        return [sample for sample in found if sample.value == sample.value]

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[Points]:
        """A range vector; times in Unix seconds, `step` in seconds. Raises `Permanent`."""
        asked = {"start": _seconds(start), "end": _seconds(end), "step": _seconds(step)}
        rows = self._result("query_range", expr, "matrix", asked)
        return [
            Points(row["metric"], [(float(t), n) for t, v in row["values"] if (n := float(v)) == n])
            for row in rows
            if "values" in row
        ]

    def _result(self, path: str, expr: str, kind: str, parameters: Mapping[str, str]) -> list[Any]:
        form = urlencode({"query": expr, **parameters}).encode()
        try:
            reply = self._send("POST", f"/api/v1/{path}", form, _FORM)
        except Unreached as error:
            raise Permanent(f"Prometheus at {self.address} gives no answer: {error.reason}: {error.detail}") from error
        try:
            body = json.loads(reply.body)
            if body["status"] == "success" and body["data"]["resultType"] == kind:
                rows: list[Any] = body["data"]["result"]
                return rows
            why = str(body["error"])
        except (ValueError, KeyError, TypeError):
            raise Permanent(f"{self.address} {_not_prometheus(reply.status)}") from None
        raise Permanent(
            f"Prometheus at {self.address} refuses a query (HTTP {reply.status}): {why[:500]}; the query: {expr[:200]}"
        )


def _not_prometheus(status: int) -> str:
    if status in (401, 403):
        return f"refuses the credentials (HTTP {status}); see --token-file and --username"
    return (
        f"does not answer as Prometheus does (HTTP {status}); expected its base address, such as http://prometheus:9090"
    )


def _seconds(value: float) -> str:
    return f"{value:.3f}"
