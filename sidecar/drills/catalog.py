"""All drills; a new one is an entry here, and its name at its alert in monitoring/source/alerts."""

from __future__ import annotations

from sidecar.drills.drill import RECOVERED_SECONDS, SERVICE, Drill, Fault
from sidecar.drills.payloads import (
    PER_SECOND,
    conflicting_metrics,
    exposures,
    features,
    large_spans,
    orders,
    outcomes,
    predictions,
    spans,
    spans_with_names,
)

_HOUR = 3600.0
_LEARNS = "a reference of that model, or derive.drift.learn of at most 200 rows"
_EXPECTS = "a suite of that model by which the mean of `width` is between -1 and 1 (derive.drift.suites)"
_JOINS = "derive.outcomes.enabled"
_COMPARES = "derive.experiments.enabled"
_RECOVERY = 8 * RECOVERED_SECONDS * PER_SECOND
"""Right rows that bring the accuracy of so many seconds above every threshold."""
_ANY: dict[str, str] = {}
"""Alerts of what has no service: all of that name."""

_REQUESTS = (
    Drill("errors", "ErrorRateHigh", "every request fails", spans(failed=20)),
    Drill("latency-notice", "LatencyP95AboveNotice", "requests take 150 ms", spans(seconds=0.15)),
    Drill("latency-warning", "LatencyP95AboveWarning", "requests take 300 ms", spans(seconds=0.3)),
    Drill("latency", "LatencyP95Critical", "requests take 3 s", spans(seconds=3)),
    Drill("response-time", "ResponseTimeHigh", "requests take 300 ms", spans(seconds=0.3)),
    Drill(
        "throughput",
        "ThroughputLow",
        "20 requests a second, then none, then 20 again",
        before=spans(),
        after=spans(),
    ),
    Drill("error-budget-fast", "ErrorBudgetBurnFast", "every request fails", spans(failed=20)),
    Drill(
        "error-budget-medium",
        "ErrorBudgetBurnMedium",
        "one request in ten fails",
        spans(failed=2),
        within=_HOUR,
    ),
    Drill(
        "error-budget-slow",
        "ErrorBudgetBurnSlow",
        "one request in twenty fails",
        spans(failed=1),
        within=7 * _HOUR,
    ),
)

_MODELS = (
    Drill("slow-model", "InferenceLatencyHigh", "predictions take 5 s", predictions(seconds=5)),
    Drill("low-confidence", "ConfidenceLow", "confidence is 0.2", predictions(score=0.2)),
    Drill(
        "accuracy-low",
        "AccuracyLow",
        "labels say that one prediction in five is wrong; then that many more are right",
        outcomes(right=16),
        after=outcomes(right=_RECOVERY, rows=_RECOVERY),
        labels={"model": SERVICE + "accuracy-low"},
        needs=_JOINS,
    ),
    Drill(
        "accuracy-drop",
        "AccuracyCritical",
        "labels say that every prediction is wrong; then that many more are right",
        outcomes(right=0),
        after=outcomes(right=_RECOVERY, rows=_RECOVERY),
        labels={"model": SERVICE + "accuracy-drop"},
        needs=_JOINS,
    ),
    Drill("failed-predictions", "PredictionErrorsHigh", "every prediction raises", predictions(error="DrillError")),
    Drill(
        "predictions-stopped",
        "PredictionsStopped",
        "predictions, then none, then some again",
        before=predictions(),
        after=predictions(),
        within=0.75 * _HOUR,
    ),
    Drill(
        "drift",
        "DriftDetected",
        "one of three features moves by five deviations",
        features(moved=1),
        before=features(),
        after=features(),
        labels={"model": SERVICE + "drift"},
        within=26 * _HOUR,
        needs=_LEARNS,
    ),
    Drill(
        "drift-widespread",
        "DriftWidespread",
        "two of three features move by five deviations",
        features(moved=2),
        before=features(),
        after=features(),
        labels={"model": SERVICE + "drift-widespread"},
        within=26 * _HOUR,
        needs=_LEARNS,
    ),
    Drill(
        "drift-slow",
        "DriftSlow",
        "one of three features moves by 0.29 deviations, which is too little for DriftDetected",
        features(moved=1, by=0.29),
        before=features(),
        after=features(),
        labels={"model": SERVICE + "drift-slow"},
        within=50 * _HOUR,
        needs=_LEARNS,
    ),
    Drill(
        "data-quality",
        "DataQualityFailures",
        "a feature is null",
        features(missing=True),
        before=features(),
        labels={"model": SERVICE + "data-quality"},
        needs=_LEARNS,
    ),
    Drill(
        "expectation",
        "ExpectationUnmet",
        "a feature whose mean is to be about 0 moves to 5",
        features(moved=1),
        before=features(),
        after=features(),
        labels={"model": SERVICE + "expectation"},
        within=26 * _HOUR,
        needs=_EXPECTS,
    ),
)

_EXPERIMENTS = (
    Drill(
        "traffic-imbalance",
        "TrafficImbalance",
        "one in ten units has a variant that half should have",
        exposures(of_b=2),
        labels={"experiment": SERVICE + "traffic-imbalance"},
        needs=_COMPARES,
    ),
    Drill(
        "experiment-significant",
        "ExperimentSignificant",
        "every unit of one variant converts, none of the other",
        exposures(of_b=10, converting=10),
        labels={"experiment": SERVICE + "experiment-significant"},
        needs=_COMPARES,
    ),
)

_BUSINESS = (
    Drill(
        "revenue",
        "RevenueImpactDown",
        "orders, then none, then larger ones",
        before=orders(10),
        after=orders(100),
        within=26 * _HOUR,
        needs="the rules of monitoring/sidecar/business-rules.yaml",
    ),
)

_PIPELINE = (
    Drill(
        "refused-credentials",
        "RefusedCredentials",
        "requests come with a wrong token",
        spans(),
        labels=_ANY,
        wrong_token=True,
        needs="receive.auth",
    ),
    Drill(
        "items-dropped",
        "ItemsDropped",
        "a metric has two types",
        conflicting_metrics,
        labels={"stage": "derive", "reason": "type_conflict"},
    ),
    Drill(
        "label-values",
        "LabelBudgetExceeded",
        "every span has another name",
        spans_with_names,
        labels=_ANY,
        disturbs="new span names of all services are counted under __other__ until derive.series_ttl has passed",
    ),
    Drill(
        "sidecar-down",
        "SidecarDown",
        "the sidecar is stopped",
        fault=Fault("stop the sidecar", "start the sidecar"),
        labels=_ANY,
    ),
    Drill(
        "delivery-stalled",
        "DeliveryStalled",
        "a destination is stopped",
        spans(),
        fault=Fault("stop the destination of a sink", "start the destination"),
        labels=_ANY,
    ),
    Drill(
        "journal-filling",
        "JournalFilling",
        "a destination is stopped, and 2 MB come every second",
        large_spans,
        fault=Fault("stop the destination of a sink", "start the destination"),
        labels=_ANY,
        fills=True,
        within=_HOUR,
    ),
    Drill(
        "dead-letters",
        "DeadLetters",
        "a destination refuses documents for good",
        spans(),
        fault=Fault(
            "let the destination refuse documents, by a template with a strict mapping",
            "take the template away, and the dead letters by `sidecar journal dead-letters expire`",
        ),
        labels=_ANY,
    ),
)

_MACHINES = (
    Drill(
        "service-down",
        "ServiceDown",
        "a target that is no sidecar is stopped",
        fault=Fault("stop a model server or an exporter that is scraped", "start it"),
        labels=_ANY,
    ),
    Drill(
        "host-cpu",
        "HostCpuHigh",
        "a host's CPUs are busy",
        fault=Fault("keep all CPUs of a host busy", "end what keeps them busy"),
        labels=_ANY,
    ),
    Drill(
        "host-memory",
        "HostMemoryHigh",
        "a host's memory is used up",
        fault=Fault("hold nine tenths of a host's memory", "give it back"),
        labels=_ANY,
    ),
    Drill(
        "host-disk",
        "HostDiskSpaceLow",
        "a file system is nearly full",
        fault=Fault("fill nine tenths of a file system", "delete the file"),
        labels=_ANY,
    ),
    Drill(
        "container-cpu",
        "ContainerCpuHigh",
        "a container uses all of its CPU limit",
        fault=Fault("keep a container busy that has a CPU limit", "end what keeps it busy"),
        labels=_ANY,
    ),
    Drill(
        "container-memory",
        "ContainerMemoryHigh",
        "a container holds nine tenths of its memory limit",
        fault=Fault("hold nine tenths of a container's memory limit", "give it back"),
        labels=_ANY,
    ),
)

DRILLS: tuple[Drill, ...] = (*_REQUESTS, *_MODELS, *_EXPERIMENTS, *_BUSINESS, *_PIPELINE, *_MACHINES)
