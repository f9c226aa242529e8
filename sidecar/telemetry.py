"""The program's own metrics and logs: one table, the OpenTelemetry SDK behind it, exposed on the same scrape.

Add a metric: one line in `TABLE`. Components get a `Telemetry` and call `add`, `record` or `watch` by the table's name.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import structlog
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

Kind = Literal["counter", "histogram", "gauge", "watched_counter"]
Watch = Callable[[], Iterable[tuple[float, Mapping[str, str]]]]


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table. `watched_counter` and `gauge` are read from a callback at scrape time."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

TABLE: tuple[Metric, ...] = (
    Metric("sidecar_build_info", "gauge", ("version", "decoder", "python"), "1, with the version and the decoder in use."),
    Metric("sidecar_receiver_requests_total", "counter", ("receiver", "signal", "outcome"), "Requests by outcome of the reply table."),
    Metric("sidecar_receiver_bytes_total", "counter", ("receiver", "signal"), "Payload bytes received, after decompression."),
    Metric("sidecar_receiver_ack_seconds", "histogram", ("receiver",), "Time from a request's arrival to its reply.", SECONDS),
    Metric("sidecar_receiver_in_flight_bytes", "gauge", (), "Payload bytes that are being validated or wait for their commit."),
    Metric("sidecar_refused_credentials_total", "counter", ("receiver",), "Requests without credentials or with wrong ones."),
    Metric("sidecar_file_tail_files", "gauge", ("state",), "Log files by state: open, closed (nothing new in them), unreadable."),
    Metric("sidecar_file_tail_behind_bytes", "gauge", (), "Bytes of log files that are there and were not read yet."),
    Metric("sidecar_file_tail_lost_bytes_total", "watched_counter", ("reason",), "Bytes of log files that were gone before they could be read."),
    Metric("sidecar_received_items_total", "watched_counter", ("signal",), "Items kept in the journal (ledger)."),
    Metric("sidecar_rejected_items_total", "watched_counter", ("signal",), "Items refused at intake as invalid (ledger)."),
    Metric("sidecar_duplicate_items_total", "watched_counter", ("signal",), "Items of payloads recognised as resends and not kept again."),
    Metric("sidecar_finished_items_total", "watched_counter", ("consumer", "signal", "outcome", "reason"), "Items that a consumer has finished with (ledger)."),
    Metric("sidecar_waiting_items", "gauge", ("consumer", "signal"), "Items kept that a consumer has not finished with (ledger)."),
    Metric("sidecar_dropped_items_total", "watched_counter", ("stage", "reason"), "Items lost, by stage and reason."),
    Metric("sidecar_consumer_lag_seconds", "gauge", ("consumer",), "Age of the oldest entry that a consumer has not finished with."),
    Metric("sidecar_journal_bytes", "gauge", ("kind",), "Bytes of the journal: kept payloads, and the quota."),
    Metric("sidecar_journal_commit_seconds", "histogram", (), "Time of one group commit, with fsync.", SECONDS),
    Metric("sidecar_journal_commit_entries", "histogram", (), "Entries in one group commit.", (1, 2, 4, 8, 16, 32, 64, 128, 256)),
    Metric("sidecar_journal_salvaged_entries_total", "counter", (), "Entries read back from a damaged journal."),
    Metric("sidecar_series", "gauge", ("metric",), "Series that a derived metric holds."),
    Metric("sidecar_label_budget_exceeded", "gauge", ("metric", "label"), "Label values turned away because the label or the metric was at its budget."),
    Metric("sidecar_text_repaired_total", "counter", ("signal",), "Label texts in which bytes that are not UTF-8 became U+FFFD."),
    Metric("sidecar_rule_values_ignored_total", "watched_counter", ("rule", "reason"), "Records that a rule matched and whose field it could not add, by metric."),
    Metric("sidecar_spans_without_start_total", "counter", (), "Spans with start time 0: counted in calls, left out of durations."),
    Metric("sidecar_spans_scaled_total", "counter", (), "Spans that count for more than one in metrics, as the sampling threshold in their tracestate says."),
    Metric("sidecar_delivery_requests_total", "counter", ("sink", "outcome"), "Requests to the far side by outcome."),
    Metric("sidecar_delivery_seconds", "histogram", ("sink",), "Time of one delivery request.", SECONDS),
    Metric("sidecar_delivery_retries_total", "counter", ("sink", "reason"), "Documents or requests sent again."),
    Metric("sidecar_delivery_concurrency", "gauge", ("sink",), "Requests allowed in flight now."),
    Metric("sidecar_redacted_values_total", "counter", ("sink",), "Values dropped, hashed, masked or cut before delivery."),
    Metric("sidecar_filtered_items_total", "counter", ("sink", "signal"), "Items that the sink's filter left out."),
    Metric("sidecar_dead_letters", "gauge", ("sink",), "Documents in the dead letters."),
    Metric("sidecar_store_bytes", "gauge", (), "Bytes of the embedded store."),
    Metric("sidecar_store_spans", "gauge", (), "Spans in the embedded store."),
)  # fmt: skip

HTTP_METRICS = (
    "http.server.request.duration",
    "http.server.active_requests",
    "http.server.request.body.size",
    "http.server.response.body.size",
)
"""What the HTTP instrumentation measures of our own intake. Shown with `sidecar` before it: the model's own metrics of
these names pass through, and the two must not be added up."""
HTTP_LABELS = {"http.request.method", "http.route", "http.response.status_code"}
"""Labels of the HTTP instrumentation that are kept. The others would take a value from each Host header that a client
makes up, and a series for each."""


class Telemetry:
    """The instruments of `TABLE`, by name. Thread-safe. A name or label that is not in the table raises KeyError."""

    def __init__(self, readers: Iterable[MetricReader] = ()) -> None:
        views = [
            View(
                instrument_name=m.name.removesuffix("_total"), aggregation=ExplicitBucketHistogramAggregation(m.buckets)
            )
            for m in TABLE
            if m.kind == "histogram"
        ]
        views += [View(instrument_name=n, name=f"sidecar.{n}", attribute_keys=HTTP_LABELS) for n in HTTP_METRICS]
        self.provider = MeterProvider(
            metric_readers=tuple(readers), views=views, resource=Resource({"service.name": "model-sidecar"})
        )
        meter = self.provider.get_meter("sidecar")
        self._metrics = {m.name: m for m in TABLE}
        self._watches: dict[str, list[Watch]] = {}
        self._counters = {
            m.name: meter.create_counter(_otel_name(m), description=m.help) for m in TABLE if m.kind == "counter"
        }
        self._histograms = {
            m.name: meter.create_histogram(_otel_name(m), description=m.help) for m in TABLE if m.kind == "histogram"
        }
        for m in TABLE:
            if m.kind == "gauge":
                meter.create_observable_gauge(_otel_name(m), callbacks=[self._callback(m.name)], description=m.help)
            elif m.kind == "watched_counter":
                meter.create_observable_counter(_otel_name(m), callbacks=[self._callback(m.name)], description=m.help)

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter of the table."""
        self._check(name, labels)
        self._counters[name].add(amount, labels)

    def record(self, name: str, value: float, **labels: str) -> None:
        """Observe a value in a histogram of the table."""
        self._check(name, labels)
        self._histograms[name].record(value, labels)

    def watch(self, name: str, read: Watch) -> None:
        """Have a gauge or watched counter read from `read` at every scrape: (value, labels) pairs."""
        if self._metrics[name].kind not in ("gauge", "watched_counter"):
            raise KeyError(name)
        self._watches.setdefault(name, []).append(read)

    def _check(self, name: str, labels: Mapping[str, str]) -> None:
        if len(labels) != len(self._metrics[name].labels):
            raise KeyError(f"{name}: labels {sorted(labels)}, the table says {self._metrics[name].labels}")

    def _callback(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(_: CallbackOptions) -> Iterable[Observation]:
            return [
                Observation(value, dict(labels)) for watch in self._watches.get(name, ()) for value, labels in watch()
            ]

        return read


def _otel_name(metric: Metric) -> str:
    return metric.name.removesuffix("_total")


def configure_logging(level: str) -> None:
    """structlog JSON lines on stderr: `timestamp`, `level`, `logger`, `event` and the event's fields."""
    for noisy in ("uvicorn", "uvicorn.error", "elastic_transport", "grpc"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    logging.basicConfig(level=level.upper(), stream=sys.stderr, format="%(message)s", force=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
