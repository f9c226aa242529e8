"""Metric families by name and label, for the views. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sidecar.derive.families import FamilySnapshot, Histograms, Number, Points, Summaries
from sidecar.serve.exposition import ClientFamily, Family

_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PLAIN = {"n": "\n"}


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative counts of buckets; `counts` has one more than `bounds`, the count of all."""

    bounds: tuple[float, ...]
    counts: tuple[Number, ...]
    sum: Number | None = None
    exemplars: tuple[tuple[int, str], ...] = ()
    """(number of the bucket, trace id), the highest bucket first."""

    @property
    def count(self) -> Number:
        return self.counts[-1]

    def shares(self) -> list[float]:
        """Of each bucket, of the count of all."""
        total = self.count or 1
        return [(b - a) / total for a, b in zip((0, *self.counts), self.counts, strict=False)]

    def quantile(self, q: float) -> float | None:
        """As Prometheus's `histogram_quantile`: linear within a bucket; the highest bound where it lies beyond. None
        of an empty histogram, or one without bounds."""
        if not self.count or not self.bounds:
            return None
        rank = q * self.count
        for number, bound in enumerate(self.bounds):
            if self.counts[number] >= rank:
                below = self.counts[number - 1] if number else 0
                low = self.bounds[number - 1] if number else min(0.0, bound)
                inside = self.counts[number] - below
                return low + (bound - low) * ((rank - below) / inside if inside else 1.0)
        return self.bounds[-1]


def merged(histograms: Sequence[Histogram]) -> Histogram | None:
    """Their sum; None where there are none, or where their bounds differ."""
    if not histograms or any(h.bounds != histograms[0].bounds for h in histograms):
        return None
    counts = tuple(sum(column) for column in zip(*(h.counts for h in histograms), strict=True))
    sums = [h.sum for h in histograms]
    total = None if any(s is None for s in sums) else sum(s for s in sums if s is not None)
    exemplars = tuple(sorted({e for h in histograms for e in h.exemplars}, reverse=True))
    return Histogram(histograms[0].bounds, counts, total, exemplars)


@dataclass(frozen=True, slots=True)
class Series:
    """One series with its labels."""

    labels: Mapping[str, str]
    value: Number = 0
    """The count, of a histogram or summary."""
    histogram: Histogram | None = None
    sum: Number | None = None


@dataclass(slots=True)
class Metrics:
    """Families of one moment; names are without `_total`."""

    by_name: dict[str, list[Series]] = field(default_factory=dict)

    @classmethod
    def of(cls, families: Iterable[Family]) -> Metrics:
        """From what the exposition is made of."""
        found = cls()
        for family in families:
            rows = found.by_name.setdefault(family.name, [])
            if isinstance(family, ClientFamily):
                rows += [Series(labels_of(text), value) for end, text, value in family.samples if end in ("", "_total")]
            else:
                rows += _series(family)
        return found

    def __getitem__(self, name: str) -> list[Series]:
        """The series of a family; [] where there is none."""
        return self.by_name.get(name, [])

    def first(self, *names: str) -> list[Series]:
        """The series of the first of these families that has any."""
        return next((self.by_name[name] for name in names if self.by_name.get(name)), [])

    def select(self, name: str, **labels: str) -> list[Series]:
        """Those of a family that have these labels; a label that is empty is one that is not there."""
        return [s for s in self[name] if all(s.labels.get(k, "") == v for k, v in labels.items())]

    def value(self, name: str, **labels: str) -> Number | None:
        """Of the first such series."""
        return next((s.value for s in self.select(name, **labels)), None)


def labels_of(text: str) -> dict[str, str]:
    """`a="b",c="d"` as a mapping; the reverse of `derive.families.label_text`."""
    return {
        name: _ESCAPED.sub(lambda m: _PLAIN.get(m[1], m[1]), value) if "\\" in value else value
        for name, value in _LABEL.findall(text)
    }


def _series(family: FamilySnapshot) -> Iterable[Series]:
    for block in family.blocks:
        if isinstance(block, Points):
            for text, value in zip(block.labels, block.values, strict=True):
                yield Series(labels_of(text), value)
        elif isinstance(block, Summaries):
            for text, count, total in zip(block.labels, block.counts, block.sums, strict=True):
                yield Series(labels_of(text), count, sum=total)
        else:
            yield from _histograms(block)


def _histograms(block: Histograms) -> Iterable[Series]:
    exemplars: dict[int, list[tuple[int, str]]] = {}
    for (row, bucket), exemplar in block.exemplars.items():
        exemplars.setdefault(row, []).append((bucket, exemplar.trace_id))
    for row, text in enumerate(block.labels):
        counts, total = tuple(block.counts[row]), block.sums[row]
        found = tuple(sorted(exemplars.get(row, ()), reverse=True))
        yield Series(labels_of(text), counts[-1], Histogram(block.bounds, counts, total, found), total)
