"""What comes in, what waits, what has gone out: the status and the program's own metrics, as tables. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.derive.families import Number
from sidecar.serve.pages.metric_families import Metrics

MAX_SERIES_ROWS = 60


@dataclass(frozen=True, slots=True)
class Budget:
    """Series that a derived metric holds, and what did not fit."""

    metric: str
    series: Number
    overflowed: list[tuple[str, Number]]
    """(label, values that went into the overflow series)."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What is shown; parts that this program has not are empty."""

    version: str
    components: Mapping[str, Any]
    journal: Mapping[str, Any]
    receivers: Mapping[str, Any]
    ledger: Mapping[str, Any]
    sinks: list[Mapping[str, Any]]
    budgets: list[Budget]
    filled: float | None
    """Share of the journal's quota that is used."""


def pipeline(status: Mapping[str, Any], metrics: Metrics) -> Pipeline:
    """`status`: that of /status."""
    journal = status.get("journal", {})
    quota = journal.get("quota_bytes", 0)
    return Pipeline(
        str(status.get("version", "")),
        status.get("components", {}),
        journal,
        status.get("receivers", {}),
        status.get("ledger", {}),
        list(status.get("sinks", ())),
        _budgets(metrics),
        min(1.0, journal["bytes"] / quota) if quota else None,
    )


def _budgets(metrics: Metrics) -> list[Budget]:
    """Those with something that did not fit first, then those with most series."""
    overflowed: dict[str, list[tuple[str, Number]]] = {}
    for series in metrics["sidecar_series_overflow"]:
        if series.value:
            pair = series.labels.get("label", ""), series.value
            overflowed.setdefault(series.labels.get("metric", ""), []).append(pair)
    found = [
        Budget(name, series.value, overflowed.get(name, []))
        for series in metrics["sidecar_series"]
        if (name := series.labels.get("metric", "")) and (series.value or name in overflowed)
    ]
    return sorted(found, key=lambda b: (not b.overflowed, -b.series, b.metric))[:MAX_SERIES_ROWS]
