"""Metrics that a program sends over OTLP, shown as Prometheus has them.

A cumulative point is shown as the client has it, resets included; delta points are added up, and the sum goes on
across restarts. The last value of a gauge stays, so that a batch job needs no push gateway: an idle series goes only
when a scrape has shown its last value. Of points with the same identity the latest counts.

Exemplars of clients are not passed on: nothing says that their traces were kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from pydantic import BaseModel, ConfigDict, Field

from sidecar.decode.batch import Decoder, Signal
from sidecar.decode.metrics import (
    Data,
    ExponentialHistogram,
    Histogram,
    MetricBatch,
    Number,
    Point,
    Summary,
    metric_batch,
)
from sidecar.derive.families import (
    Block,
    FamilySnapshot,
    Histograms,
    Kind,
    Points,
    Summaries,
    label_text,
    labels_of,
)
from sidecar.derive.names import family_kind, family_name
from sidecar.derive.points import added, bounded, explicit, pack, read_json, size, unpack, zeroed
from sidecar.derive.series import Arrival
from sidecar.derive.targets import Targets, job_and_instance

log = structlog.get_logger("sidecar.derive")

MAX_BYTES = 16 << 20
"""Of all series together, about."""
_PREFIX = b"metric\0"
_OWN_NAMES = ("sidecar_", "target_info")
_RESERVED = frozenset({"le", "quantile", "job", "instance", "otel_scope_name", "otel_scope_version"})

Labels = tuple[tuple[str, str], ...]


class PassthroughOptions(BaseModel):
    """Metrics received over OTLP."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="Show metrics that are received over OTLP.")


@dataclass(slots=True)
class _Series:
    labels: Labels
    text: str
    data: Data
    start: int
    time: int
    seen: int
    delta: bool
    new: bool
    """Not shown yet, and its sum began here: shown at 0 first."""
    collected: bool = False
    """A scrape has shown what it holds now."""
    dirty: bool = True


@dataclass(slots=True)
class _Family:
    name: str
    kind: Kind
    unit: str
    help: str
    series: dict[str, _Series] = field(default_factory=dict)
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    """Label -> value -> number of series."""
    turned_away: dict[str, int] = field(default_factory=dict)
    """Label with the most values -> points for which there was no room."""


class PassthroughDeriver:
    """Metric points in, their families out. The caller guards it with a lock."""

    signal: Signal = "metrics"

    def __init__(self, series_budget: int, targets: Targets) -> None:
        self.dropped: dict[str, int] = {}
        """Reason -> points that are not shown."""
        self.kept = (self,)
        self._budget = series_budget
        self._targets = targets
        self._families: dict[str, _Family] = {}
        self._bytes = 0
        self._deleted: set[bytes] = set()

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> MetricBatch:
        """The points. Raises DecodeError."""
        return metric_batch(payloads)

    def apply(self, batch: MetricBatch, arrival: Arrival) -> None:
        """Take over a batch of points."""
        self._targets.see(list(dict.fromkeys(point.resource for point in batch.points)), arrival.now)
        for i, point in enumerate(batch.points):
            reason = self._take(point, arrival.at(i), arrival.now)
            if reason:
                self._drop(reason, point.name)

    def expire(self, before: int) -> None:
        """Take away series whose last point came before this time (Unix ns), if a scrape has shown them since."""
        for family in list(self._families.values()):
            for series in [s for s in family.series.values() if s.seen < before and s.collected]:
                self._remove(family, series)

    def collect(self) -> Iterable[FamilySnapshot]:
        """All families of one moment."""
        for family in self._families.values():
            yield FamilySnapshot(family.name, family.kind, family.help, family.unit, tuple(_blocks(family)))
            for series in family.series.values():
                series.collected, series.new = not series.new, False

    def all_shown(self) -> None:
        """Every series there is now counts as shown: an earlier run of the program may have shown it."""
        for family in self._families.values():
            for series in family.series.values():
                series.new = False

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Series by metric."""
        for family in self._families.values():
            yield family.name, len(family.series)

    def excess(self) -> Iterator[tuple[str, str, int]]:
        """Points turned away by metric and the label that has the most values."""
        for family in self._families.values():
            for label, n in family.turned_away.items():
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
        used = set()
        for key, value in state.items():
            if key.startswith(_PREFIX) and self._take_over(value):
                used.add(key)
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
        labels = _labels(point, kind)
        text = label_text([k for k, _ in labels], [v for _, v in labels])
        old = family.series.get(text)
        if point.data is None:
            if old is not None:
                self._remove(family, old)
            return ""
        data, delta = bounded(point.data), point.temporality == "delta"
        if old is None:
            new = delta and kind in ("counter", "histogram")
            began = point.start or (received if delta else 0)
            return self._add(family, _Series(labels, text, data, began, point.time, now, delta, new))
        if not delta and point.time and point.time < old.time:
            return "out_of_order"
        self._update(old, point, data, received)
        old.seen, old.delta, old.dirty, old.collected = now, delta, True, False
        return ""

    def _update(self, old: _Series, point: Point, data: Data, received: int) -> None:
        before = size(old.data)
        total = added(old.data, data) if old.delta and point.temporality == "delta" else None
        if total is None:
            old.data, old.start = data, point.start or (received if point.temporality == "delta" else old.start)
        else:
            old.data = total
        old.time = max(old.time, point.time)
        self._bytes += size(old.data) - before

    def _add(self, family: _Family, series: _Series) -> str:
        cost = size(series.data) + 300 + 2 * len(series.text)
        if len(family.series) >= self._budget or self._bytes + cost > MAX_BYTES:
            culprit = max(family.values, key=lambda label: len(family.values[label]), default="")
            family.turned_away[culprit] = family.turned_away.get(culprit, 0) + 1
            return "series_budget"
        self._families[family.name] = family
        family.series[series.text] = series
        self._bytes += cost
        for label, value in series.labels:
            counts = family.values.setdefault(label, {})
            counts[value] = counts.get(value, 0) + 1
        self._deleted.discard(_key(family, series))
        return ""

    def _remove(self, family: _Family, series: _Series) -> None:
        del family.series[series.text]
        self._bytes -= size(series.data) + 300 + 2 * len(series.text)
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
            log.warning("metric points that are received are not shown", reason=reason, first_metric=name)
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def _take_over(self, value: bytes) -> bool:
        try:
            kept = read_json(value)
            found = _Family(kept["name"], kept["kind"], kept["unit"], kept["help"])
            labels = tuple((str(k), str(v)) for k, v in kept["labels"])
            text = label_text([k for k, _ in labels], [v for _, v in labels])
            data = unpack(kept["data"])
            series = _Series(
                labels, text, data, kept["start"], kept["time"], kept["seen"], kept["delta"], False, dirty=False
            )
        except (ValueError, TypeError, KeyError, IndexError):
            return False
        family = self._families.get(found.name, found)
        return family.kind == found.kind and not self._add(family, series)


def _labels(point: Point, kind: Kind) -> Labels:
    job, instance = job_and_instance(point.resource)
    own = {
        "job": job,
        "instance": instance,
        "otel_scope_name": point.scope_name,
        "otel_scope_version": point.scope_version,
    }
    given = labels_of(point.attributes)
    for name in sorted(_RESERVED & given.keys()):
        given[f"exported_{name}"] = given.pop(name)
    return tuple((k, v) for k, v in (*own.items(), *sorted(given.items())) if v)


def _key(family: _Family, series: _Series) -> bytes:
    return _PREFIX + family.name.encode() + b"\0" + series.text.encode()


def _packed(family: _Family, series: _Series) -> bytes:
    kept = {
        "name": family.name,
        "kind": family.kind,
        "unit": family.unit,
        "help": family.help,
        "labels": series.labels,
        "start": series.start,
        "time": series.time,
        "seen": series.seen,
        "delta": series.delta,
        "data": pack(series.data),
    }
    return json.dumps(kept, separators=(",", ":")).encode()


def _blocks(family: _Family) -> Iterator[Block]:
    """The series of a family, those with the same bounds together."""
    numbers: list[tuple[_Series, Number]] = []
    summaries: list[tuple[_Series, Summary]] = []
    by_bounds: dict[tuple[float, ...], list[tuple[_Series, list[int], float | None]]] = {}
    for series in family.series.values():
        data = zeroed(series.data) if series.new else series.data
        if isinstance(data, Histogram | ExponentialHistogram):
            bounds, counts = explicit(data)
            by_bounds.setdefault(bounds, []).append((series, counts, data.sum))
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
            [total for _, _, total in found],
            _created([s for s, _, _ in found]),
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
