"""The exporters of this process, each under guard: records are repaired before they are encoded, what was not taken is
counted, nothing is tried once the process has spent its time to end, and a sidecar on this host is never asked for by
way of a proxy.

The exporters are found below the SDK's providers, by their public base classes, and only their method `export` is
replaced: whoever configured OpenTelemetry, and with which protocol, makes no difference.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import metrics

from model_sidecar_instrumentation import __version__
from model_sidecar_instrumentation.repair import Repair

DEPTH, MANY = 16, 5000
OWN_METRICS = ("process.", "system.", "cpython.", "otel.sdk.")
"""Metrics that every process has, whatever it does."""
is_exporting: ContextVar[bool] = ContextVar("model_sidecar_exporting", default=False)
"""Whether this thread is in an exporter: what is logged there must not be exported, or there is no end to it."""


class Guard:
    """One exporter. Counts are of records; for metrics, of exports."""

    def __init__(self, exporter: Any, signal: str) -> None:
        self.signal, self.exporter = signal, exporter
        self.endpoint = str(getattr(exporter, "_endpoint", ""))
        self.repair = Repair()
        self.taken = self.refused = 0
        self.busy = 0
        self.unsent = False
        """The last export was refused. Points are totals: what one export did not bring, the next one does."""
        self.closed = False
        self.ending = False
        """The process ends, and made neither spans nor log records."""
        self.quiet = True
        """Nothing but `OWN_METRICS` was there to be sent."""
        self._lock = threading.Lock()
        self._export = exporter.export
        self._repaired: Callable[[Any], Any] = getattr(self.repair, signal)
        exporter.export = self.export

    def export(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        idle = self.signal == "metrics" and _is_idle(batch)
        if self.closed or (idle and self.ending and self.quiet):
            return self._done(batch, None, idle)
        self.quiet = self.quiet and idle
        token = is_exporting.set(True)
        self.busy = self._size(batch)
        try:
            return self._done(batch, self._export(self._clean(batch), *args, **kwargs), idle)
        finally:
            self.busy = 0
            is_exporting.reset(token)

    def _clean(self, batch: Any) -> Any:
        try:
            return self._repaired(batch)
        except Exception:  # A release of the SDK whose records look otherwise: they are exported as they are.
            return batch

    def _done(self, batch: Any, result: Any, idle: bool) -> Any:
        if getattr(result, "name", "") == "SUCCESS":
            self.taken += self._size(batch)
            self.unsent = False
            return result
        if not idle:
            self.unsent = True
            with self._lock:
                self.refused += self._size(batch)
        return _failure(self.signal) if result is None else result

    def _size(self, batch: Any) -> int:
        return 1 if self.signal == "metrics" else len(batch)

    def renew(self) -> None:
        """In a child after a fork: nothing was sent by it."""
        self._lock = threading.Lock()
        self.taken = self.refused = self.busy = 0
        self.ending, self.quiet, self.closed, self.unsent = False, True, False, False


def _failure(signal: str) -> Any:
    if signal == "metrics":
        from opentelemetry.sdk.metrics.export import MetricExportResult

        return MetricExportResult.FAILURE
    if signal == "spans":
        from opentelemetry.sdk.trace.export import SpanExportResult

        return SpanExportResult.FAILURE
    from opentelemetry.sdk._logs import export

    results: Any = getattr(export, "LogRecordExportResult", None) or export.LogExportResult
    return results.FAILURE


def _is_idle(data: Any) -> bool:
    names = (m.name for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics)
    return all(name.startswith(OWN_METRICS) for name in names)


def guards(providers: Iterable[Any]) -> list[Guard]:
    """Guards for all exporters below `providers`."""
    kinds = _kinds()
    found = below(providers, lambda item: any(isinstance(item, kind) for kind in kinds))
    return [Guard(e, next(signal for kind, signal in kinds.items() if isinstance(e, kind))) for e in found]


def _kinds() -> dict[type, str]:
    """Base class of exporters -> signal; none of them where there is no SDK."""
    try:
        from opentelemetry.sdk._logs import export as logs
        from opentelemetry.sdk.metrics.export import MetricExporter
        from opentelemetry.sdk.trace.export import SpanExporter
    except ImportError:
        return {}
    log_exporter = getattr(logs, "LogRecordExporter", None) or logs.LogExporter  # Renamed in 1.39.
    return {SpanExporter: "spans", MetricExporter: "metrics", log_exporter: "logs"}


def below(roots: Iterable[Any], wanted: Callable[[Any], bool]) -> Iterator[Any]:
    """What `roots` hold somewhere below them. Where exactly changes from release to release of the SDK."""
    seen: set[int] = set()
    level = list(roots)
    for _ in range(DEPTH):
        deeper: list[Any] = []
        for item in level:
            if id(item) in seen or len(seen) > MANY:
                continue
            seen.add(id(item))
            if wanted(item):
                yield item
            if isinstance(item, (list, tuple, set, frozenset)):
                deeper.extend(item)
            elif isinstance(item, dict):
                deeper.extend(item.values())
            elif type(item).__module__.startswith("opentelemetry."):
                deeper.extend(getattr(item, "__dict__", {}).values())
        level = deeper


def sessions(roots: Iterable[Any]) -> Iterator[Any]:
    """HTTP sessions of the `requests` package."""
    return below(roots, lambda item: type(item).__module__.startswith("requests.") and hasattr(item, "adapters"))


def is_loopback(host: str | None) -> bool:
    """Whether a host of a URL is this one: localhost, 127.0.0.0/8, ::1 and the mapped addresses."""
    name = (host or "").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def never_by_proxy(session: Any) -> None:
    """Requests of this session to this host go straight there: `http_proxy` would otherwise send feature values away.
    The app's own sessions are theirs."""
    from requests.adapters import HTTPAdapter

    class Direct(HTTPAdapter):
        """Passes over the proxy for this host."""

        def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            if is_loopback(urlsplit(request.url or "").hostname):
                args, kwargs = args[:4], {**kwargs, "proxies": {}}
            return super().send(request, *args, **kwargs)

    for prefix, adapter in dict(session.adapters).items():
        if type(adapter) is HTTPAdapter:
            session.mount(prefix, Direct(max_retries=adapter.max_retries))


class Tally:
    """Counters of what was repaired and dropped in this process, exported with its metrics once there is any."""

    def __init__(self, guarded: Iterable[Guard]) -> None:
        self._guards = list(guarded)
        meter = metrics.get_meter("model_sidecar_instrumentation", __version__)
        for name, callback, what in (
            ("repaired", self._repaired, "Records that could not be encoded as they were."),
            ("dropped", self._dropped, "Records that the sidecar did not take."),
        ):
            meter.create_observable_counter(f"model_sidecar.telemetry.{name}", [callback], "{record}", what)

    def _repaired(self, _: metrics.CallbackOptions) -> Iterator[metrics.Observation]:
        for guard in self._guards:
            if guard.repair.repaired:
                yield metrics.Observation(guard.repair.repaired, {"signal": guard.signal})

    def _dropped(self, _: metrics.CallbackOptions) -> Iterator[metrics.Observation]:
        for guard in self._guards:
            if guard.refused:
                yield metrics.Observation(guard.refused, {"signal": guard.signal})
