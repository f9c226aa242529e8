"""What Prometheus and Alertmanager say of a drill's alert, by their HTTP APIs (`/api/v1/alerts`, `/api/v2/alerts`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from sidecar.deliver.common.http import Http
from sidecar.drills import Drill
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

    def receivers(self, drill: Drill) -> Sequence[str]:
        """Receivers that Alertmanager routes the alert to; empty where it has none that is active."""
        name = quote(f'alertname="{drill.alert}"')
        alerts = _json(self._alertmanager, f"/api/v2/alerts?filter={name}", "Alertmanager")
        found = [one for one in _of(drill, alerts) if one.get("receivers")]
        return sorted({receiver["name"] for one in found for receiver in one["receivers"]})


def _of(drill: Drill, alerts: Any) -> Iterable[Mapping[str, Any]]:
    """Those about the drill: its service's or its model's, or, of what has neither, all of that name."""
    for one in alerts:
        labels = one.get("labels", {})
        own = drill.wrong_token or drill.service in (labels.get("service"), labels.get("model"))
        if own and labels.get("alertname") == drill.alert:
            yield one


def _json(http: Http, target: str, who: str) -> Any:
    reply = http.request("GET", target, None, {"accept": "application/json"})
    if reply.status != 200:
        raise Permanent(f"{who} answered {reply.status} to {target}; expected 200 at its base address")
    try:
        return json.loads(reply.body)
    except ValueError:
        raise Permanent(f"the answer to {target} is no JSON; expected the base address of {who}") from None
