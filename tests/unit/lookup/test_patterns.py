"""Patterns of queries beside Python's `re`, and their bound on time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.lookup.store import Pieces
from sidecar.lookup.traceql.query_patterns import check_pattern, literals, matches, pieces

PATTERNS = [
    "", "a", "a|b", "^a$", "^a|b$", "a.*b", "(a|bc){2,3}", "[^x]+", "a?b*", "(?:ab)+c?", r"a\.b", r"\d+", r"\w*",
    "(?i)AB.*", "ü+.*", "[a-c]{2}", ".*", ".*a.*b.*", "a{0,2}", "(a|)b",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=st.text(alphabet="abcABxü.1\n", max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_pattern_matches_as_re_does(pattern: str, text: str) -> None:
    # Anchors of alternatives are anchors of those in both; the whole text has to match.
    assert matches(pattern, text) == (re.fullmatch(pattern, text, re.ASCII) is not None)


@pytest.mark.parametrize("pattern", ["(a*)*", "(?=a)", r"(a)\1", "(", "[", "a{1001}", "*", r"\bx", "a" * 1001])
def test_what_has_no_bound_or_no_meaning_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError):
        check_pattern(pattern)


def test_time_is_linear_in_the_text() -> None:
    # Python's re needs 10^17 steps for this.
    assert not matches("(.*)(.*)(.*)(.*)(.*)x", "a" * 5_000)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a|b", ("a", "b")), ("(a|b)", ("a", "b")), (r"a\.b", ("a.b",)), ("^a$", ("a",)), ("a.b", ()),
        ("(a|b)|(c)", ()), ("a|", ("a", "")),
    ],
)  # fmt: skip
def test_literals(pattern: str, expected: tuple[str, ...]) -> None:
    assert literals(pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("abc", ("abc",)), ("^abc$", ("abc",)), ("a.*b", ("a", "b")), ("u00..", ("u00", "")), (".*", ("", "")),
        ("", ("", "")),
        ("(?:a)(b)c?d", ("ab", "d")), ("x(a|b)y[0-9]z", ("x", "y", "z")), ("(?i)ab", ("", "")), ("ü+x", ("", "x")),
        ("üx", ("üx",)), ("a|b", ("", "")), (r"a\.b+", ("a.", "")),
    ],
)  # fmt: skip
def test_pieces(pattern: str, expected: tuple[str, ...]) -> None:
    assert pieces(pattern).texts == expected


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=st.text(alphabet="abcABxü.1\n", max_size=8))
@settings(max_examples=60, deadline=None)
def test_what_matches_has_the_pieces(pattern: str, text: str) -> None:
    assert pieces(pattern).fit(text) or not matches(pattern, text)


@pytest.mark.parametrize(
    ("texts", "value", "fit"),
    [
        (("a",), "a", True), (("a",), "ab", False), (("ab", "ba"), "aba", False), (("ab", "ba"), "abba", True),
        (("", "x", ""), "axb", True), (("a", "x", "x", "b"), "axb", False), (("a", "x", "x", "b"), "axxb", True),
        (("a", "b", "b"), "ab", False),
    ],
)  # fmt: skip
def test_pieces_fit_in_order_and_do_not_overlap(texts: tuple[str, ...], value: str, fit: bool) -> None:
    assert Pieces(texts).fit(value) is fit
