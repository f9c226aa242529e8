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


DRIFT = "drift by feature"
QUALITY = "failed rules of data quality"
ESTIMATE = "accuracy estimated without labels"
OUTCOMES = "accuracy, precision, recall and AUC"
LABELS = "labels by what became of them"
ALERTS = "alerts"
TOKENS = "tokens of language models"
BUSINESS_FIGURES = "business figures"
"""Parts of a report that a source may not have, as the page names them."""


@dataclass(frozen=True, slots=True)
class About:
    """What a reader of a report has to know of its source."""

    description: str
    expected: str
    """What it should have had, where it has nothing."""
    counting: str
    """How its figures are made: whole sentences."""
    has_history: bool = True
    """False where it knows only what was since its start."""
    missing: tuple[str, ...] = ()
    """Parts that it does not have."""
    labelled: str = "of rows whose label came in this time"
    """Which rows accuracy, precision and recall are of."""
    experiments: str = "Since the experiment began"
    """What exposures and conversions are of."""
    begins: float | None = None
    """Unix seconds from which on it has data, where that is later than the begin of the period before."""
    notes: tuple[str, ...] = ()
    """Whole sentences on what was found."""


class Source(Protocol):
    """Counters are their increase over a period; gauges are as of its end. Raises `Permanent` where it cannot be
    read."""

    def about(self) -> About:
        """As far as is known: all of it when the figures were read."""
        ...

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
