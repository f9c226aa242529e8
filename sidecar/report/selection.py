"""Figures of some models only."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.serve.pages.metric_families import Metrics


def of_models(metrics: Metrics, models: Sequence[str]) -> Metrics:
    """Families that name a model of these models alone, with the services that these answer in, and nothing else; all
    where `models` is empty."""
    if not models:
        return metrics
    found = Metrics()
    for name, rows in metrics.by_name.items():
        found.by_name[name] = [series for series in rows if series.labels.get("model") in models]
    services = {series.labels.get("service", "") for series in found["model_predictions"]}
    for name in ("calls", "durations"):
        found.by_name[name] = [series for series in metrics[name] if series.labels.get("service_name") in services]
    return found
