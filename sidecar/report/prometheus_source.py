"""Figures of a period from Prometheus, added up over pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sidecar.deliver.common.connection import Connection
from sidecar.derive.drift.value_flags import FLAGS
from sidecar.report.expressions import Selection, highest, increased, one_of, weighted
from sidecar.report.figure_source import BUSINESS, About, Alerts, FiringAlert
from sidecar.report.period import Period
from sidecar.report.prometheus import Prometheus, Sample
from sidecar.report.sources import Asked
from sidecar.report.variants import OF_EACH_POD, VARIANT, of_pods
from sidecar.serve.pages.metric_families import Histogram, Metrics, Series
from sidecar.serve.pages.quality import ESTIMATED, FIGURES

MODEL, VERSION = ("service", "model", "version"), ("model", "version")
FEATURE = (*VERSION, "feature")
_OF_HISTORY = {"model_predictions": (*MODEL, "status"), "model_outcomes": (*VERSION, "predicted", "actual")}
_COUNTERS = {
    **_OF_HISTORY,
    "model_predictions_by_class": (*MODEL, "class"),
    "model_labels": (*VERSION, "result"),
    "data_quality_failures": (*FEATURE, "rule"),
}
"""Family of counters that have a model -> labels that they are added up by."""
_HISTOGRAMS = {"model_inference_latency_seconds": (*MODEL, "stage"), "model_confidence_score": MODEL}
_GAUGES = {
    "model_feature_importance": FEATURE,
    "data_drift_score": (*FEATURE, "method"),
    "data_drift_threshold": (*FEATURE, "method"),
    "data_drift_critical_value": (*FEATURE, "method"),
    "data_drift_samples": FEATURE,
    "data_drift_detected": (*FEATURE, "method"),
    "data_drift_insufficient_data": (*FEATURE, "method"),
    "data_drift_share": VERSION,
}
"""Gauges of which the highest of all pods is shown."""
_FLEET = {
    "data_drift_score": ("model:drift_score:union", (*FEATURE, "method")),
    "data_drift_critical_value": ("model:drift_critical_value:union", (*FEATURE, "method")),
    "data_drift_samples": ("model:drift_samples:sum", FEATURE),
    "data_drift_detected": ("model:drift_detected:bool", (*FEATURE, "method")),
    "data_drift_insufficient_data": ("model:drift_insufficient_data:bool", (*FEATURE, "method")),
}
"""Gauge of one pod -> what the shipped rules record of all of them, which wins where it is there."""
_SPANS = "traces_span_metrics"
_SERVER = 'span_kind="SPAN_KIND_SERVER"'
_TOKENS = ("gen_ai_request_model", "gen_ai_response_model", "gen_ai_operation_name", "gen_ai_token_type")
_EXPECTED = (
    "expected series such as model_predictions_total: is a sidecar scraped, and are the period, --model and "
    "--namespace right?"
)
_COUNTING = (
    "Counts are the increase of counters over the period, over all pods. Quantiles are interpolated within the buckets "
    "of a histogram."
)
_ALERT_POINTS = 2_000
_MIN_ALERT_STEP = 60.0


class PrometheusSource:
    """What one Prometheus has."""

    def __init__(self, prometheus: Prometheus, selection: Selection) -> None:
        self._prometheus, self._selection = prometheus, selection

    def about(self) -> About:
        return About(f"Prometheus at {self._prometheus.address}", _EXPECTED, _COUNTING)

    def metrics(self, period: Period) -> Metrics:
        found = Metrics()
        models = self._selection.of_models()
        for name, by in _COUNTERS.items():
            found.by_name[name] = self._increases(f"{name}_total{{{models}}}", period, by)
        for name, by in _HISTOGRAMS.items():
            found.by_name[name] = self._histograms(name, models, period, by)
        found.by_name["model_prediction_value"] = self._summaries("model_prediction_value", models, period, MODEL)
        self._gauges(found, period)
        self._features(found, period)
        self._services(found, period)
        if not self._selection.models:
            self._experiments(found, period)
            self._business(found, period)
        return found

    def history(self, period: Period) -> Sequence[tuple[float, Metrics]]:
        ends = [period.start + period.step * (number + 1) for number in range(period.points)]
        at = {number: Metrics() for number in range(period.points)}
        models, bucket = self._selection.of_models(), "model_inference_latency_seconds"
        asked: dict[str, tuple[str, tuple[str, ...]]] = {
            name: (f"{name}_total{{{models}}}", by) for name, by in _OF_HISTORY.items()
        }
        inference = _and(models, 'stage="inference"')
        asked["buckets"] = (f"{bucket}_bucket{{{inference}}}", (*_HISTOGRAMS[bucket], "le"))
        for name, (series, by) in asked.items():
            expr = increased(series, period.step, by)
            for found in self._prometheus.query_range(expr, period.start + period.step, period.end, period.step):
                for time, value in found.points:
                    number = round((time - ends[0]) / period.step)
                    if number in at:
                        at[number].by_name.setdefault(name, []).append(Series(found.labels, value))
        for metrics in at.values():
            metrics.by_name[bucket] = _assembled(metrics.by_name.pop("buckets", []), _HISTOGRAMS[bucket])
        return [(end, at[number]) for number, end in enumerate(ends)]

    def alerts(self, period: Period) -> Alerts:
        step = max(_MIN_ALERT_STEP, period.seconds / _ALERT_POINTS)
        matchers = self._selection.of_all('alertstate="firing"')
        series = f"ALERTS{{{matchers}}}"
        expr = f"max without (instance, pod, alertstate) (max_over_time({series}[{round(step * 1000)}ms]))"
        found = self._prometheus.query_range(expr, period.start + step, period.end, step)
        return Alerts(step, [FiringAlert(one.labels, [time for time, _ in one.points]) for one in found if one.points])

    def _gauges(self, found: Metrics, period: Period) -> None:
        models, end = self._selection.of_models(), period.end
        info = f"max by (service, model, version) (max_over_time(model_info{{{models}}}[{round(period.seconds)}s]))"
        found.by_name["model"] = _series(self._prometheus.query(info, end))
        last = highest(f"model_last_prediction_timestamp_seconds{{{models}}}", MODEL, period.seconds)
        found.by_name["model_last_prediction_timestamp_seconds"] = _series(self._prometheus.query(last, end))
        for name, by in _GAUGES.items():
            pods = _series(self._prometheus.query(highest(f"{name}{{{models}}}", by, period.seconds), end))
            recorded, labels = _FLEET.get(name, ("", ()))
            fleet = self._prometheus.query(highest(f"{recorded}{{{models}}}", labels), end) if recorded else []
            found.by_name[name] = _first_of(by, _series(fleet), pods)
        samples, by = f"model_outcome_samples{{{models}}}", (*VERSION, "window")
        found.by_name["model_outcome_samples"] = _series(
            self._prometheus.query(f"sum by ({', '.join(by)}) ({samples})", end)
        )
        for name in FIGURES:
            expr = weighted(f"{name}{{{models}}}", samples, by)
            found.by_name[name] = _series(self._prometheus.query(expr, end))
        scored = f"{ESTIMATED}_samples{{{models}}}"
        for name in (ESTIMATED, f"{ESTIMATED}_lower", f"{ESTIMATED}_upper"):
            expr = weighted(f"{name}{{{models}}}", scored, by)
            found.by_name[name] = _series(self._prometheus.query(expr, end))
        rows = f"sum by ({', '.join(by)}) ({scored})"
        found.by_name[f"{ESTIMATED}_samples"] = _series(self._prometheus.query(rows, end))

    def _features(self, found: Metrics, period: Period) -> None:
        """Both distributions of features: rows of the windows that the scores are of, and the reference. Learned
        references differ from pod to pod: the one with most rows is shown."""
        models, by = self._selection.of_models(), (*FEATURE, "bin", "reference")
        rows = self._prometheus.query(f"sum by ({', '.join(by)}) (model_feature_window_rows{{{models}}})", period.end)
        ratios = self._prometheus.query(highest(f"model_feature_reference_ratio{{{models}}}", by), period.end)
        totals: dict[tuple[str, ...], dict[str, float]] = {}
        for sample in rows:
            of_feature = totals.setdefault(_key(sample.labels, FEATURE), {})
            reference = sample.labels.get("reference", "")
            of_feature[reference] = of_feature.get(reference, 0) + sample.value
        chosen = {key: max(sorted(each), key=lambda name: each[name]) for key, each in totals.items()}

        def shown(sample: Sample) -> bool:
            return sample.labels.get("reference", "") == chosen.get(_key(sample.labels, FEATURE))

        beyond = _and(models, f"bin=~{one_of(FLAGS)}")
        flags = self._increases(f"model_feature_observations_total{{{beyond}}}", period, (*FEATURE, "bin"))
        found.by_name["model_feature_observations"] = [*_series(filter(shown, rows)), *flags]
        found.by_name["model_feature_reference_ratio"] = _series(filter(shown, ratios))

    def _services(self, found: Metrics, period: Period) -> None:
        """Of the models that are chosen, where some are."""
        services = {one.labels.get("service", "") for one in found["model_predictions"]}
        chosen = [f"service_name=~{one_of(sorted(services))}"] if self._selection.models else []
        server = self._selection.of_all(_SERVER, *chosen)
        calls = f"{_SPANS}_calls_total{{{server}}}"
        found.by_name["calls"] = self._increases(calls, period, ("service_name", "status_code"))
        found.by_name["durations"] = self._histograms(f"{_SPANS}_duration_seconds", server, period, ("service_name",))

    def _business(self, found: Metrics, period: Period) -> None:
        of_all = self._selection.of_all()
        tokens = self._summaries("gen_ai_client_token_usage", of_all, period, _TOKENS)
        found.by_name["gen_ai_client_token_usage"] = tokens
        for name in BUSINESS:
            found.by_name[name] = self._increases(f"{name}_total{{{of_all}}}", period, ("service",))

    def _experiments(self, found: Metrics, period: Period) -> None:
        of_all, end = self._selection.of_all(), period.end
        totals = {"ab_test_exposures": VARIANT, "ab_test_conversions": VARIANT, "ab_test_labels": (*VARIANT, "result")}
        sums = {
            name: self._prometheus.query(f"sum by ({', '.join(by)}) ({name}_total{{{of_all}}})", end)
            for name, by in totals.items()
        }
        if not sums["ab_test_exposures"]:
            return
        gauges = {name: self._prometheus.query(f"{name}{{{of_all}}}", end) for name in OF_EACH_POD}
        found.by_name |= of_pods(sums, gauges)
        requests = f"ab_test_requests_total{{{of_all}}}"
        found.by_name["ab_test_requests"] = self._increases(requests, period, (*VARIANT, "status"))
        found.by_name["ab_test_latency_seconds"] = self._histograms("ab_test_latency_seconds", of_all, period, VARIANT)

    def _increases(self, series: str, period: Period, by: Sequence[str]) -> list[Series]:
        return _series(self._prometheus.query(increased(series, period.seconds, by), period.end))

    def _histograms(self, name: str, matchers: str, period: Period, by: Sequence[str]) -> list[Series]:
        return _assembled(self._increases(f"{name}_bucket{{{matchers}}}", period, (*by, "le")), by)

    def _summaries(self, name: str, matchers: str, period: Period, by: Sequence[str]) -> list[Series]:
        """Counts with sums."""
        sums = self._increases(f"{name}_sum{{{matchers}}}", period, by)
        of_key = {_key(one.labels, by): one.value for one in sums}
        counts = self._increases(f"{name}_count{{{matchers}}}", period, by)
        return [Series(one.labels, one.value, sum=of_key.get(_key(one.labels, by))) for one in counts]


@contextmanager
def opened(asked: Asked) -> Iterator[PrometheusSource]:
    """See `sources.SourceType`."""
    with Connection(asked.server) as connection:
        yield PrometheusSource(Prometheus(connection.send, asked.place), Selection(asked.models, asked.namespace))


def _and(*matchers: str) -> str:
    return ",".join(filter(None, matchers))


def _key(labels: Mapping[str, str], by: Sequence[str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in by)


def _series(samples: Iterable[Sample]) -> list[Series]:
    return [Series(one.labels, one.value) for one in samples]


def _first_of(by: Sequence[str], *lists: Sequence[Series]) -> list[Series]:
    """Of series with the same labels the first."""
    found: dict[tuple[str, ...], Series] = {}
    for one in (one for some in lists for one in some):
        found.setdefault(_key(one.labels, by), one)
    return list(found.values())


def _assembled(buckets: Sequence[Series], by: Sequence[str]) -> list[Series]:
    """Histograms of their cumulative buckets. Those of pods with other bounds are cumulative too; where a bucket of one
    pod is missing in another, counts are made to rise, as `histogram_quantile` does."""
    found: dict[tuple[str, ...], dict[float, float]] = {}
    for one in buckets:
        try:
            bound = float(one.labels.get("le", ""))
        except ValueError:
            continue
        found.setdefault(_key(one.labels, by), {})[bound] = one.value
    return [
        Series(dict(zip(by, key, strict=True)), counts[-1], Histogram(tuple(bounds[:-1]), tuple(counts)))
        for key, values in found.items()
        if (bounds := sorted(values))[-1] == float("inf")
        for counts in [_rising([values[bound] for bound in bounds])]
    ]


def _rising(counts: Sequence[float]) -> list[float]:
    highest_yet, found = 0.0, []
    for count in counts:
        highest_yet = max(highest_yet, count)
        found.append(highest_yet)
    return found
