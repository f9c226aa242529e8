"""Golden signals of services and operations, from the metrics of spans. Pure, but for the memory of what was seen."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.derive.families import Number
from sidecar.serve.pages.metric_families import Histogram, Metrics, Series, merged

ENTRY_KINDS = ("SPAN_KIND_SERVER", "SPAN_KIND_CONSUMER")
CALLS = ("traces_span_metrics_calls", "traces_spanmetrics_calls")
DURATIONS = {
    "traces_span_metrics_duration_seconds": 1e9,
    "traces_span_metrics_duration_milliseconds": 1e6,
    "traces_spanmetrics_latency": 1e9,
}
"""Family -> nanoseconds of its unit."""
MAX_ROWS = 200
_MEMORY_SECONDS = 60.0
_SAMPLE_SECONDS = 2.0

Key = tuple[str, str, str]
"""(service, operation, kind)."""


@dataclass(slots=True)
class Operation:
    """One operation; durations in nanoseconds."""

    service: str
    name: str
    kind: str
    calls: Number = 0
    failed: Number = 0
    rate: float | None = None
    """Calls a second since the page was looked at before, a minute ago at most; None on the first look."""
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    exemplars: tuple[str, ...] = ()

    @property
    def failed_share(self) -> float | None:
        return self.failed / self.calls if self.calls else None


@dataclass(slots=True)
class Overview:
    """What is shown; `hidden` operations have fewer calls than those."""

    operations: list[Operation]
    hidden: int
    entries: bool
    """Only what is called from outside is shown."""


@dataclass(slots=True)
class Rates:
    """Calls a second, from what earlier looks saw. `clock`: seconds. Thread-safe."""

    clock: Callable[[], float]
    _seen: deque[tuple[float, dict[Key, Number]]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, calls: dict[Key, Number]) -> dict[Key, float]:
        """Rates of those that did not go back, by the oldest look of the last minute. {} on the first."""
        now = self.clock()
        with self._lock:
            while self._seen and now - self._seen[0][0] > _MEMORY_SECONDS:
                self._seen.popleft()
            before = self._seen[0] if self._seen else None
            if before is None or now - self._seen[-1][0] >= _SAMPLE_SECONDS:
                self._seen.append((now, calls))
        if before is None or now <= before[0]:
            return {}
        since, seen = before
        return {k: (n - seen.get(k, 0)) / (now - since) for k, n in calls.items() if n >= seen.get(k, 0)}


def overview(metrics: Metrics, rates: Rates, everything: bool = False) -> Overview:
    """Operations that are called from outside; every operation where there are none, or where all are asked for."""
    found = _operations(metrics)
    of_rate = rates.of({key: operation.calls for key, operation in found.items()})
    for key, operation in found.items():
        operation.rate = of_rate.get(key)
    entries = [o for o in found.values() if o.kind in ENTRY_KINDS]
    shown = list(found.values()) if everything or not entries else entries
    shown.sort(key=lambda o: (-o.calls, o.service, o.name))
    return Overview(shown[:MAX_ROWS], max(0, len(shown) - MAX_ROWS), bool(entries) and not everything)


def _operations(metrics: Metrics) -> dict[Key, Operation]:
    found: dict[Key, Operation] = {}
    for series in metrics.first(*CALLS):
        operation = found.setdefault(_key(series), Operation(*_key(series)))
        operation.calls += series.value
        if series.labels.get("status_code") == "STATUS_CODE_ERROR":
            operation.failed += series.value
    name = next((name for name in DURATIONS if metrics[name]), None)
    histograms: dict[Key, list[Histogram]] = {}
    for series in metrics[name] if name else ():
        if series.histogram is not None:
            histograms.setdefault(_key(series), []).append(series.histogram)
    for key, of_key in histograms.items():
        whole = merged(of_key)
        if whole is not None and key in found and name:
            _times(found[key], whole, DURATIONS[name])
    return found


def _times(operation: Operation, histogram: Histogram, unit_ns: float) -> None:
    operation.p50, operation.p95, operation.p99 = (
        None if value is None else value * unit_ns for value in map(histogram.quantile, (0.5, 0.95, 0.99))
    )
    operation.exemplars = tuple(trace for _, trace in histogram.exemplars[:1])


def _key(series: Series) -> Key:
    labels = series.labels
    service = labels.get("service_name") or labels.get("service", "")
    return service, labels.get("span_name", ""), labels.get("span_kind", "")
