"""Rows and expectations that Great Expectations and the sidecar are both given."""

from __future__ import annotations

import random
from typing import Any

_R = random.Random(20)
ROWS = 60

COLUMNS: dict[str, list[Any]] = {
    "age": [None if n in (3, 30) else round(_R.gauss(40, 12), 1) for n in range(ROWS)],
    "visits": [_R.randint(0, 9) for _ in range(ROWS)],
    "plan": [None if n % 20 == 7 else _R.choice(["basic", "pro", "free"]) for n in range(ROWS)],
    "code": [f"{_R.choice('ABC')}{_R.choice('XYZ')}-{_R.randint(1, 2000)}" for _ in range(ROWS)],
    "city": [_R.choice(["Köln", "São Paulo", "Paris", "東京", "New York\n", ""]) for _ in range(ROWS)],
    "member": [_R.random() < 0.7 for _ in range(ROWS)],
    "id": [f"id-{n % 58}" for n in range(ROWS)],
    "number": [float(n) for n in range(ROWS)],
    "constant": [7.5] * ROWS,
    "empty": [None] * ROWS,
    "wide": [_R.choice([-1, 1]) * 10 ** _R.uniform(-9, 9) for _ in range(ROWS)],
    "offset": [1e9 + _R.random() for _ in range(ROWS)],
    "endless": [float("inf") if n == 5 else float(n % 7) for n in range(ROWS)],
}
"""None is a missing value."""

_BETWEEN = "expect_column_values_to_be_between"
_IN = "expect_column_values_to_be_in_set"
_NOT_IN = "expect_column_values_to_not_be_in_set"
_MATCH = "expect_column_values_to_match_regex"
_NO_MATCH = "expect_column_values_to_not_match_regex"
_LENGTHS = "expect_column_value_lengths_to_be_between"
_TYPE = "expect_column_values_to_be_of_type"
_QUANTILES = "expect_column_quantile_values_to_be_between"
_UNIQUE_COUNT = "expect_column_unique_value_count_to_be_between"
_UNIQUE_SHARE = "expect_column_proportion_of_unique_values_to_be_between"
_COMMON = "expect_column_most_common_value_to_be_in_set"
_DISTINCT_IN = "expect_column_distinct_values_to_be_in_set"

Case = tuple[str, dict[str, Any]]


def _nulls() -> list[Case]:
    found: list[Case] = []
    for column in ("age", "plan", "visits", "empty", "member"):
        found += [
            ("expect_column_values_to_not_be_null", {"column": column}),
            ("expect_column_values_to_not_be_null", {"column": column, "mostly": 0.95}),
            ("expect_column_values_to_be_null", {"column": column}),
            ("expect_column_values_to_be_null", {"column": column, "mostly": 0.03}),
        ]
    return found


def _ranges() -> list[Case]:
    return [
        (_BETWEEN, {"column": "age", "min_value": 20, "max_value": 60}),
        (_BETWEEN, {"column": "age", "min_value": 20, "max_value": 60, "mostly": 0.9}),
        (_BETWEEN, {"column": "age", "min_value": 0}),
        (_BETWEEN, {"column": "age", "max_value": 30, "mostly": 0.1}),
        (_BETWEEN, {"column": "number", "min_value": 0, "max_value": 59}),
        (_BETWEEN, {"column": "number", "min_value": 0, "max_value": 59, "strict_min": True}),
        (_BETWEEN, {"column": "number", "min_value": 0, "max_value": 59, "strict_max": True, "mostly": 0.99}),
        (_BETWEEN, {"column": "number", "max_value": 59, "strict_max": True, "mostly": 0.98}),
        (_BETWEEN, {"column": "visits", "min_value": 1, "max_value": 8}),
        (_BETWEEN, {"column": "member", "min_value": 0, "max_value": 1}),
        (_BETWEEN, {"column": "member", "min_value": 1}),
        (_BETWEEN, {"column": "endless", "min_value": 0, "max_value": 6}),
        (_BETWEEN, {"column": "endless", "min_value": 0}),
        (_BETWEEN, {"column": "empty", "min_value": 0, "max_value": 1}),
    ]


def _sets() -> list[Case]:
    found: list[Case] = []
    for name in (_IN, _NOT_IN):
        found += [
            (name, {"column": "plan", "value_set": ["basic", "pro"]}),
            (name, {"column": "plan", "value_set": ["basic", "pro", "free"]}),
            (name, {"column": "plan", "value_set": ["basic", "pro"], "mostly": 0.3}),
            (name, {"column": "visits", "value_set": [0, 1, 2, 3, 4]}),
            (name, {"column": "visits", "value_set": [0.0, 1.0, 2.5]}),
            (name, {"column": "visits", "value_set": ["0", "1"]}),
            (name, {"column": "age", "value_set": [40.1, 33.3]}),
            (name, {"column": "member", "value_set": [True]}),
            (name, {"column": "member", "value_set": [True, False]}),
            (name, {"column": "city", "value_set": ["Köln", "", "東京"]}),
            (name, {"column": "empty", "value_set": [1]}),
            (name, {"column": "plan", "value_set": []}),
        ]
    for relation in ("be_in", "contain", "equal"):
        name = f"expect_column_distinct_values_to_{relation}_set"
        found += [
            (name, {"column": "plan", "value_set": ["basic", "pro"]}),
            (name, {"column": "plan", "value_set": ["basic", "pro", "free"]}),
            (name, {"column": "plan", "value_set": ["basic", "pro", "free", "trial"]}),
            (name, {"column": "visits", "value_set": list(range(10))}),
            (name, {"column": "visits", "value_set": [1, 2]}),
            (name, {"column": "member", "value_set": [True, False]}),
        ]
    return found


def _texts() -> list[Case]:
    patterns = [
        r"^[A-C][XYZ]-\d+$",
        r"^[A-C][XY]-",
        r"-1\d*$",
        r"^[AB]\w+-(\d+)$",
        r"(?i)^ax",
        r"^(?:[A-C][XYZ])+-\d{1,3}$",
    ]
    found: list[Case] = [(name, {"column": "code", "regex": p}) for name in (_MATCH, _NO_MATCH) for p in patterns]
    cities = [r"^\w+$", r"^.{4}$", r"^\w+ \w+$", r"York$", r"^\W*$", r"[^A-Za-z]", r"^$", r"^(\w+\s?)+$"]
    found += [(name, {"column": "city", "regex": p}) for name in (_MATCH, _NO_MATCH) for p in cities]
    found += [
        (_MATCH, {"column": "plan", "regex": "^(basic|pro)$", "mostly": 0.6}),
        (_MATCH, {"column": "visits", "regex": r"^\d$"}),
        (_NO_MATCH, {"column": "code", "regex": "^D"}),
        (_MATCH, {"column": "visits", "regex": "^[0-4]$"}),
        ("expect_column_values_to_match_regex_list", {"column": "code", "regex_list": ["^A", "^B"], "match_on": "any"}),
        ("expect_column_values_to_match_regex_list", {"column": "code", "regex_list": ["^A", "X"], "match_on": "all"}),
        ("expect_column_values_to_match_regex_list", {"column": "code", "regex_list": ["^[AB]", "^C"]}),
        ("expect_column_values_to_not_match_regex_list", {"column": "code", "regex_list": ["^A", "^BX"]}),
        ("expect_column_values_to_not_match_regex_list", {"column": "code", "regex_list": ["^D", "^E"]}),
        (_LENGTHS, {"column": "plan", "min_value": 3, "max_value": 4}),
        (_LENGTHS, {"column": "plan", "min_value": 3, "max_value": 5}),
        (_LENGTHS, {"column": "city", "min_value": 1}),
        (_LENGTHS, {"column": "city", "max_value": 5, "mostly": 0.6}),
        (_LENGTHS, {"column": "code", "min_value": 4, "max_value": 6, "strict_min": True}),
        ("expect_column_value_lengths_to_equal", {"column": "code", "value": 7}),
        ("expect_column_value_lengths_to_equal", {"column": "code", "value": 7, "mostly": 0.1}),
        ("expect_column_value_lengths_to_equal", {"column": "code", "value": 7, "mostly": 0.9}),
    ]
    return found


def _types() -> list[Case]:
    return [
        (_TYPE, {"column": "age", "type_": "float64"}),
        (_TYPE, {"column": "age", "type_": "str"}),
        (_TYPE, {"column": "visits", "type_": "int64"}),
        (_TYPE, {"column": "visits", "type_": "bool"}),
        (_TYPE, {"column": "plan", "type_": "str"}),
        (_TYPE, {"column": "plan", "type_": "int"}),
        (_TYPE, {"column": "member", "type_": "bool"}),
        (_TYPE, {"column": "wide", "type_": "int"}),
        ("expect_column_values_to_be_in_type_list", {"column": "plan", "type_list": ["str", "int"]}),
        ("expect_column_values_to_be_in_type_list", {"column": "wide", "type_list": ["int64", "float64"]}),
        ("expect_column_values_to_be_in_type_list", {"column": "member", "type_list": ["int64", "float64"]}),
    ]


def _figures() -> list[Case]:
    found: list[Case] = []
    for figure in ("mean", "median", "stdev", "sum", "min", "max"):
        name = f"expect_column_{figure}_to_be_between"
        columns = ("age", "visits", "wide", "constant", "offset", "number")
        found += [(name, {"column": column, "min_value": 1, "max_value": 42}) for column in columns]
        found += [
            (name, {"column": "number", "min_value": 0, "strict_min": True}),
            (name, {"column": "number", "max_value": 59, "strict_max": True}),
            (name, {"column": "empty", "min_value": 0, "max_value": 1}),
        ]
    for column in ("age", "visits", "wide", "number", "offset"):
        for method in (False, "linear", "lower", "higher", "midpoint"):
            ranges = {
                "quantiles": [0.05, 0.25, 0.5, 0.9, 1],
                "value_ranges": [[0, 30], [1, 40], [None, 45], [0, None], [9, 90]],
            }
            found.append((_QUANTILES, {"column": column, "quantile_ranges": ranges, "allow_relative_error": method}))
    return found


def _distinct() -> list[Case]:
    found: list[Case] = []
    for column in ("plan", "visits", "id", "number", "age", "member", "constant", "empty"):
        found += [
            (_UNIQUE_COUNT, {"column": column, "min_value": 3, "max_value": 10}),
            (_UNIQUE_SHARE, {"column": column, "min_value": 0.05, "max_value": 0.99}),
            ("expect_column_values_to_be_unique", {"column": column}),
            ("expect_column_values_to_be_unique", {"column": column, "mostly": 0.9}),
        ]
    found += [
        (_COMMON, {"column": "plan", "value_set": ["basic", "pro"]}),
        (_COMMON, {"column": "plan", "value_set": ["free"]}),
        (_COMMON, {"column": "id", "value_set": ["id-0"]}),
        (_COMMON, {"column": "id", "value_set": ["id-0"], "ties_okay": True}),
        (_COMMON, {"column": "constant", "value_set": [7.5]}),
    ]
    return found


def _table() -> list[Case]:
    names = list(COLUMNS)
    return [
        ("expect_table_row_count_to_be_between", {"min_value": 1, "max_value": ROWS}),
        ("expect_table_row_count_to_be_between", {"min_value": ROWS + 1}),
        ("expect_table_row_count_to_equal", {"value": ROWS}),
        ("expect_table_row_count_to_equal", {"value": ROWS - 1}),
        ("expect_table_column_count_to_equal", {"value": len(names)}),
        ("expect_table_column_count_to_equal", {"value": 5}),
        ("expect_table_column_count_to_be_between", {"min_value": 5}),
        ("expect_table_column_count_to_be_between", {"min_value": 1, "max_value": 5}),
        ("expect_column_to_exist", {"column": "age"}),
        ("expect_column_to_exist", {"column": "height"}),
        ("expect_table_columns_to_match_set", {"column_set": names}),
        ("expect_table_columns_to_match_set", {"column_set": names[:-1]}),
        ("expect_table_columns_to_match_set", {"column_set": names[:3], "exact_match": False}),
        ("expect_table_columns_to_match_set", {"column_set": ["age", "height"], "exact_match": False}),
    ]


CASES: list[Case] = [
    *_nulls(),
    *_ranges(),
    *_sets(),
    *_texts(),
    *_types(),
    *_figures(),
    *_distinct(),
    *_table(),
]
"""(name, arguments)."""

ONLY_1: list[Case] = [
    ("expect_column_proportion_of_non_null_values_to_be_between", {"column": "age", "min_value": 0.9, "max_value": 1}),
    ("expect_column_proportion_of_non_null_values_to_be_between", {"column": "empty", "min_value": 0.1}),
]
"""What 0.18 does not have."""

NOT_EVALUATED: list[Case] = [
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "age", "column_B": "visits"}),
    ("expect_column_value_z_scores_to_be_less_than", {"column": "age", "threshold": 3, "double_sided": True}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["age", "visits"]}),
    (_BETWEEN, {"column": "age", "min_value": 0, "row_condition": "visits > 1", "condition_parser": "pandas"}),
    (_MATCH, {"column": "code", "regex": r"^(?=A)"}),
]
"""What stands in the files, and the sidecar says that it does not evaluate."""
