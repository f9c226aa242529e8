"""Many windows of one column: which are added up, what is forgotten, what is kept."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

from sidecar.derive.drift.long_window import BLOCKS, EACH, LONGEST, SPAN, LongWindow


def pushed(windows: int) -> LongWindow:
    """Windows whose only row is in the bin of their number; the first bin has one row of each."""
    found = LongWindow()
    for number in range(windows):
        counts = np.zeros(windows + 1, np.int64)
        counts[[0, number + 1]] = 1
        found.push(counts)
    return found


@pytest.mark.parametrize("windows", range(1, 40))
def test_each_stretch_has_the_newest_windows_and_no_others(windows: int) -> None:
    for length, counts in pushed(windows).recent():
        assert counts[0] == length
        assert counts[1:].tolist() == [0] * (windows - length) + [1] * length


def test_newer_windows_are_told_apart_better() -> None:
    assert [pushed(n).lengths for n in (1, 2, 3, 7, 8)] == [[1], [1, 1], [1, 2], [1, 2, 4], [1, 1, 2, 4]]
    for windows in range(3, 200):
        lengths = pushed(windows).lengths
        assert lengths == sorted(lengths)
        assert max(map(lengths.count, lengths)) <= EACH


def test_the_oldest_are_forgotten() -> None:
    found = LongWindow()
    most = 0
    for _ in range(1000):
        found.push(np.ones(20, np.int64))
        assert len(found.lengths) <= BLOCKS
        most = max(most, found.recent()[-1][0])
        assert found.recent()[-1][0] >= min(SPAN - LONGEST, most - LONGEST + 1)
    assert SPAN - LONGEST < most <= SPAN
    assert found.memory_bytes() < 1_000


def test_counts_of_several_columns_at_once() -> None:
    together, single = LongWindow(), LongWindow()
    counts = np.random.default_rng(1).integers(0, 300, (50, 3, 5))
    for one in counts:
        together.push(one)
        single.push(one[1])
    for (length, both), (own_length, own) in zip(together.recent(), single.recent(), strict=True):
        assert (length, both[1].tolist()) == (own_length, own.tolist())


def test_counts_of_any_size_are_exact() -> None:
    found = LongWindow()
    for size in (2**40, 1, 2**33, 200, 2**61, 100_000):
        found.push(np.array([size, 0]))
    assert found.recent()[-1][1].tolist() == [2**40 + 1 + 2**33 + 200 + 2**61 + 100_000, 0]


def test_what_is_kept_is_taken_over_and_only_what_has_changed_is_kept() -> None:
    found, again = pushed(21), LongWindow()
    kept = found.checkpoint()
    assert kept is not None
    assert found.checkpoint() is None
    again.restore(kept, 22)
    assert again.checkpoint() is None
    for one in (found, again):
        one.push(np.arange(22))
    assert [(n, c.tolist()) for n, c in found.recent()] == [(n, c.tolist()) for n, c in again.recent()]
    assert found.checkpoint() == again.checkpoint()


@pytest.mark.parametrize(
    "kept",
    [
        b"none",
        zlib.compress(b"[1, 2"),
        zlib.compress(b"7"),
        zlib.compress(json.dumps([[1], [[1, 2]]]).encode()),
        zlib.compress(json.dumps([[1, 1], [[1, 2, 3]]]).encode()),
        zlib.compress(json.dumps([[1], [["x", 2, 3]]]).encode()),
        zlib.compress(json.dumps([[1] * 20, [[1, 2, 3]] * 20]).encode()),
    ],
)
def test_what_is_from_elsewhere_is_refused(kept: bytes) -> None:
    with pytest.raises(ValueError):
        LongWindow().restore(kept, 3)
