"""Two weeks of a fleet, as series that a Prometheus has, and what was put into them: what a report must say.

Pods come and go, one is restarted with its counters at 0, a version replaces another, a feature moves, alerts fire.
"""

from __future__ import annotations

import math
import random
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from support.remote_write import write_v1

STEP = 1_200
"""Seconds between samples of pods. Ends of periods and of the points of graphs are multiples of it."""
ALERT_STEP = 240
WEEK = 7 * 86_400
GAUGES_LAST = STEP
"""Gauges are read at the end of a week: they are there so many seconds before."""
END = 1_700_000_000 // 21_600 * 21_600
"""Unix seconds."""
START = END - 2 * WEEK
EVIL = "<script>window.harmed=1</script><img src=x onerror='window.harmed=1'>\"'"
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)
CONFIDENCE = tuple(round(n / 20, 2) for n in range(1, 21))
FEATURES = {"age": 0.31, "tenure": 0.22, "calls": 0.18, "charges": 0.14, "plan": 0.09, EVIL: 0.06}
MOVED = "tenure"
"""The feature that moves in the second week."""
REFERENCE = "0fe661e4"
BINS = 12
Labels = tuple[tuple[str, str], ...]


@dataclass
class Pod:
    """Counters of one pod from `begin` to `end`; a restart at `reset` loses them."""

    name: str
    begin: int
    end: int
    reset: int = 0
    counts: dict[Labels, float] = field(default_factory=dict)

    def lives(self, now: int) -> bool:
        return self.begin <= now <= self.end


@dataclass
class Fleet:
    """The truth: what happened in each week, by whatever labels it has."""

    weeks: tuple[Counter[Labels], Counter[Labels]] = field(default_factory=lambda: (Counter(), Counter()))

    def of(self, week: int, name: str, **labels: str) -> float:
        """How much counters of these labels rose, 0 the first week, 1 the second."""
        wanted = {"__name__": name, **labels}
        return sum(n for key, n in self.weeks[week].items() if wanted.items() <= dict(key).items())

    def rose(self, pod: Pod, now: int, amount: float, name: str, **labels: str) -> None:
        """At `now`, for the sample of that time."""
        key: Labels = (("__name__", name), *sorted(labels.items()))
        pod.counts[key] = pod.counts.get(key, 0.0) + amount
        self.weeks[now > END - WEEK][key] += amount


PODS = [
    Pod("churn-0", START, START + 9 * 86_400),
    Pod("churn-1", START, END),
    Pod("churn-2", START + 9 * 86_400 - STEP, END),
    Pod("fraud-0", START, END, reset=START + 10 * 86_400),
]


def samples(fleet: Fleet) -> Iterator[tuple[int, list[tuple[Labels, float]]]]:
    """(Unix seconds, series with their values), in the order of time; fills in what happened."""
    source = random.Random(12)
    for now in range(START, END + 1, ALERT_STEP):
        found: list[tuple[Labels, float]] = []
        for pod in PODS:
            if now % STEP or not pod.lives(now):
                continue
            if pod.reset == now:
                pod.counts = dict.fromkeys(pod.counts, 0.0)
            known = set(pod.counts)
            _model(fleet, pod, now, source)
            of_pod = (("instance", pod.name), ("job", "model-sidecar"))
            # The first sample of a series is 0, as a sidecar shows it.
            found += [((*key, *of_pod), value if key in known else 0.0) for key, value in pod.counts.items()]
            if any(0 <= end - now <= GAUGES_LAST for end in (END - WEEK, END)):
                found += [((*key, *of_pod), value) for key, value in _gauges(pod, now)]
        found += list(_alerts(now))
        yield now, found


def _model(fleet: Fleet, pod: Pod, now: int, source: random.Random) -> None:
    """What one pod did in a step."""
    second = now > END - WEEK
    fraud = pod.name.startswith("fraud")
    version = ("4" if now > END - 5 * 86_400 else "3") if fraud else "7"
    name = "fraud" if fraud else "churn"
    own = {"service": f"{name}-api", "model": name, "version": version}
    day = 1 + 0.6 * math.sin(2 * math.pi * now / 86_400)
    calls = int(day * (2 if fraud else 6) + source.random())
    classes = ("fraud", "ok") if fraud else ("leaves", "stays", EVIL)
    for _ in range(calls):
        failed = source.random() < (0.03 if second and not fraud else 0.01)
        fleet.rose(pod, now, 1, "model_predictions_total", **own, status="error" if failed else "ok")
        _latency(fleet, pod, now, source.lognormvariate(-3.6 if second else -3.9, 0.6), own)
        if failed:
            continue
        actual = source.choices(classes, (3, 6, 1)[: len(classes)])[0]
        right = source.random() < (0.81 if second and not fraud else 0.88)
        _answer(fleet, pod, now, source, own, classes, actual, right)
    _requests(fleet, pod, now, calls, own["service"])


def _answer(
    fleet: Fleet, pod: Pod, now: int, source: random.Random, own: Mapping[str, str], classes: tuple[str, ...],
    actual: str, right: bool,
) -> None:  # fmt: skip
    predicted = actual if right else source.choice([c for c in classes if c != actual])
    fleet.rose(pod, now, 1, "model_predictions_by_class_total", **own, **{"class": predicted})
    score = source.betavariate(7, 2)
    for bound in CONFIDENCE:
        fleet.rose(pod, now, score <= bound, "model_confidence_score_bucket", **own, le=f"{bound:g}")
    fleet.rose(pod, now, 1, "model_confidence_score_bucket", **own, le="+Inf")
    if source.random() < 0.5:
        joined = {"model": own["model"], "version": own["version"], "predicted": predicted, "actual": actual}
        fleet.rose(pod, now, 1, "model_outcomes_total", **joined)
        fleet.rose(pod, now, 1, "model_labels_total", model=own["model"], version=own["version"], result="joined")


def _latency(fleet: Fleet, pod: Pod, now: int, seconds: float, own: Mapping[str, str]) -> None:
    for bound in (*BOUNDS, math.inf):
        le = "+Inf" if bound == math.inf else f"{bound:g}"
        fleet.rose(
            pod, now, seconds <= bound, "model_inference_latency_seconds_bucket", **own, stage="inference", le=le
        )


def _requests(fleet: Fleet, pod: Pod, now: int, calls: int, service: str) -> None:
    own = {"service_name": service, "span_kind": "SPAN_KIND_SERVER", "span_name": "POST /predict"}
    fleet.rose(pod, now, calls, "traces_span_metrics_calls_total", **own, status_code="STATUS_CODE_UNSET")
    for bound in (*BOUNDS, math.inf):
        le = "+Inf" if bound == math.inf else f"{bound:g}"
        n = calls if bound >= 0.05 else calls // 2
        fleet.rose(pod, now, n, "traces_span_metrics_duration_seconds_bucket", **own, le=le)


def _gauge(name: str, value: float, **labels: str) -> tuple[Labels, float]:
    return (("__name__", name), *sorted(labels.items())), value


def _gauges(pod: Pod, now: int) -> Iterator[tuple[Labels, float]]:
    if pod.name.startswith("fraud"):
        return
    second = now > END - WEEK
    own = {"model": "churn", "version": "7"}
    yield _gauge("model_info", 1, service="churn-api", **own)
    yield _gauge("model_last_prediction_timestamp_seconds", now - 3, service="churn-api", **own)
    for window, rows in (("1h", 90), ("24h", 2200), ("7d", 15_000)):
        yield _gauge("model_outcome_samples", rows, **own, window=window)
        yield _gauge("model_roc_auc", 0.84 if second else 0.91, **own, window=window)
        yield _gauge("model_calibration_error", 0.061 if second else 0.02, **own, window=window)
        yield _gauge("model_calibration_error_expected", 0.012, **own, window=window)
    for name, importance in FEATURES.items():
        moved = second and name == MOVED
        of_feature = {**own, "feature": name}
        yield _gauge("model_feature_importance", importance, service="churn-api", **of_feature)
        yield _gauge("data_drift_samples", 4000, **of_feature)
        for method, score in (("psi", 0.34 if moved else 0.008), ("ks", 0.27 if moved else 0.012)):
            yield _gauge("data_drift_score", score, **of_feature, method=method)
            yield _gauge("data_drift_threshold", 0.1, **of_feature, method=method)
            yield _gauge("data_drift_critical_value", 0.03, **of_feature, method=method)
        yield _gauge("data_drift_detected", float(moved), **of_feature, method="psi")
        yield _gauge("data_drift_insufficient_data", 0, **of_feature, method="psi")
        for number in range(BINS):
            in_bin = {**of_feature, "bin": f"{number:02d}", "reference": REFERENCE}
            yield _gauge("model_feature_reference_ratio", 1 / BINS, **in_bin)
            yield _gauge("model_feature_window_rows", rows_of(name, number, second), **in_bin)
    yield _gauge("data_drift_share", second / len(FEATURES), **own)
    for end, value in (("", 0.83), ("_lower", 0.81), ("_upper", 0.85), ("_samples", 4000)):
        yield _gauge(f"model_accuracy_estimated{end}", value, **own, window="24h")
    yield from _experiment(now)


def rows_of(feature: str, number: int, second: bool) -> float:
    """Rows of a bin in the window of one pod."""
    if second and feature == MOVED:
        return float(round(4000 * (number + 1) ** 2 / sum((n + 1) ** 2 for n in range(BINS))))
    return 330.0 + 10 * (number % 3)


EXPOSURES = {"current": 4_000, "new": 4_100}
CONVERSIONS = {"current": 400, "new": 520}


def _experiment(now: int) -> Iterator[tuple[Labels, float]]:
    """Of each of the pods half."""
    for variant, units in EXPOSURES.items():
        own = {"experiment": "ranking", "variant": variant}
        yield _gauge("ab_test_exposures_total", units / 2, **own)
        yield _gauge("ab_test_conversions_total", CONVERSIONS[variant] / 2, **own)
        yield _gauge("ab_test_control", float(variant == "current"), **own)
    yield _gauge("ab_test_p_value", 0.004, experiment="ranking", variant="new", outcome="conversion")
    yield _gauge("ab_test_sample_ratio_p_value", 0.4, experiment="ranking")


ALERTS = {
    ("DriftDetected", "warning"): [(END - 5 * 86_400, END)],
    ("LatencyP95Critical", "critical"): [
        (END - 6 * 86_400, END - 6 * 86_400 + 1_800),
        (END - 2 * 86_400, END - 2 * 86_400 + 5_400),
    ],
    ("ThroughputLow", "info"): [(START + 86_400, START + 2 * 86_400)],
}
"""(name, severity) -> when it fired."""


def _alerts(now: int) -> Iterator[tuple[Labels, float]]:
    for (name, severity), times in ALERTS.items():
        if any(begin <= now <= end for begin, end in times):
            yield _gauge("ALERTS", 1, alertname=name, severity=severity, alertstate="firing", service="churn-api")


def filled(url: str) -> Fleet:
    """What happened, when a Prometheus that takes remote write has all of it."""
    fleet = Fleet()
    batch: dict[Labels, list[tuple[int, float]]] = {}
    for number, (now, found) in enumerate(samples(fleet), 1):
        for labels, value in found:
            batch.setdefault(labels, []).append((now * 1000, value))
        if number % _IN_A_REQUEST == 0 or now == END:
            _write(url, write_v1(batch))
            batch = {}
    return fleet


_IN_A_REQUEST = 14
"""Samples of a series in one request: less than an hour, by which a Prometheus takes them out of order."""


def _write(url: str, body: bytes) -> None:
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
    request = urllib.request.Request(f"{url}/api/v1/write", body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status in (200, 204), answer.status
