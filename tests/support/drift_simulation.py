"""Years without a change, and windows with one, checked by the rule of pages.

`python -m support.drift_simulation` in tests/ writes tests/golden/drift/simulation.json (about ten minutes).

Rows of an hour are drawn as counts of the bins, which is what rows become; a window is the sum of 24 hours.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from scipy import stats

from sidecar.derive.drift.decision import alpha
from sidecar.derive.drift.methods.chi_squared_quantile import chi_squared_quantile

GOLDEN = Path(__file__).parent.parent / "golden" / "drift" / "simulation.json"
BINS, REFERENCE_ROWS, FEATURES, HOURS = 20, 10_000, 100, 8766
EDGES = stats.norm.ppf(np.arange(1, BINS) / BINS)
THRESHOLD = 0.1
LEVEL = alpha(1.0, 3600, FEATURES)
ROWS = (96, 504, 4992, 24_000)
"""Of a window."""
Array = np.ndarray[Any, Any]


def shares(shift: float = 0.0) -> Array:
    """Of the bins, where the values have moved by so many standard deviations."""
    return np.diff(np.concatenate([[0], stats.norm.cdf(EDGES - shift), [1]]))


def psi(live: Array, reference: Array) -> Array:
    """As the method has it; along the last axis."""
    p = (live + 0.5) / (live.sum(-1, keepdims=True) + 0.5 * BINS)
    q = (reference + 0.5) / (reference.sum(-1, keepdims=True) + 0.5 * BINS)
    return ((p - q) * np.log(p / q)).sum(-1)


def critical(rows: int, level: float = LEVEL) -> float:
    return chi_squared_quantile(level, BINS - 1) * (1 / rows + 1 / REFERENCE_ROWS) * (1 + BINS / (2 * rows))


def a_year(rng: Generator, rows: int, scenario: str) -> dict[str, float]:
    """Detections of one year by this rule and by others; a page is the first of detections that follow each other."""
    distinct = FEATURES // 10 if scenario == "correlated" else FEATURES
    mean = shares()
    if scenario == "daily cycle":
        by_hour = np.array([shares(0.3 * math.sin(2 * math.pi * hour / 24)) for hour in range(24)])
        mean = by_hour.mean(0)
        hourly = by_hour[np.arange(HOURS) % 24][:, None, :]
    else:
        hourly = mean[None, None, :]
    counts = rng.multinomial(rows // 24, np.broadcast_to(hourly, (HOURS, distinct, BINS))).astype(np.int32)
    reference = rng.multinomial(REFERENCE_ROWS, mean, size=distinct)
    summed = np.cumsum(counts, axis=0)
    scores = np.concatenate(
        [psi(summed[at : at + 400] - summed[at - 24 : at - 24 + 400][: len(summed[at : at + 400])], reference)
         for at in range(24, HOURS, 400)]
    )  # fmt: skip
    limits = {
        "pages": max(THRESHOLD, critical(rows)),
        "pages_of_a_fixed_threshold": THRESHOLD,
        "pages_at_five_percent_a_window": critical(rows, 0.05),
    }
    weight = FEATURES // distinct
    found = {}
    for name, limit in limits.items():
        over = scores > limit
        found[name] = float(weight * (np.count_nonzero(over[1:] & ~over[:-1]) + np.count_nonzero(over[0])))
    return found


def power(rng: Generator, rows: int, shift: float, windows: int = 20_000) -> dict[str, float]:
    """Shares of windows of so many rows in which a shift is paged, and in which it is certain."""
    reference = rng.multinomial(REFERENCE_ROWS, shares(), size=windows)
    scores = psi(rng.multinomial(rows, shares(shift), size=windows), reference)
    certain = scores > critical(rows)
    return {
        "paged": float(np.mean(certain & (scores > THRESHOLD))),
        "certain": float(np.mean(certain)),
        "certain_within_24_windows": float(1 - np.mean(~certain) ** 24),
    }


def simulate(years: int) -> dict[str, Any]:
    """All of it."""
    rng = np.random.default_rng(20_251_128)
    false_pages: dict[str, Any] = {}
    for scenario in ("independent", "correlated", "daily cycle"):
        for rows in ROWS:
            each = [a_year(rng, rows, scenario) for _ in range(years)]
            mean = {name: round(float(np.mean([year[name] for year in each])), 3) for name in each[0]}
            false_pages.setdefault(scenario, {})[str(rows)] = mean
            print(scenario, rows, mean, file=sys.stderr, flush=True)
    powers = {
        f"{shift} standard deviations": {
            str(rows): {k: round(v, 5) for k, v in power(rng, rows, shift).items()} for rows in (200, 500, 1000, 5000)
        }
        for shift in (0.25, 0.5)
    }
    limits = {str(rows): round(critical(rows), 4) for rows in (200, 500, 1000, 5000, 24_000)}
    return {
        "years": years,
        "features": FEATURES,
        "critical_values": limits,
        "false_pages": false_pages,
        "power": powers,
    }


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(simulate(10), indent=1) + "\n")
