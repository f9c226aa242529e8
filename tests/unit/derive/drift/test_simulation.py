"""The rule of pages keeps its budget: what was simulated for years, and a little of it again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import drift_simulation as simulation
from support.drift_data import bins_of_numbers, live

from sidecar.derive.drift.decision import alpha, decide, score
from sidecar.derive.drift.methods.registry import method

GOLDEN = json.loads(simulation.GOLDEN.read_text("utf-8"))
PAGE = Path(__file__).resolve().parents[4] / "docs" / "decisions" / "011-when-drift-is-worth-a-page.md"


def test_at_most_one_false_page_a_year() -> None:
    pages = [found["pages"] for of in GOLDEN["false_pages"].values() for found in of.values()]
    assert len(pages) == 12
    assert max(pages) <= 1


def test_power() -> None:
    assert GOLDEN["power"]["0.5 standard deviations"]["500"]["paged"] >= 0.999
    assert GOLDEN["power"]["0.25 standard deviations"]["1000"]["certain_within_24_windows"] >= 0.999


def test_the_page_has_these_figures() -> None:
    text = PAGE.read_text("utf-8")
    for scenario, of in GOLDEN["false_pages"].items():
        for rows, found in of.items():
            assert f"| {scenario} | {int(rows):,} | {found['pages']:g} |" in text


@pytest.mark.parametrize("rows", [200, 500, 1000, 5000, 24_000])
def test_the_simulated_rule_is_that_of_the_program(rows: int) -> None:
    rng = np.random.default_rng(1)
    bins = bins_of_numbers(rng.normal(size=simulation.REFERENCE_ROWS))
    found = live(bins, rng.normal(size=rows))
    level = alpha(1.0, 3600, 100)
    assert method("psi").critical(found, level) == pytest.approx(simulation.critical(rows))
    assert GOLDEN["critical_values"][str(rows)] == pytest.approx(simulation.critical(rows), abs=1e-4)
    assert method("psi").score(found) == pytest.approx(simulation.psi(found.live_bins, found.reference_bins))


def test_half_a_standard_deviation_is_paged_at_the_first_check() -> None:
    """With 500 real values, by the whole program's rule."""
    rng = np.random.default_rng(2)
    bins = bins_of_numbers(rng.normal(size=10_000))
    psi, level = method("psi"), alpha(1.0, 3600, 100)

    def paged(shift: float) -> bool:
        return decide((score(psi, None, live(bins, rng.normal(shift, 1, 500)), level),), "psi", True).detected

    assert sum(paged(0.5) for _ in range(300)) >= 299
    assert sum(paged(0.0) for _ in range(300)) == 0
