"""Suites that Great Expectations wrote, and its results on the same rows (tests/support/gx_oracles)."""

from __future__ import annotations

import json
import math
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.gx_oracles.cases import CASES, COLUMNS, NOT_EVALUATED, ONLY_1, ROWS
from support.quality_data import Held

from sidecar.derive.quality.expectations import ROW, WINDOW
from sidecar.derive.quality.window_rules import QuantilesBetween

GOLDEN = Path(__file__).parents[3] / "golden" / "quality"
LIBRARIES = ("gx-0.18", "gx-1")
CUTS = (0, 7, 8, 31, ROWS)
"""Rows that come in one event."""


@cache
def golden(library: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{library}.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def held(library: str, folder: Path) -> Held:
    """The rows of the cases, in several events over two hours, and a check."""
    path = folder / f"{library}.json"
    path.write_text(json.dumps(golden(library)["suite"]), encoding="utf-8")
    found = Held(path, max_expectations=2000)
    for n, (first, last) in enumerate(pairwise(CUTS)):
        found.feed(n / 2, {name: values[first:last] for name, values in COLUMNS.items()})
    found.feed(2, {})
    return found


def test_every_result_is_that_of_great_expectations(library: str, tmp_path: Path) -> None:
    results = golden(library)["results"]
    (model,) = held(library, tmp_path).deriver.checks.models.values()
    quality = model.quality
    assert len(quality.expectations) == len(results)
    wrong = [counts for counts, _ in quality._window().wrong]
    different = []
    for place, (one, theirs) in enumerate(zip(quality.expectations, results, strict=True)):
        ours = quality.results[place]
        same = ours.met is theirs["success"]
        if one.name in ROW and "unexpected_count" in theirs:
            same &= wrong[place] == theirs["unexpected_count"]
        observed = theirs.get("observed_value")
        if isinstance(observed, (int, float)):
            same &= ours.observed is not None and math.isclose(ours.observed, observed, rel_tol=1e-12, abs_tol=1e-12)
        if not same:
            different.append((one.name, one.column, place, theirs, ours))
    assert not different


def test_quantiles_are_those_of_great_expectations(library: str, tmp_path: Path) -> None:
    (model,) = held(library, tmp_path).deriver.checks.models.values()
    window = model.quality._window()
    compared = 0
    for one, theirs in zip(model.quality.expectations, golden(library)["results"], strict=True):
        rule = getattr(one, "rule", None)
        if isinstance(rule, QuantilesBetween):
            ours = [window.columns[rule.column].quantile(share, rule.method) for share in rule.quantiles]
            assert ours == pytest.approx(theirs["observed_value"]["values"], rel=1e-12)
            compared += 1
    assert compared == 25


def test_counts_of_rows_are_those_of_great_expectations(library: str, tmp_path: Path) -> None:
    (model,) = held(library, tmp_path).deriver.checks.models.values()
    window = model.quality._window()
    compared = 0
    for one, theirs in zip(model.quality.expectations, golden(library)["results"], strict=True):
        if "missing_count" in theirs and "element_count" in theirs:
            summary = window.columns[one.column]
            compared += 1
            assert (summary.elements, summary.missing) == (theirs["element_count"], theirs["missing_count"])
    assert compared > 50


def test_every_expectation_has_a_case_with_either_result() -> None:
    names = {name for name, _ in (*CASES, *ONLY_1)}
    assert names == {*ROW, *WINDOW}
    for library in LIBRARIES:
        listed = golden(library)["suite"]["expectations"]
        results = golden(library)["results"]
        of = {one.get("type") or one["expectation_type"] for one in listed[: len(results)]}
        assert of == names - ({name for name, _ in ONLY_1} if library == "gx-0.18" else set())
        for name in of:
            found = {
                theirs["success"]
                for one, theirs in zip(listed, results, strict=False)
                if name in (one.get("type"), one.get("expectation_type"))
            }
            assert found == {True, False}, name


def test_what_is_not_evaluated_is_named(library: str, tmp_path: Path) -> None:
    checks = held(library, tmp_path).deriver.checks
    (suite,) = checks.library.files.values()
    assert [one.name for one, _ in suite.not_evaluated] == [name for name, _ in NOT_EVALUATED]
    assert all(why for _, why in suite.not_evaluated)
    assert suite.suite.model == "churn"
