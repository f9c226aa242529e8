"""What Prometheus and Alertmanager say of a drill's alert, by their HTTP APIs (`/api/v1/alerts`, `/api/v2/alerts`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from sidecar.deliver.common.http import Http
from sidecar.drills.alert_waits import Arrival
from sidecar.drills.drill import Drill
from sidecar.errors import Permanent


class HttpMonitor:
    """Asks both."""

    def __init__(self, prometheus: Http, alertmanager: Http) -> None:
        self._prometheus = prometheus
        self._alertmanager = alertmanager

    def firing(self, drill: Drill) -> bool:
        """Whether Prometheus has the alert as firing."""
        body = _json(self._prometheus, "/api/v1/alerts", "Prometheus")
        alerts = body["data"]["alerts"] if isinstance(body, dict) and body.get("status") == "success" else []
        return any(one.get("state") == "firing" for one in _of(drill, alerts))

    def arrival(self, drill: Drill) -> Arrival | None:
        """The alert as Alertmanager has it; None where it has none. Of several, one that is not held back wins."""
        name = quote(f'alertname="{drill.alert}"')
        alerts = _json(self._alertmanager, f"/api/v2/alerts?filter={name}", "Alertmanager")
        found = [one for one in _of(drill, alerts) if one.get("receivers")]
        if not found:
            return None
        one = min(found, key=_held_back)
        return Arrival(sorted({r["name"] for r in one["receivers"]}), one["labels"], _held_back(one))


def _held_back(alert: Mapping[str, Any]) -> bool:
    """By another alert or a silence."""
    return bool(alert.get("status", {}).get("state") == "suppressed")


def _of(drill: Drill, alerts: Any) -> Iterable[Mapping[str, Any]]:
    return (one for one in alerts if drill.is_about(one.get("labels", {})))


def _json(http: Http, target: str, who: str) -> Any:
    reply = http.request("GET", target, None, {"accept": "application/json"})
    if reply.status != 200:
        raise Permanent(f"{who} answered {reply.status} to {target}; expected 200 at its base address")
    try:
        return json.loads(reply.body)
    except ValueError:
        raise Permanent(f"the answer to {target} is no JSON; expected the base address of {who}") from None
