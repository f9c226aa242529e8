"""Variants of experiments beside each other, as `derive/experiments` compares them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sidecar.derive.families import Number
from sidecar.serve.pages.metric_families import Metrics
from sidecar.serve.pages.quality import Share, share_of

MAX_EXPERIMENTS = 50


@dataclass(frozen=True, slots=True)
class Lift:
    """What a variant changes, relative to the control."""

    outcome: str
    lift: Share | None
    p_value: Number | None
    significant: bool


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant of an experiment."""

    name: str
    control: bool
    exposures: Number | None
    share: Number | None
    rate: Share | None
    """Of units that converted."""
    accuracy: Share | None
    lifts: list[Lift]


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval as it is drawn: shares of a width, from 0 to 1."""

    begin: float
    end: float
    mark: float


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is shown of one."""

    name: str
    variants: list[Variant]
    sample_ratio_p: Number | None
    """Small where the shares of the variants are not those expected: nothing else can be believed then."""

    def rate_bar(self, rate: Share | None) -> Bar | None:
        """A rate of a variant: from 0 to the highest end of all, so that the variants can be compared."""
        return _bar(rate, 0, _furthest(v.rate for v in self.variants))

    def lift_bar(self, lift: Share | None) -> Bar | None:
        """A lift: 0 is in the middle, as far from both ends as the furthest end of all."""
        furthest = _furthest(one.lift for v in self.variants for one in v.lifts)
        return _bar(lift, -furthest, furthest)


def _furthest(shares: Iterable[Share | None]) -> float:
    ends = [abs(end) for one in shares if one for end in (one.lower, one.upper) if end is not None]
    return max(filter(math.isfinite, ends), default=0) or 1


def _bar(share: Share | None, low: float, high: float) -> Bar | None:
    if share is None or share.lower is None or share.upper is None:
        return None
    return Bar(*(min(1, max(0, (end - low) / (high - low))) for end in (share.lower, share.upper, share.value)))


def experiments(metrics: Metrics) -> list[Experiment]:
    """Those that have exposures, by name."""
    found: dict[str, dict[str, None]] = {}
    for series in metrics["ab_test_exposures"]:
        found.setdefault(series.labels.get("experiment", ""), {})[series.labels.get("variant", "")] = None
    return [_experiment(metrics, name, list(found[name])) for name in sorted(found)[:MAX_EXPERIMENTS]]


def _experiment(metrics: Metrics, name: str, variants: list[str]) -> Experiment:
    shown = [_variant(metrics, name, variant) for variant in variants]
    shown.sort(key=lambda variant: (not variant.control, variant.name))
    return Experiment(name, shown, metrics.value("ab_test_sample_ratio_p_value", experiment=name))


def _variant(metrics: Metrics, experiment: str, name: str) -> Variant:
    labels = {"experiment": experiment, "variant": name}
    lifts = [
        Lift(
            outcome := series.labels.get("outcome", ""),
            share_of(metrics, "ab_test_lift", {**labels, "outcome": outcome}),
            series.value,
            bool(metrics.value("ab_test_significant", **labels, outcome=outcome)),
        )
        for series in metrics.select("ab_test_p_value", **labels)
    ]
    return Variant(
        name,
        bool(metrics.value("ab_test_control", **labels)),
        metrics.value("ab_test_exposures", **labels),
        metrics.value("ab_test_share", **labels),
        share_of(metrics, "ab_test_conversion_rate", labels),
        share_of(metrics, "ab_test_accuracy", labels),
        lifts,
    )
