"""The program's own metrics and logs: one table of metrics, exposed on the same scrape as those that are derived.

Add a metric: one line in `TABLE`. Components get a `Telemetry` and call `add`, `record` or `watch` by the table's name.
"""

from __future__ import annotations

import bisect
import itertools
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import structlog

from sidecar.log_events import add_hint

log = structlog.get_logger("sidecar")

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
    Metric("sidecar_receiver_request_duration_seconds", "histogram", ("receiver",), "Time from a request's arrival to its reply.", SECONDS),
    Metric("sidecar_receiver_in_flight_bytes", "gauge", (), "Payload bytes that are being validated or wait for their commit."),
    Metric("sidecar_receiver_repaired_total", "counter", ("receiver", "signal", "reason"), "Invalid optional parts of records that were left out or corrected on arrival; the records are accepted."),
    Metric("sidecar_receiver_auth_failures_total", "counter", ("receiver",), "Requests without credentials or with wrong ones."),
    Metric("sidecar_receiver_closed_connections_total", "counter", ("receiver", "reason"), "Connections of Beats and of JSON lines that the receiver closed: max_connections, idle, invalid, overloaded, stopping, internal."),
    Metric("sidecar_file_tail_files", "gauge", ("state",), "Log files by state: open, closed (nothing new in them), unreadable (directories too), copy (of one that is read; left out)."),
    Metric("sidecar_file_tail_lag_bytes", "gauge", (), "Bytes of log files that are there and were not read yet."),
    Metric("sidecar_file_tail_lost_bytes_total", "watched_counter", ("reason",), "Bytes of log files that were gone before they could be read."),
    Metric("sidecar_received_items_total", "watched_counter", ("signal",), "Items stored in the journal (ledger)."),
    Metric("sidecar_rejected_items_total", "watched_counter", ("signal",), "Items rejected at ingest as invalid (ledger)."),
    Metric("sidecar_duplicate_items_total", "watched_counter", ("signal",), "Items of payloads recognised as resends and not stored again."),
    Metric("sidecar_finished_items_total", "watched_counter", ("consumer", "signal", "outcome", "reason"), "Items that a consumer has finished with (ledger)."),
    Metric("sidecar_waiting_items", "gauge", ("consumer", "signal"), "Items stored that a consumer has not finished with (ledger)."),
    Metric("sidecar_dropped_items_total", "watched_counter", ("stage", "reason"), "Items lost, by stage and reason."),
    Metric("sidecar_consumer_lag_seconds", "gauge", ("consumer",), "Age of the oldest entry that a consumer has not finished with."),
    Metric("sidecar_journal_bytes", "gauge", ("kind",), "Bytes of the journal: stored payloads, and the quota."),
    Metric("sidecar_journal_commit_seconds", "histogram", (), "Time of one group commit, with fsync.", SECONDS),
    Metric("sidecar_journal_commit_entries", "histogram", (), "Entries in one group commit.", (1, 2, 4, 8, 16, 32, 64, 128, 256)),
    Metric("sidecar_journal_salvaged_entries_total", "counter", (), "Entries read back from a damaged journal."),
    Metric("sidecar_series", "gauge", ("metric",), "Series that a derived metric holds."),
    Metric("sidecar_series_overflow_total", "watched_counter", ("metric", "label"), "Label values that went into the overflow series because the label or the metric was at its budget."),
    Metric("sidecar_invalid_utf8_total", "counter", ("signal",), "Label texts in which bytes that are not UTF-8 became U+FFFD."),
    Metric("sidecar_rule_values_ignored_total", "watched_counter", ("rule", "reason"), "Records that a rule matched and whose field it could not add, by metric."),
    Metric("sidecar_writers_folded_total", "watched_counter", (), "Writers of one OTLP series that are no longer kept apart: silent, or one of too many."),
    Metric("sidecar_references", "gauge", ("state",), "References of drift: loaded from files, learned from first rows, and files that are invalid."),
    Metric("sidecar_suites", "gauge", ("state",), "Files of Great Expectations suites: loaded, and invalid."),
    Metric("sidecar_expectations", "gauge", ("suite", "expectation", "state"), "Expectations of each suite by name: evaluated, and not_evaluated."),
    Metric("sidecar_spans_without_start_total", "counter", (), "Spans with start time 0: counted in calls, left out of durations."),
    Metric("sidecar_spans_scaled_total", "counter", (), "Spans that count for more than one in metrics, as the sampling threshold in their tracestate says."),
    Metric("sidecar_sink_requests_total", "counter", ("sink", "outcome"), "Requests to the destination by outcome."),
    Metric("sidecar_sink_request_duration_seconds", "histogram", ("sink",), "Time of one delivery request.", SECONDS),
    Metric("sidecar_sink_retries_total", "counter", ("sink", "reason"), "Documents or requests sent again."),
    Metric("sidecar_sink_concurrency", "gauge", ("sink",), "Requests allowed in flight now."),
    Metric("sidecar_redacted_values_total", "counter", ("sink",), "Values dropped, hashed, masked or cut before delivery."),
    Metric("sidecar_filtered_items_total", "counter", ("sink", "signal"), "Items that the sink's filter left out."),
    Metric("sidecar_dead_letters", "gauge", ("sink",), "Documents in the dead letters."),
    Metric("sidecar_store_bytes", "gauge", (), "Bytes of the embedded store."),
    Metric("sidecar_store_spans", "gauge", (), "Spans in the embedded store."),
    Metric("sidecar_push_samples_total", "counter", ("destination", "outcome"), "Samples of pushed metrics: sent, rejected by the receiver, or dropped because the next push or the end came before they could be sent."),
    Metric("sidecar_push_requests_total", "counter", ("destination", "outcome"), "Push requests by outcome: accepted, retry, blocked (an operator has to act), rejected."),
    Metric("sidecar_push_request_duration_seconds", "histogram", ("destination",), "Time of one push request.", SECONDS),
    Metric("sidecar_push_last_success_timestamp_seconds", "gauge", ("destination",), "When all metrics were pushed last, as Unix time."),
    Metric("sidecar_injection_requests_total", "counter", ("outcome",), "The webhook's requests: pods injected, left (not asked for), refused, and requests that were invalid."),
    Metric("sidecar_injection_duration_seconds", "histogram", (), "Time in which the webhook decided about a pod.", SECONDS),
)  # fmt: skip

LabelValues = tuple[str, ...]


@dataclass(slots=True)
class _Observed:
    """One series of a histogram."""

    counts: list[int]
    """Per bucket, the infinite one last; not cumulative."""
    sum: float = 0.0


class MetricSample(Protocol):
    """A sample as prometheus_client has it."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def value(self) -> float: ...


class MetricFamily(Protocol):
    """A family as prometheus_client's registries give them."""

    @property
    def name(self) -> str:
        """Without the ending of its samples, such as `_total`."""
        ...

    @property
    def type(self) -> str: ...
    @property
    def documentation(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def samples(self) -> Sequence[MetricSample]: ...


@dataclass(frozen=True, slots=True)
class OwnSample:
    """A `MetricSample`."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class OwnFamily:
    """A `MetricFamily`."""

    name: str
    type: str
    documentation: str
    samples: tuple[OwnSample, ...]
    unit: str = ""


class Telemetry:
    """The metrics of `TABLE`, by name. Thread-safe. A name or label that is not in the table raises KeyError.

    What is counted is kept as plain numbers and read at the scrape: a call of the OpenTelemetry SDK's instruments costs
    about ten times as much, there are a dozen for each request, and the SDK is 4 MiB that only HTTP requests need.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._metrics = {m.name: m for m in TABLE}
        self._watches: dict[str, list[Watch]] = {}
        self._counts: dict[str, dict[LabelValues, float]] = {m.name: {} for m in TABLE if m.kind == "counter"}
        self._histograms: dict[str, dict[LabelValues, _Observed]] = {m.name: {} for m in TABLE if m.kind == "histogram"}
        self._unread: set[str] = set()
        """What could not be read, and was said."""
        self._instrumentations: list[Callable[[], Iterable[MetricFamily]]] = []

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter of the table."""
        counts, key = self._counts[name], self._key(name, labels)
        with self._lock:
            counts[key] = counts.get(key, 0) + amount

    def record(self, name: str, value: float, **labels: str) -> None:
        """Observe a value in a histogram of the table."""
        observed, key = self._histograms[name], self._key(name, labels)
        bounds = self._metrics[name].buckets
        with self._lock:
            series = observed.get(key)
            if series is None:
                series = observed[key] = _Observed([0] * (len(bounds) + 1))
            series.counts[bisect.bisect_left(bounds, value)] += 1
            series.sum += value

    def watch(self, name: str, read: Watch) -> None:
        """Have a gauge or watched counter read from `read` at every scrape: (value, labels) pairs."""
        if self._metrics[name].kind not in ("gauge", "watched_counter"):
            raise KeyError(name)
        self._watches.setdefault(name, []).append(read)

    def instrumented(self, collect: Callable[[], Iterable[MetricFamily]]) -> None:
        """Show what a library measures of this program, too."""
        self._instrumentations.append(collect)

    def collect(self) -> Iterator[MetricFamily]:
        """What there is to show of each metric, in the order of the table; then what libraries measure."""
        for metric in TABLE:
            samples = self._buckets(metric) if metric.kind == "histogram" else self._numbers(metric)
            if samples:
                kind = metric.kind.removeprefix("watched_")
                yield OwnFamily(metric.name.removesuffix("_total"), kind, metric.help, tuple(samples))
        for collect in self._instrumentations:
            try:
                measured = list(collect())
            except Exception:
                if self._fails_newly("what a library measures"):
                    log.exception("metric_not_read", metric="what a library measures")
            else:
                yield from measured

    def _key(self, name: str, labels: Mapping[str, str]) -> LabelValues:
        wanted = self._metrics[name].labels
        if len(labels) != len(wanted):
            raise KeyError(f"{name}: labels {sorted(labels)}, the table has {wanted}")
        return tuple([labels[label] for label in wanted])

    def _numbers(self, metric: Metric) -> list[OwnSample]:
        if metric.kind == "counter":
            with self._lock:
                counts = list(self._counts[metric.name].items())
            return [_sample(metric, dict(zip(metric.labels, key, strict=True)), count) for key, count in counts]
        read: list[OwnSample] = []
        for watch in self._watches.get(metric.name, ()):
            try:
                read += [_sample(metric, labels, value) for value, labels in watch()]
            except Exception:
                if self._fails_newly(metric.name):
                    log.exception("metric_not_read", metric=metric.name)
        return read

    def _fails_newly(self, metric: str) -> bool:
        """Whether it is to be said that it cannot be read: once, there is a scrape every few seconds."""
        newly = metric not in self._unread
        self._unread.add(metric)
        return newly

    def _buckets(self, metric: Metric) -> list[OwnSample]:
        with self._lock:
            rows = [(key, list(series.counts), series.sum) for key, series in self._histograms[metric.name].items()]
        ends = [*(str(float(bound)) for bound in metric.buckets), "+Inf"]
        samples: list[OwnSample] = []
        for key, counts, total in rows:
            labels = {label: str(text) for label, text in zip(metric.labels, key, strict=True)}
            counted = list(itertools.accumulate(counts))
            samples += [
                OwnSample(f"{metric.name}_bucket", {**labels, "le": end}, count)
                for end, count in zip(ends, counted, strict=True)
            ]
            samples.append(OwnSample(f"{metric.name}_count", labels, counted[-1]))
            samples.append(OwnSample(f"{metric.name}_sum", labels, _number(total)))
        return samples


def _sample(metric: Metric, labels: Mapping[str, str], value: float) -> OwnSample:
    texts = {label: str(text) for label, text in sorted(labels.items())}
    return OwnSample(metric.name, texts, _number(value))


def _number(value: float) -> float:
    """Numbers of numpy and booleans are written in another way than Python's."""
    return value if type(value) in (int, float) else float(value)


def configure_logging(level: str) -> None:
    """structlog JSON lines on stderr: `timestamp`, `level`, `logger`, `event` and the event's fields."""
    # gRPC's core has lines of its own, which are no JSON: one for each connection that does not speak TLS.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    for noisy in ("uvicorn", "uvicorn.error", "grpc"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    described: list[Any] = [
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    rendered = structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)  # What libraries log, in the same form.
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(rendered, foreign_pre_chain=described))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, add_hint, *described, rendered],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=_NamedLogger,
    )


class _NamedLogger(structlog.PrintLogger):
    """Prints to stderr, and knows its name."""

    def __init__(self, name: str = "sidecar") -> None:
        super().__init__(sys.stderr)
        self.name = name
