"""Shares of rows beside SciPy."""

from __future__ import annotations

import pytest
from scipy import stats

from sidecar.derive.shares import share


@pytest.mark.parametrize(("hits", "rows"), [(0, 10), (3, 10), (10, 10), (512, 9_000)])
def test_shares_have_the_interval_of_wilson(hits: int, rows: int) -> None:
    found = share(hits, rows)
    expected = stats.binomtest(hits, rows).proportion_ci(method="wilson")
    assert found.value == hits / rows
    assert found.lower == pytest.approx(expected.low, abs=1e-12)
    assert found.upper == pytest.approx(expected.high, abs=1e-12)


def test_the_ends_of_nothing_and_of_all_are_exact() -> None:
    assert {share(0, rows).lower for rows in range(1, 2_000)} == {0.0}
    assert {share(rows, rows).upper for rows in range(1, 2_000)} == {1.0}
