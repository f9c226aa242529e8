"""Alerts of a period as incidents: steps in which one fired that follow each other are one."""

from __future__ import annotations

from itertools import pairwise

from sidecar.report.contents import Incident
from sidecar.report.figure_source import Alerts, FiringAlert
from sidecar.report.period import Period

MAX_INCIDENTS = 200
_NOT_SHOWN = ("__name__", "alertname", "severity", "alertstate")
_ORDER = {"critical": 0, "warning": 1}


def incidents(alerts: Alerts, period: Period) -> list[Incident]:
    """The worst and the longest first."""
    found = [_incident(one, alerts.step, period) for one in alerts.firing]
    return sorted(found, key=lambda i: (_ORDER.get(i.severity, 2), -i.seconds, i.name, sorted(i.labels.items())))


def _incident(alert: FiringAlert, step: float, period: Period) -> Incident:
    times = sorted(alert.times)
    begins = [times[0], *(b for a, b in pairwise(times) if b - a > 1.5 * step)]
    return Incident(
        alert.labels.get("alertname", ""),
        alert.labels.get("severity", ""),
        {name: value for name, value in alert.labels.items() if name not in _NOT_SHOWN},
        len(begins),
        len(times) * step,
        times[0] - step,
        times[-1],
        times[-1] > period.end - step,
    )
