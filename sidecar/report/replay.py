"""Payloads of a time once more through the derivers, so that their figures are those of a sidecar that received them.

Counters grow from one moment to the next; what happened in a period is what they grew by in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from sidecar.decode.api import Decoder
from sidecar.derive.deriver import Deriver, DeriverContext
from sidecar.derive.outcomes.options import MAX_WINDOW, step_of
from sidecar.derive.registry import DERIVERS, DeriveOptions
from sidecar.derive.scrapes import View
from sidecar.derive.series import Arrival
from sidecar.derive.target_info import Targets
from sidecar.errors import DecodeError
from sidecar.pipeline import Signal
from sidecar.report.period import Period
from sidecar.report.request_table import BOUNDS, RequestTable
from sidecar.serve.pages.metric_families import Histogram, Metrics, Series
from sidecar.telemetry import Telemetry

_MAX_BYTES = 4 << 20
"""Of payloads that are added up together."""
_FOREVER = 1 << 62
"""Nanoseconds after which an idle series goes: none does."""
_AS_IT_IS = View(0, 1, counts=False)
_OF_HISTORY = ("model_predictions", "model_outcomes", "model_inference_latency_seconds")
_SINCE_BEGIN = frozenset({"ab_test_exposures", "ab_test_conversions", "ab_test_labels"})
"""Counters that are shown as they stand, beside rates that are of all they count."""
_DERIVED = ("predictions", "genai", "rules", "outcomes", "experiments")


@dataclass(frozen=True, slots=True)
class Payload:
    """A request as it was received, and when (Unix ns)."""

    signal: Signal
    time_ns: int
    items: int
    body: bytes


def options_for(derive: DeriveOptions, period: Period) -> DeriveOptions:
    """What a report needs: everything on, fine buckets, and the period as the window of outcomes where it is one."""
    seconds = period.seconds
    step = step_of(seconds)
    whole = step <= seconds <= MAX_WINDOW and not seconds % step
    wanted: dict[str, dict[str, Any]] = {
        "predictions": {"enabled": True, "latency_buckets": BOUNDS},
        "outcomes": {"enabled": True, **({"windows": (seconds,)} if whole else {})},
        "experiments": {"enabled": True},
    }
    return derive.model_copy(update={name: derive.section(name).model_copy(update=own) for name, own in wanted.items()})


class Replay:
    """Figures of all payloads so far."""

    def __init__(self, options: DeriveOptions, decoder: Decoder, without: Iterable[str] = ()) -> None:
        """`without`: derivers that what is replayed has nothing for."""
        self._decoder = decoder
        context = DeriverContext(options.budget(), Targets(options.series_budget), Telemetry())
        kinds = [kind for kind in DERIVERS if kind.name in _DERIVED and kind.name not in without]
        self._derivers = [d for kind in kinds for d in kind.build(options.section(kind.name), context)]
        self._requests = RequestTable()
        self.gauges: set[str] = set(_SINCE_BEGIN)
        """Families that are shown as they stand."""
        self.unreadable = 0
        """Payloads that could not be read."""

    def add(self, payloads: Sequence[Payload]) -> None:
        """Add up payloads of one signal each, in the order of their times."""
        for signal in dict.fromkeys(payload.signal for payload in payloads):
            own = [payload for payload in payloads if payload.signal == signal]
            try:
                self._add(signal, own)
            except DecodeError:
                self._one_by_one(signal, own)

    def _one_by_one(self, signal: Signal, payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            try:
                self._add(signal, [payload])
            except DecodeError:
                self.unreadable += 1

    def _add(self, signal: Signal, payloads: Sequence[Payload]) -> None:
        """Nothing of it is counted where it raises DecodeError."""
        bodies = [payload.body for payload in payloads]
        own = [deriver for deriver in self._derivers if deriver.signal == signal]
        read: list[tuple[Deriver[Any], Any]] = [(deriver, deriver.decode(self._decoder, bodies)) for deriver in own]
        spans = self._decoder.spans(bodies, ()) if signal == "spans" else None
        times = np.array([payload.time_ns for payload in payloads], np.int64)
        items = np.cumsum([payload.items for payload in payloads], dtype=np.int64)
        arrival = Arrival(items, times, int(times[-1]))
        for deriver, batch in read:
            deriver.apply(batch, arrival)
        if spans is not None:
            self._requests.add(spans)

    def families(self, now: float) -> Metrics:
        """As of `now` (Unix seconds)."""
        at = int(now * 1e9) - 1  # At an hour's end windows are those of the hour that ends, not of the one that begins.
        for deriver in self._derivers:
            deriver.expire(at, _FOREVER)
        snapshots = [family for deriver in self._derivers for family in deriver.collect(_AS_IT_IS)]
        self.gauges |= {family.name for family in snapshots if family.kind in ("gauge", "info")}
        found = Metrics.of(snapshots)
        found.by_name.update(self._requests.families())
        return found


class Timeline:
    """What a replay had counted at the ends of a period, of the one before it, and of each point of its graphs."""

    def __init__(self, replay: Replay, period: Period, together: int = 1) -> None:
        """`together`: payloads that are one request each; some costs are by request."""
        self._replay = replay
        self._together = together
        self.period = period
        self._points = [period.start + period.step * number for number in range(1, period.points)]
        self._whole = (period.before.start, period.start, period.end)
        self._to_come = sorted({*self._points, *self._whole})
        self._at: dict[float, Metrics] = {}
        self._held: list[Payload] = []
        self._bytes = 0

    def add(self, payload: Payload) -> bool:
        """False for one that came after the period; those that follow did too."""
        while self._to_come and payload.time_ns > self._to_come[0] * 1e9:
            self._reach(self._to_come.pop(0))
        if not self._to_come:
            return False
        self._held.append(payload)
        self._bytes += len(payload.body)
        if self._bytes >= _MAX_BYTES:
            self._flush()
        return True

    def end(self) -> None:
        """No more payloads come."""
        while self._to_come:
            self._reach(self._to_come.pop(0))

    def between(self, start: float, end: float) -> Metrics:
        """What happened after `start` up to `end`, of the times that a timeline knows; gauges as of `end`."""
        return _grown(self._at[start], self._at[end], self._replay.gauges)

    def history(self) -> list[tuple[float, Metrics]]:
        """(end, figures of graphs) of each point."""
        ends = [*self._points, self.period.end]
        return [(end, self.between(start, end)) for start, end in zip([self.period.start, *ends], ends, strict=False)]

    def _reach(self, moment: float) -> None:
        self._flush()
        found = self._replay.families(moment)
        if moment not in self._whole:
            found = Metrics({name: found[name] for name in _OF_HISTORY})
        self._at[moment] = found

    def _flush(self) -> None:
        if self._held:
            self._replay.add(_joined(self._held, self._together) if self._together > 1 else self._held)
        self._held, self._bytes = [], 0


def _joined(payloads: Sequence[Payload], together: int) -> list[Payload]:
    """Those of a signal that follow each other as one: messages of protobuf behind each other are one message."""
    found: list[Payload] = []
    for signal, run in groupby(payloads, lambda payload: payload.signal):
        own = list(run)
        for begin in range(0, len(own), together):
            some = own[begin : begin + together]
            body = b"".join(payload.body for payload in some)
            found.append(Payload(signal, some[-1].time_ns, sum(payload.items for payload in some), body))
    return found


def _grown(before: Metrics, now: Metrics, gauges: set[str]) -> Metrics:
    found = Metrics()
    for name, rows in now.by_name.items():
        if name in gauges:
            found.by_name[name] = rows
            continue
        earlier = {_key(series.labels): series for series in before[name]}
        grown = [_difference(series, earlier.get(_key(series.labels))) for series in rows]
        found.by_name[name] = [series for series in grown if series.value]
    return found


def _key(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def _difference(now: Series, before: Series | None) -> Series:
    if before is None:
        return now
    total = None if now.sum is None or before.sum is None else now.sum - before.sum
    histogram = now.histogram
    if histogram is not None and before.histogram is not None:
        counts = tuple(b - a for a, b in zip(before.histogram.counts, histogram.counts, strict=True))
        histogram = Histogram(histogram.bounds, counts, total)
    return Series(now.labels, now.value - before.value, histogram, total)
