"""Distinct values: told apart, added up in any parts, and kept."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from sidecar.derive.quality.distinct import MAX_DISTINCT, Distinct, keys_of, number_keys, text_keys


def distinct(values: Any) -> Distinct:
    found = Distinct()
    found.add(*np.unique(number_keys(np.asarray(values, np.float64)), return_counts=True))
    return found


def test_numbers_and_texts_have_different_keys() -> None:
    values: list[float | str] = [
        0.0,
        1.0,
        -1.0,
        5e-324,
        float("inf"),
        -float("inf"),
        "",
        "0",
        "1",
        "inf",
        "nan",
        "東京",
    ]
    assert len(keys_of(values)) == len(values)
    assert keys_of([0.0]) == keys_of([-0.0])
    assert keys_of([1]) == keys_of([True]) == keys_of([1.0])
    many = [f"customer {n}" for n in range(20_000)]
    assert len(set(text_keys(many).tolist())) == len(many)
    assert np.isnan(text_keys(many).view(np.float64)).all()


def test_keys_of_texts_are_the_same_in_every_process() -> None:
    assert text_keys(["basic", "\ud800"]).tolist() == [0x7FFADDB188D34076, 0x7FFD7D923E780842]


def test_parts_in_any_order_add_up() -> None:
    rng = np.random.default_rng(1)
    numbers = rng.integers(-40, 40, 3000) / 8
    found = Distinct()
    for part in np.array_split(rng.permutation(numbers), 11):
        other = distinct(part)
        kept = Distinct.unpacked(json.loads(json.dumps(other.packed())))
        found.add(kept.keys, kept.rows)
    values, rows = found.numbers()
    counted = Counter(numbers.tolist())
    assert dict(zip(values.tolist(), rows.tolist(), strict=True)) == counted
    assert values.tolist() == sorted(counted)


@pytest.mark.parametrize(
    "packed",
    [
        None,
        [],
        ["00", [1]],
        ["zz" * 8, [1]],
        ["00" * 8, [1, 2]],
        ["00" * 8, [["x"]]],
        ["00" * 8 * 501, [1] * 501],
        [1, 2],
    ],
)
def test_what_is_not_from_here_is_refused(packed: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Distinct.unpacked(packed)
    assert len(distinct(range(MAX_DISTINCT)).packed()[1]) == MAX_DISTINCT
