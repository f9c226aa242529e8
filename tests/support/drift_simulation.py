"""Years without a change, and windows with one, checked by the rules of pages and of slow changes.

`python -m support.drift_simulation [PROCESSES]` in tests/ writes tests/golden/drift/simulation.json and the tables of
decisions 011 and 026 and of the how-to, in one run of a quarter of an hour of a core; it prints the seeds of all years.

Rows of an hour are drawn as counts of the bins, or of the cells for the methods that need these, which is what rows
become; a window is the sum of 24 hours. Shares of bins are multiples of 2^-16, so that rows can be drawn by a table.
Scores are computed only where the likelihood ratio is certain, of which all decisions are. Wasserstein is the area
between the outermost ends of cells, where all but a thousandth of the rows on either side are.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy import stats

from sidecar.derive.drift import slow_change
from sidecar.derive.drift.decision import alpha
from sidecar.derive.drift.long_window import LongWindow
from sidecar.derive.drift.methods import likelihood_ratio
from sidecar.derive.drift.methods.method import Comparison
from sidecar.derive.drift.methods.registry import method
from support.drift_tables import DAYS, FIVE_PERCENT, FIXED, OF_BINS, OF_CELLS, SLOW, write_tables

GOLDEN = Path(__file__).parent.parent / "golden" / "drift" / "simulation.json"
BINS, REFERENCE_ROWS, FEATURES, HOURS = 20, 10_000, 100, 8766
ENDS = np.union1d(np.arange(1, 100) / 100, (0.001, 0.005, 0.995, 0.999))
EDGES = stats.norm.ppf(ENDS)
STARTS = np.concatenate([[0], np.searchsorted(ENDS, np.arange(1, BINS) / BINS - 1e-9) + 1])
"""First cell of each bin."""
LEVEL = alpha(1.0, 3600, FEATURES)
SLOW_LEVEL = slow_change.alpha(1.0, 3600, 86_400, FEATURES)
FEW = (96, 504)
ROWS = (*FEW, 4992, 24_000)
"""Of a window."""
SEED = 20_251_128
YEARS, YEARS_OF_USUAL = 20, 1
"""Of what is usual, which is wrong thousands of times a year, and of the methods of cells, whose critical values are
bounds, fewer years say enough."""
TABLE = 1 << 16
BY_TABLE = 300
"""Rows of an hour up to which they are drawn one by one, from a table of so many places."""
DAY, WEEK, CHUNK = 24, 168, 240
SCENARIOS = ("independent", "correlated", "daily cycle", "rare categories")
FEW_IN_REFERENCE = {"reference of 500 rows": 500}
"""As one that is learnt; its error is the same in all windows of the year."""
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
    numbers: bool = True


def shares(shift: float | Array = 0.0) -> Array:
    """Of the cells, where the values have moved by so many standard deviations; along the last axis."""
    reached = stats.norm.cdf(EDGES - np.asarray(shift)[..., None])
    ends = np.zeros((*reached.shape[:-1], 1))
    return np.diff(np.concatenate([ends, reached, ends + 1], axis=-1), axis=-1)


def bins(cells: Array) -> Array:
    """Counts of the bins."""
    return np.add.reduceat(cells, STARTS, axis=-1)


def scores_of_bins(live: Array, reference: Array) -> dict[str, Array]:
    """Along the last axis. Bins in which there is nothing are none."""
    n, m = (counts.sum(-1, keepdims=True).astype(np.float64) for counts in (live, reference))
    there = live + reference > 0
    count = there.sum(-1, keepdims=True)
    p, q = (live + 0.5) / (n + 0.5 * count), (reference + 0.5) / (m + 0.5 * count)
    stability = np.where(there, (p - q) * np.log(p / q), 0.0).sum(-1)
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


@lru_cache(maxsize=16)
def _logs_below(power: int) -> Array:
    counts = np.arange(1 << power, dtype=np.float64)
    return counts * np.log(np.maximum(counts, 1))


def _logs(most: int) -> Array:
    """c ln(c) of whole numbers up to `most` at least."""
    return _logs_below(most.bit_length())


@lru_cache(maxsize=64)
def _quantiles(level: float, bins: int) -> Array:
    """Of chi-squared, by the bins in which there is anything."""
    return stats.chi2.isf(level, np.maximum(np.arange(bins + 1) - 1, 1))


@dataclass(frozen=True, slots=True)
class Compared:
    """Windows of columns beside what they are compared with: an axis each, bins along the last one. All columns of a
    window have equal rows."""

    live: Array
    reference: Array
    """Of a column, where it is the same for all windows."""
    rows: Array
    """Of each window; along the first axis."""
    statistic: Array
    """The likelihood ratio."""
    there: Array
    """Bins in which there is anything."""

    def above(self, level: float) -> Array:
        """Where the statistic is above the quantile, which its limit is above."""
        return self.statistic > _quantiles(level, self.live.shape[-1])[self.there]

    def at(self, places: tuple[Array, ...]) -> tuple[Array, Array]:
        """Counts of both sides in these places."""
        one_for_all = self.reference.ndim < self.live.ndim
        reference = self.reference[places[1]] if one_for_all else self.reference[places]
        return self.live[places].astype(np.int64), reference.astype(np.int64)


def compared(live: Array, reference: Array) -> Compared:
    """See there."""
    rows, other = live[:, 0].sum(-1), int(reference.reshape(-1, reference.shape[-1])[0].sum())
    both, table = live + reference, _logs(int(rows.max()) + other)
    counts = table[live].sum(-1) + table[reference].sum(-1) - table[both].sum(-1)
    whole = bool(reference.all())
    there = np.full(counts.shape, live.shape[-1]) if whole else np.count_nonzero(both, -1)
    known = (table[rows + other] - table[rows] - table[other])[:, None]
    return Compared(live, reference, rows, 2 * (counts + known), there)


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
            Columns(_of_table(one[None, :]), still, FEATURES // 5, numbers=False)
            for one in (tens, few / few.sum(), np.array([0.002, 0.998]), np.array([0.01, 0.99]), np.full(50, 0.02))
        ]
    move = np.zeros(HOURS)
    if scenario in ("daily cycle", "same window last week"):
        move = 0.3 * np.sin(2 * math.pi * hours / DAY)
    if scenario == "same window last week":
        move = move + 0.5 * (hours % WEEK >= 5 * DAY)
    kinds, kind = np.unique(np.round(move, 6), return_inverse=True)
    by_kind = shares(kinds) if cells else _of_table(bins(shares(kinds)))
    equal = 10 if scenario == "correlated" else 1
    return [Columns(by_kind, kind, FEATURES // equal, equal)]


def _of_table(by_kind: Array) -> Array:
    ends = np.rint(np.cumsum(by_kind, -1) * TABLE)
    return np.diff(ends, axis=-1, prepend=0) / TABLE


def hourly(rng: Generator, rows: int, of: Columns, first: int, last: int) -> Array:
    """Counts of each hour, column and bin."""
    size, kind = of.by_kind.shape[-1], of.kind[first:last]
    shape = len(kind), of.features, size
    if rows > BY_TABLE or size == len(EDGES) + 1:
        return rng.multinomial(rows, np.broadcast_to(of.by_kind[kind][:, None, :], shape)).astype(np.int32)
    ends = np.rint(np.cumsum(of.by_kind, -1) * TABLE).astype(np.intp)
    tables = np.array([np.repeat(np.arange(size), np.diff(one, prepend=0)) for one in ends])
    drawn = rng.integers(0, TABLE, size=(len(kind), of.features * rows), dtype=np.uint16)
    column = np.repeat(np.arange(of.features) * size, rows)
    counts = [
        np.bincount(tables[k][own] + column, minlength=of.features * size) for k, own in zip(kind, drawn, strict=True)
    ]
    return np.array(counts, np.int32).reshape(shape)


def windows(
    rng: Generator, rows: int, of: Columns, lag: int, reference_rows: int
) -> Iterator[tuple[int, Array, Array]]:
    """(hour at which the first ends, windows, what they are compared with: by column for the reference), some hours at
    a time."""
    size = of.by_kind.shape[-1]
    reference = rng.multinomial(reference_rows, of.by_kind[of.kind[:DAY]].mean(0), size=of.features)
    before = np.zeros((0, of.features, size), np.int32)
    for first in range(0, HOURS, CHUNK):
        known = np.concatenate([before, hourly(rng, rows // DAY, of, first, first + CHUNK)])
        summed = np.concatenate([np.zeros((1, of.features, size), np.int32), np.cumsum(known, axis=0, dtype=np.int32)])
        ends = np.arange(max(len(before) + 1, DAY + lag), len(known) + 1)
        if len(ends):
            live = summed[ends] - summed[ends - DAY]
            other = summed[ends - lag] - summed[ends - lag - DAY] if lag else reference
            yield first + int(ends[0]) - len(before), live, other
        before = known[-(DAY + lag - 1) :]


def detections_of_cells(live: Array, reference: Array) -> dict[str, Array]:
    """Rule -> where it detects drift."""
    limits = limits_of_cells(int(live.flat[: live.shape[-1]].sum()), int(reference.flat[: reference.shape[-1]].sum()))
    found = scores_of_cells(live, reference)
    return {name: found[name] > max(method(name).threshold, limits[name]) for name in OF_CELLS}


def detections(found: Compared, usual: bool) -> dict[str, Array]:
    """Rule -> where it detects drift. `usual`: of what is usual too."""
    over = {name: np.zeros(found.statistic.shape, np.bool_) for name in OF_BINS}
    places = np.nonzero(found.above(LEVEL))
    live, reference = found.at(places)
    certain = found.statistic[places] > likelihood_ratio.limit(live, reference, LEVEL)
    for name, scores in scores_of_bins(live, reference).items():
        over[name][places] = certain & (scores > method(name).threshold)
    if usual:
        over[FIXED] = scores_of_bins(found.live, found.reference)["psi"] > 0.1
        over[FIVE_PERCENT] = found.above(0.05)
    return over


def maybe_slow(found: Compared, scores: Array | None) -> Array:
    """Where windows may show a slow change: G² is certain, or half of what the other test says for small moves."""
    maybe = found.above(SLOW_LEVEL)
    if scores is not None:
        reference, n = found.reference, found.rows[:, None]
        m = reference.sum(-1)
        centred = scores - ((scores * reference).sum(-1) / m)[:, None]
        spread = np.maximum((centred**2 * reference).sum(-1) / m, 1e-9)
        mean = np.einsum("hfb,fb->hf", found.live, centred) / n
        maybe = maybe | (mean**2 / spread * n * m / (n + m) > _quantiles(SLOW_LEVEL, 2)[2] / 2)
    return maybe


def slow_in_windows(found: Compared, scores: Array | None) -> Array:
    """Where windows by themselves show a slow change."""
    over = maybe_slow(found, scores)
    places = np.nonzero(over)
    live, reference = found.at(places)
    own = scores[places[1]] if scores is not None else None
    tests = slow_change.tested(live[None], reference, own, SLOW_LEVEL)
    over[places] = np.any([size > limit for size, limit in tests], axis=(0, 1))
    return over


def slow_in_the_past(past: LongWindow, reference: Array, scores: Array | None) -> Array:
    """Columns in which the past shows one."""
    live = np.array([counts for _, counts in past.recent()])
    over: Array = maybe_slow(compared(live, reference), scores).any(0)
    own = scores[over] if scores is not None else None
    tests = slow_change.tested(live[:, over], reference[over], own, SLOW_LEVEL)
    over[over] = np.any([size > limit for size, limit in tests], axis=(0, 1))
    return over


def slow_detections(first: int, found: Compared, scores: Array | None, past: LongWindow, was: Array) -> Array:
    """Where a slow change is detected. `first`: hour at which the first window ends; `was`: columns in which the past
    showed one, which is kept up."""
    over = slow_in_windows(found, scores)
    for place in range(len(over)):
        if (first + place) % DAY == 0:
            past.push(found.live[place].astype(np.int64))
            was[:] = slow_in_the_past(past, found.reference, scores)
        over[place] |= was
    return over


def a_year(
    seed: tuple[int, ...], rows: int, scenario: str, cells: bool = False, usual: bool = False
) -> dict[str, float]:
    """Pages, and slow changes, of one year by rule: the first of detections that follow each other."""
    rng = np.random.default_rng(seed)
    lag = LAGS.get(scenario, 0)
    pages: dict[str, float] = {}
    for of in columns_of(scenario, cells):
        last: dict[str, Array] = {}
        past, was, scores = LongWindow(), np.zeros(of.features, np.bool_), None
        for first, live, reference in windows(rng, rows, of, lag, FEW_IN_REFERENCE.get(scenario, REFERENCE_ROWS)):
            if cells:
                over = detections_of_cells(live, np.broadcast_to(reference, live.shape))
            else:
                found = compared(live, reference)
                over = detections(found, usual)
                if not lag:
                    if of.numbers and scores is None:
                        scores = slow_change.normal_scores(reference)
                    over[SLOW] = slow_detections(first, found, scores, past, was)
            for name, where in over.items():
                following = np.concatenate([last.get(name, np.zeros(of.features, np.bool_))[None], where])
                new = int(np.count_nonzero(following[1:] & ~following[:-1]))
                pages[name] = pages.get(name, 0.0) + new * of.weight
                last[name] = where[-1]
    return pages


def power(rng: Generator, rows: int, shift: float, count: int = 10_000) -> dict[str, dict[str, float]]:
    """By method: shares of windows of so many rows in which a shift is paged, and in which it is certain."""
    reference = rng.multinomial(REFERENCE_ROWS, shares(), size=count)
    live = rng.multinomial(rows, shares(shift), size=count)
    found = scores_of_cells(live, reference) | scores_of_bins(bins(live), bins(reference))
    limits = limits_of_cells(rows, REFERENCE_ROWS)
    over = _certain(bins(live), bins(reference))
    by_method: dict[str, dict[str, float]] = {}
    for name in (*OF_BINS, *OF_CELLS):
        certain = found[name] > limits[name] if name in OF_CELLS else over
        paged = certain & (found[name] > method(name).threshold)
        by_method[name] = {"paged": round(float(paged.mean()), 5), "certain": round(float(certain.mean()), 5)}
    return by_method


def _certain(live: Array, reference: Array) -> Array:
    return likelihood_ratio.statistic(live, reference) > likelihood_ratio.limit(live, reference, LEVEL)


def within_a_day(rng: Generator, rows: int, shift: float, count: int = 10_000) -> dict[str, float]:
    """Shares of cases in which a shift that begins with an hour is certain for a page, and is a slow change, at one of
    the 24 hourly checks from its beginning."""
    found: dict[str, list[Array]] = {"certain": [], SLOW: []}
    means = bins(shares(np.where(np.arange(-DAY, DAY) < 0, 0.0, shift)))
    for part in np.array_split(np.arange(count), max(1, count // 1000)):
        reference = bins(rng.multinomial(REFERENCE_ROWS, shares(), size=len(part)))
        drawn = rng.multinomial(rows // DAY, np.broadcast_to(means[:, None, :], (len(means), len(part), BINS)))
        summed = np.concatenate([np.zeros((1, len(part), BINS), np.int64), np.cumsum(drawn, axis=0)])
        live = summed[DAY + 1 :] - summed[1:-DAY]
        both = compared(live, reference)
        found["certain"].append(_certain(live, np.broadcast_to(reference, live.shape)).any(0))
        found[SLOW].append(slow_in_windows(both, slow_change.normal_scores(reference)).any(0))
    return {name: round(float(np.concatenate(each).mean()), 4) for name, each in found.items()}


def days_until_reported(rng: Generator, rows: int, shift: float, days: int, count: int = 1000) -> dict[str, float]:
    """Shares of cases in which a shift that comes after a month, and grows for `days`, is a slow change at the end of
    one of so many days."""
    reference = bins(rng.multinomial(REFERENCE_ROWS, shares(), size=count))
    scores = slow_change.normal_scores(reference)
    past, found = LongWindow(), {}
    reported = np.zeros(count, np.bool_)
    for day in range(-30, max(DAYS) + 1):
        moved = 0.0 if day < 0 else shift * min(1.0, (day + 1) / days)
        past.push(rng.multinomial(rows, bins(shares(moved)), size=count))
        if day >= 0:
            reported |= slow_in_the_past(past, reference, scores)
        if day + 1 in DAYS:
            found[str(day + 1)] = round(float(reported.mean()), 3)
    return found


def simulate(processes: int) -> dict[str, Any]:
    """All of it, the same by however many processes."""
    wanted = [(scenario, rows, False) for scenario in SCENARIOS for rows in ROWS]
    wanted += [(scenario, rows, True) for scenario in SCENARIOS[:3] for rows in FEW]
    wanted += [(scenario, rows, False) for scenario in FEW_IN_REFERENCE for rows in ROWS[1:3]]
    wanted += [(scenario, rows, False) for scenario in LAGS for rows in FEW]
    pages: dict[str, Any] = {}
    total = 0.0
    with ProcessPoolExecutor(processes) as pool:
        running = [
            [
                pool.submit(_timed, (SEED, place, year), rows, scenario, cells, year < YEARS_OF_USUAL)
                for year in range(_years(scenario, cells))
            ]
            for place, (scenario, rows, cells) in enumerate(wanted)
        ]
        for place, ((scenario, rows, _), own) in enumerate(zip(wanted, running, strict=True)):
            each: dict[str, list[float]] = {}
            for one in own:
                for name, count in one.result()[1].items():
                    each.setdefault(name, []).append(count)
            mean = {name: round(float(np.mean(counts)), 2) for name, counts in each.items()}
            pages.setdefault(scenario, {}).setdefault(str(rows), {}).update(mean)
            spent = sum(one.result()[0] for one in own)
            total += spent
            print(
                f"{scenario}, {rows} rows: seeds ({SEED}, {place}, 0 to {len(own) - 1}), {spent:.0f} s, {mean}",
                flush=True,
            )
    rng, begun = np.random.default_rng(SEED), time.process_time()
    found = _with_a_change(rng)
    total += time.process_time() - begun
    print(f"windows with a change: seed {SEED}; {total / 60:.1f} minutes of a core in all", flush=True)
    return {
        "years": {"of bins": YEARS, "of cells, and of what is usual": YEARS_OF_USUAL},
        "pages_a_year": pages,
        **found,
    }


def _timed(*about: Any) -> tuple[float, dict[str, float]]:
    """(seconds of a core, pages of a year)."""
    begun = time.process_time()
    pages = a_year(*about)
    return time.process_time() - begun, pages


def _years(scenario: str, cells: bool) -> int:
    """Equal columns page ten at a time, and more years of them are no more work."""
    return (YEARS_OF_USUAL if cells else YEARS) * (3 if scenario == "correlated" else 1)


def _with_a_change(rng: Generator) -> dict[str, Any]:
    return {
        "power": {
            f"{shift}": {str(rows): power(rng, rows, shift) for rows in (200, 500, 1000, 5000)} for shift in (0.25, 0.5)
        },
        "within_24_checks": {
            f"{shift}": {str(rows): within_a_day(rng, rows, shift) for rows in (*FEW, 1008, 4992)}
            for shift in (0.25, 0.5)
        },
        "days_until_reported": {
            f"{shift}, {how}": {str(rows): days_until_reported(rng, rows, shift, days) for rows in (*FEW, 1008)}
            for shift in (0.25, 0.5)
            for how, days in (("at once", 1), ("over 28 days", 28))
        },
    }


def write(processes: int) -> None:
    """The golden file, and the tables of the pages."""
    made = simulate(processes)
    GOLDEN.write_text(json.dumps(made, indent=1) + "\n")
    write_tables(made)


if __name__ == "__main__":
    write(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
