"""The expectations that are evaluated: the only list of them. One more is a line in `ROW` or `WINDOW`, and a case for
the real library (tests/support/gx_oracles)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sidecar.decode.otlp.limits import MAX_FEATURE_CHARS
from sidecar.derive.quality import row_rules, window_rules
from sidecar.derive.quality.arguments import Arguments, NotEvaluated, numbers_of, texts_of
from sidecar.derive.quality.column_summary import Needs, Summary
from sidecar.derive.quality.distinct import keys_of
from sidecar.derive.quality.regexes import searcher
from sidecar.derive.quality.row_rules import Bounds, RowRule
from sidecar.derive.quality.suite import Expectation
from sidecar.derive.quality.window_rules import FigureBetween, WindowRule


@dataclass(frozen=True, slots=True)
class RowExpectation:
    """Held against each value of a column by itself."""

    name: str
    column: str
    rule: RowRule
    mostly: float
    of_all: bool
    """`mostly` is a share of all rows, and not only of those that have a value."""


@dataclass(frozen=True, slots=True)
class WindowExpectation:
    """Held against the window at each check."""

    name: str
    column: str
    rule: WindowRule


Compiled: TypeAlias = RowExpectation | WindowExpectation


def compile_expectation(expectation: Expectation) -> Compiled:
    """Ready to be evaluated. Raises NotEvaluated, which says why it is not."""
    name, arguments = expectation.name, Arguments(expectation.kwargs)
    if not name:
        raise NotEvaluated("the entry is no expectation: it has no `type` (1.x) or `expectation_type` (0.18)")
    if name in ROW:
        column, mostly = arguments.column(), arguments.mostly()
        rule = ROW[name](arguments)
        arguments.finish()
        return RowExpectation(name, column, rule, mostly, isinstance(rule, row_rules.Null))
    if name in WINDOW:
        found = WINDOW[name](arguments)
        arguments.finish()
        return WindowExpectation(name, found.column, found)
    raise NotEvaluated("this expectation is not supported")


def _lengths(bounds: Bounds) -> row_rules.Texts:
    last = MAX_FEATURE_CHARS - 1
    for end in (bounds.low, bounds.high):
        if end is not None and end > last:
            raise NotEvaluated(f"texts are cut at {MAX_FEATURE_CHARS} characters; expected lengths up to {last}")
    return row_rules.Texts(lambda text: bounds.holds(float(len(text))), needs_whole=False)


def _set(arguments: Arguments, wanted: bool) -> RowRule:
    members = arguments.members()
    return row_rules.InSet(numbers_of(members), texts_of(members), wanted)


def _regexes(arguments: Arguments, matching: bool) -> RowRule:
    try:
        tests = [searcher(pattern) for pattern in arguments.patterns()]
    except ValueError as error:
        raise NotEvaluated(str(error)) from None
    if not matching:
        return row_rules.Texts(row_rules.none_of(tests), needs_whole=True)
    every = arguments.choice("match_on", ("any", "all")) == "all"
    return row_rules.Texts(row_rules.all_of(tests) if every else row_rules.any_of(tests), needs_whole=True)


def _given(bounds: Bounds) -> Bounds:
    if bounds.low is None and bounds.high is None:
        raise NotEvaluated("neither min_value nor max_value is given")
    return bounds


ROW: Mapping[str, Callable[[Arguments], RowRule]] = {
    "expect_column_values_to_be_null": lambda a: row_rules.Null(True),
    "expect_column_values_to_not_be_null": lambda a: row_rules.Null(False),
    "expect_column_values_to_be_between": lambda a: row_rules.Between(_given(a.bounds())),
    "expect_column_values_to_be_in_set": lambda a: _set(a, True),
    "expect_column_values_to_not_be_in_set": lambda a: _set(a, False),
    "expect_column_values_to_match_regex": lambda a: _regexes(a, True),
    "expect_column_values_to_not_match_regex": lambda a: _regexes(a, False),
    "expect_column_values_to_match_regex_list": lambda a: _regexes(a, True),
    "expect_column_values_to_not_match_regex_list": lambda a: _regexes(a, False),
    "expect_column_value_lengths_to_be_between": lambda a: _lengths(_given(a.bounds())),
    "expect_column_value_lengths_to_equal": lambda a: _lengths(a.exactly()),
    "expect_column_values_to_be_of_type": lambda a: row_rules.OfType(a.types()),
    "expect_column_values_to_be_in_type_list": lambda a: row_rules.OfType(a.types()),
}
"""Name -> its rule."""


def _figure(
    figure: Callable[[Summary], float | None], needs: Needs = window_rules.NOTHING
) -> Callable[[Arguments], WindowRule]:
    return lambda a: FigureBetween(a.column(), figure, a.bounds(), needs)


def _least(summary: Summary) -> float | None:
    return summary.low if summary.numbers or summary.below or summary.above else None


def _greatest(summary: Summary) -> float | None:
    return summary.high if summary.numbers or summary.below or summary.above else None


def _present_share(summary: Summary) -> float | None:
    return summary.present / summary.elements if summary.elements else None


def _quantiles(arguments: Arguments) -> WindowRule:
    shares, ranges = arguments.quantiles()
    return window_rules.QuantilesBetween(arguments.column(), shares, ranges, arguments.quantile_method())


WINDOW: Mapping[str, Callable[[Arguments], WindowRule]] = {
    "expect_column_mean_to_be_between": _figure(lambda s: s.mean, Needs(sums=True)),
    "expect_column_sum_to_be_between": _figure(lambda s: s.total, Needs(sums=True)),
    "expect_column_min_to_be_between": _figure(_least, Needs(ends=True)),
    "expect_column_max_to_be_between": _figure(_greatest, Needs(ends=True)),
    "expect_column_stdev_to_be_between": _figure(lambda s: s.deviation, Needs(sums=True, squares=True)),
    "expect_column_median_to_be_between": _figure(lambda s: s.quantile(0.5, "linear"), window_rules.QUANTILES),
    "expect_column_quantile_values_to_be_between": _quantiles,
    "expect_column_proportion_of_non_null_values_to_be_between": _figure(_present_share),
    "expect_column_unique_value_count_to_be_between": lambda a: window_rules.DistinctBetween(
        a.column(), a.bounds(), share=False
    ),
    "expect_column_proportion_of_unique_values_to_be_between": lambda a: window_rules.DistinctBetween(
        a.column(), a.bounds(), share=True
    ),
    "expect_column_values_to_be_unique": lambda a: window_rules.Unique(a.column(), a.mostly()),
    "expect_column_distinct_values_to_be_in_set": lambda a: window_rules.DistinctSet(
        a.column(), keys_of(a.members()), "in"
    ),
    "expect_column_distinct_values_to_contain_set": lambda a: window_rules.DistinctSet(
        a.column(), keys_of(a.members()), "contain"
    ),
    "expect_column_distinct_values_to_equal_set": lambda a: window_rules.DistinctSet(
        a.column(), keys_of(a.members()), "equal"
    ),
    "expect_column_most_common_value_to_be_in_set": lambda a: window_rules.MostCommon(
        a.column(), keys_of(a.members()), a.flag("ties_okay")
    ),
    "expect_table_row_count_to_be_between": lambda a: window_rules.RowCount(a.bounds()),
    "expect_table_row_count_to_equal": lambda a: window_rules.RowCount(a.exactly()),
    "expect_table_column_count_to_be_between": lambda a: window_rules.ColumnCount(a.bounds()),
    "expect_table_column_count_to_equal": lambda a: window_rules.ColumnCount(a.exactly()),
    "expect_column_to_exist": lambda a: window_rules.ColumnExists(a.column()),
    "expect_table_columns_to_match_set": lambda a: window_rules.ColumnSet(
        a.names("column_set"), a.flag("exact_match", default=True)
    ),
}
"""Name -> its rule."""
