"""What monitoring/build.py makes, its alerts as values, and the names of metrics that there are today."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sidecar.derive.families import FamilySnapshot
from sidecar.derive.registry import DERIVERS, DeriveOptions, families
from sidecar.telemetry import TABLE, Telemetry

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "monitoring"
PROMETHEUS = MONITORING / "prometheus"
LEGACY: Mapping[str, tuple[str, ...]] = {
    "model_accuracy": ("model_id", "version"),
    "model_accuracy_score": ("model", "version"),
    "prediction_duration_seconds_bucket": ("model", "version"),
    "model_predictions_total": ("model", "version", "status"),
    "prediction_requests_total": ("model", "status"),
    "model_predictions_by_class": ("model", "class"),
    "data_drift_score": ("model", "feature", "model_id", "feature_group"),
    "drift_score": ("attribute",),
    "http_requests_total": ("service", "status", "method", "endpoint"),
    "ab_test_conversions": ("experiment", "variant"),
    **dict.fromkeys((
        "model_latency_seconds_bucket", "model_inference_latency_seconds_bucket", "model_confidence_score",
        "api_requests_total", "api_request_latency_seconds_bucket", "http_request_duration_seconds_bucket",
        "model_loaded", "cache_size", "images_processed_total", "ml_revenue_impact_daily",
        "automation_cost_savings_daily", "customer_satisfaction_score", "platform_active_users",
        "database_connections_active", "redis_cache_hits_total", "redis_cache_misses_total", "mlflow_server_up",
    ), ()),
}  # fmt: skip
"""Names that existing dashboards ask for, of histograms those of their buckets -> labels that they ask for."""
_SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("_sum", "_count"),
    "info": ("_info",),
}


@cache
def build() -> Any:
    """The module monitoring/build.py."""
    sys.path.insert(0, str(MONITORING))
    try:
        return importlib.import_module("build")
    finally:
        sys.path.remove(str(MONITORING))


@cache
def made() -> dict[Path, str]:
    """Path from the root -> text of every file that build.py makes."""
    files: dict[Path, str] = build().files()
    return files


def alerts() -> list[Any]:
    """The alerts, as monitoring/generator/alerts.py has them."""
    found: list[Any] = build().alerts.load(build().text.thresholds())
    return found


def metrics_named(expr: str) -> set[str]:
    """Names of the metrics in an expression of ours."""
    names: set[str] = build().rules.metrics_named(expr)
    return names


def recorded() -> dict[str, str]:
    """Recorded name -> its expression."""
    return {
        rule["record"]: rule["expr"]
        for path in sorted((PROMETHEUS / "rules").glob("recording-*.yml"))
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
        for rule in group["rules"]
    }


def exporters() -> dict[str, list[str]]:
    """Exporter -> names of its metrics that are used."""
    found: dict[str, list[str]] = yaml.safe_load((MONITORING / "exporters.yaml").read_text("utf-8"))
    return found


@cache
def shown_by_the_sidecar() -> frozenset[str]:
    """Names of series on a sidecar's /metrics with everything switched on: derived ones and its own."""
    telemetry = Telemetry()
    names = {"target_info"}
    for family in families(DeriveOptions(), DERIVERS, telemetry):
        names |= _series(family)
    for metric in TABLE:
        names |= {metric.name + suffix for suffix in (_SUFFIXES["histogram"] if metric.kind == "histogram" else ("",))}
    return frozenset(names)


def _series(family: FamilySnapshot) -> set[str]:
    name = family.name.removesuffix("_total")
    return {name + suffix for suffix in _SUFFIXES.get(family.kind, ("",))}


@cache
def made_dashboards() -> dict[Path, str]:
    """Path from the root -> text of every dashboard that build_dashboards.py makes, with the program's copies."""
    sys.path.insert(0, str(MONITORING))
    try:
        files: dict[Path, str] = importlib.import_module("build_dashboards").files()
    finally:
        sys.path.remove(str(MONITORING))
    return files


def dashboards() -> dict[str, Any]:
    """uid -> the committed dashboard."""
    paths = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
    return {path.stem: json.loads(path.read_text("utf-8")) for path in paths}


def panels() -> list[tuple[str, str, str]]:
    """(dashboard and panel, panel's type, expression) of every query."""
    return [
        (f"{uid}: {panel['title']}", panel["type"], target["expr"])
        for uid, board in dashboards().items()
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ]


def asked(expr: str) -> str:
    """An expression of a panel with `All` chosen, for a range of a few minutes."""
    expr = expr.replace("$__rate_interval", "1m")
    return re.sub(r"\$\w+", ".*", expr)
