"""The series of families one by one, for formats that write them so: protobuf, remote write, OTLP."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sidecar.derive.families import Exemplar, FamilySnapshot, Histograms, NativeHistogram, Number, Points
from sidecar.serve.exposition import SAMPLE_SUFFIX, ClientFamily, Family


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram's value."""

    bounds: tuple[float, ...]
    """Upper bounds, ascending, without the infinite one."""
    counts: Sequence[Number]
    """Cumulative, one more than there are bounds."""
    sum: Number | None
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)
    """Index of a bucket -> exemplar."""
    native: NativeHistogram | None = None
    """The same as a native histogram."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A summary's value."""

    values: Sequence[tuple[float, float]]
    """(quantile 0-1, value)."""
    count: Number
    sum: Number


Value = Number | Buckets | Quantiles


def series_of(family: Family) -> Iterator[tuple[str, Value, float]]:
    """(label text, value, Unix seconds since which it counts: 0 where not known) of each series."""
    return _of_client(family) if isinstance(family, ClientFamily) else _of_snapshot(family)


def _of_snapshot(family: FamilySnapshot) -> Iterator[tuple[str, Value, float]]:
    """(label text, value, start) of each series."""
    for block in family.blocks:
        counts = not isinstance(block, Points) or family.kind == "counter"
        starts = block.created if counts and block.created else [0.0] * len(block.labels)
        if isinstance(block, Points):
            yield from zip(block.labels, block.values, starts, strict=True)
        elif isinstance(block, Histograms):
            exemplars: dict[int, dict[int, Exemplar]] = {}
            for (row, bucket), exemplar in block.exemplars.items():
                exemplars.setdefault(row, {})[bucket] = exemplar
            for i, (text, start) in enumerate(zip(block.labels, starts, strict=True)):
                native = block.natives[i] if block.natives else None
                yield text, Buckets(block.bounds, block.counts[i], block.sums[i], exemplars.get(i, {}), native), start
        else:
            for i, (text, start) in enumerate(zip(block.labels, starts, strict=True)):
                yield text, Quantiles(block.quantiles[i], block.counts[i], block.sums[i]), start


def _of_client(family: ClientFamily) -> Iterator[tuple[str, Value, float]]:
    """Series of the program's own metrics. Since when they count is not known: some go on across restarts."""
    if family.kind != "histogram":
        wanted = SAMPLE_SUFFIX.get(family.kind, "")
        yield from ((text, value, 0.0) for suffix, text, value in family.samples if suffix == wanted)
        return
    found: dict[str, tuple[dict[float, Number], dict[str, Number]]] = {}
    for suffix, text, value in family.samples:
        labels, _, end = text.rpartition('le="') if suffix == "_bucket" else (text, "", "")
        buckets, others = found.setdefault(labels.rstrip(","), ({}, {}))
        if suffix == "_bucket":
            buckets[float(end.rstrip('"'))] = value
        else:
            others[suffix] = value
    for text, (buckets, others) in found.items():
        bounds = tuple(sorted(bound for bound in buckets if bound < math.inf))
        counts = [buckets[bound] for bound in (*bounds, math.inf)]
        yield text, Buckets(bounds, counts, others.get("_sum")), 0.0
