"""Experiments without a difference, with one, and with unequal shares, looked at again and again.

`python -m support.experiment_simulation` in tests/ writes tests/golden/experiments/simulation.json (some minutes).

Units of a look are drawn as what they add to the counts of variants, which is what units become.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from sidecar.derive.experiments.experiment import Experiment, Tests, Variant
from sidecar.derive.experiments.inference import mixture_units
from sidecar.derive.experiments.options import ExperimentDesign, ExperimentOptions

GOLDEN = Path(__file__).parent.parent / "golden" / "experiments" / "simulation.json"
LOOKS = 100
_DEFAULT = ExperimentOptions()
ALPHA, PLANNED = _DEFAULT.alpha, _DEFAULT.planned_units
TESTS = Tests(mixture_units(PLANNED, ALPHA), ALPHA, _DEFAULT.min_units, by_user=False)
Z = 1.959964


@dataclass(frozen=True)
class Scenario:
    """An experiment that is looked at 100 times."""

    units: int
    rate: float
    """Of conversions of the control."""
    share: float = 0.5
    """Of the treatment."""
    lift: float = 0.0
    late: float = 0.0
    """Share of the outstanding conversions that do not come until the next look."""

    @property
    def design(self) -> ExperimentDesign:
        return ExperimentDesign(control="A", shares={"A": 1 - self.share, "B": self.share})


@dataclass
class Found:
    """Of one experiment: whether at any look …"""

    conversion: bool = False
    """… the p-value was at most alpha."""
    value: bool = False
    missed: bool = False
    """… the interval of the difference of rates had the true one outside."""
    lift_missed: bool = False
    naive: bool = False
    """… a z-test was significant at 5 %."""
    mismatch: bool = False


def one(rng: Generator, scenario: Scenario) -> Found:
    """One experiment from its beginning to its end."""
    experiment = Experiment(0, "x", [Variant("A"), Variant("B")])
    found, waiting = Found(), [0, 0]
    rates = (scenario.rate, scenario.rate * (1 + scenario.lift))
    for n in np.diff(np.linspace(0, scenario.units, LOOKS + 1).astype(int)).tolist():
        treated = int(rng.binomial(n, scenario.share))
        for at, (units, rate) in enumerate(zip((n - treated, treated), rates, strict=True)):
            waiting[at] += int(rng.binomial(units, rate))
            come = int(rng.binomial(waiting[at], 1 - scenario.late))
            waiting[at] -= come
            _add(experiment.variants[at], units, rng.lognormal(3, 1, come))
        _look(experiment, scenario, found)
    return found


def _add(variant: Variant, units: int, values: Any) -> None:
    variant.exposures += units
    variant.conversions += len(values)
    variant.value += float(values.sum())
    variant.squares += float((values * values).sum())


def _look(experiment: Experiment, scenario: Scenario, found: Found) -> None:
    experiment.look(scenario.design, TESTS)
    found.mismatch |= (experiment.mismatch_p() or 1) <= ALPHA
    a, b = experiment.variants
    if min(a.exposures, b.exposures) and 0 < a.conversions + b.conversions < a.exposures + b.exposures:
        share = (a.conversions + b.conversions) / (a.exposures + b.exposures)
        deviation = math.sqrt(share * (1 - share) * (1 / a.exposures + 1 / b.exposures))
        found.naive |= abs(b.conversions / b.exposures - a.conversions / a.exposures) > Z * deviation
    for comparison in experiment.comparisons(scenario.design, TESTS):
        if comparison.outcome == "value":
            found.value |= comparison.significant
            continue
        found.conversion |= comparison.significant
        low, high = comparison.evidence.difference[1:]
        found.missed |= not scenario.late and not low <= scenario.rate * scenario.lift <= high
        if comparison.evidence.lift is not None:
            found.lift_missed |= not scenario.late and not (
                comparison.evidence.lift.lower <= scenario.lift <= comparison.evidence.lift.upper
            )


def shares(scenario: Scenario, experiments: int, seed: int) -> dict[str, float]:
    """How many of so many experiments had each finding, as shares."""
    rng = np.random.default_rng(seed)
    found = [one(rng, scenario) for _ in range(experiments)]
    names = ("conversion", "value", "missed", "lift_missed", "naive", "mismatch")
    return {name: sum(getattr(each, name) for each in found) / experiments for name in names}


def units_until_mismatch(rng: Generator, share: float, most: int, level: float) -> int:
    """Units after which shares of half and half are refuted at this level where the treatment's is `share`, looked at
    every 100; `most` where that takes longer."""
    experiment, design = Experiment(0, "x", [Variant("A"), Variant("B")]), ExperimentDesign()
    for units in range(100, most + 1, 100):
        treated = int(rng.binomial(100, share))
        experiment.variants[0].exposures += 100 - treated
        experiment.variants[1].exposures += treated
        experiment.look(design, TESTS)
        if (experiment.mismatch_p() or 1) <= level:
            return units
    return most


SAME = [
    Scenario(units, rate, share)
    for units in (2_000, 10_000, 100_000)
    for rate in (0.5, 0.05, 0.005)
    for share in (0.5, 0.1)
] + [Scenario(10_000, 0.05, 0.5, late=0.9), Scenario(10_000, 0.05, 0.1, late=0.9)]
POWER = [
    Scenario(units, 0.1, 0.5, lift)
    for lift in (0.05, 0.1, 0.2, 0.3, 0.5)
    for units in (2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
]
UNEQUAL = (0.5, 0.51, 0.52, 0.55, 0.6, 0.9)


def fixed_power(scenario: Scenario) -> float:
    """Of a z-test at 5 % that is made once, at the end."""
    p0, p1 = scenario.rate, scenario.rate * (1 + scenario.lift)
    n = scenario.units / 2
    z = abs(p1 - p0) / math.sqrt((p0 * (1 - p0) + p1 * (1 - p1)) / n)
    return 0.5 * math.erfc((Z - z) / math.sqrt(2)) + 0.5 * math.erfc((Z + z) / math.sqrt(2))


def main() -> None:
    """Everything of the docs' tables."""
    rng = np.random.default_rng(12)
    written = {
        "same": [vars(scenario) | shares(scenario, 1_000, 1) for scenario in SAME],
        "power": [
            vars(scenario) | {"found": shares(scenario, 400, 2)["conversion"], "fixed": round(fixed_power(scenario), 3)}
            for scenario in POWER
        ],
        "mismatch": [
            {"share": share, "units": [units_until_mismatch(rng, share, 100_000, 0.001) for _ in range(200)]}
            for share in UNEQUAL
        ],
    }
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
