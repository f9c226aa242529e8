"""Where the figures of a report come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sidecar.report.period import Period
from sidecar.serve.pages.metric_families import Metrics

BUSINESS = {
    "ml_revenue_impact": "Revenue impact",
    "automation_cost_savings": "Cost savings",
    "ml_cost": "Costs",
}
"""Family of counters -> what it is called."""


@dataclass(frozen=True, slots=True)
class FiringAlert:
    """One alert that fired, with the steps (Unix seconds of their ends) within which it did."""

    labels: Mapping[str, str]
    times: Sequence[float]


@dataclass(frozen=True, slots=True)
class Alerts:
    """All of a period, to `step` seconds."""

    step: float
    firing: Sequence[FiringAlert]


class Source(Protocol):
    """Counters are their increase over a period; gauges are as of its end. Raises `Permanent` where it cannot be
    read."""

    description: str
    """For readers of the report."""

    def metrics(self, period: Period) -> Metrics:
        """The families of a period, over all pods."""
        ...

    def history(self, period: Period) -> Sequence[tuple[float, Metrics]]:
        """(Unix seconds of its end, predictions, latency and outcomes) of each point of the period. [] where the source
        has no history."""
        ...

    def alerts(self, period: Period) -> Alerts | None:
        """None where the source has none."""
        ...
