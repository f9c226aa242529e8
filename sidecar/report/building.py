"""A report from a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from sidecar.derive.families import Number
from sidecar.derive.shares import MIN_ROWS, Share, share
from sidecar.errors import Permanent
from sidecar.options import read_duration
from sidecar.report.accuracy import of_model
from sidecar.report.changes import changes
from sidecar.report.contents import (
    ClassShare,
    ExperimentReport,
    ModelReport,
    Point,
    Rates,
    Report,
    Service,
    VariantReport,
)
from sidecar.report.figure_source import BUSINESS, Source
from sidecar.report.incidents import MAX_INCIDENTS, incidents
from sidecar.report.period import Period
from sidecar.report.variants import VARIANT
from sidecar.serve.pages.experiments import Experiment, Variant
from sidecar.serve.pages.metric_families import Histogram, Metrics, Series, merged
from sidecar.serve.pages.models import Model, Models, Stage, models
from sidecar.serve.pages.quality import Quality, Window

INFERENCE = "inference"
MAX_SERVICES = 50


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of a source."""

    now: Metrics
    before: Metrics
    history: Sequence[tuple[float, Metrics]]
    longest_window: float
    """Seconds of the longest window of outcomes that says something about the period."""
    compared: bool


def build(source: Source, period: Period, made: float) -> Report:
    """`made`: Unix seconds. Raises `Permanent` where the source cannot be read, or has nothing about models or
    services."""
    now = source.metrics(period)
    found = models(now)
    about = source.about()
    if not (_seen(found) or now["calls"] or found.experiments or any(one.calls for one in found.tokens)):
        raise Permanent(f"{about.description} has nothing about models in this time; {about.expected}")
    has_history = about.has_history
    # Half a period would look like one in which less happened.
    before = source.metrics(period.before) if has_history and about.begins is None else Metrics()
    history = source.history(period) if has_history else ()
    alerts = source.alerts(period) if has_history else None
    earlier = {_key(m): m for m in models(before).models}
    compared = any(one.total for one in earlier.values()) or _any_call(before)
    read = _Read(now, before, history, period.seconds if has_history else inf, compared)
    report = Report(period if has_history else None, made, source.about(), compared=compared)
    report.models = [_model(one, earlier.get(_key(one)), read) for one in _seen(found)]
    report.hidden_models = found.hidden
    report.services = _services(now, before)
    report.experiments = [_experiment(one, now) for one in found.experiments]
    report.tokens = [one for one in found.tokens if one.calls]
    report.business = _business(now, before)
    if alerts is not None:
        every = incidents(alerts, period)
        report.incidents, report.hidden_incidents = every[:MAX_INCIDENTS], max(0, len(every) - MAX_INCIDENTS)
        report.alert_step = alerts.step
    return report


def _any_call(metrics: Metrics) -> bool:
    return any(one.value for one in metrics["calls"])


def _seen(found: Models) -> list[Model]:
    """Models that predicted something, or whose labels or drift are known."""
    return [m for m in found.models if m.total or m.features or (m.quality and _says_something(m.quality))]


def _says_something(found: Quality) -> bool:
    return bool(found.windows or found.labels or found.estimated)


def _key(model: Model) -> tuple[str, str, str]:
    return model.service, model.name, model.version


def _model(model: Model, earlier: Model | None, read: _Read) -> ModelReport:
    now, before = read.now, read.before
    own = {"service": model.service, "model": model.name, "version": model.version}
    of_version = {"model": model.name, "version": model.version}
    # Drift, quality and outcomes are by model and version, in whatever service: they are shown with the first.
    first = model.quality is not None
    features = {s.labels.get("feature") for s in now.select("model_feature_observations", **of_version)}
    failures = [s for s in now.select("data_quality_failures", **of_version) if s.value]
    rules = [(s.labels.get("feature", ""), s.labels.get("rule", ""), s.value) for s in failures]
    made = ModelReport(
        model,
        _rates(now, own),
        of_model(now if first else Metrics(), model.name, model.version),
        _window(model, read.longest_window),
        len(features) if first else 0,
        sorted(rules, key=lambda one: (-one[2], one)) if first else (),
        _classes(model, earlier),
        len([s for s in now.select("model_predictions_by_class", **own) if s.value]) - len(model.classes),
    )
    if earlier is not None and earlier.total:
        made.before = _rates(before, own)
        made.outcomes_before = of_model(before if first else Metrics(), model.name, model.version)
    made.points = [_point(end, metrics, own, first) for end, metrics in read.history]
    made.changes = changes(made, earlier) if read.compared else ()
    return made


def _classes(model: Model, earlier: Model | None) -> list[ClassShare]:
    before = {name: share_before for name, _, share_before in earlier.classes} if earlier and earlier.classes else {}
    return [ClassShare(name, n, of_all, before.get(name, 0.0) if before else None) for name, n, of_all in model.classes]


def _rates(metrics: Metrics, own: Mapping[str, str]) -> Rates:
    by_status = {s.labels.get("status", ""): s.value for s in metrics.select("model_predictions", **own)}
    confidence = [s.histogram for s in metrics.select("model_confidence_score", **own) if s.histogram]
    whole = merged([h for h in confidence if h.count])
    return Rates(
        sum(by_status.values()),
        _share(by_status.get("error", 0), sum(by_status.values())),
        _stage(metrics.select("model_inference_latency_seconds", **own, stage=INFERENCE)),
        whole.quantile(0.5) if whole else None,
        whole.count if whole else 0,
    )


def _stage(series: Sequence[Series]) -> Stage | None:
    whole = merged([s.histogram for s in series if s.histogram and s.histogram.count])
    if whole is None:
        return None
    return Stage(INFERENCE, whole.count, *_quantiles(whole))


def _share(hits: Number, rows: Number) -> Share | None:
    """With its interval; counts that were extrapolated over a reset are rounded."""
    return share(round(hits), round(rows)) if round(rows) > 0 else None


def _window(model: Model, limit: float) -> Window | None:
    """The longest of those with a figure that are no longer than `limit` seconds, else the shortest."""
    windows = model.quality.windows if model.quality else []
    known = {read_duration(window.name): window for window in windows if window.name and window.figures}
    if not known:
        return None
    return known[max((seconds for seconds in known if seconds <= limit), default=min(known))]


def _point(end: float, metrics: Metrics, own: Mapping[str, str], first: bool) -> Point:
    rates = _rates(metrics, own)
    outcomes = of_model(metrics if first else Metrics(), own["model"], own["version"])
    failed = sum(s.value for s in metrics.select("model_predictions", **own, status="error"))
    predictions = rates.predictions if metrics.select("model_predictions", **own) else None
    return Point(end, predictions, failed, rates.inference.p95 if rates.inference else None, outcomes.accuracy)


def _services(now: Metrics, before: Metrics) -> list[Service]:
    names = dict.fromkeys(s.labels.get("service_name", "") for s in now["calls"])
    found = [service for name in names if (service := _service(name, now, before)) is not None]
    return sorted(found, key=lambda one: (-one.requests, one.name))[:MAX_SERVICES]


def _service(name: str, now: Metrics, before: Metrics) -> Service | None:
    requests, errors = _calls(now, name)
    if errors is None:
        return None
    whole = merged([s.histogram for s in now.select("durations", service_name=name) if s.histogram])
    earlier, errors_before = _calls(before, name)
    return Service(
        name,
        requests,
        errors,
        *_quantiles(whole),
        before=earlier if errors_before else None,
        errors_before=errors_before,
    )


def _quantiles(whole: Histogram | None) -> tuple[float | None, float | None, float | None]:
    """p50, p95 and p99 in nanoseconds, of seconds."""
    if whole is None:
        return None, None, None
    p50, p95, p99 = (None if (q := whole.quantile(p)) is None else q * 1e9 for p in (0.5, 0.95, 0.99))
    return p50, p95, p99


def _calls(metrics: Metrics, service: str) -> tuple[Number, Share | None]:
    series = metrics.select("calls", service_name=service)
    total = sum(s.value for s in series)
    return total, _share(sum(s.value for s in series if s.labels.get("status_code") == "STATUS_CODE_ERROR"), total)


def _experiment(experiment: Experiment, metrics: Metrics) -> ExperimentReport:
    variants = [_variant(experiment.name, variant, metrics) for variant in experiment.variants]
    return ExperimentReport(experiment.name, experiment.sample_ratio_p, variants)


def _variant(experiment: str, variant: Variant, metrics: Metrics) -> VariantReport:
    own = dict(zip(VARIANT, (experiment, variant.name), strict=True))
    requests = metrics.select("ab_test_requests", **own)
    total = sum(s.value for s in requests)
    failed = sum(s.value for s in requests if s.labels.get("status") == "error")
    latency = merged([s.histogram for s in metrics.select("ab_test_latency_seconds", **own) if s.histogram])
    p95 = latency.quantile(0.95) if latency else None
    conversions = metrics.value("ab_test_conversions", **own)
    return VariantReport(
        variant, conversions or 0, total, _share(failed, total) if total >= MIN_ROWS else None, p95 and p95 * 1e9
    )


def _business(now: Metrics, before: Metrics) -> list[tuple[str, str, Number, Number | None]]:
    return [
        (title, s.labels.get("service", ""), s.value, before.value(name, service=s.labels.get("service", "")))
        for name, title in BUSINESS.items()
        for s in sorted(now[name], key=lambda s: s.labels.get("service", ""))
    ]
