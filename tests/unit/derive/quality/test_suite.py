"""Files of suites: what is read, what is refused and with which words."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.gx_oracles.cases import CASES, ONLY_1
from support.quality_data import suite

from sidecar.derive.mounted_files import InvalidFile
from sidecar.derive.quality.expectations import ROW, WINDOW
from sidecar.derive.quality.model_quality import ModelQuality
from sidecar.derive.quality.suite import MAX_FILE_BYTES, Expectation, Suite, load, parse
from sidecar.derive.quality.suite_library import MAX_COMPILED, MAX_SHOWN, SuiteLibrary, compiled
from sidecar.derive.quality.values import Values

BETWEEN = "expect_column_values_to_be_between"
IN = "expect_column_values_to_be_in_set"
MEAN = "expect_column_mean_to_be_between"
QUANTILES = "expect_column_quantile_values_to_be_between"
REGEX = "expect_column_values_to_match_regex"
LENGTHS = "expect_column_value_lengths_to_be_between"


def test_the_model_stands_in_meta() -> None:
    found = parse(suite([], "s", model="churn", model_version="7").encode())
    assert (found.name, found.model, found.model_version) == ("s", "churn", "7")
    assert found.is_for(("churn", "7"))
    assert not found.is_for(("churn", "8"))
    assert not found.is_for(("fraud", "7"))
    assert parse(suite([], model="churn").encode()).is_for(("churn", "8"))
    assert parse(suite([]).encode()).is_for(("anything", ""))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (suite([(BETWEEN, {})])[:40].encode(), "cut off"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "no list `expectations`"),
        (b'{"name": "s"}', "no list `expectations`"),
        (b'{"name": "s", "expectations": {}}', "no list `expectations`"),
        (b'{"expectations": []}', "no `name`"),
        (b'{"name": 5, "expectations": []}', "no `name`"),
        (b'{"name": "s", "expectations": [], "meta": {"model": ["a"]}}', "meta.model"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_suite(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "suite.json"
    path.write_bytes(content)
    with pytest.raises(InvalidFile, match=message) as found:
        load(path)
    assert str(path) in str(found.value)


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(InvalidFile, match="longer than 16 MiB"):
        load(path)
    with pytest.raises(InvalidFile, match="No such file"):
        load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("name", "kwargs", "why"),
    [
        ("expect_column_to_be_nice", {"column": "a"}, "not supported"),
        (BETWEEN, {"min_value": 1}, "no column"),
        (BETWEEN, {"column": 5, "min_value": 1}, "no column"),
        (BETWEEN, {"column": "a"}, "neither min_value nor max_value"),
        (BETWEEN, {"column": "a", "min_value": "2020-01-01"}, "invalid min_value"),
        (BETWEEN, {"column": "a", "min_value": True}, "invalid min_value"),
        (BETWEEN, {"column": "a", "min_value": float("nan")}, "invalid min_value"),
        (BETWEEN, {"column": "a", "min_value": 10**400}, "larger than a double"),
        (BETWEEN, {"column": "a", "min_value": 2, "max_value": 1}, "greater than max_value"),
        (BETWEEN, {"column": "a", "min_value": 2, "mostly": 1.5}, "invalid mostly"),
        (BETWEEN, {"column": "a", "min_value": 2, "mostly": "all"}, "invalid mostly"),
        (BETWEEN, {"column": "a", "min_value": 2, "strict_min": "yes"}, "invalid strict_min"),
        (BETWEEN, {"column": "a", "min_value": {"$PARAMETER": "low"}}, "parameter of the run"),
        (BETWEEN, {"column": "a", "min_value": 2, "row_condition": "b > 1"}, "'row_condition' is not supported"),
        (BETWEEN, {"column": "a", "min_value": 2, "parse_strings_as_datetimes": True}, "is not supported"),
        (IN, {"column": "a"}, "invalid value_set"),
        (IN, {"column": "a", "value_set": "ab"}, "invalid value_set"),
        (IN, {"column": "a", "value_set": [[1]]}, "expected numbers, texts and bools"),
        (IN, {"column": "a", "value_set": [10**400]}, "larger than a double"),
        (IN, {"column": "a", "value_set": list(range(501))}, "at most 500"),
        (IN, {"column": "a", "value_set": ["x" * 64]}, "cut at 64"),
        (REGEX, {"column": "a", "regex": "("}, "too early"),
        (REGEX, {"column": "a", "regex": 5}, "invalid regex"),
        (REGEX, {"column": "a", "regex": "(?=a)"}, "look-around"),
        ("expect_column_values_to_match_regex_list", {"column": "a", "regex_list": []}, "invalid regex"),
        ("expect_column_values_to_match_regex_list", {"column": "a", "regex_list": ["a"] * 21}, "at most 20"),
        ("expect_column_values_to_match_regex_list", {"column": "a", "regex_list": ["a"], "match_on": 1}, "match_on"),
        (LENGTHS, {"column": "a", "max_value": 64}, "cut at 64"),
        ("expect_column_values_to_be_of_type", {"column": "a", "type_": "datetime64"}, "cannot be recognized"),
        ("expect_column_values_to_be_in_type_list", {"column": "a", "type_list": None}, "invalid type_list"),
        (QUANTILES, {"column": "a"}, "invalid quantile_ranges"),
        (QUANTILES, {"column": "a", "quantile_ranges": {"quantiles": [0.5], "value_ranges": []}}, "for each"),
        (QUANTILES, {"column": "a", "quantile_ranges": {"quantiles": [2], "value_ranges": [[0, 1]]}}, "from 0 to 1"),
        (QUANTILES, {"column": "a", "quantile_ranges": {"quantiles": [0], "value_ranges": [[0]]}}, "invalid quan"),
        ("expect_table_row_count_to_equal", {}, "no value"),
        ("expect_table_columns_to_match_set", {"column_set": [1]}, "expected names of columns"),
        ("expect_column_to_exist", {"column": "a", "column_index": 3}, "'column_index' is not supported"),
        ("", {}, "has no `type`"),
    ],
)
def test_what_is_not_evaluated_says_why(name: str, kwargs: dict[str, Any], why: str) -> None:
    found = compiled(parse(suite([(name, kwargs), (MEAN, {"column": "a", "min_value": 1})]).encode()))
    assert [one.name for one in found.evaluated] == [MEAN]
    ((expectation, reason),) = found.not_evaluated
    assert expectation.name == name
    assert why in reason


def test_entries_that_are_no_expectations() -> None:
    entries = [5, None, {}, {"type": 5}, {"type": MEAN, "kwargs": []}, {"type": MEAN, "kwargs": {"column": "a"}}]
    found = compiled(parse(json.dumps({"name": "s", "expectations": entries}).encode()))
    assert [one for one, _ in found.not_evaluated] == [Expectation("", {})] * 5
    assert len(found.evaluated) == 1


JSON = (
    None,
    True,
    False,
    0,
    -1.5,
    1e308,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "a",
    "(",
    [],
    {},
    [1],
    ["a"],
    [None],
)


@pytest.mark.parametrize("name", sorted({*ROW, *WINDOW}))
def test_no_arguments_raise_anything_else(name: str) -> None:
    rng = random.Random(name)
    right = [kwargs for one, kwargs in (*CASES, *ONLY_1) if one == name]
    evaluated = 0
    for _ in range(200):
        kwargs = dict(rng.choice(right))
        for key in rng.sample(sorted(kwargs), rng.randrange(min(3, len(kwargs) + 1))):
            kwargs[key] = rng.choice(JSON)
        if isinstance(kwargs.get("quantile_ranges"), dict) and rng.random() < 0.5:
            kwargs["quantile_ranges"] = {"quantiles": rng.choice(JSON), "value_ranges": [rng.choice(JSON)]}
        found = compiled(Suite("s", "", "", (Expectation(name, kwargs),), ""))
        evaluated += len(found.evaluated)
        if found.evaluated:
            quality = ModelQuality(found.evaluated, 1, 0, 0)
            quality.add("a", Values(np.array([1, 2, 0], np.uint8), np.array([1.5, 0, 0]), ["x"]))
            quality.see(1, 3)
            quality.advance(1, 1)
            assert len(quality.results) == 1
    assert 0 < evaluated < 200


def test_arguments_about_the_report_change_nothing() -> None:
    kwargs = {"column": "a", "min_value": 1, "result_format": "COMPLETE", "catch_exceptions": True, "batch_id": "x"}
    found = compiled(parse(suite([(BETWEEN, {**kwargs, "auto": False, "row_condition": None})]).encode()))
    assert not found.not_evaluated


def test_ten_thousand_expectations(tmp_path: Path) -> None:
    many = [(MEAN, {"column": f"c{n}", "min_value": n}) for n in range(5000)]
    many += [(f"expect_something_{n}", {"column": "a"}) for n in range(5000)]
    path = tmp_path / "many.json"
    path.write_text(suite(many))
    library = SuiteLibrary(path)
    assert library.read()
    (found,) = library.files.values()
    assert (len(found.evaluated), len(found.not_evaluated)) == (MAX_COMPILED, 10_000 - MAX_COMPILED)
    shown = library.expectations()
    assert len(shown) == MAX_SHOWN + 1
    assert sum(n for n, _ in shown) == 10_000


def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    library = SuiteLibrary(tmp_path)
    assert not library.read()
    assert not len(library)
    (tmp_path / "a.json").write_text(suite([(MEAN, {"column": "a", "min_value": 1})], model="churn"))
    (tmp_path / "b.json").write_text("{")
    assert library.read()
    assert [number for number, _ in library.states()] == [1, 1]
    assert len(library.find(("churn", "7"))) == 1
    assert not library.find(("fraud", "7"))
    assert not library.read()
    (tmp_path / "a.json").write_text("no suite any more")
    assert not library.read()  # The former content stays in force.
    assert [number for number, _ in library.states()] == [1, 2]
    (tmp_path / "a.json").unlink()
    assert library.read()
    assert not len(library)
