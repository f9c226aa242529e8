"""Years without a change, and windows with one, checked by the rule of pages.

`python -m support.drift_simulation` in tests/ writes tests/golden/drift/simulation.json and the tables of decision 011
(twenty minutes of a core).

Rows of an hour are drawn as counts of the bins, or of the cells for the methods that need these, which is what rows
become; a window is the sum of 24 hours. Wasserstein is the area between the outermost ends of cells, where all but a
thousandth of the rows on either side are.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy import stats

from sidecar.derive.drift.decision import alpha
from sidecar.derive.drift.methods import likelihood_ratio
from sidecar.derive.drift.methods.method import Comparison
from sidecar.derive.drift.methods.registry import method

GOLDEN = Path(__file__).parent.parent / "golden" / "drift" / "simulation.json"
PAGE = Path(__file__).parents[2] / "docs" / "decisions" / "011-when-drift-is-worth-a-page.md"
BINS, REFERENCE_ROWS, FEATURES, HOURS = 20, 10_000, 100, 8766
ENDS = np.union1d(np.arange(1, 100) / 100, (0.001, 0.005, 0.995, 0.999))
EDGES = stats.norm.ppf(ENDS)
STARTS = np.concatenate([[0], np.searchsorted(ENDS, np.arange(1, BINS) / BINS - 1e-9) + 1])
"""First cell of each bin."""
LEVEL = alpha(1.0, 3600, FEATURES)
FEW = (96, 504)
ROWS = (*FEW, 4992, 24_000)
"""Of a window."""
SEED = 20_251_128
YEARS, YEARS_OF_CELLS = 20, 1
YEARS_OF_LAGS = {"previous window": 10, "same window last week": 2}
YEARS_OF_MANY = 2
"""At most, of windows of thousands of rows: their scores stay far below any threshold."""
DAY, WEEK, CHUNK = 24, 168, 240
OF_BINS, OF_CELLS = ("psi", "jensen_shannon", "chi_squared"), ("ks", "wasserstein")
FIXED, FIVE_PERCENT = "psi above 0.1", "5 % a window"
SCENARIOS = ("independent", "correlated", "daily cycle", "rare categories")
LAGS = {"previous window": DAY, "same window last week": WEEK}
"""Hours by which the window that is compared with lies behind; in that of last week weekends are others."""
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of one shape."""

    by_kind: Array
    """Shares of the cells or bins, of each kind of hour."""
    kind: Array
    """Which kind each hour of the year is."""
    features: int
    weight: int = 1
    """Columns of the model that are equal to each of them."""


def shares(shift: float | Array = 0.0) -> Array:
    """Of the cells, where the values have moved by so many standard deviations; along the last axis."""
    reached = stats.norm.cdf(EDGES - np.asarray(shift)[..., None])
    ends = np.zeros((*reached.shape[:-1], 1))
    return np.diff(np.concatenate([ends, reached, ends + 1], axis=-1), axis=-1)


def bins(cells: Array) -> Array:
    """Counts of the bins."""
    return np.add.reduceat(cells, STARTS, axis=-1)


@lru_cache(maxsize=16)
def _logs(size: int) -> tuple[Array, Array]:
    """ln(c + 0.5), and c ln(c), of whole numbers below `size`."""
    counts = np.arange(size, dtype=np.float64)
    return np.log(counts + 0.5), counts * np.log(np.maximum(counts, 1))


def scores_of_bins(live: Array, reference: Array) -> dict[str, Array]:
    """Along the last axis. Bins in which there is nothing are none."""
    n, m = int(live.flat[: live.shape[-1]].sum()), int(reference.flat[: reference.shape[-1]].sum())
    logs = _logs(max(n, m) + 1)[0]
    there = live + reference > 0
    count = there.sum(-1, keepdims=True)
    p, q = (live + 0.5) / (n + 0.5 * count), (reference + 0.5) / (m + 0.5 * count)
    norm = np.log((m + 0.5 * count) / (n + 0.5 * count))
    stability = np.where(there, (p - q) * (logs[live] - logs[reference] + norm), 0.0).sum(-1)
    p, q = live / n, reference / m
    middle = np.maximum((p + q) / 2, 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = np.where(live > 0, p * np.log2(p / middle), 0.0) + np.where(
            reference > 0, q * np.log2(q / middle), 0.0
        )
    squares = (p - q) ** 2 / np.maximum((live + reference) / (n + m), 1e-300)
    return {
        "psi": stability,
        "jensen_shannon": np.sqrt(np.maximum(divergence.sum(-1), 0) / 2),
        "chi_squared": np.sqrt(squares.sum(-1)),
    }


def certainty(live: Array, reference: Array, level: float = LEVEL) -> tuple[Array, Array]:
    """(the likelihood-ratio statistic, its limit), along the last axis."""
    n, m = int(live.flat[: live.shape[-1]].sum()), int(reference.flat[: reference.shape[-1]].sum())
    table = _logs(n + m + 1)[1]
    both = live + reference
    statistic = 2 * ((table[live] + table[reference] - table[both]).sum(-1) - table[n] - table[m] + table[n + m])
    freedom = np.maximum((both > 0).sum(-1) - 1, 1)
    expected = np.maximum(both * (min(n, m) / (n + m)), likelihood_ratio.LEAST)
    few = np.where(both > 0, 1 / expected, 0.0).sum(-1) / freedom
    quantiles = stats.chi2.isf(level, np.arange(1, live.shape[-1] + 1))
    return statistic, quantiles[freedom - 1] * (1 + likelihood_ratio.CORRECTION * few)


def scores_of_cells(live: Array, reference: Array) -> dict[str, Array]:
    """Along the last axis."""
    n, m = live.sum(-1, keepdims=True), reference.sum(-1, keepdims=True)
    apart = (np.cumsum(live, -1) / n - np.cumsum(reference, -1) / m)[..., :-1]
    height = np.abs(apart)
    a, b = height[..., :-1], height[..., 1:]
    crossing = apart[..., :-1] * apart[..., 1:] < 0
    trapezes = np.where(crossing, (a * a + b * b) / (2 * np.maximum(a + b, 1e-300)), (a + b) / 2)
    return {"ks": height.max(-1), "wasserstein": trapezes @ np.diff(EDGES)}


def comparison(live: Array, reference: Array) -> Comparison:
    """One pair of counts of cells of normal values as the program has it."""
    tails = [(float(cells[0] * EDGES[0]), float(cells[-1] * EDGES[-1])) for cells in (reference, live)]
    return Comparison(True, EDGES, reference, live, bins(reference), bins(live), 1.0, *tails)


@lru_cache(maxsize=64)
def limits_of_cells(rows: int, reference_rows: int) -> dict[str, float]:
    """Critical values of normal values without a change; they go by the reference only."""
    live, reference = (
        np.diff(np.rint(np.append(0, np.cumsum(shares())) * n)).astype(np.int64) for n in (rows, reference_rows)
    )
    return {name: method(name).critical(comparison(live, reference), LEVEL) for name in OF_CELLS}


def columns_of(scenario: str, cells: bool) -> list[Columns]:
    """The columns of a model."""
    hours = np.arange(HOURS)
    still = np.zeros(HOURS, np.intp)
    if scenario == "rare categories":
        few = np.arange(1, 21) ** -1.5
        tens = np.array([0.01] * 10 + [0.9])
        return [
            Columns(one[None, :], still, FEATURES // 5)
            for one in (tens, few / few.sum(), np.array([0.002, 0.998]), np.array([0.01, 0.99]), np.full(50, 0.02))
        ]
    move = np.zeros(HOURS)
    if scenario in ("daily cycle", "same window last week"):
        move = 0.3 * np.sin(2 * math.pi * hours / DAY)
    if scenario == "same window last week":
        move = move + 0.5 * (hours % WEEK >= 5 * DAY)
    kinds, kind = np.unique(np.round(move, 6), return_inverse=True)
    by_kind = shares(kinds) if cells else bins(shares(kinds))
    equal = 10 if scenario == "correlated" else 1
    return [Columns(by_kind, kind, FEATURES // equal, equal)]


def windows(rng: Generator, rows: int, of: Columns, lag: int) -> Iterator[tuple[Array, Array]]:
    """(windows, what they are compared with), some hours at a time."""
    size = of.by_kind.shape[-1]
    reference = rng.multinomial(REFERENCE_ROWS, of.by_kind[of.kind[:DAY]].mean(0), size=of.features)
    before = np.zeros((0, of.features, size), np.int32)
    for first in range(0, HOURS, CHUNK):
        means = of.by_kind[of.kind[first : first + CHUNK]][:, None, :]
        new = rng.multinomial(rows // DAY, np.broadcast_to(means, (len(means), of.features, size))).astype(np.int32)
        known = np.concatenate([before, new])
        summed = np.concatenate([np.zeros((1, of.features, size), np.int32), np.cumsum(known, axis=0, dtype=np.int32)])
        ends = np.arange(max(len(before) + 1, DAY + lag), len(known) + 1)
        if len(ends):
            live = summed[ends] - summed[ends - DAY]
            yield live, summed[ends - lag] - summed[ends - lag - DAY] if lag else np.broadcast_to(reference, live.shape)
        before = known[-(DAY + lag - 1) :]


def detections(live: Array, reference: Array, cells: bool) -> dict[str, Array]:
    """Rule -> where it detects drift."""
    if cells:
        limits = limits_of_cells(int(live.flat[: live.shape[-1]].sum()), int(reference.flat[: live.shape[-1]].sum()))
        found = scores_of_cells(live, reference)
        return {name: found[name] > max(method(name).threshold, limits[name]) for name in OF_CELLS}
    statistic, limit = certainty(live, reference)
    found = scores_of_bins(live, reference)
    rules = {name: (found[name] > method(name).threshold) & (statistic > limit) for name in OF_BINS}
    freedom = np.maximum((live + reference > 0).sum(-1), 2) - 1
    usual = stats.chi2.isf(0.05, np.arange(1, live.shape[-1] + 1))
    return rules | {FIXED: found["psi"] > 0.1, FIVE_PERCENT: statistic > usual[freedom - 1]}


def a_year(seed: tuple[int, ...], rows: int, scenario: str, cells: bool) -> dict[str, float]:
    """Pages of one year by rule: the first of detections that follow each other."""
    rng = np.random.default_rng(seed)
    pages: dict[str, float] = {}
    for of in columns_of(scenario, cells):
        last: dict[str, Array] = {}
        for live, reference in windows(rng, rows, of, LAGS.get(scenario, 0)):
            for name, over in detections(live, reference, cells).items():
                before = last.get(name, np.zeros(of.features, np.bool_))
                following = np.concatenate([before[None], over])
                new = int(np.count_nonzero(following[1:] & ~following[:-1]))
                pages[name] = pages.get(name, 0.0) + new * of.weight
                last[name] = over[-1]
    return pages


def power(rng: Generator, rows: int, shift: float, count: int = 10_000) -> dict[str, dict[str, float]]:
    """By method: shares of windows of so many rows in which a shift is paged, and in which it is certain."""
    reference = rng.multinomial(REFERENCE_ROWS, shares(), size=count)
    live = rng.multinomial(rows, shares(shift), size=count)
    found = scores_of_cells(live, reference) | scores_of_bins(bins(live), bins(reference))
    limits = limits_of_cells(rows, REFERENCE_ROWS)
    statistic, limit = certainty(bins(live), bins(reference))
    by_method: dict[str, dict[str, float]] = {}
    for name in (*OF_BINS, *OF_CELLS):
        certain = found[name] > limits[name] if name in OF_CELLS else statistic > limit
        paged = certain & (found[name] > method(name).threshold)
        by_method[name] = {"paged": round(float(paged.mean()), 5), "certain": round(float(certain.mean()), 5)}
    return by_method


def certain_within(rng: Generator, rows: int, shift: float, hours: int, count: int = 2000) -> dict[str, float]:
    """Shares of cases in which a shift that begins with an hour is certain, by PSI and its like, at one of so many
    hourly checks: counted from its beginning, and from the first window that is full of it."""
    reference = bins(rng.multinomial(REFERENCE_ROWS, shares(), size=count))
    means = bins(shares(np.where(np.arange(-DAY, DAY + hours) < 0, 0.0, shift)))
    hourly = rng.multinomial(rows // DAY, np.broadcast_to(means[:, None, :], (len(means), count, BINS)))
    summed = np.concatenate([np.zeros((1, count, BINS), np.int64), np.cumsum(hourly, axis=0)])
    live = summed[DAY + 1 :] - summed[1:-DAY]
    statistic, limit = certainty(live, np.broadcast_to(reference, live.shape))
    certain = statistic > limit
    full = certain[DAY - 1 : DAY - 1 + hours]
    return {
        "from its beginning": round(float(certain[:hours].any(0).mean()), 4),
        "from a full window": round(float(full.any(0).mean()), 4),
    }


def simulate() -> dict[str, Any]:
    """All of it."""
    wanted = [(scenario, rows, False, YEARS) for scenario in SCENARIOS for rows in ROWS]
    wanted += [(scenario, rows, True, YEARS_OF_CELLS) for scenario in SCENARIOS[:3] for rows in FEW]
    wanted += [(scenario, rows, False, YEARS_OF_LAGS[scenario]) for scenario in LAGS for rows in FEW]
    pages: dict[str, Any] = {}
    with ProcessPoolExecutor(2) as pool:
        running: list[list[Future[dict[str, float]]]] = [
            [
                pool.submit(a_year, (SEED, place, year), rows, scenario, cells)
                for year in range(_years(scenario, rows, years))
            ]
            for place, (scenario, rows, cells, years) in enumerate(wanted)
        ]
        for (scenario, rows, _, _), own in zip(wanted, running, strict=True):
            each = [one.result() for one in own]
            mean = {name: round(float(np.mean([year[name] for year in each])), 2) for name in each[0]}
            pages.setdefault(scenario, {}).setdefault(str(rows), {}).update(mean)
            print(scenario, rows, mean, file=sys.stderr, flush=True)
    rng = np.random.default_rng(SEED)
    return {
        "years": {"bins": YEARS, "cells": YEARS_OF_CELLS, "lags": YEARS_OF_LAGS, "many rows": YEARS_OF_MANY},
        "pages_a_year": pages,
        "power": {
            f"{shift}": {str(rows): power(rng, rows, shift) for rows in (200, 500, 1000, 5000)} for shift in (0.25, 0.5)
        },
        "certain_within_24_checks": {
            f"{shift}": {str(rows): certain_within(rng, rows, shift, DAY) for rows in (504, 1008, 4992)}
            for shift in (0.25, 0.5)
        },
    }


def _years(scenario: str, rows: int, years: int) -> int:
    """Of equal columns, which page ten at a time, five times as many are no more work."""
    return min(years, YEARS_OF_MANY if rows > 1000 else years) * (5 if scenario == "correlated" else 1)


def tables(golden: dict[str, Any]) -> tuple[str, str]:
    """Pages a year, and power, as tables in Markdown."""
    heads = ("psi", "jensen_shannon", "chi_squared", "ks", "wasserstein", FIXED, FIVE_PERCENT)
    pages = ["| without a change | rows of a window | " + " | ".join(heads) + " |", "|---" * (len(heads) + 2) + "|"]
    for scenario, by_rows in golden["pages_a_year"].items():
        for rows, found in by_rows.items():
            cells = [_figure(found.get(name)) for name in heads]
            pages.append(f"| {scenario} | {int(rows):,} | " + " | ".join(cells) + " |")
    every = (*OF_BINS, *OF_CELLS)
    powers = ["| shift | rows | " + " | ".join(every) + " |", "|---" * (len(every) + 2) + "|"]
    for shift, by_rows in golden["power"].items():
        for rows, found in by_rows.items():
            cells = [f"{found[name]['paged']:.4f} / {found[name]['certain']:.4f}" for name in every]
            powers.append(f"| {shift} | {int(rows):,} | " + " | ".join(cells) + " |")
    return "\n".join(pages), "\n".join(powers)


def _figure(pages: float | None) -> str:
    return "" if pages is None else f"{pages:,.0f}" if pages >= 10 else f"{pages:g}"


def write() -> None:
    """The golden file, and the tables of the page."""
    former, made = json.loads(GOLDEN.read_text("utf-8")), simulate()
    GOLDEN.write_text(json.dumps(made, indent=1) + "\n")
    page = PAGE.read_text("utf-8")
    for old, new in zip(tables(former), tables(made), strict=True):
        page = page.replace(old, new)
    PAGE.write_text(page)


if __name__ == "__main__":
    write()
