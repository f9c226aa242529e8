"""A report as JSON. `schema` is its version; members are only ever added to one. Times are Unix seconds, durations
seconds, shares 0 to 1. What is null was not there to be read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sidecar.derive.shares import Share
from sidecar.report.accuracy import Outcomes
from sidecar.report.contents import ExperimentReport, ModelReport, Point, Rates, Report, Service
from sidecar.serve.pages.models import Feature, Stage
from sidecar.serve.pages.quality import Share as Shown

SCHEMA = 1


def as_json(report: Report) -> str:
    """Text with a line end."""
    return json.dumps(_finite(contents(report)), indent=2, ensure_ascii=False) + "\n"


def contents(report: Report) -> dict[str, Any]:
    """As values that JSON has."""
    return {
        "schema": SCHEMA,
        "source": report.source.description,
        "source_begins": report.source.begins,
        "source_lacks": report.source.missing,
        "notes": report.source.notes,
        "made": report.made,
        "period": asdict(report.period) if report.period else None,
        "compared": report.compared,
        "models": [_model(one) for one in report.models],
        "models_not_shown": report.hidden_models,
        "services": [_service(one) for one in report.services],
        "experiments": [_experiment(one) for one in report.experiments],
        "tokens": [asdict(one) for one in report.tokens],
        "business": [
            {"figure": what, "service": service, "sum": n, "before": before}
            for what, service, n, before in report.business
        ],
        "incidents": None if report.incidents is None else [asdict(one) for one in report.incidents],
        "incidents_not_shown": report.hidden_incidents,
        "alert_step": report.alert_step,
    }


def _model(one: ModelReport) -> dict[str, Any]:
    model = one.model
    return {
        "service": model.service,
        "model": model.name,
        "version": model.version,
        "last_prediction": model.last,
        **_rates(one.rates),
        "before": None if one.before is None else {**_rates(one.before), "outcomes": _outcomes(one.outcomes_before)},
        "stages": [_stage(stage) for stage in model.stages],
        "classes": [
            {"class": found.name, "predictions": found.predictions, "share": found.share, "before": found.before}
            for found in one.classes
        ],
        "classes_not_shown": max(0, one.hidden_classes),
        "outcomes": _outcomes(one.outcomes),
        "labels": dict(model.quality.labels) if model.quality else {},
        "window": _window(one),
        "estimated": _estimated(one),
        "features": [_feature(feature) for feature in model.features],
        "features_not_shown": one.features - len(model.features) if model.features else 0,
        "features_drifted": one.drifted if one.features else None,
        "drift_share": model.drift_share,
        "quality": [{"feature": feature, "rule": rule, "failures": n} for feature, rule, n in one.rules],
        "changes": [asdict(change) for change in one.changes],
        "history": [_point(point) for point in one.points],
    }


def _rates(rates: Rates) -> dict[str, Any]:
    return {
        "predictions": rates.predictions,
        "errors": _share(rates.errors),
        "latency": _stage(rates.inference),
        "confidence_median": rates.confidence,
        "confidence_rows": rates.confidence_rows,
    }


def _stage(stage: Stage | None) -> dict[str, Any] | None:
    if stage is None:
        return None
    quantiles = {name: _seconds(value) for name, value in (("p50", stage.p50), ("p95", stage.p95), ("p99", stage.p99))}
    return {"stage": stage.name, "calls": stage.calls, **quantiles}


def _seconds(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e9


def _share(share: Share | None) -> dict[str, Any] | None:
    return None if share is None else asdict(share)


def _shown(share: Shown | None) -> dict[str, Any] | None:
    return None if share is None else asdict(share)


def _outcomes(found: Outcomes | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "rows": found.rows,
        "correct": found.correct,
        "undecided": found.undecided,
        "accuracy": _share(found.accuracy),
        "averages": asdict(found.averages) if found.averages else None,
        "classes": [
            {
                "class": one.figures.name,
                "predicted": one.figures.predicted,
                "actual": one.figures.actual,
                "hits": one.figures.hits,
                "precision": _share(one.precision),
                "recall": _share(one.recall),
                "f1": one.figures.f1 if one.precision and one.recall else None,
            }
            for one in found.classes
        ],
    }


def _estimated(one: ModelReport) -> dict[str, Any] | None:
    found = one.model.quality.estimated if one.model.quality else None
    if found is None:
        return None
    return {"window": found.window, "rows": found.rows, "accuracy": _shown(found.accuracy)}


def _window(one: ModelReport) -> dict[str, Any] | None:
    if one.window is None:
        return None
    return {"window": one.window.name, "rows": one.window.samples, "figures": dict(one.window.figures)}


def _feature(feature: Feature) -> dict[str, Any]:
    return {
        "feature": feature.name,
        "state": feature.state,
        "rows": feature.samples,
        "importance": feature.importance,
        "scores": [{**asdict(score), "drifted": score.drifted} for score in feature.scores],
        "bins": [asdict(one) for one in feature.bins],
        "beyond": feature.flags,
    }


def _point(point: Point) -> dict[str, Any]:
    return {
        "end": point.end,
        "predictions": point.predictions,
        "failed": point.failed,
        "p95": _seconds(point.p95_ns),
        "accuracy": _share(point.accuracy),
    }


def _service(one: Service) -> dict[str, Any]:
    return {
        "service": one.name,
        "requests": one.requests,
        "errors": _share(one.errors),
        "p50": _seconds(one.p50),
        "p95": _seconds(one.p95),
        "p99": _seconds(one.p99),
        "requests_before": one.before,
        "errors_before": _share(one.errors_before),
    }


def _experiment(one: ExperimentReport) -> dict[str, Any]:
    variants = [
        {
            "variant": found.variant.name,
            "control": found.variant.control,
            "exposures": found.variant.exposures,
            "share": found.variant.share,
            "conversions": found.conversions,
            "conversion_rate": _shown(found.variant.rate),
            "accuracy": _shown(found.variant.accuracy),
            "lifts": [asdict(lift) for lift in found.variant.lifts],
            "requests": found.requests,
            "errors": _share(found.errors),
            "p95": _seconds(found.p95),
        }
        for found in one.variants
    ]
    return {"experiment": one.name, "sample_ratio_p": one.sample_ratio_p, "variants": variants}


def _finite(value: Any) -> Any:
    """JSON has no infinities: they are null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(member) for member in value]
    return value
