"""The rule of pages keeps its budget: what was simulated for years, and a little of it again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import drift_simulation as simulation
from support.drift_data import bins_of_numbers, live

from sidecar.derive.drift.decision import alpha, decide, score
from sidecar.derive.drift.methods import likelihood_ratio
from sidecar.derive.drift.methods.registry import METHODS, method

GOLDEN = json.loads(simulation.GOLDEN.read_text("utf-8"))
PAGE = Path(__file__).resolve().parents[4] / "docs" / "decisions" / "011-when-drift-is-worth-a-page.md"
PAGES = GOLDEN["pages_a_year"]


@pytest.mark.parametrize("scenario", simulation.SCENARIOS)
@pytest.mark.parametrize("rows", simulation.ROWS)
def test_at_most_one_false_page_a_year(scenario: str, rows: int) -> None:
    """Whichever method decides."""
    found = PAGES[scenario][str(rows)]
    with_cells = rows in simulation.FEW and scenario != "rare categories"
    names = [one.name for one in METHODS if with_cells or one.name in simulation.OF_BINS]
    assert max(found[name] for name in names) <= 1


@pytest.mark.parametrize("scenario", simulation.LAGS)
def test_at_most_one_false_page_a_year_beside_another_window(scenario: str) -> None:
    assert max(PAGES[scenario]["504"][name] for name in simulation.OF_BINS) <= 1


def test_power() -> None:
    for rows in ("500", "1000", "5000"):
        assert GOLDEN["power"]["0.5"][rows]["psi"]["paged"] >= 0.999
    assert GOLDEN["certain_within_24_checks"]["0.5"]["504"]["from its beginning"] >= 0.999


def test_the_page_has_these_figures() -> None:
    text = PAGE.read_text("utf-8")
    for table in simulation.tables(GOLDEN):
        assert table in text


@pytest.mark.parametrize("rows", [96, 200, 500, 5000, 24_000])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_simulated_rule_is_that_of_the_program(rows: int, shift: float) -> None:
    rng = np.random.default_rng(1)
    bins = bins_of_numbers(rng.normal(size=simulation.REFERENCE_ROWS))
    found = live(bins, rng.normal(shift, 1, size=rows))
    level = alpha(1.0, 3600, 100)
    reference, counts = found.reference_bins[None, :], found.live_bins[None, :]
    statistic, limit = simulation.certainty(counts, reference)
    assert likelihood_ratio.statistic(found) == pytest.approx(statistic[0], rel=1e-9, abs=1e-7)
    assert likelihood_ratio.limit(found, level) == pytest.approx(limit[0], rel=1e-9)
    of_bins = simulation.scores_of_bins(counts, reference)
    for name in simulation.OF_BINS:
        assert method(name).score(found) == pytest.approx(of_bins[name][0], rel=1e-9), name


def test_the_simulated_methods_of_cells_are_those_of_the_program() -> None:
    rng = np.random.default_rng(4)
    reference, counts = (rng.multinomial(rows, simulation.shares()) for rows in (10_000, 500))
    found = simulation.comparison(counts, reference)
    of_cells = simulation.scores_of_cells(counts[None, :], reference[None, :])
    assert method("ks").score(found) == pytest.approx(of_cells["ks"][0])
    assert method("wasserstein").score(found) == pytest.approx(of_cells["wasserstein"][0], rel=0.05)


@pytest.mark.parametrize("scenario", ["daily cycle", "rare categories", "previous window"])
def test_a_fortnight_without_a_change_again(scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "HOURS", 14 * 24)
    found = simulation.a_year((1,), 504, scenario, cells=False)
    assert [found[name] for name in simulation.OF_BINS] == [0, 0, 0]
    assert found[simulation.FIVE_PERCENT] > 20


def test_half_a_standard_deviation_is_paged_at_the_first_check() -> None:
    """With 500 real values, by the whole program's rule."""
    rng = np.random.default_rng(2)
    bins = bins_of_numbers(rng.normal(size=10_000))
    psi, level = method("psi"), alpha(1.0, 3600, 100)

    def paged(shift: float) -> bool:
        return decide((score(psi, None, live(bins, rng.normal(shift, 1, 500)), level),), "psi", True).detected

    assert sum(paged(0.5) for _ in range(300)) >= 299
    assert sum(paged(0.0) for _ in range(300)) == 0
