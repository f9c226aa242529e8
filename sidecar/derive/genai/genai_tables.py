"""Metrics of generative models: bounded tables, and what they show."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sidecar.derive.families import FamilySnapshot, Points
from sidecar.derive.genai.calls import MAX_VALUE, Calls, Identity
from sidecar.derive.scrapes import View
from sidecar.derive.series import Arrival, Budget, SeriesTable
from sidecar.derive.tables import HistogramTable

LABELS = (
    "service_name",
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_response_model",
)
TOKENS = tuple(4.0**n for n in range(14))
"""1 to 67,108,864."""
SECONDS = tuple(0.01 * 2**n for n in range(14))
"""0.01 to 81.92."""
FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)


@dataclass(frozen=True, slots=True)
class Metric:
    """A histogram or (without bounds) a counter of one side. Bounds and names are those of OpenTelemetry's conventions
    for generative AI where these have the metric."""

    name: str
    server: bool
    values: tuple[str, ...]
    help: str
    unit: str = ""
    bounds: tuple[float, ...] = ()
    extra: str = ""
    """A label of its own: `gen_ai_token_type` (its value is the name's name), or `error_type`."""
    failed: bool = True
    """Of calls that failed too."""


_SUBSET = "gen_ai_client_inference_usage_"
METRICS = (
    Metric(
        "gen_ai_client_token_usage",
        False,
        ("input", "output"),
        "Tokens of a call, input and output.",
        "",
        TOKENS,
        "gen_ai_token_type",
    ),
    Metric(
        "gen_ai_client_operation_duration_seconds",
        False,
        ("seconds",),
        "Seconds that a call took, as its client saw it.",
        "seconds",
        SECONDS,
        "error_type",
    ),
    Metric(
        "gen_ai_client_operation_time_to_first_chunk_seconds",
        False,
        ("first",),
        "Seconds until the first chunk of a streamed answer, as its client saw it.",
        "seconds",
        SECONDS,
        failed=False,
    ),
    Metric(f"{_SUBSET}cache_read_input_tokens", False, ("cache_read",), "Input tokens read from a cache: a part."),
    Metric(f"{_SUBSET}cache_write_input_tokens", False, ("cache_write",), "Input tokens put in a cache: a part."),
    Metric(f"{_SUBSET}reasoning_output_tokens", False, ("reasoning",), "Output tokens of reasoning: a part."),
    Metric(
        "gen_ai_server_token_usage",
        True,
        ("input", "output"),
        "Tokens of a request, input and output, as the server reports.",
        "",
        TOKENS,
        "gen_ai_token_type",
    ),
    Metric(
        "gen_ai_server_request_duration_seconds",
        True,
        ("seconds",),
        "Seconds that a request took in the server.",
        "seconds",
        SECONDS,
        "error_type",
    ),
    Metric(
        "gen_ai_server_time_to_first_token_seconds",
        True,
        ("first",),
        "Seconds until the server made the first token.",
        "seconds",
        FIRST_TOKEN,
        failed=False,
    ),
    Metric(
        "gen_ai_server_time_per_output_token_seconds",
        True,
        ("per_token",),
        "Seconds for a token after the first, a request's mean.",
        "seconds",
        PER_TOKEN,
        failed=False,
    ),
    Metric(
        "gen_ai_server_time_in_queue_seconds",
        True,
        ("queue",),
        "Seconds that a request waited in the server.",
        "seconds",
        FIRST_TOKEN,
    ),
)


class GenaiTables:
    """Adds up calls. Not thread-safe: the engine's lock guards it."""

    def __init__(self, budget: Budget) -> None:
        self._metrics = [(metric, _table(metric, budget)) for metric in METRICS]
        self.kept = tuple(table for _, table in self._metrics)

    def add(self, calls: Calls, arrival: Arrival) -> None:
        """Add calls. `arrival.times` are those of the payloads that `calls.payload` counts."""
        for metric, table in self._metrics:
            for name in metric.values:
                _add(metric, name, table, calls, arrival)

    def expire(self, now: int, ttl: int) -> None:
        """Take away series idle for longer than `ttl` ns at `now` (Unix ns)."""
        for table in self.kept:
            table.expire(now, ttl)

    def collect(self, view: View | None = None) -> Iterator[FamilySnapshot]:
        """The families, all of one moment."""
        for metric, table in self._metrics:
            yield _snapshot(metric, table, view)


def _table(metric: Metric, budget: Budget) -> SeriesTable:
    """Of a counter the sum alone."""
    labels = (*LABELS, metric.extra) if metric.extra else LABELS
    if not metric.bounds:
        return SeriesTable(metric.name + "_total", labels, 0, budget)
    return HistogramTable(metric.name, labels, metric.bounds, budget)


def _add(metric: Metric, name: str, table: SeriesTable, calls: Calls, arrival: Arrival) -> None:
    takes = [one.server == metric.server and (metric.failed or not one.error) for one in calls.identities]
    values = calls.values[name]
    least = 0 if metric.bounds else 1  # A part that is nothing is not worth a series.
    picked = np.flatnonzero(np.array(takes, np.bool_)[calls.code] & (values >= least) & (values <= MAX_VALUE))
    if not len(picked):
        return
    keys: dict[tuple[str, ...], int] = {}
    codes = np.array([keys.setdefault(_key(metric, name, one), len(keys)) for one in calls.identities], np.uint32)[
        calls.code[picked]
    ]
    ends = np.searchsorted(calls.payload[picked], np.arange(len(arrival.times)), side="right")
    arrival, values, weight = Arrival(ends, arrival.times, arrival.now), values[picked], calls.weight[picked]
    if isinstance(table, HistogramTable):
        table.observe(list(keys), codes, arrival, values, weight)
    else:
        table.add_up(table.assign(list(keys), codes, arrival), values * weight)


def _key(metric: Metric, name: str, one: Identity) -> tuple[str, ...]:
    if not metric.extra:
        return one.labels
    return (*one.labels, name if metric.extra == "gen_ai_token_type" else one.error)


def _snapshot(metric: Metric, table: SeriesTable, view: View | None) -> FamilySnapshot:
    if isinstance(table, HistogramTable):
        return table.snapshot(view, metric.help, metric.unit)
    keys, _, _, created, sums = table.show_sums(view)
    points = Points(table.label_texts(keys), [math.floor(total + 0.5) for total in sums], created)
    return FamilySnapshot(metric.name, "counter", metric.help, metric.unit, (points,))
