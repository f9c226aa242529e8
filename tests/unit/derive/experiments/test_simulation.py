"""False positives and power of what experiments conclude: what was simulated at length, and some of it again."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import numpy as np
import pytest
from support import experiment_simulation as simulation
from support.experiment_simulation import Scenario, shares

GOLDEN = json.loads(simulation.GOLDEN.read_text("utf-8"))
PAGE = Path(__file__).resolve().parents[4] / "docs" / "decisions" / "023-looking-at-experiments-all-the-time.md"


@pytest.mark.slow
def test_false_positives_of_a_thousand_experiments() -> None:
    """1,000 experiments of two equal variants, each looked at 100 times."""
    found = shares(Scenario(10_000, 0.5), 1_000, 7)
    assert 0.001 <= found["conversion"] <= 0.05
    assert found["missed"] <= 0.05
    assert found["lift_missed"] <= 0.05
    assert found["mismatch"] <= 0.05
    assert found["naive"] > 0.25


def test_false_positives_that_were_simulated() -> None:
    assert len(GOLDEN["same"]) == 20
    for scenario in GOLDEN["same"]:
        for name in ("conversion", "value", "missed", "lift_missed", "mismatch"):
            assert scenario[name] <= 0.05, (name, scenario)


@pytest.mark.parametrize(("lift", "least"), [(0.3, 0.75), (0.5, 0.99)])
def test_power(lift: float, least: float) -> None:
    assert shares(Scenario(10_000, 0.1, lift=lift), 60, 3)["conversion"] >= least - 0.1
    (simulated,) = [one for one in GOLDEN["power"] if one["lift"] == lift and one["units"] == 10_000]
    assert simulated["found"] >= least


def test_a_mismatch_is_caught() -> None:
    rng = np.random.default_rng(1)
    assert max(simulation.units_until_mismatch(rng, 0.9, 10_000, 0.001) for _ in range(50)) <= 500
    assert max(simulation.units_until_mismatch(rng, 0.6, 10_000, 0.001) for _ in range(50)) <= 5_000
    of = {one["share"]: one["units"] for one in GOLDEN["mismatch"]}
    assert sum(units < 100_000 for units in of[0.5]) <= 0.001 * 200 + 1
    assert max(of[0.55]) < 20_000


def test_the_page_has_these_figures() -> None:
    text = PAGE.read_text("utf-8")
    for one in GOLDEN["same"]:
        figures = (f"{100 * one[name]:.1f}" for name in ("conversion", "value", "missed", "mismatch", "naive"))
        late = " late" if one["late"] else ""
        row = f"| {one['units']:,}{late} | {one['rate']:g} | {one['share']:g} | {' | '.join(figures)} |"
        assert row in text
    for lift in sorted({one["lift"] for one in GOLDEN["power"]}):
        own = [one for one in GOLDEN["power"] if one["lift"] == lift]
        row = " | ".join(f"{100 * one['found']:.0f} ({100 * one['fixed']:.0f})" for one in own)
        assert f"| {100 * lift:g} % | {row} |" in text
    for one in GOLDEN["mismatch"]:
        found = sum(units < 100_000 for units in one["units"]) / len(one["units"])
        assert f"| {100 * one['share']:g} % | {statistics.median(one['units']):,.0f} | {100 * found:.1f} |" in text
