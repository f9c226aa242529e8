"""What Prometheus and Alertmanager say of a drill's alert."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from sidecar.deliver.common.http import Reply
from sidecar.drills.catalog import DRILLS
from sidecar.drills.monitor import HttpMonitor
from sidecar.errors import Permanent

BY_NAME = {drill.name: drill for drill in DRILLS}
ERRORS, REFUSED, DRIFT = BY_NAME["errors"], BY_NAME["refused-credentials"], BY_NAME["drift"]
OWN = {"alertname": "ErrorRateHigh", "service": "sidecar-drill-errors"}


class Answers:
    """Prometheus or Alertmanager with one answer."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.reply = Reply(status, body)

    def request(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        return self.reply

    def close(self) -> None:
        """Nothing."""


def monitor(alerts: object, routed: object = ()) -> HttpMonitor:
    body = {"status": "success", "data": {"alerts": alerts}}
    return HttpMonitor(Answers(json.dumps(body).encode()), Answers(json.dumps(routed).encode()))


def routed(state: str, *receivers: str) -> dict[str, object]:
    return {"labels": OWN, "receivers": [{"name": name} for name in receivers], "status": {"state": state}}


def test_only_its_own_service_counts() -> None:
    assert not monitor([{"labels": OWN | {"service": "wine"}, "state": "firing"}]).firing(ERRORS)
    assert not monitor([{"labels": OWN, "state": "pending"}]).firing(ERRORS)
    assert monitor([{"labels": OWN, "state": "firing"}]).firing(ERRORS)


def test_an_alert_without_service_counts_by_its_name_or_its_model() -> None:
    assert monitor([{"labels": {"alertname": "RefusedCredentials"}, "state": "firing"}]).firing(REFUSED)
    drift = {"alertname": "DriftDetected", "model": "wine"}
    assert not monitor([{"labels": drift, "state": "firing"}]).firing(DRIFT)
    assert monitor([{"labels": drift | {"model": "sidecar-drill-drift"}, "state": "firing"}]).firing(DRIFT)


def test_an_arrival_has_receivers_labels_and_whether_it_is_held_back() -> None:
    found = monitor([], [routed("active", "hook", "critical")]).arrival(ERRORS)
    assert found is not None
    assert (found.receivers, found.labels, found.held_back) == (["critical", "hook"], OWN, False)
    held = monitor([], [routed("suppressed", "hook")]).arrival(ERRORS)
    assert held is not None
    assert held.held_back
    both = monitor([], [routed("suppressed", "hook"), routed("active", "critical")]).arrival(ERRORS)
    assert both is not None
    assert both.receivers == ["critical"]
    assert monitor([], [routed("active")]).arrival(ERRORS) is None
    assert monitor([], []).arrival(ERRORS) is None


@pytest.mark.parametrize(("body", "status"), [(b"<html>", 200), (b"{}", 502)])
def test_something_else_at_the_address_is_found(body: bytes, status: int) -> None:
    with pytest.raises(Permanent, match="Prometheus"):
        HttpMonitor(Answers(body, status), Answers(b"[]")).firing(ERRORS)
