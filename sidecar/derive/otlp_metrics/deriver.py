"""Metrics that a program sends over OTLP, shown as Prometheus has them.

A cumulative point of the only writer of a series is shown as the client has it; several writers add up (`writers`).
Delta points are added up, and the sum goes on across restarts. The last value of a gauge stays, so that a batch job
needs no push gateway: an idle series goes only when a scraper was shown its last value. Of the points of a gauge the
latest counts.

Exemplars of clients are not passed on: nothing says that their traces were kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import Field

from sidecar.decode.api import Decoder
from sidecar.decode.otlp.metrics import (
    Data,
    ExponentialHistogram,
    Histogram,
    MetricBatch,
    Number,
    Point,
    Summary,
    metric_batch,
)
from sidecar.derive.deriver import Deriver, DeriverContext
from sidecar.derive.families import Block, FamilySnapshot, Histograms, Kind, Points, Summaries, label_text
from sidecar.derive.otlp_metrics.point_labels import Labels, labels_of_point, resource_of, stream_of
from sidecar.derive.otlp_metrics.points import as_native, bounded, explicit, pack, read_json, size, unpack, zeroed
from sidecar.derive.otlp_metrics.prometheus_names import family_kind, family_name
from sidecar.derive.otlp_metrics.writers import Writer, Writers, unpacked
from sidecar.derive.scrapes import View
from sidecar.derive.series import Arrival, Budget
from sidecar.derive.target_info import Targets
from sidecar.options import Section
from sidecar.pipeline import Signal

log = structlog.get_logger("sidecar.derive")

MAX_BYTES = 16 << 20
"""Of all series together, about."""
_PREFIX = b"metric\0"
_FORMAT = 2
"""Of kept rows. Another one when `stream_of` or `pack` give something else: by an old key a writer would not be known
again, and what it counted would count twice."""
_OWN_NAMES = ("sidecar_", "target_info")
_SHOWN = -1
_UNSEEN_NS = 86_400 * 10**9


class OtlpMetricsOptions(Section):
    """Metrics received over OTLP."""

    enabled: bool = Field(default=True, description="Show metrics that are received over OTLP.")


@dataclass(slots=True)
class _Series:
    labels: Labels
    text: str
    data: Writers | Writer
    """A writer where the latest point counts."""
    stream: str
    """What the latest point was before it became labels."""
    start: int
    seen: int
    created: int
    """When it came; Unix ns."""
    born: int
    """Tick of the last scrape before it if its sum began here, which is shown at 0 first; else `_SHOWN`."""
    size: int = 0
    collected: bool = False
    """A scraper was shown what it holds now."""
    dirty: bool = True

    def shown(self) -> Data:
        return self.data.data() if isinstance(self.data, Writers) else self.data.data


@dataclass(slots=True)
class _Family:
    name: str
    kind: Kind
    unit: str
    help: str
    series: dict[str, _Series] = field(default_factory=dict)
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    """Label -> value -> number of series."""
    overflowed: dict[str, int] = field(default_factory=dict)
    """Label with the most values -> points for which there was no room."""


class OtlpMetricsDeriver:
    """Metric points in, their families out. The caller guards it with a lock."""

    signal: Signal = "metrics"

    def __init__(self, series_budget: int, targets: Targets, native: bool = False) -> None:
        """`native`: exponential histograms are shown as native ones too."""
        self.dropped: dict[str, int] = {}
        """Reason -> points that are not shown."""
        self.folded = 0
        """Writers of a series that are no longer kept apart."""
        self.kept = (self,)
        self._budget = series_budget
        self._targets = targets
        self._native = native
        self._families: dict[str, _Family] = {}
        self._bytes = 0
        self._tick = 0
        self._now = 0
        self._deleted: set[bytes] = set()

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> MetricBatch:
        """The points. Raises DecodeError."""
        return metric_batch(payloads)

    def apply(self, batch: MetricBatch, arrival: Arrival) -> None:
        """Take over a batch of points."""
        self._now = arrival.now
        self._targets.see(list(dict.fromkeys(point.resource for point in batch.points)), arrival.now)
        for i, point in enumerate(batch.points):
            reason = self._take(point, arrival.at(i), arrival.now)
            if reason:
                self._drop(reason, point.name)

    def expire(self, now: int, ttl: int) -> None:
        """Take away series without a point for longer than `ttl` ns at `now` (Unix ns), if a scraper was shown them
        since or nobody has come for a day."""
        before = now - ttl
        for family in list(self._families.values()):
            for series in list(family.series.values()):
                if series.seen < before - (0 if series.collected else _UNSEEN_NS):
                    self._remove(family, series)
                elif isinstance(series.data, Writers):
                    self._folded(series, series.data.expire(before, self._now))

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        """All families of one moment. Without a view: for the only scraper that there is."""
        view = view or View(self._tick + 1, self._tick)
        self._tick = max(self._tick, view.tick)
        for family in self._families.values():
            blocks = tuple(_blocks(family, view, self._native))
            yield FamilySnapshot(family.name, family.kind, family.help, family.unit, blocks)
            for series in family.series.values():
                if view.counts and not view.at_zero(series.born, series.created):
                    series.collected = True

    def mark_exported(self) -> None:
        """Every series there is now counts as shown: an earlier run of the program may have shown it."""
        for family in self._families.values():
            for series in family.series.values():
                series.born = _SHOWN

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Series by metric."""
        for family in self._families.values():
            yield family.name, len(family.series)

    def overflow(self) -> Iterator[tuple[str, str, int]]:
        """Points that overflowed by metric and the label that has the most values."""
        for family in self._families.values():
            for label, n in family.overflowed.items():
                yield family.name, label, n

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        for key in self._deleted:
            yield key, None
        self._deleted.clear()
        for family in self._families.values():
            for series in family.series.values():
                if series.dirty:
                    series.dirty = False
                    yield _key(family, series), _packed(family, series)

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over the kept series; the keys that were of use."""
        rows = {key: value for key, value in state.items() if key.startswith(_PREFIX)}
        used = {key for key, value in rows.items() if self._take_over(value)}
        if len(used) < len(rows):
            log.warning(
                "otlp_series_restarted",
                series=len(rows) - len(used),
                restored=len(used),
            )
        return used

    def _take(self, point: Point, received: int, now: int) -> str:
        """Why the point is not shown; empty if it is."""
        kind = family_kind(point.kind, point.monotonic)
        name, unit = family_name(point.name, point.unit, kind)
        if name.startswith(_OWN_NAMES):
            return "reserved_name"
        family = self._families.get(name) or _Family(name, kind, unit, point.description)
        if family.kind != kind:
            return "type_conflict"
        if kind == "counter" and isinstance(point.data, Number) and not 0 <= point.data.value < math.inf:
            return "not_a_count"
        labels = labels_of_point(point)
        text = label_text([k for k, _ in labels], [v for _, v in labels])
        stream = stream_of(point)
        series = family.series.get(text)
        if point.data is None:
            return self._leave(family, series, stream, point.start)
        fresh = series is None
        if series is None:
            adds_up = point.kind not in ("gauge", "summary")
            data: Writers | Writer = Writers(falls=kind == "gauge") if adds_up else Writer(point.data, point.time, now)
            counts = point.temporality == "delta" and kind in ("counter", "histogram")
            began = point.start or (received if point.temporality == "delta" else 0)
            series = _Series(labels, text, data, stream, began, now, received, self._tick if counts else _SHOWN)
        reason = self._say(series, point, stream, received, now)
        if fresh:
            return reason or self._add(family, series)
        if not reason:
            series.seen, series.dirty, series.collected = now, True, False
            self._measure(series)
        return reason

    def _say(self, series: _Series, point: Point, stream: str, received: int, now: int) -> str:
        """Take over what a point says; why it is not shown."""
        assert point.data is not None
        data, writers = bounded(point.data), series.data
        if isinstance(writers, Writer):
            return self._latest(series, writers, Writer(data, point.time, now), stream, point.start)
        if point.temporality == "delta":
            if not writers.add(data):
                series.start = point.start or received
            return ""
        key = writers.key(stream, point.start, point.time, resource_of(point))
        key = writers.forked(key, data, point.time)
        known = writers.by_key.get(key)
        if known is not None and point.time and point.time < known.time:
            return "out_of_order"
        if known is None:
            before = len(writers.by_key)
            if not writers.room(now):
                return "too_many_writers"
            self.folded += before - len(writers.by_key)
        writers.take(key, data, point.time, now)
        series.start = min(series.start, point.start) if series.start and len(writers.by_key) > 1 else point.start
        return ""

    def _latest(self, series: _Series, old: Writer, new: Writer, stream: str, start: int) -> str:
        """Of a gauge or summary the latest point counts; it is counted where that hides one with other attributes."""
        if new.time and new.time < old.time:
            return "out_of_order" if stream == series.stream else "same_labels"
        hides = stream != series.stream
        series.data, series.stream, series.start = new, stream, start or series.start
        if hides:
            self._drop("same_labels", series.text)
        return ""

    def _leave(self, family: _Family, series: _Series | None, stream: str, start: int) -> str:
        """A point says that its series has no value any more."""
        if series is None:
            return ""
        if isinstance(series.data, Writer) or series.data.leave(stream, start):
            self._remove(family, series)
        else:
            series.dirty = True
            self._measure(series)
        return ""

    def _folded(self, series: _Series, folded: int) -> None:
        if folded:
            self.folded += folded
            series.dirty = True
            self._measure(series)

    def _measure(self, series: _Series) -> None:
        """Keep the count of bytes."""
        data = series.data
        now = 300 + 2 * len(series.text) + (data.bytes() if isinstance(data, Writers) else size(data.data))
        self._bytes += now - series.size
        series.size = now

    def _add(self, family: _Family, series: _Series) -> str:
        self._measure(series)
        if len(family.series) >= self._budget or self._bytes > MAX_BYTES:
            self._bytes -= series.size
            culprit = max(family.values, key=lambda label: len(family.values[label]), default="")
            family.overflowed[culprit] = family.overflowed.get(culprit, 0) + 1
            return "series_budget"
        self._families[family.name] = family
        family.series[series.text] = series
        for label, value in series.labels:
            counts = family.values.setdefault(label, {})
            counts[value] = counts.get(value, 0) + 1
        self._deleted.discard(_key(family, series))
        return ""

    def _remove(self, family: _Family, series: _Series) -> None:
        del family.series[series.text]
        self._bytes -= series.size
        for label, value in series.labels:
            counts = family.values[label]
            counts[value] -= 1
            if not counts[value]:
                del counts[value]
        self._deleted.add(_key(family, series))
        if not family.series:
            del self._families[family.name]

    def _drop(self, reason: str, name: str) -> None:
        if reason not in self.dropped:
            log.warning("otlp_metric_points_dropped", reason=reason, first_metric=name)
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def _take_over(self, value: bytes) -> bool:
        try:
            kept = read_json(value)
            if kept["format"] != _FORMAT:
                return False
            found = _Family(kept["name"], kept["kind"], kept["unit"], kept["help"])
            labels = tuple((str(k), str(v)) for k, v in kept["labels"])
            text = label_text([k for k, _ in labels], [v for _, v in labels])
            data: Writers | Writer
            if "writers" in kept:
                data = unpacked(kept["writers"])
            else:
                data = Writer(unpack(kept["data"]), kept["time"], kept["seen"])
            stream, start, seen = str(kept["stream"]), int(kept["start"]), int(kept["seen"])
            series = _Series(labels, text, data, stream, start, seen, seen, _SHOWN, dirty=False)
        except (ValueError, TypeError, KeyError, IndexError):
            return False
        family = self._families.get(found.name, found)
        return family.kind == found.kind and not self._add(family, series)


def build(options: OtlpMetricsOptions, context: DeriverContext) -> Sequence[Deriver[MetricBatch]]:
    """The deriver, unless it is off."""
    if not options.enabled:
        return []
    deriver = OtlpMetricsDeriver(context.budget.series, context.targets, context.budget.native)
    context.telemetry.watch(
        "sidecar_dropped_items_total",
        lambda: [(n, {"stage": "derive", "reason": reason}) for reason, n in dict(deriver.dropped).items()],
    )
    context.telemetry.watch("sidecar_writers_folded_total", lambda: [(deriver.folded, {})])
    return [deriver]


def memory(options: OtlpMetricsOptions, budget: Budget) -> int:
    """Bytes of its series, at most, about."""
    return MAX_BYTES


def _key(family: _Family, series: _Series) -> bytes:
    return _PREFIX + family.name.encode() + b"\0" + series.text.encode()


def _packed(family: _Family, series: _Series) -> bytes:
    kept: dict[str, Any] = {
        "format": _FORMAT,
        "name": family.name,
        "kind": family.kind,
        "unit": family.unit,
        "help": family.help,
        "labels": series.labels,
        "stream": series.stream,
        "start": series.start,
        "seen": series.seen,
    }
    if isinstance(series.data, Writers):
        kept["writers"] = series.data.packed()
    else:
        kept |= {"data": pack(series.data.data), "time": series.data.time}
    return json.dumps(kept, separators=(",", ":")).encode()


def _blocks(family: _Family, view: View, native: bool) -> Iterator[Block]:
    """The series of a family, those with the same bounds together."""
    numbers: list[tuple[_Series, Number]] = []
    summaries: list[tuple[_Series, Summary]] = []
    by_bounds: dict[tuple[float, ...], list[tuple[_Series, list[int], Histogram | ExponentialHistogram]]] = {}
    for series in family.series.values():
        data = zeroed(series.shown()) if view.at_zero(series.born, series.created) else series.shown()
        if isinstance(data, Histogram | ExponentialHistogram):
            bounds, counts = explicit(data)
            by_bounds.setdefault(bounds, []).append((series, counts, data))
        elif isinstance(data, Summary):
            summaries.append((series, data))
        else:
            numbers.append((series, data))
    if numbers:
        yield Points([s.text for s, _ in numbers], [n.value for _, n in numbers], _created([s for s, _ in numbers]))
    for bounds, found in by_bounds.items():
        yield Histograms(
            [s.text for s, _, _ in found],
            bounds,
            [counts for _, counts, _ in found],
            [data.sum for _, _, data in found],
            _created([s for s, _, _ in found]),
            natives=[as_native(data) for _, _, data in found] if native else (),
        )
    if summaries:
        yield Summaries(
            [s.text for s, _ in summaries],
            [data.quantiles for _, data in summaries],
            [data.count for _, data in summaries],
            [data.sum for _, data in summaries],
            _created([s for s, _ in summaries]),
        )


def _created(series: Sequence[_Series]) -> list[float]:
    """When each began (Unix seconds), 0 where the client did not say."""
    return [s.start / 1e9 for s in series]
