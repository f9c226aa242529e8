"""Without a reference the first rows become one."""

from __future__ import annotations

from pathlib import Path

from support.drift_model import DriftedModel


class TestLearning:
    """Without a reference the first rows become one."""

    def test_the_first_rows_are_the_reference(self, tmp_path: Path) -> None:
        model = DriftedModel(tmp_path, reference=None, learn=1000, check_interval=60)
        for n in range(10):
            model.feed(n / 100, model.rows(100))
        assert model.shown("model_feature_observations") == {}
        for n in range(10, 30):
            model.feed(n / 100, model.rows(100, shift=8))
        model.feed(1, model.rows(1))
        assert model.value("data_drift_detected", feature="age") == 1
        assert model.value("data_drift_detected", feature="plan") == 0
        assert 'reference="learned-' in next(iter(model.shown("model_feature_reference_ratio")))
        assert model.value("model_feature_reference_rows", feature="age") == 1000

    def test_a_file_for_the_model_beats_it(self, tmp_path: Path) -> None:
        model = DriftedModel(tmp_path, learn=10)
        model.feed(0, model.rows(50))
        assert "learned" not in next(iter(model.shown("model_feature_observations")))
