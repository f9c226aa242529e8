"""Two references as one, and one beside the other.

Columns with equal cells are added up exactly. Otherwise the counts of one are spread evenly within its cells over those
of the other: off by less than a hundredth of the rows, as a cell has about so many. Cells of one frequent value, which
may have any number of rows, are not spread: all of it stays together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import F64
from sidecar.derive.drift.cells import ENDS, LEVELS, bins_of, short
from sidecar.derive.drift.column_bins import ColumnBins
from sidecar.derive.drift.decision import MIN_SAMPLES
from sidecar.derive.drift.methods.method import Comparison
from sidecar.derive.drift.methods.registry import METHODS
from sidecar.derive.drift.reference import (
    MAX_EDGES,
    MAX_VALUES,
    CategoryColumn,
    NumberColumn,
    Reference,
)
from sidecar.errors import SidecarError

Counts = npt.NDArray[np.int64]
Column = NumberColumn | CategoryColumn
_NARROW = 50
"""A cell so many times narrower than those beside it is that of one value."""
_BY_CHANCE = 0.01
"""How often any column of two references is called drifted where nothing has changed."""


def merge(first: Reference, second: Reference) -> Reference:
    """Both together. Columns that only one has are kept, the rows of the other count as missing. Raises
    SidecarError where they are of different models or types."""
    if (first.model, first.model_version) != (second.model, second.model_version):
        raise SidecarError(
            f"different models: {first.model!r} {first.model_version!r} and {second.model!r} {second.model_version!r}"
        )
    columns: list[Column] = []
    for column in first.columns:
        other = second.column(column.name, column.role)
        columns.append(_absent(column, second.rows) if other is None else _merged(column, other))
    columns += [
        _absent(column, first.rows) for column in second.columns if first.column(column.name, column.role) is None
    ]
    rows = first.rows + second.rows
    return Reference(model=first.model, model_version=first.model_version, rows=rows, columns=tuple(columns))


def _absent(column: Column, rows: int) -> Column:
    return column.model_copy(update={"missing": column.missing + rows})


def _merged(first: Column, second: Column) -> Column:
    if isinstance(first, NumberColumn) and isinstance(second, NumberColumn):
        return _numbers(first, second)
    if isinstance(first, CategoryColumn) and isinstance(second, CategoryColumn):
        return _categories(first, second)
    raise SidecarError(f"column {first.name!r} has numbers in one and categories in the other; use --type")


def _categories(first: CategoryColumn, second: CategoryColumn) -> CategoryColumn:
    counts = dict(first.values)
    for name, count in second.values.items():
        counts[name] = counts.get(name, 0) + count
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = first.rest + second.rest + sum(count for _, count in ordered[MAX_VALUES:])
    return CategoryColumn(
        name=first.name,
        role=first.role,
        count=first.count + second.count,
        missing=first.missing + second.missing,
        invalid=first.invalid + second.invalid,
        values=dict(ordered[:MAX_VALUES]),
        rest=rest,
    )


def _numbers(first: NumberColumn, second: NumberColumn) -> NumberColumn:
    if not first.count or not second.count:
        whole, empty = (second, first) if not first.count else (first, second)
        more = {"missing": whole.missing + empty.missing, "invalid": whole.invalid + empty.invalid}
        return whole.model_copy(update=more)
    size = first.count + second.count
    mean = first.mean + (second.mean - first.mean) * second.count / size
    spread = sum(one.count * (one.std**2 + (one.mean - mean) ** 2) for one in (first, second)) / size
    about = {
        "count": size,
        "missing": first.missing + second.missing,
        "invalid": first.invalid + second.invalid,
        "mean": mean,
        "std": math.sqrt(spread),
        "min": min(first.min, second.min),
        "max": max(first.max, second.max),
        "second": _second(first, second),
    }
    if first.edges == second.edges and first.bins == second.bins:
        pairs = {name: zip(getattr(first, name), getattr(second, name), strict=True) for name in ("counts", "sums")}
        tails = (first.tails[0] + second.tails[0], first.tails[1] + second.tails[1])
        added = {k: tuple(map(sum, v)) for k, v in pairs.items()} | _outcomes(first, second, np.array(first.edges))
        return first.model_copy(update={**about, **added, "tails": tails})
    edges = _chosen(np.union1d(first.edges, second.edges), first, second)
    counts = on_edges(first, edges) + on_edges(second, edges)
    bins = bins_of(counts)
    sums = _sums(edges, counts, bins, mean * size)
    return first.model_copy(
        update={
            **about,
            "edges": tuple(edges.tolist()),
            "counts": tuple(counts.tolist()),
            "bins": tuple(bins.tolist()),
            "sums": tuple(sums.tolist()),
            **_outcomes(first, second, edges),
            "tails": (0.0, 0.0),  # The outermost edges are beyond the least and the greatest value of both.
        }
    )


def _outcomes(first: NumberColumn, second: NumberColumn, edges: F64) -> dict[str, tuple[int, ...] | None]:
    """What is known of labels, between these edges; nothing where one of the two has none."""
    found: dict[str, tuple[int, ...] | None] = {"labelled": None, "correct": None}
    if all(column.labelled is not None for column in (first, second)):
        for name in found:
            of_first, of_second = (on_edges(_as_counts(one, getattr(one, name)), edges) for one in (first, second))
            found[name] = tuple((of_first + of_second).tolist())
        labelled, correct = found["labelled"] or (), found["correct"] or ()
        found["correct"] = tuple(map(min, correct, labelled))  # Spread over other cells both are rounded by themselves.
    return found


def _as_counts(column: NumberColumn, counts: tuple[int, ...]) -> NumberColumn:
    return column.model_copy(update={"counts": counts, "count": sum(counts)})


def _second(first: NumberColumn, second: NumberColumn) -> tuple[float, float] | None:
    """None where one of the two does not say."""
    ends: list[float] = []
    for column in (first, second):
        if column.count > 1 and column.second is None:
            return None
        inner = (column.second or ())[: max(0, column.count - 2)]  # Of three values both are the one in the middle.
        ends += [column.min, *inner, column.max][: column.count]
    ends.sort()
    return ends[1], ends[-2]


def _chosen(edges: F64, first: NumberColumn, second: NumberColumn) -> F64:
    """As many of the edges as a reference may have: those on both sides of each hundredth of the rows."""
    if len(edges) <= MAX_EDGES:
        return edges
    counts = on_edges(first, edges) + on_edges(second, edges)
    reached = np.cumsum(counts)[:-1]
    found = edges
    for levels in LEVELS:
        shares = np.union1d(np.arange(1, levels) / levels, ENDS)
        after = np.searchsorted(reached, counts.sum() * shares)
        frequent = np.flatnonzero(counts * levels >= counts.sum())
        picked = np.concatenate([after, frequent, frequent - 1, [0, len(edges) - 1]])
        found = edges[np.unique(np.clip(picked, 0, len(edges) - 1))]
        if len(found) <= MAX_EDGES:
            break
    return found


def on_edges(column: NumberColumn, edges: F64) -> Counts:
    """The counts of a column between other edges, whole numbers with the same sum."""
    own = np.array(column.edges)
    if len(own) == len(edges) and bool(np.all(own == edges)):
        return np.array(column.counts, np.int64)
    if not len(own):
        ends, counts = np.array([column.min, column.max]), np.array([column.count])
    else:
        ends = np.concatenate([[min(column.min, own[0])], own, [max(column.max, own[-1])]])
        counts = np.array(column.counts)
    alone, values = _single_values(ends)
    wide = np.concatenate([[0], np.cumsum(np.where(alone, 0, counts))])
    narrow = np.concatenate([[0], np.cumsum(counts[alone])])
    cumulated = np.interp(edges, ends, wide, left=0) + narrow[np.searchsorted(values, edges, "right")]
    whole: Counts = np.diff(np.rint(cumulated), prepend=0, append=column.count).astype(np.int64)
    return whole


def _single_values(ends: F64) -> tuple[npt.NDArray[np.bool_], F64]:
    """Which cells are those of one value each, by all ends of cells, and these values."""
    widths = np.diff(ends)
    widths[[0, -1]] = np.where(widths[[0, -1]] > 0, widths[[0, -1]], np.inf)  # Nothing is beyond the outermost edge.
    beside = np.concatenate([[np.inf], widths, [np.inf]])
    alone = widths * _NARROW < np.minimum(beside[:-2], beside[2:])
    pairs = zip(ends[:-1][alone].tolist(), ends[1:][alone].tolist(), strict=True)
    values = [0.0 if low <= 0 <= high else short((low + high) / 2, (high - low) / 3) for low, high in pairs]
    return alone, np.array(values, np.float64)


def _sums(edges: F64, counts: Counts, bins: npt.NDArray[np.intp], total: float) -> F64:
    """Sums of the bins: the middles of the cells, moved so that all together have the sum that they have."""
    middles = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
    starts = np.concatenate([[0], bins + 1])
    sums = np.add.reduceat(counts * middles, starts)
    rows = np.add.reduceat(counts, starts)
    moved: F64 = sums + rows * (total - float(sums.sum())) / max(1, int(rows.sum()))
    return moved


@dataclass(frozen=True, slots=True)
class Difference:
    """One column of two references."""

    name: str
    note: str
    """Why there are no scores; empty where there are."""
    scores: dict[str, float]
    drifted: bool = False
    """Any of the scores is above its threshold, and above what chance gives; or the two cannot be compared at all."""
    insufficient: bool = False
    """Chance alone gives scores above a threshold: with so few rows it cannot be said that there is no drift."""
    missing: tuple[float, float] | None = None
    """Shares of missing values, where they differ by a hundredth and more."""


def differences(first: Reference, second: Reference) -> Iterator[Difference]:
    """Each column of either; scores of the second against the first."""
    methods = len(METHODS) * max(1, len(first.columns))
    for column in first.columns:
        other = second.column(column.name, column.role)
        if other is None:
            yield Difference(column.name, "only in the first", {})
            continue
        missing = _missing(column, other)
        if not column.count or not other.count:
            which = [name for name, side in (("first", column), ("second", other)) if not side.count]
            note = "no values" if len(which) > 1 else f"no values in the {which[0]}"
            yield Difference(column.name, note, {}, len(which) == 1, missing=missing)
        elif other.type != column.type:
            note = f"{column.type} in the first, {other.type} in the second"
            yield Difference(column.name, note, {}, True, missing=missing)
        else:
            yield replace(_scored(column, other, _BY_CHANCE / methods), missing=missing)
    for column in second.columns:
        if first.column(column.name, column.role) is None:
            yield Difference(column.name, "only in the second", {})


def _missing(first: Column, second: Column) -> tuple[float, float] | None:
    a, b = (column.missing / max(1, column.rows) for column in (first, second))
    return (a, b) if abs(a - b) >= 0.01 else None


def _scored(first: Column, second: Column, alpha: float) -> Difference:
    found = _comparison(first, second)
    methods = [one for one in METHODS if found.numeric or one.categories]
    scores = {one.name: one.score(found) for one in methods}
    enough = min(found.n, found.m) >= MIN_SAMPLES
    limits = {one.name: one.critical(found, alpha) for one in methods}
    drifted = enough and any(scores[one.name] > max(one.threshold, limits[one.name]) for one in methods)
    blind = not enough or any(limits[one.name] > one.threshold for one in methods)
    return Difference(first.name, "", scores, drifted, blind and not drifted)


def _comparison(first: Column, second: Column) -> Comparison:
    bins = ColumnBins(first)
    tails = (0.0, 0.0)
    if isinstance(second, NumberColumn):
        live = on_edges(second, bins.edges)
        if isinstance(first, NumberColumn) and first.edges == second.edges:
            tails = second.tails
        elif len(bins.edges):
            tails = float(live[0]) * float(bins.edges[0]), float(live[-1]) * float(bins.edges[-1])
    else:
        live = bins.counted({**second.values, "": second.rest}).cells
    return Comparison(
        bins.numeric,
        bins.edges,
        bins.counts,
        live,
        bins.bin_counts,
        np.bincount(bins.bin_of_cell, live, bins.bins).astype(np.int64),
        bins.std,
        bins.tails,
        tails,
    )
