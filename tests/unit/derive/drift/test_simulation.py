"""The rule of pages keeps its budget: what was simulated for years, and a little of it again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from support import drift_simulation as simulation
from support.drift_data import bins_of_numbers, live
from support.drift_tables import FIVE_PERCENT, OF_BINS, SLOW, tables

from sidecar.derive.drift import slow_change
from sidecar.derive.drift.decision import alpha, decide, score
from sidecar.derive.drift.long_window import LongWindow
from sidecar.derive.drift.methods import likelihood_ratio
from sidecar.derive.drift.methods.registry import METHODS, method

GOLDEN = json.loads(simulation.GOLDEN.read_text("utf-8"))
PAGES = GOLDEN["pages_a_year"]


@pytest.mark.parametrize("scenario", simulation.SCENARIOS)
@pytest.mark.parametrize("rows", simulation.ROWS)
def test_at_most_one_false_page_a_year(scenario: str, rows: int) -> None:
    """Whichever method decides."""
    found = PAGES[scenario][str(rows)]
    with_cells = rows in simulation.FEW and scenario != "rare categories"
    names = [one.name for one in METHODS if with_cells or one.name in OF_BINS]
    assert max(found[name] for name in names) <= 1


@pytest.mark.parametrize("scenario", [*simulation.LAGS, *simulation.FEW_IN_REFERENCE])
def test_at_most_one_false_page_a_year_beside_few_rows(scenario: str) -> None:
    for found in PAGES[scenario].values():
        assert max(found[name] for name in OF_BINS) <= 1


@pytest.mark.parametrize("scenario", [*simulation.SCENARIOS, *simulation.FEW_IN_REFERENCE])
def test_slow_changes_are_wrong_once_a_month_at_most(scenario: str) -> None:
    for found in PAGES[scenario].values():
        assert found[SLOW] <= slow_change.FOR_EACH_PAGE


def test_power() -> None:
    for rows in ("500", "1000", "5000"):
        assert GOLDEN["power"]["0.5"][rows]["psi"]["paged"] >= 0.999
    within = GOLDEN["within_24_checks"]
    assert within["0.5"]["504"]["certain"] >= 0.999
    assert within["0.25"]["1008"][SLOW] >= 0.995
    assert within["0.25"]["1008"]["certain"] < 0.8
    assert GOLDEN["days_until_reported"]["0.25, at once"]["96"]["14"] >= 0.99


@pytest.mark.parametrize("page", tables(GOLDEN), ids=lambda page: page.name)
def test_the_pages_have_these_figures(page: Path) -> None:
    text = page.read_text("utf-8")
    for table in tables(GOLDEN)[page]:
        assert table in text


@pytest.mark.parametrize("rows", [96, 200, 500, 5000, 24_000])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_simulated_rule_is_that_of_the_program(rows: int, shift: float) -> None:
    rng = np.random.default_rng(1)
    bins = bins_of_numbers(rng.normal(size=simulation.REFERENCE_ROWS))
    found = live(bins, rng.normal(shift, 1, size=rows))
    level = alpha(1.0, 3600, 100)
    reference, counts = found.reference_bins[None, :], found.live_bins[None, :]
    simulated = simulation.compared(counts[None], reference)
    assert likelihood_ratio.statistic(counts, reference)[0] == pytest.approx(simulated.statistic[0, 0], abs=1e-7)
    assert simulated.above(level)[0, 0] == (simulated.statistic[0, 0] > stats.chi2.isf(level, bins.bins - 1))
    of_bins = simulation.scores_of_bins(counts, reference)
    for name in OF_BINS:
        assert method(name).score(found) == pytest.approx(of_bins[name][0], rel=1e-9), name


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.3])
def test_the_simulated_rules_are_those_of_the_program(shift: float) -> None:
    """Of windows of 504 rows one by one, and of a fortnight of them."""
    rng = np.random.default_rng(3)
    reference = simulation.bins(rng.multinomial(10_000, simulation.shares(), size=50))
    live = simulation.bins(rng.multinomial(504, simulation.shares(shift), size=(14, 50)))
    found = simulation.compared(live, reference)
    scores = slow_change.normal_scores(reference)
    certain = likelihood_ratio.statistic(live, reference) > likelihood_ratio.limit(live, reference, simulation.LEVEL)
    effect = simulation.scores_of_bins(live, reference)["psi"] > 0.1
    assert (simulation.detections(found, usual=False)["psi"] == (certain & effect)).all()
    past = LongWindow()
    for place, slow in enumerate(simulation.slow_in_windows(found, scores)):
        past.push(live[place])
        for column in range(50):
            of = slow_change.Windows([(1, live[place, column])], reference[column], True)
            (now,) = slow_change.find([of], simulation.SLOW_LEVEL)
            assert now is not None
            assert now.detected == slow[column]
    together = simulation.slow_in_the_past(past, reference, scores)
    columns = [
        slow_change.Windows([(windows, counts[column]) for windows, counts in past.recent()], reference[column], True)
        for column in range(50)
    ]
    for column, one in enumerate(slow_change.find(columns, simulation.SLOW_LEVEL)):
        assert one is not None
        assert one.detected == together[column]
    assert together.any() == (shift > 0)


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
    found = simulation.a_year((1,), 504, scenario, usual=True)
    assert [found[name] for name in OF_BINS] == [0, 0, 0]
    assert found[FIVE_PERCENT] > 20


def test_half_a_standard_deviation_is_paged_at_the_first_check() -> None:
    """With 500 real values, by the whole program's rule."""
    rng = np.random.default_rng(2)
    bins = bins_of_numbers(rng.normal(size=10_000))
    psi, level = method("psi"), alpha(1.0, 3600, 100)

    def paged(shift: float) -> bool:
        return decide((score(psi, None, live(bins, rng.normal(shift, 1, 500)), level),), "psi", True).detected

    assert sum(paged(0.5) for _ in range(300)) >= 299
    assert sum(paged(0.0) for _ in range(300)) == 0
