"""All series at one moment, as they are pushed: with a target's labels, and what came and went since the last push.

Values are cumulative, so that a push which fails needs no repeating: the next one says it all. A series that is new is
given with the 0 that it began at, at the time it began, so that `increase()` sees its first event in a receiver that
does not look at start times. One that is gone is given once more as stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from sidecar.derive.families import Kind, read_labels
from sidecar.serve.exposition import Family, Merged
from sidecar.serve.flat_series import Buckets, Quantiles, Value, series_of

NEW_SECONDS = 300.0
"""A start further back than that is not pushed as a sample of 0: receivers refuse what is too old."""

LabelPairs = tuple[tuple[str, str], ...]
Key = tuple[str, Kind, LabelPairs, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Head:
    """What the series of a family share. `name` is without `_total` and `_info`."""

    name: str
    kind: Kind
    help: str
    unit: str


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a family; a histogram is one."""

    head: Head
    labels: LabelPairs
    """Sorted by name, without empty values."""
    value: Value
    start: float = 0.0
    """Unix seconds since which it counts; 0 where that is not known, or it does not count."""
    begins: bool = False
    """It is pushed for the first time, and its start with it."""
    stale: bool = False
    """It is gone; `value` says only what there was."""

    @property
    def key(self) -> Key:
        """What makes it the same series in another snapshot."""
        return self.head.name, self.head.kind, self.labels, _shape(self.value)

    @property
    def is_target_info(self) -> bool:
        """Whether it says what else is known of a target."""
        return self.head.name == "target" and self.head.kind == "info"

    @property
    def samples(self) -> int:
        """Samples that Prometheus has of it, at one time."""
        if isinstance(self.value, Buckets):
            return len(self.value.counts) + 1 + (self.value.sum is not None)
        return len(self.value.values) + 2 if isinstance(self.value, Quantiles) else 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one push says."""

    time_ms: int
    """Unix milliseconds; greater than that of any push before."""
    series: tuple[Series, ...]


class Snapshots:
    """Makes one snapshot after the other. One thread uses it."""

    def __init__(self, labels: Mapping[str, str], began: float) -> None:
        """`labels`: of the target. `began`: Unix seconds when the program did; what starts earlier is not new."""
        self._target = {name: value for name, value in labels.items() if value}
        self._began = began
        self._time_ms = 0
        self._known: dict[Key, Series] = {}
        self._gone: dict[Key, int] = {}
        """Series that were given as stale in the last NEW_SECONDS -> when, in Unix milliseconds."""
        self._texts: dict[str, LabelPairs] = {}

    def take(self, families: Merged, now: float) -> Snapshot:
        """What to push at `now` (Unix seconds). What is new in it counts as pushed from here on."""
        self._time_ms = max(int(now * 1000), self._time_ms + 1)
        before, texts = self._known, self._texts
        self._known, self._texts = {}, {}
        found = []
        for parts in families.families:
            for series in self._of(parts, texts):
                key = series.key
                if key in self._known:
                    continue
                old = before.get(key)
                series = self._known[key] = series if old is None else _with_latest(series, old)
                if old is not None:
                    found.append(_without_known(series, old))
                else:
                    found.append(replace(series, begins=True) if self._is_new(series, now) else series)
        gone = [(key, series) for key, series in before.items() if key not in self._known]
        found += [replace(series, stale=True) for _, series in gone]
        oldest = self._time_ms - NEW_SECONDS * 1000
        self._gone = {key: at for key, at in self._gone.items() if at >= oldest}
        self._gone.update((key, self._time_ms) for key, _ in gone)
        return Snapshot(self._time_ms, tuple(found))

    def last(self, now: float) -> Snapshot:
        """Everything as stale: nobody counts it any more."""
        self._time_ms = max(int(now * 1000), self._time_ms + 1)
        stale = tuple(replace(series, stale=True) for series in self._known.values())
        self._known = {}
        return Snapshot(self._time_ms, stale)

    def _is_new(self, series: Series, now: float) -> bool:
        """Whether its start is worth a sample: not that of a series which an earlier run may have pushed, and behind
        the last sample of one that was gone."""
        ended = self._gone.get(series.key, 0)
        return series.start >= max(self._began, now - NEW_SECONDS) and series.start * 1000 > ended

    def _of(self, parts: Iterable[Family], texts: Mapping[str, LabelPairs]) -> Iterator[Series]:
        for part in parts:
            head = Head(part.name, part.kind, part.help, part.unit)
            for text, value, start in series_of(part):
                labels = self._texts.get(text)
                if labels is None:
                    labels = self._texts[text] = texts.get(text) or self._read(text)
                yield Series(head, labels, value, start)

    def _read(self, text: str) -> LabelPairs:
        return tuple(sorted({**self._target, **read_labels(text)}.items()))


def _shape(value: Value) -> tuple[float, ...]:
    if isinstance(value, Buckets):
        return value.bounds
    return tuple(quantile for quantile, _ in value.values) if isinstance(value, Quantiles) else ()


def _with_latest(series: Series, old: Series) -> Series:
    """With the later exemplar of each bucket: receivers refuse one that is older than the one before it."""
    value, known = series.value, old.value
    if not isinstance(value, Buckets) or not isinstance(known, Buckets) or not known.exemplars:
        return series
    later = {b: e for b, e in value.exemplars.items() if b not in known.exemplars or e.time > known.exemplars[b].time}
    return replace(series, value=replace(value, exemplars={**known.exemplars, **later}))


def _without_known(series: Series, old: Series) -> Series:
    """Without the exemplars that were pushed before."""
    value, known = series.value, old.value
    if not isinstance(value, Buckets) or not isinstance(known, Buckets) or not value.exemplars:
        return series
    fresh = {b: e for b, e in value.exemplars.items() if known.exemplars.get(b) is not e}
    return replace(series, value=replace(value, exemplars=fresh))
