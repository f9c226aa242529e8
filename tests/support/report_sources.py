"""Sources of reports that are values, and a report with hostile names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sidecar.deliver.common.http import Reply
from sidecar.report.figure_source import About, Alerts
from sidecar.report.period import Period
from sidecar.serve.pages.metric_families import Histogram, Metrics, Series

PERIOD = Period(1_699_000_000.0, 1_699_604_800.0)


def counts(**labels: str) -> dict[str, str]:
    """Labels of a series; `class_` is `class`."""
    return {name.rstrip("_"): value for name, value in labels.items()}


def histogram(counts_: Sequence[float], bounds: Sequence[float] = (0.01, 0.1, 1.0)) -> Histogram:
    """Of cumulative counts."""
    return Histogram(tuple(bounds), tuple(counts_))


_ABOUT = About("a test", "expected something", "Counted by a test.")


@dataclass
class FakeSource:
    """Gives what it was given: `now` for `PERIOD`, `before` for the period before it."""

    now: Metrics = field(default_factory=Metrics)
    before: Metrics = field(default_factory=Metrics)
    points: Sequence[tuple[float, Metrics]] = ()
    found: Alerts | None = None
    source: About = _ABOUT

    def about(self) -> About:
        return self.source

    def metrics(self, period: Period) -> Metrics:
        return self.now if period.end == PERIOD.end else self.before

    def history(self, period: Period) -> Sequence[tuple[float, Metrics]]:
        return self.points

    def alerts(self, period: Period) -> Alerts | None:
        return self.found


def predictions(n: float, failed: float = 0, model: str = "churn", version: str = "7") -> list[Series]:
    """Counters of one model."""
    own = {"service": "shop", "model": model, "version": version}
    return [Series({**own, "status": "ok"}, n - failed), Series({**own, "status": "error"}, failed)]


def joined(matrix: Mapping[tuple[str, str], int], model: str = "churn", version: str = "7") -> list[Series]:
    """Counters of rows with their label, by (predicted, actual)."""
    return [
        Series({"model": model, "version": version, "predicted": said, "actual": true}, n)
        for (said, true), n in matrix.items()
    ]


def answered(result: Any, kind: str = "vector", status: int = 200) -> Reply:
    """As Prometheus answers a query."""
    return Reply(status, json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode())
