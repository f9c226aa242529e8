"""Values before and after, drawn from a fixed seed, which all libraries compare."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from sidecar.decode.api import F64

Pair = tuple[F64, F64]


def two_lumps(rng: Generator) -> Pair:
    """A reference with an empty range in which all live values lie."""
    return np.concatenate([rng.normal(-5, 0.3, 5000), rng.normal(5, 0.3, 5000)]), rng.normal(0, 0.3, 5000)


def many_zeros(rng: Generator) -> Pair:
    def values(share: float) -> F64:
        return np.where(rng.random(8000) < share, 0.0, np.exp(rng.normal(size=8000)))

    return values(0.6), values(0.4)


PAIRS: dict[str, Callable[[Generator], Pair]] = {
    "normal, shifted": lambda rng: (rng.normal(size=10_000), rng.normal(0.5, 1, 5000)),
    "normal, wider": lambda rng: (rng.normal(size=10_000), rng.normal(0, 2, 5000)),
    "normal, far away": lambda rng: (rng.normal(size=10_000), rng.normal(30, 1, 5000)),
    "lognormal": lambda rng: (np.exp(rng.normal(size=10_000)), np.exp(rng.normal(0.3, 1, 5000))),
    "heavy tails": lambda rng: (rng.standard_t(2, 20_000), rng.standard_t(2, 5000) + 0.3),
    "heavy ties": lambda rng: (rng.poisson(2, 10_000) * 1.0, rng.poisson(3, 5000) * 1.0),
    "a hundred integers": lambda rng: (rng.integers(0, 100, 10_000) * 1.0, rng.integers(10, 110, 5000) * 1.0),
    "constant becomes another": lambda rng: (np.full(1000, 5.0), np.full(500, 7.0)),
    "becomes constant": lambda rng: (rng.normal(size=10_000), np.full(500, 0.123)),
    "an empty range": two_lumps,
    "many zeros": many_zeros,
    "times of a day in 2024": lambda rng: (1.7e9 + rng.normal(0, 9e3, 10_000), 1.7e9 + rng.normal(4e3, 9e3, 5000)),
    "apart": lambda rng: (rng.random(5000), rng.random(5000) + 2),
    "both ends": lambda rng: (rng.random(5000), rng.beta(0.2, 0.2, 5000)),
    "few live rows": lambda rng: (rng.normal(size=10_000), rng.normal(1, 1, 40)),
    "unchanged": lambda rng: (rng.normal(size=10_000), rng.normal(size=5000)),
    "unchanged, few live rows": lambda rng: (rng.normal(size=10_000), rng.normal(size=40)),
    "tiny": lambda rng: (rng.normal(size=20), rng.normal(1, 1, 10)),
    "negative and large": lambda rng: (rng.normal(-1e12, 1e9, 5000), rng.normal(-1.001e12, 1e9, 5000)),
}

Texts = tuple[list[str], list[str]]


def _drawn(rng: Generator, shares: dict[str, float], rows: int) -> list[str]:
    return [str(name) for name in rng.choice(list(shares), rows, p=list(shares.values()))]


_PLANS = {"basic": 0.6, "pro": 0.3, "free": 0.1}
_CITIES = {f"c{n:03}": 1 / 200 for n in range(200)}

CATEGORIES: dict[str, Callable[[Generator], Texts]] = {
    "categories, unchanged": lambda rng: (_drawn(rng, _PLANS, 10_000), _drawn(rng, _PLANS, 5000)),
    "categories, moved": lambda rng: (
        _drawn(rng, _PLANS, 10_000),
        _drawn(rng, {"basic": 0.4, "pro": 0.4, "free": 0.2}, 5000),
    ),
    "a category is gone": lambda rng: (_drawn(rng, _PLANS, 10_000), _drawn(rng, {"basic": 0.65, "pro": 0.35}, 5000)),
    "unseen categories": lambda rng: (
        _drawn(rng, _PLANS, 10_000),
        _drawn(rng, {"basic": 0.5, "pro": 0.3, "free": 0.1, "trial": 0.06, "gift": 0.04}, 5000),
    ),
    "200 rare categories": lambda rng: (_drawn(rng, _CITIES, 20_000), _drawn(rng, _CITIES, 5000)),
}
SEED = 7


def numbers(name: str) -> Pair:
    """The pair of numbers of this name."""
    return PAIRS[name](np.random.default_rng(SEED))


def texts(name: str) -> Texts:
    """The pair of categories of this name."""
    return CATEGORIES[name](np.random.default_rng(SEED))
