"""Models: volume, latency, classes, confidence, drift, tokens; what there are metrics of. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.derive.drift.value_flags import FLAGS
from sidecar.derive.families import Number
from sidecar.serve.pages.experiments import Experiment, experiments
from sidecar.serve.pages.metric_families import Histogram, Metrics, Series, merged
from sidecar.serve.pages.quality import Quality, quality

MAX_MODELS, MAX_FEATURES, MAX_CLASSES = 50, 100, 30


@dataclass(frozen=True, slots=True)
class Stage:
    """Latency of a stage; quantiles in nanoseconds."""

    name: str
    calls: Number
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """A bin of a feature: shares of all values, now and in the reference."""

    name: str
    live: float
    reference: float


@dataclass(frozen=True, slots=True)
class Score:
    """A distance from the reference."""

    method: str
    score: Number
    threshold: Number | None
    critical: Number | None

    @property
    def drifted(self) -> bool:
        """Beyond both what matters and what chance explains."""
        return self.threshold is not None and self.score > max(self.threshold, self.critical or 0)


@dataclass(frozen=True, slots=True)
class SlowChange:
    """The most certain change of one window or many."""

    score: Number
    """Its size, about in standard deviations."""
    limit: Number
    windows: Number


@dataclass(slots=True)
class Feature:
    """Drift of one feature."""

    name: str
    bins: list[Bin]
    observed: Number
    """Values since the start."""
    flags: dict[str, Number]
    """Bins that the reference has not -> values, where there are any."""
    scores: list[Score]
    samples: Number | None
    importance: Number | None
    """How much it counts by the model's own account, as a share of all features."""
    state: str
    """`drifted`, `slow change`, `steady`, `too few values`, or `not checked yet`."""
    slow: SlowChange | None = None

    @property
    def worst(self) -> float:
        """The highest score, in thresholds."""
        return max((s.score / s.threshold for s in self.scores if s.threshold), default=0.0)

    @property
    def highest(self) -> float:
        """The highest share of a bin, of both distributions."""
        return max((max(b.live, b.reference) for b in self.bins), default=0.0) or 1.0


@dataclass(slots=True)
class Model:
    """One version of a model of a service."""

    service: str
    name: str
    version: str
    predictions: dict[str, Number] = field(default_factory=dict)
    """Status -> how many."""
    last: Number | None = None
    """Unix seconds of the last prediction."""
    stages: list[Stage] = field(default_factory=list)
    classes: list[tuple[str, Number, float]] = field(default_factory=list)
    """(class, predictions, share), most first."""
    confidence: Histogram | None = None
    mean_value: float | None = None
    features: list[Feature] = field(default_factory=list)
    drift_share: Number | None = None
    outliers: Number | None = None
    """Rows far outside of the reference; None without one."""
    quality: Quality | None = None
    """Of the version, whichever service has it; None where another service's is shown before."""

    @property
    def total(self) -> Number:
        return sum(self.predictions.values())


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a generative model."""

    model: str
    operation: str
    kind: str
    calls: Number
    total: Number | None


@dataclass(frozen=True, slots=True)
class Models:
    """What is shown."""

    models: list[Model]
    hidden: int
    tokens: list[Tokens]
    experiments: list[Experiment]


def models(metrics: Metrics) -> Models:
    """The models, those with most predictions first."""
    found: dict[tuple[str, str, str], Model] = {}
    for series in [*metrics["model"], *metrics["model_predictions"]]:
        found.setdefault(_key(series), Model(*_key(series)))
    for series in metrics["model_predictions"]:
        found[_key(series)].predictions[series.labels.get("status", "")] = series.value
    ordered = sorted(found.values(), key=lambda m: (-m.total, m.service, m.name, m.version))
    shown: set[tuple[str, str]] = set()
    for model in ordered[:MAX_MODELS]:
        _fill(model, metrics)
        # Drift and quality are by model and version, in whatever service.
        if (model.name, model.version) not in shown:
            shown.add((model.name, model.version))
            _fill_version(model, metrics)
    return Models(ordered[:MAX_MODELS], max(0, len(ordered) - MAX_MODELS), _tokens(metrics), experiments(metrics))


def _fill(model: Model, metrics: Metrics) -> None:
    labels = {"service": model.service, "model": model.name, "version": model.version}
    model.last = metrics.value("model_last_prediction_timestamp_seconds", **labels)
    model.stages = [
        Stage(s.labels.get("stage", ""), s.value, *(_ns(s.histogram, q) for q in (0.5, 0.95, 0.99)))
        for s in metrics.select("model_inference_latency_seconds", **labels)
    ]
    classes = sorted(metrics.select("model_predictions_by_class", **labels), key=lambda s: -s.value)
    total = sum(s.value for s in classes) or 1
    model.classes = [(s.labels.get("class", ""), s.value, s.value / total) for s in classes[:MAX_CLASSES]]
    scores = [s.histogram for s in metrics.select("model_confidence_score", **labels) if s.histogram]
    model.confidence = merged([h for h in scores if h.count])
    for series in metrics.select("model_prediction_value", **labels):
        model.mean_value = float(series.sum) / series.value if series.sum is not None and series.value else None


def _fill_version(model: Model, metrics: Metrics) -> None:
    of_model = {"model": model.name, "version": model.version}
    model.features = _features(metrics, of_model)
    model.drift_share = metrics.value("data_drift_share", **of_model)
    model.outliers = metrics.value("model_outliers", **of_model)
    model.quality = quality(metrics, of_model)


def _ns(histogram: Histogram | None, q: float) -> float | None:
    value = histogram.quantile(q) if histogram else None
    return None if value is None else value * 1e9


def _features(metrics: Metrics, of_model: Mapping[str, str]) -> list[Feature]:
    observed: dict[str, dict[str, Number]] = {}
    for series in metrics.select("model_feature_observations", **of_model):
        observed.setdefault(series.labels.get("feature", ""), {})[series.labels.get("bin", "")] = series.value
    reference: dict[str, dict[str, Number]] = {}
    for series in metrics.select("model_feature_reference_ratio", **of_model):
        reference.setdefault(series.labels.get("feature", ""), {})[series.labels.get("bin", "")] = series.value
    features = [_feature(metrics, {**of_model, "feature": n}, observed[n], reference.get(n, {})) for n in observed]
    return sorted(features, key=_rank)[:MAX_FEATURES]


def _rank(feature: Feature) -> tuple[bool, bool, Number, float, str]:
    """Drifted ones first, then those that change slowly; of those the ones that count most for the model."""
    return (
        feature.state != "drifted",
        feature.state != "slow change",
        -(feature.importance or 0),
        -feature.worst,
        feature.name,
    )


def _feature(
    metrics: Metrics, labels: Mapping[str, str], observed: Mapping[str, Number], reference: Mapping[str, Number]
) -> Feature:
    counted = {name: observed.get(name, 0) for name in reference}
    total = sum(counted.values())
    scores = [
        Score(
            s.labels.get("method", ""),
            s.value,
            metrics.value("data_drift_threshold", **labels, method=s.labels.get("method", "")),
            metrics.value("data_drift_critical_value", **labels, method=s.labels.get("method", "")),
        )
        for s in metrics.select("data_drift_score", **labels)
    ]
    return Feature(
        labels["feature"],
        [Bin(name, counted[name] / (total or 1), float(share)) for name, share in reference.items()],
        total,
        {name: n for name in FLAGS if name not in reference and (n := observed.get(name, 0))},
        scores,
        metrics.value("data_drift_samples", **labels),
        metrics.value("model_feature_importance", **labels),
        _state(metrics, labels),
        _slow(metrics, labels),
    )


def _state(metrics: Metrics, labels: Mapping[str, str]) -> str:
    decided = metrics.select("data_drift_detected", **labels)
    if not decided:
        return "not checked yet"
    if any(s.value for s in decided):
        return "drifted"
    if metrics.value("data_drift_slow_detected", **labels):
        return "slow change"
    return (
        "too few values" if any(s.value for s in metrics.select("data_drift_insufficient_data", **labels)) else "steady"
    )


def _slow(metrics: Metrics, labels: Mapping[str, str]) -> SlowChange | None:
    score, limit, windows = (metrics.value(f"data_drift_slow_{one}", **labels) for one in ("score", "limit", "windows"))
    return None if score is None or limit is None or windows is None else SlowChange(score, limit, windows)


def _tokens(metrics: Metrics) -> list[Tokens]:
    found: dict[tuple[str, str, str], list[Series]] = {}
    for series in metrics.first("gen_ai_client_token_usage", "gen_ai_server_token_usage"):
        labels = series.labels
        model = labels.get("gen_ai_response_model") or labels.get("gen_ai_request_model", "")
        key = model, labels.get("gen_ai_operation_name", ""), labels.get("gen_ai_token_type", "")
        found.setdefault(key, []).append(series)
    return [
        Tokens(*key, sum(s.value for s in group), sum(s.sum or 0 for s in group))
        for key, group in sorted(found.items())
    ]


def _key(series: Series) -> tuple[str, str, str]:
    labels = series.labels
    return labels.get("service", ""), labels.get("model", ""), labels.get("version", "")
