from __future__ import annotations

from pathlib import Path

from sidecar.config import loader
from sidecar.derive.registry import DERIVERS, DeriveOptions, memory_bound_bytes


def test_options_by_the_names_that_they_had(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text("derive:\n  passthrough: {enabled: false}\n  checkpoint_seconds: 7\n")
    settings = loader.load({}, file)
    assert not settings.derive.section("otlp_metrics").enabled
    assert settings.derive.checkpoint_interval == 7
    environ = {"SIDECAR_DERIVE__PASSTHROUGH__ENABLED": "false", "SIDECAR_DERIVE__CHECKPOINT_SECONDS": "0.5"}
    settings = loader.load(environ)
    assert not settings.derive.section("otlp_metrics").enabled
    assert settings.derive.checkpoint_interval == 0.5
    assert {r.new for r in settings.renamed} == {"derive.otlp_metrics.enabled", "derive.checkpoint_interval"}


def test_durations_have_units() -> None:
    environ = {"SIDECAR_DERIVE__SERIES_TTL": "2h", "SIDECAR_DERIVE__PREDICTIONS__RESPONSE_TIMEOUT": "1m30s"}
    derive = loader.load(environ).derive
    assert (derive.series_ttl, derive.section("predictions").response_timeout) == (7200, 90)


def test_the_memory_bound_grows_with_the_budget_and_with_buckets() -> None:
    small = DeriveOptions(series_budget=10)
    wide = DeriveOptions.model_validate({"series_budget": 10, "red": {"buckets": list(range(1, 101))}})
    bound = memory_bound_bytes(small, DERIVERS)
    assert memory_bound_bytes(wide, DERIVERS) - bound == 10 * 48 * (100 - 16)
    assert memory_bound_bytes(DeriveOptions(series_budget=20), DERIVERS) > bound
