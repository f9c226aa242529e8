"""What a model's expectations take, whatever the rows are: the figure that /status counts with is not exceeded."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from sidecar.decode.api import FeatureKind
from sidecar.derive.quality.model_quality import ModelQuality
from sidecar.derive.quality.suite import Expectation, Suite
from sidecar.derive.quality.suite_library import compiled
from sidecar.derive.quality.values import Values

COLUMNS, SUB_WINDOWS = 3, 24
UNPACKING = 400_000
"""What zlib and JSON take for a moment, whatever the number of columns."""
DISTINCT = "expect_column_unique_value_count_to_be_between"
MEDIAN = "expect_column_median_to_be_between"
Make = Callable[[np.random.Generator], Values]


def numbers(found: Any) -> Values:
    return Values(np.full(len(found), FeatureKind.NUMBER, np.uint8), found, [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make", "kilobytes"),
    [
        (DISTINCT, lambda rng: numbers(rng.normal(0, 1, 500)), 200),
        (MEDIAN, lambda rng: numbers(rng.choice([-1, 1], 2000) * 10 ** rng.uniform(-14, 14, 2000)), 500),
        ("expect_column_stdev_to_be_between", lambda rng: numbers(rng.normal(0, 1, 2000)), 10),
    ],
)
def test_what_an_expectation_takes(name: str, make: Make, kilobytes: int) -> None:
    kwargs: Mapping[str, Any] = {"min_value": 0}
    rng = np.random.default_rng(1)
    tracemalloc.start()
    try:
        entries = tuple(Expectation(name, {**kwargs, "column": f"c{n}"}) for n in range(COLUMNS))
        quality = ModelQuality(compiled(Suite("s", "", "", entries, "")).evaluated, SUB_WINDOWS, 0, 0)
        before, _ = tracemalloc.get_traced_memory()
        for sub_window in range(SUB_WINDOWS + 2):
            quality.advance(sub_window, sub_window)
            for n in range(COLUMNS):
                quality.add(f"c{n}", make(rng))
            quality.see(1, 5000)
            for _ in quality.checkpoint():
                pass
        now, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        quality.advance(SUB_WINDOWS + 2, SUB_WINDOWS + 2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"{name}: {(now - before) / COLUMNS:.0f} B, at a check {(peak - before) / COLUMNS:.0f} B")
    assert peak - before < kilobytes * 1000 * COLUMNS + UNPACKING
