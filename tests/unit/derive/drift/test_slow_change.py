"""Changes that are found by adding windows up: the tests, the decision, and what a deriver makes of it over days."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats
from support.derive_fakes import lines
from support.drift_data import HOUR, START, at, event_request, reference

from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.drift import slow_change
from sidecar.derive.drift.deriver import DriftDeriver
from sidecar.derive.drift.methods import likelihood_ratio
from sidecar.derive.drift.options import DriftOptions
from sidecar.derive.drift.slow_change import EFFECT, SlowChange, Windows, limit_of_move, moved, normal_scores
from sidecar.derive.series import Budget

DECODER = ReferenceDecoder()
DAY = 24 * HOUR
MIDNIGHT = START // DAY * DAY
LEVEL = slow_change.alpha(1.0, 3600, 86_400, 100)
REFERENCE = np.full(20, 500)


def shifted(rows: int, shift: float) -> Any:
    """Expected rows of 20 bins of a normal distribution that has moved."""
    ends = stats.norm.cdf(stats.norm.ppf(np.arange(21) / 20) - shift)
    return np.diff(np.rint(ends * rows)).astype(np.int64)


def find(recent: Sequence[tuple[int, Any]], before: Any, numeric: bool = True) -> SlowChange | None:
    """What is found in one column."""
    (found,) = slow_change.find([Windows(recent, before, numeric)], LEVEL)
    return found


class TestMoved:
    def test_is_the_likelihood_ratio_of_tilts(self) -> None:
        rng = np.random.default_rng(3)
        live, before = rng.multinomial(300, rng.dirichlet(np.ones(12))), rng.multinomial(700, np.full(12, 1 / 12))
        scores = normal_scores(before)
        shares = (live + before) / 1000

        def exponent(counts: Any) -> float:
            mean = float(counts @ scores / counts.sum())

            def lost(tilt: float) -> float:
                return -(tilt * mean - math.log(float(shares @ np.exp(tilt * scores))))

            return float(counts.sum() * -optimize.minimize_scalar(lost, tol=1e-12).fun)

        assert moved(live, before, scores) == pytest.approx(2 * (exponent(live) + exponent(before)), rel=1e-6)

    def test_of_two_bins_it_is_g_squared(self) -> None:
        live, before = np.array([70, 30]), np.array([5000, 5000])
        expected = likelihood_ratio.statistic(live, before)
        assert moved(live, before, normal_scores(before)) == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("shift", [-0.5, -0.1, 0.1, 0.25])
    def test_its_root_is_the_shift_of_normal_values(self, shift: float) -> None:
        live = shifted(100_000, shift)
        statistic = float(moved(live, REFERENCE * 1000, normal_scores(REFERENCE)))
        assert math.sqrt(statistic * (1 / 1e5 + 1 / 1e7)) == pytest.approx(abs(shift), rel=0.03)

    @pytest.mark.parametrize("live", [[40, 0, 0], [0, 0, 40], [0, 40, 0], [1, 0, 0]])
    def test_all_in_one_bin(self, live: list[int]) -> None:
        before = np.array([10, 10, 10])
        assert 0 <= moved(np.array(live), before, normal_scores(before)) < 100
        alone = np.array([0, 40, 0])
        assert moved(alone, alone, normal_scores(alone)) == 0

    @pytest.mark.parametrize(("n", "m"), [(96, 10_000), (500, 500), (5000, 200)])
    @pytest.mark.parametrize("shares", [np.full(20, 0.05), np.array([0.99, 0.01]), np.arange(1, 21) ** -1.5])
    def test_without_a_change_it_is_rarely_large(self, n: int, m: int, shares: Any) -> None:
        rng = np.random.default_rng(n)
        live, before = (rng.multinomial(rows, shares / shares.sum(), size=20_000) for rows in (n, m))
        scores = normal_scores(np.broadcast_to(shares / shares.sum() * m, before.shape))
        found = moved(live, before, scores)
        assert np.mean(found > limit_of_move(live, before, scores, 1e-2)) < 1.25e-2
        assert np.mean(found > limit_of_move(live, before, scores, 1e-3)) < 1.8e-3

    def test_the_limit_of_two_bins_is_that_of_g_squared(self) -> None:
        live, before = np.array([485, 15]), np.array([490, 10])
        expected = likelihood_ratio.limit(live, before, 1e-4) / stats.chi2.isf(1e-4, 1) - 1
        found = limit_of_move(live, before, normal_scores(before), 1e-4) / stats.chi2.isf(1e-4, 1) - 1
        assert found == pytest.approx(expected, rel=0.05)
        assert found > 0.03


class TestFind:
    def test_a_quarter_of_a_deviation_in_one_window_of_a_thousand(self) -> None:
        found = find([(1, shifted(1000, 0.25))], REFERENCE)
        assert found is not None
        assert found.detected
        assert (found.windows, found.score) == (1, pytest.approx(0.25, abs=0.02))

    def test_the_same_of_few_rows_takes_many_windows(self) -> None:
        days = [(n, shifted(100 * n, 0.25)) for n in (1, 2, 4, 8, 16)]
        found = find(days, REFERENCE)
        assert found is not None
        assert found.detected
        assert found.windows > 4
        one = find(days[:1], REFERENCE)
        assert one is not None
        assert not one.detected

    def test_what_is_smaller_than_an_effect_is_never_reported(self) -> None:
        found = find([(16, shifted(10**7, 0.09))], REFERENCE * 10**5)
        assert found is not None
        assert found.limit == EFFECT
        assert not found.detected

    def test_the_error_of_a_small_reference_is_in_the_limit(self) -> None:
        live = shifted(10**6, 0.25)
        found = find([(16, live)], np.full(20, 10))
        assert found is not None
        assert not found.detected
        assert found.limit > 4.5 / math.sqrt(200)

    def test_a_past_change_is_over_when_newer_windows_are_as_in_the_reference(self) -> None:
        past = [(4, shifted(40_000, 0.3))]
        still = find([(1, shifted(10_000, 0.3)), *past], REFERENCE)
        over = find([(1, shifted(10_000, 0.0)), *past], REFERENCE)
        unknown = find([(1, shifted(100, 0.0)), *past], REFERENCE)
        assert still is not None
        assert over is not None
        assert unknown is not None
        assert (still.detected, over.detected, unknown.detected) == (True, False, True)

    def test_categories_by_their_bins_only(self) -> None:
        before = np.array([6000, 3000, 1000])
        found = find([(1, np.array([500, 400, 100]))], before, False)
        assert found is not None
        assert found.detected
        same = find([(1, np.array([600, 300, 100]))], before, False)
        assert same is not None
        assert same.score < 0.01

    def test_nothing_is_said_of_a_handful_of_rows(self) -> None:
        assert find([], REFERENCE) is None
        assert find([(1, shifted(20, 3.0))], REFERENCE) is None
        assert find([(1, shifted(1000, 3.0))], REFERENCE * 0) is None


def test_many_columns_are_as_each_by_itself() -> None:
    """Whatever is computed with what: columns of other bins, of categories, and without rows."""
    rng = np.random.default_rng(5)
    columns = []
    for n in range(40):
        before = rng.integers(0, 900, rng.choice([2, 3, 20]))
        recent = [(days, rng.integers(0, 90 * days, len(before))) for days in (1, 2, 4)[: rng.integers(0, 4)]]
        columns.append(Windows(recent, before * (n % 9 > 0), bool(rng.integers(2))))
    together = slow_change.find(columns, LEVEL)
    assert sum(one is None for one in together) > 5
    for column, found in zip(columns, together, strict=True):
        alone = find(*column)
        assert (found is None) == (alone is None)
        if found is not None and alone is not None:
            assert found.windows == alone.windows
            assert (found.score, found.limit) == pytest.approx((alone.score, alone.limit), rel=1e-9)


def test_more_columns_and_checks_ask_for_more_certainty() -> None:
    assert slow_change.alpha(1, 3600, 86_400, 100) == pytest.approx(12 / ((8766 + 365.25 * 9) * 100))
    assert slow_change.alpha(1, 60, 86_400, 100) < slow_change.alpha(1, 3600, 86_400, 100)
    assert slow_change.alpha(1000, 86_400, 86_400, 1) == 0.5


class Days:
    """A deriver that is fed for days, some rows an hour."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.rng = np.random.default_rng(5)
        self.file = path / "reference.json"
        self.write(0.0)
        self.given: dict[str, Any] = {"reference": self.file, **options}
        self.deriver = self.begun()
        self.hour = 0

    def write(self, mean: float) -> None:
        columns = {"age": self.rng.normal(mean, 1, 10_000), "plan": self.rng.choice(["a", "b"], 10_000).tolist()}
        self.file.write_text(reference(columns, "churn").dump())

    def begun(self) -> DriftDeriver:
        return DriftDeriver(DriftOptions(**self.given), Budget())

    def pass_days(self, days: float, rows: int, shift: float = 0.0) -> None:
        """`rows` an hour."""
        for _ in range(round(24 * days)):
            ages, plans = self.rng.normal(shift, 1, rows).tolist(), self.rng.choice(["a", "b"], rows).tolist()
            payload = event_request({"age": ages, "plan": plans})
            self.deriver.apply(self.deriver.decode(DECODER, [payload]), at(MIDNIGHT + self.hour * HOUR))
            self.hour += 1

    def figures(self, feature: str = "age") -> Mapping[str, float]:
        """What is shown of slow changes, without `data_drift_slow_`."""
        return {
            key.split("{")[0].removeprefix("data_drift_slow_"): float(value)
            for key, value in lines(list(self.deriver.collect())).items()
            if key.startswith("data_drift_slow_") and f'feature="{feature}"' in key
        }

    def restart(self) -> None:
        kept = {key: value for key, value in self.deriver.checkpoint() if value is not None}
        self.deriver = self.begun()
        self.deriver.restore(kept)


class TestDays:
    def test_a_small_change_is_reported_within_24_checks_and_does_not_page(self, tmp_path: Path) -> None:
        days = Days(tmp_path)
        days.pass_days(3.4, 42)
        assert days.figures()["detected"] == 0
        days.pass_days(1, 42, 0.25)
        days.pass_days(1 / 24, 42, 0.25)
        assert days.figures()["detected"] == 1
        assert days.figures("plan")["detected"] == 0
        shown = lines(list(days.deriver.collect()))
        assert {value for key, value in shown.items() if key.startswith("data_drift_detected")} == {"0"}
        (model,) = days.deriver.status()["models"]
        assert (model["slow_changes"], model["detected"], model["checked_columns"]) == (["age"], [], 2)

    def test_few_rows_a_day_are_added_up_and_kept_across_a_restart(self, tmp_path: Path) -> None:
        days = Days(tmp_path)
        days.pass_days(2, 4)
        days.pass_days(10, 4, 0.3)
        before = days.figures()
        assert before["detected"] == 1
        assert before["windows"] > 2
        days.restart()
        assert days.figures() == before
        days.pass_days(1, 4, 0.3)
        assert days.figures()["detected"] == 1

    @pytest.mark.parametrize(("first", "detected"), [(0, 1), (6, 0)])
    def test_the_first_window_is_added_up_only_where_it_is_whole(
        self, tmp_path: Path, first: int, detected: int
    ) -> None:
        days = Days(tmp_path)
        days.hour = first
        days.pass_days((24 - first) / 24, 3, 2.0)
        days.pass_days(1.1, 3)
        assert days.figures()["detected"] == detected

    def test_a_changed_reference_begins_with_nothing(self, tmp_path: Path) -> None:
        days = Days(tmp_path)
        days.pass_days(4.1, 42, 0.3)
        assert days.figures()["detected"] == 1
        kept = [key for key, value in days.deriver.checkpoint() if value is not None]
        days.write(0.3)
        days.deriver.reload()
        deleted = [key for key, value in days.deriver.checkpoint() if value is None]
        assert set(kept) <= set(deleted)
        assert not days.figures()
        days.pass_days(3, 42, 0.3)
        assert days.figures()["detected"] == 0

    @pytest.mark.parametrize("options", [{"window": 86_400, "sub_windows": 12}, {"window": 43_200, "sub_windows": 12}])
    def test_windows_of_another_length_are_not_mixed(self, tmp_path: Path, options: dict[str, Any]) -> None:
        days = Days(tmp_path)
        days.pass_days(5.1, 10, 0.5)
        days.given.update(options)
        days.restart()
        assert "windows" not in days.figures()

    def test_a_learnt_reference_has_its_error_and_survives(self, tmp_path: Path) -> None:
        days = Days(tmp_path, reference=None, learn=500)
        days.pass_days(8, 100)
        assert days.figures()["detected"] == 0
        assert days.figures()["limit"] > 4.5 / math.sqrt(500)
        days.restart()
        days.pass_days(4, 100, 0.5)
        assert days.figures()["detected"] == 1

    @pytest.mark.parametrize("compare_with", ["previous_window", "same_window_last_week"])
    def test_only_beside_the_reference(self, tmp_path: Path, compare_with: str) -> None:
        days = Days(tmp_path, compare_with=compare_with, warm_up=0)
        days.pass_days(9, 5, 0.5)
        assert not days.figures()

    def test_a_daily_cycle_is_no_change(self, tmp_path: Path) -> None:
        days = Days(tmp_path)
        cycle: Sequence[float] = [0.5 * math.sin(2 * math.pi * hour / 24) for hour in range(24)]
        for hour in range(24 * 6):
            days.pass_days(1 / 24, 200, cycle[hour % 24])
        assert days.figures()["detected"] == 0

    def test_any_kill_gives_the_same(self, tmp_path: Path) -> None:
        """What was not committed is read again."""
        moments = random.Random(7)

        def fed(kill: bool) -> list[Mapping[str, float]]:
            days = Days(tmp_path)
            committed: dict[bytes, bytes] = {}
            found, at_commit, begun = [], (0, days.rng.bit_generator.state), False
            while days.hour < 24 * 9:
                days.pass_days(1 / 24, 20, 0.3 if days.hour > 60 else 0.0)
                if moments.random() < 0.2:
                    for key, value in days.deriver.checkpoint():
                        if value is None:
                            committed.pop(key, None)
                        else:
                            committed[key] = value
                    at_commit, begun = (days.hour, days.rng.bit_generator.state), True
                if kill and begun and moments.random() < 0.1:
                    days.deriver = days.begun()
                    days.deriver.restore(committed)
                    days.hour, days.rng.bit_generator.state = at_commit
                    kill = moments.random() < 0.97
            found.append(days.figures())
            return found

        expected = fed(False)
        assert expected[0]["detected"] == 1
        assert expected[0]["windows"] > 1
        for _ in range(2):
            assert fed(True) == expected
