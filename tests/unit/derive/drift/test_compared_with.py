"""Live values beside other windows than the reference."""

from __future__ import annotations

from pathlib import Path

from support.drift_model import DriftedModel

from sidecar.derive.drift.deriver import FEATURE_BYTES, SUB_WINDOW_BYTES
from sidecar.derive.drift.options import DriftOptions


class TestComparedWith:
    """Other windows than the reference."""

    def feed(self, model: DriftedModel, hours: range, shift: float = 0.0, rows: int = 300) -> None:
        for hour in hours:
            model.feed(hour, model.rows(rows, shift))

    def detected(self, model: DriftedModel) -> tuple[float | None, float | None]:
        return tuple(model.value("data_drift_detected", feature=name) for name in ("age", "plan"))  # type: ignore[return-value]

    def test_the_previous_window(self, tmp_path: Path) -> None:
        model = DriftedModel(tmp_path, compare_with="previous_window", window=6 * 3600, sub_windows=6, warm_up=None)
        self.feed(model, range(6), 8)  # Not as in the reference: that is of no account.
        assert model.value("data_drift_score", feature="age", method="psi") is None
        self.feed(model, range(6, 12), 8)
        assert model.value("data_drift_insufficient_data", feature="age") == 1  # Not covered yet.
        self.feed(model, range(12, 14), 8)
        assert self.detected(model) == (0, 0)
        assert model.value("data_drift_insufficient_data", feature="age") == 0
        assert model.value("data_drift_samples", feature="age") == 6 * 300
        self.feed(model, range(14, 21))
        assert self.detected(model) == (1, 0)
        self.feed(model, range(21, 28))
        assert self.detected(model) == (0, 0)
        labels = next(iter(model.shown("data_drift_score{")))
        assert 'compared_with="previous_window"' in labels

    def test_its_rows_are_shown(self, tmp_path: Path) -> None:
        model = DriftedModel(tmp_path, compare_with="previous_window", window=6 * 3600, sub_windows=6)
        self.feed(model, range(6), 8, 100)
        self.feed(model, range(6, 13), 0, 70)
        window, before = model.shown("model_feature_window_rows{"), model.shown("model_feature_baseline_rows{")
        assert {key.split("{")[1] for key in window} == {key.split("{")[1] for key in before}
        assert sum(n for key, n in window.items() if 'feature="age"' in key) == 6 * 70
        assert sum(n for key, n in before.items() if 'feature="age"' in key) == 6 * 100

    def test_last_week(self, tmp_path: Path) -> None:
        """Weekends are others, and are no drift; what is other than last week's is."""
        model = DriftedModel(tmp_path, compare_with="same_window_last_week", sub_windows=4, warm_up=None)

        def day(number: int, extra: float = 0.0) -> None:
            for hour in range(number * 24, number * 24 + 24, 6):
                model.feed(hour, model.rows(400, 6.0 * (number % 7 >= 5) + extra))

        for number in range(8):
            day(number)
            assert 1 not in self.detected(model)
        for number in range(8, 16):
            day(number)
            assert self.detected(model) == (0, 0)
        assert model.value("data_drift_insufficient_data", feature="age") == 0
        day(16, 6.0)
        day(17, 6.0)
        assert self.detected(model) == (1, 0)

    def test_memory_is_within_what_is_reckoned(self, tmp_path: Path) -> None:
        options = DriftOptions(reference=tmp_path, compare_with="same_window_last_week")
        assert options.lag == 168
        model = DriftedModel(tmp_path, compare_with="same_window_last_week")
        self.feed(model, range(220), rows=200)
        (state,) = model.deriver.models.values()
        list(model.deriver.checkpoint())
        assert max(len(window.kept()) for window in state.windows.values()) <= 168 + 24
        taken = max(window.memory_bytes() for window in state.windows.values())
        assert 20_000 < taken <= FEATURE_BYTES + 168 * SUB_WINDOW_BYTES

    def test_without_a_lag_nothing_is_kept_beyond_the_window(self, model: DriftedModel) -> None:
        self.feed(model, range(60), rows=5)
        list(model.deriver.checkpoint())
        (state,) = model.deriver.models.values()
        assert max(len(window.kept()) for window in state.windows.values()) <= 24
        assert not model.shown("model_feature_baseline_rows")
