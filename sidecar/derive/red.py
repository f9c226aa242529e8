"""Rate, errors, duration from spans: the figures of the Collector's spanmetrics connector, exact across restarts.

One table holds calls, buckets and the sum of durations; both sets of names are views of it. Where the Collector 0.155
is wrong this is not: spans without a service count under `unknown_service`, pods of one service add up, an empty and
an absent dimension are one series, and a span without a start time is no 56-year call.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from sidecar.decode.api import Decoder, SpanBatch
from sidecar.derive.deriver import Deriver, DeriverContext, table_bytes
from sidecar.derive.exemplars import ExemplarTable
from sidecar.derive.families import FamilySnapshot, Histograms, Points, label_name
from sidecar.derive.scrapes import View
from sidecar.derive.series import (
    I64,
    MAX_WEIGHT,
    SCALE,
    Arrival,
    Budget,
    Labels,
    SeriesTable,
    add_saturating,
    carry_sums,
    joined,
    split,
    whole,
)
from sidecar.derive.target_info import Targets
from sidecar.options import Section
from sidecar.pipeline import Signal
from sidecar.telemetry import Telemetry

CALLS = "traces_span_metrics_calls"
_INTRINSIC = {
    "collector": ("service_name", "span_name", "span_kind", "status_code"),
    "tempo": ("service", "span_name", "span_kind", "status_code"),
}
_RESERVED = {"service_name", "service", "span_name", "span_kind", "status_code", "le", "otel_metric_overflow"}
_CALLS_COLUMN, _HIGH, _LOW, _BUCKETS = 0, 1, 2, 3
_MAX_NS = float(1 << 62)


class RedOptions(Section):
    """Rate, error and duration metrics from spans."""

    enabled: bool = Field(default=True, description="Derive RED metrics from spans.")
    names: Literal["collector", "tempo", "both"] = Field(
        default="collector",
        description="Metric names: `collector` as the spanmetrics connector, `tempo` as Grafana's Tempo queries them.",
    )
    unit: Literal["s", "ms"] = Field(
        default="s",
        description="Unit of the collector set's duration histogram. Jaeger's monitor tab reads milliseconds.",
    )
    dimensions: tuple[str, ...] = Field(
        default=(
            "http.route",
            "http.response.status_code|http.status_code",
            "rpc.method",
            "model.name|ml.model.name|gen_ai.request.model",
            "model.version|ml.model.version",
        ),
        description="Attributes that become labels; a span's own beats its resource's. `a|b` takes the first that is "
        "there; the label is named after the first.",
    )
    buckets: tuple[float, ...] = Field(
        default=(0.002, 0.004, 0.006, 0.008, 0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.4, 2.0, 5.0, 10.0, 15.0),
        description="Upper bounds of the duration histogram in seconds, ascending.",
        min_length=1,
        max_length=100,
    )

    @field_validator("buckets")
    @classmethod
    def _ascending(cls, buckets: tuple[float, ...]) -> tuple[float, ...]:
        in_order = all(a < b for a, b in itertools.pairwise(buckets))
        if not in_order or buckets[0] <= 0 or buckets[-1] > 9e9:
            raise ValueError("must be ascending, above 0 and at most 9e9 seconds")
        return buckets

    @field_validator("dimensions")
    @classmethod
    def _distinct_labels(cls, dimensions: tuple[str, ...]) -> tuple[str, ...]:
        seen: dict[str, str] = {}
        for dimension in dimensions:
            if not all(dimension.split("|")):
                raise ValueError(f"{dimension!r}: an attribute's name is empty")
            label = label_name(dimension.split("|")[0])
            if label in _RESERVED:
                raise ValueError(f"{dimension!r} would become the label {label!r}, which every series has already")
            if label in seen:
                raise ValueError(f"{seen[label]!r} and {dimension!r} would both become the label {label!r}")
            seen[label] = dimension
        return dimensions

    def attributes(self) -> tuple[str, ...]:
        """All attribute names to ask the decoder for."""
        return tuple(name for dimension in self.dimensions for name in dimension.split("|"))

    def labels(self) -> tuple[str, ...]:
        """Label names of the dimensions."""
        return tuple(label_name(dimension.split("|")[0]) for dimension in self.dimensions)


class RedDeriver:
    """Spans in, RED families out. The caller guards it with a lock."""

    signal: Signal = "spans"

    def __init__(self, options: RedOptions, budget: Budget, targets: Targets, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._options = options
        self._targets = targets
        self._bounds_ns = np.array([int(Decimal(str(b)).scaleb(9)) for b in options.buckets], np.uint64)
        self._width = len(options.buckets) + 1
        self.table = SeriesTable(
            CALLS + "_total",
            _INTRINSIC["collector"] + options.labels(),
            _BUCKETS + self._width,
            budget,
            ",".join(map(str, options.buckets)),
            native=True,
        )
        self.kept = (self.table,)
        self._exemplars = ExemplarTable(self._width)
        self._sources = [len(dimension.split("|")) for dimension in options.dimensions]
        self._aliased = any(n > 1 for n in self._sources)
        self._known: dict[tuple[str, ...], Labels] = {}

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> SpanBatch:
        """The columns that `apply` needs. Raises DecodeError."""
        return decoder.spans(payloads, self._options.attributes())

    def apply(self, batch: SpanBatch, arrival: Arrival) -> None:
        """Add a batch of spans."""
        if batch.repaired:
            self._telemetry.add("sidecar_invalid_utf8_total", batch.repaired, signal="spans")
        if not len(batch):
            return
        rows, inverse = np.unique(
            self.table.rows(self._labels(batch.groups), batch.group, arrival), return_inverse=True
        )
        local = inverse[batch.group]
        started = batch.start != 0
        weights = None if (batch.adjusted_count == 1.0).all() else _fixed_weights(batch.adjusted_count)
        if weights is not None:
            self._telemetry.add("sidecar_spans_scaled_total", int((weights > SCALE).sum()))
        delta = np.zeros((len(rows), self.table.values.shape[1]), np.int64)
        delta[:, _CALLS_COLUMN] = _counts(local, weights, len(rows))
        if started.all():
            self._add_durations(delta, rows, local, batch, weights, None)
        else:
            timed = np.flatnonzero(started)
            self._telemetry.add("sidecar_spans_without_start_total", len(batch) - len(timed))
            self._add_durations(delta, rows, local[timed], batch, None if weights is None else weights[timed], timed)
        add_saturating(self.table.values, rows, delta)
        carry_sums(self.table.values, rows, _HIGH, _LOW)
        self.table.touch(rows, arrival.now)
        self._targets.see(batch.resources, arrival.now)

    def expire(self, now: int, ttl: int) -> None:
        """Take away series idle for longer than `ttl` ns at `now` (Unix ns)."""
        gone = self.table.expire(now, ttl)
        self._exemplars.forget(gone)
        if gone:
            self._known.clear()

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        """The families, calls and durations of one moment."""
        keys, rows, values, created = self.table.show(view)
        calls = whole(values[:, _CALLS_COLUMN])
        cumulative = whole(np.cumsum(values[:, _BUCKETS:], axis=1))
        sums = joined(values[:, _HIGH], values[:, _LOW])
        natives = self.table.natives(rows, [row[-1] for row in cumulative])
        latest = self._exemplars.snapshot(rows, values[:, _BUCKETS:] > 0)
        for names in ("collector", "tempo"):
            if self._options.names not in (names, "both"):
                continue
            texts = self.table.texts(_INTRINSIC[names] + self._options.labels())
            labels = [texts[key] for key in keys]
            scale = 1000 if names == "collector" and self._options.unit == "ms" else 1
            histogram = Histograms(
                labels,
                tuple(float(Decimal(str(b)) * scale) for b in self._options.buckets),
                cumulative,
                [total * scale / 10**9 for total in sums],
                created,
                {at: exemplar.scaled(scale) for at, exemplar in latest.items()},
                natives if scale == 1 else (),
            )
            if names == "tempo":
                yield self._targets.snapshot("traces_target")
            yield from _families(names, scale, Points(labels, calls, created), histogram)

    def _labels(self, groups: list[tuple[str, ...]]) -> list[Labels]:
        if not self._aliased:
            return groups
        if len(self._known) > 20_000:
            self._known.clear()
        return [self._known.get(group) or self._first_of_each(group) for group in groups]

    def _first_of_each(self, group: tuple[str, ...]) -> Labels:
        labels, at = list(group[:4]), 4
        for n in self._sources:
            labels.append(next((value for value in group[at : at + n] if value), ""))
            at += n
        mapped = tuple(labels)
        if self.table.find(mapped) >= 0:
            self._known[group] = mapped
        return mapped

    def _add_durations(
        self,
        delta: I64,
        rows: npt.NDArray[np.intp],
        local: npt.NDArray[np.intp],
        batch: SpanBatch,
        weights: I64 | None,
        timed: npt.NDArray[np.intp] | None,
    ) -> None:
        """`timed`: indexes of the spans with a start time, None for all; `local` and `weights` are of those."""
        duration = batch.duration if timed is None else batch.duration[timed]
        bucket = np.searchsorted(self._bounds_ns, duration)
        cell = local * self._width + bucket
        delta[:, _BUCKETS:] = _counts(cell, weights, len(rows) * self._width).reshape(len(rows), self._width)
        amounts = duration if weights is None else _weighted(duration, weights)
        high, low = split(amounts)
        # Exact: at most 2^21 records of a batch, each below 2^32, stay below 2^53.
        delta[:, _LOW] = np.bincount(local, low, len(rows)).astype(np.int64)
        if high.any():
            delta[:, _HIGH] = np.bincount(local, high, len(rows)).astype(np.int64)
        if self.table.native is not None:
            counted = np.full(len(local), SCALE, np.int64) if weights is None else weights
            self.table.native.add(rows[local], duration / 1e9, counted)
        self._exemplars.note(rows, cell, batch, timed)


def build(options: RedOptions, context: DeriverContext) -> Sequence[Deriver[SpanBatch]]:
    """The deriver, unless it is off."""
    return [RedDeriver(options, context.budget, context.targets, context.telemetry)] if options.enabled else []


def memory(options: RedOptions, budget: Budget) -> int:
    """Bytes of its table with an exemplar for each bucket, at most, about."""
    buckets = len(options.buckets) + 1
    return table_bytes(budget, 1) + budget.series * (8 * (buckets + 3) + 40 * buckets)


def _families(names: str, scale: int, calls: Points, durations: Histograms) -> Iterable[FamilySnapshot]:
    if names == "collector":
        unit = "milliseconds" if scale == 1000 else "seconds"
        yield FamilySnapshot(CALLS, "counter", "Spans by service, name, kind and status.", "", (calls,))
        yield FamilySnapshot(
            f"traces_span_metrics_duration_{unit}", "histogram", "Duration of spans.", unit, (durations,)
        )
    else:
        yield FamilySnapshot(
            "traces_spanmetrics_calls", "counter", "Spans by service, name, kind, status.", "", (calls,)
        )
        yield FamilySnapshot(
            "traces_spanmetrics_latency", "histogram", "Duration of spans in seconds.", "", (durations,)
        )


def _fixed_weights(weight: npt.NDArray[np.float64]) -> I64:
    return np.rint(np.clip(weight, 0, MAX_WEIGHT) * SCALE).astype(np.int64)


def _counts(codes: npt.NDArray[np.intp], weights: I64 | None, size: int) -> I64:
    """Fixed-point weight of the records of each code."""
    if weights is None:
        return np.bincount(codes, minlength=size).astype(np.int64) << 20
    out = np.zeros(size, np.int64)
    np.add.at(out, codes, weights)
    return out


def _weighted(duration: npt.NDArray[np.uint64], weights: I64) -> npt.NDArray[np.uint64]:
    """Nanoseconds times weight, rounded once per span so that the order of spans does not matter."""
    scaled = np.minimum(np.rint(duration.astype(np.float64) * (weights / SCALE)), _MAX_NS).astype(np.uint64)
    return np.where(weights == SCALE, duration, scaled)
