"""What is otherwise than in the period before. Shares have changed where their difference is beyond chance (its
interval of 95 % leaves 0 out); times and volumes where they differ by a fifth."""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.report.accuracy import difference
from sidecar.report.contents import Change, ModelReport, Rates
from sidecar.serve.pages.html import write_duration, write_number, write_percent
from sidecar.serve.pages.models import Feature, Model

A_FIFTH = 1.2
MIN_CALLS = 100
"""Calls in both periods below which quantiles are not compared."""


def changes(now: ModelReport, before: Model | None) -> list[Change]:
    """What is worse first. `before`: the same version in the period before."""
    if now.before is None:
        return [Change("Not seen in the period before.", "other")]
    found = [*_rates(now.rates, now.before), *_outcomes(now), *_drift(now.model, before)]
    return sorted(found, key=lambda change: ("worse", "better", "other").index(change.kind))


def _rates(now: Rates, before: Rates) -> Iterator[Change]:
    if before.predictions and not 1 / A_FIFTH <= now.predictions / before.predictions <= A_FIFTH:
        yield Change(f"Predictions: {write_number(before.predictions)} → {write_number(now.predictions)}", "other")
    if now.errors and before.errors:
        change, lower, upper = difference(before.errors, now.errors)
        if lower > 0 or upper < 0:
            yield Change(_shares("Errors", before.errors.value, now.errors.value), "worse" if change > 0 else "better")
    if now.inference and before.inference and min(now.inference.calls, before.inference.calls) >= MIN_CALLS:
        old, new = before.inference.p95, now.inference.p95
        if old and new and not 1 / A_FIFTH <= new / old <= A_FIFTH:
            text = f"Latency p95: {write_duration(old)} → {write_duration(new)}"
            yield Change(text, "worse" if new > old else "better")


def _outcomes(now: ModelReport) -> Iterator[Change]:
    before = now.outcomes_before.accuracy if now.outcomes_before else None
    if before and now.outcomes.accuracy:
        change, lower, upper = difference(before, now.outcomes.accuracy)
        if lower > 0 or upper < 0:
            text = _shares("Accuracy", before.value, now.outcomes.accuracy.value)
            yield Change(text, "better" if change > 0 else "worse")


def _drift(now: Model, before: Model | None) -> Iterator[Change]:
    earlier = {feature.name: feature.state for feature in before.features} if before else {}
    for feature in now.features:
        was = earlier.get(feature.name)
        if feature.state == "drifted" and was not in (None, "drifted"):
            yield Change(f"Feature {feature.name} has drifted{_weight(feature)}", "worse")
        elif feature.state == "steady" and was == "drifted":
            yield Change(f"Feature {feature.name} has not drifted any more", "better")


def _weight(feature: Feature) -> str:
    return f" (importance {write_percent(feature.importance)})" if feature.importance is not None else ""


def _shares(what: str, before: float, now: float) -> str:
    return f"{what}: {write_percent(before)} → {write_percent(now)}"
