"""References: what is in them, and what is said of files that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.drift_data import numbers, reference

from sidecar.derive.drift.reference import MAX_EDGES, NumberColumn, Reference, load, parse
from sidecar.derive.drift.reference_builder import CategoryBuilder, NumberBuilder
from sidecar.derive.mounted_files import InvalidFile

RNG = np.random.default_rng(3)


def column(values: Any) -> NumberColumn:
    found = reference({"x": values}).columns[0]
    assert isinstance(found, NumberColumn)
    return found


def test_numbers() -> None:
    values = RNG.normal(10, 2, 5000)
    found = column(np.concatenate([values, [np.nan, np.nan, np.inf]]))
    assert (found.count, found.missing, found.invalid) == (5000, 2, 1)
    assert (found.mean, found.std) == (pytest.approx(values.mean()), pytest.approx(values.std()))
    assert (found.min, found.max) == (values.min(), values.max())
    assert list(found.counts) == [
        int(((values > a) & (values <= b)).sum()) for a, b in pairwise([-np.inf, *found.edges, np.inf])
    ]
    assert len(found.bins) == 19
    ends = [-np.inf, *(found.edges[at] for at in found.bins), np.inf]
    sums = [float(values[(values > a) & (values <= b)].sum()) for a, b in pairwise(ends)]
    assert found.sums == pytest.approx(sums)


@pytest.mark.parametrize(
    "values",
    [
        np.full(500, 3.0),
        np.zeros(500),
        RNG.poisson(1, 5000) * 1.0,
        np.repeat([0.1, 0.2, 0.3], 200),
        RNG.integers(0, 120, 9000) * 1.0,
        np.array([1.0, 2.0]),
        np.array([5.0]),
        np.array([-1e149, 1e149]),
        np.array([5e-324, 1e-323, 0.0]),
        1.7e18 + RNG.integers(0, 9, 500) * 256.0,
    ],
    ids=lambda values: f"{len(values)} from {values[0]:g}",
)
def test_frequent_values_have_a_cell_of_their_own(values: Any) -> None:
    found = column(values)
    assert len(found.edges) <= MAX_EDGES
    distinct, counts = np.unique(values, return_counts=True)
    cells = np.searchsorted(found.edges, distinct)
    frequent = (counts >= 2) & (counts * 25 >= len(values))
    of_frequent = cells[frequent]
    assert len(np.unique(of_frequent)) == len(of_frequent)
    assert [found.counts[at] for at in of_frequent] == counts[frequent].tolist()
    if np.abs(distinct).max() < 1000:  # What was written as a decimal number may come as a float32.
        assert np.searchsorted(found.edges, distinct[frequent].astype(np.float32)).tolist() == of_frequent.tolist()


def test_categories_beyond_fifty_are_the_rest() -> None:
    builder = CategoryBuilder("city", "feature")
    for n in range(80):
        builder.count(f"c{n:02d}", 100 - n)
    found = builder.column()
    assert list(found.values.items())[:2] == [("c00", 100), ("c01", 99)]
    assert (len(found.values), found.rest) == (50, sum(100 - n for n in range(50, 80)))


def test_in_any_order_and_any_parts_the_same() -> None:
    values = RNG.normal(size=1000)
    whole, parts = (NumberBuilder("x", "feature", values) for _ in range(2))
    whole.add(*numbers(values))
    for part in np.array_split(values, 7):
        parts.add(*numbers(part))
    assert whole.column().counts == parts.column().counts
    assert whole.column().std == pytest.approx(parts.column().std)


def test_a_hundred_features_fit_a_config_map(tmp_path: Path) -> None:
    columns = {f"feature_{n:02d}": RNG.normal(n, 1 + n, 20_000) for n in range(50)}
    columns |= {f"amount_{n:02d}": np.exp(RNG.normal(0, 1, 20_000)) for n in range(50)}
    file = tmp_path / "reference.json"
    file.write_text(reference(columns, "churn", "7").dump())
    assert file.stat().st_size <= 200_000
    assert len(load(file).columns) == 100


def test_written_and_read_again() -> None:
    made = reference({"age": [1.0, 2.0, 2.0], "plan": ["a", "b", "größe"]}, "churn", "7")
    assert parse(made.dump().encode()) == made
    assert len(made.digest()) == 8
    assert made.digest() != reference({"age": [1.0, 2.0, 3.0]}).digest()


def forged(change: Callable[[dict[str, Any]], Any]) -> bytes:
    made = json.loads(reference({"age": [1.0, 2.0, 2.0], "plan": ["a", "b", "b"]}).dump())
    change(made)
    return json.dumps(made).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not JSON"),
        (forged(dict)[:200], "cut off"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1]", "its format is not model-sidecar-reference"),
        (forged(lambda r: r.update(format="other")), "its format is not"),
        (forged(lambda r: r.update(version=2)), "version 2 of the format; expected 1"),
        (forged(lambda r: r.update(rows=-1)), "rows: Input should be greater"),
        (forged(lambda r: r["columns"][0].update(count=4)), r"columns\[age\].*add up to count"),
        (forged(lambda r: r["columns"][0]["edges"].reverse()), r"columns\[age\].*edges must be ascending"),
        (forged(lambda r: r["columns"][0]["edges"].append(float("inf"))), r"columns\[age\].edges.*finite"),
        (forged(lambda r: r["columns"][0].update(bins=[0, 99])), r"columns\[age\].*places of edges"),
        (forged(lambda r: r["columns"][0].update(std=-1)), r"columns\[age\].std"),
        (forged(lambda r: r["columns"][1].update(rest=7)), r"columns\[plan\].*must add up"),
        (forged(lambda r: r["columns"][1].update(type="image")), r"columns\[plan\]"),
        (forged(lambda r: r["columns"].append(r["columns"][0])), "distinct names"),
        (forged(lambda r: r.update(surprise=1)), "surprise: Extra inputs"),
        (forged(lambda r: r.update(columns=5)), "columns: "),
        (forged(lambda r: r.update(columns=[5])), r"columns\[0\]"),
    ],
)
def test_what_is_no_reference_is_said(data: bytes, message: str) -> None:
    with pytest.raises(InvalidFile, match=message):
        parse(data)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"none\.json: cannot be read: No such file"):
        load(tmp_path / "none.json")


@pytest.mark.parametrize("columns", [{}, {"size": [0.5, 2.0, 1e300], "plan": ["büro", 'a"b', "a\\b"]}], ids=len)
def test_the_text_is_that_of_all_columns_at_once(columns: dict[str, Any]) -> None:
    """Digests, which kept states are found by, are of this text."""
    made = reference(columns, "m", "1") if columns else Reference(model="m", rows=0, columns=())
    whole = json.dumps(made.model_dump(mode="json"), separators=(",", ":"), ensure_ascii=False) + "\n"
    assert made.dump() == whole
