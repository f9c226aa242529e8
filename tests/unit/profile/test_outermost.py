"""The two outermost values at either end: whatever the parts are that they are found in, and merged from."""

from __future__ import annotations

import numpy as np
import pytest
from support.drift_data import numbers, reference

from sidecar.derive.drift.reference import NumberColumn, Reference
from sidecar.derive.drift.reference_builder import NumberBuilder
from sidecar.profile.merging import merge

SIZES = [(1, 0), (1, 1), (2, 1), (1, 2), (3, 3), (4, 1), (50, 7)]


def column(found: Reference) -> NumberColumn:
    (one,) = found.columns
    assert isinstance(one, NumberColumn)
    return one


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("ties", [False, True])
def test_of_any_parts_the_same(sizes: tuple[int, int], ties: bool) -> None:
    rng = np.random.default_rng(sum(sizes))
    for _ in range(20):
        parts = [rng.integers(0, 3, n).astype(float) if ties else rng.normal(0, 1, n) for n in sizes]
        values = np.sort(np.concatenate(parts))
        expected = (values[1], values[-2]) if len(values) > 1 else None
        builder = NumberBuilder("x", "feature", values)
        for part in parts:
            builder.add(*numbers(part))
        assert builder.column().second == expected
        if all(sizes):
            merged = merge(*(reference({"x": part}) for part in parts))
            assert column(merged).second == expected
            assert (column(merged).min, column(merged).max) == (values[0], values[-1])


def test_merged_with_one_that_does_not_say() -> None:
    new = reference({"x": np.arange(9.0)})
    old = new.model_copy(update={"columns": (column(new).model_copy(update={"second": None}),)})
    assert column(merge(new, old)).second is None
