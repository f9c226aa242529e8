"""Patterns of suites: the answers of `re`, in bounded time."""

from __future__ import annotations

import random
import re

import pytest

from sidecar.decode.otlp.limits import MAX_FEATURE_CHARS
from sidecar.derive.quality.regexes import searcher

PATTERNS = (
    "",
    "^$",
    "a",
    "^a",
    "a$",
    "^a*$",
    "(a|b)+c",
    "^(a|ab)*b$",
    "(?:a+)+$",
    r"^\w+$",
    r"^\w+([.-]\w+)*$",
    r"^[^ab]+$",
    r"\d{2,3}",
    r"^\S+@\S+\.\w{2,4}$",
    r"^.{3}$",
    r"\W",
    r"\s",
    r"^[a-c\d.-]+$",
    r"(?i)^AB",
    r"a{2}b?",
    r"^(a?){20}a{5}$",
    r"\ba",
    r"x*y*z*",
    r"a.b",
)
ALPHABET = "ab c.-@1é٣東\n_XyzAB\u00a0"


def texts(seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["", "\n", "a\n", *("".join(rng.choices(ALPHABET, k=rng.randrange(1, 12))) for _ in range(400))]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_answer_is_that_of_re(pattern: str) -> None:
    search = searcher(pattern)
    for text in texts(len(pattern)):
        assert search(text) is (re.search(pattern, text) is not None), (pattern, text)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "^(a|a)+$",
        "(a*)*b",
        "^(a|aa)+$",
        "a*a*a*a*a*a*a*a*b",
        "(?:a{1,60}){1,15}b",
        "^(?:(?:a|b|ab)*c?)*d$",
        "(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)b",
    ],
)
def test_no_text_takes_a_pattern_without_end(pattern: str) -> None:
    """Most of these would take `re` longer than there is time."""
    search = searcher(pattern)
    texts = ["a" * (MAX_FEATURE_CHARS - 1) + end for end in "!abcd"] + ["ab" * (MAX_FEATURE_CHARS // 2)]
    found = [search(text) for text in texts]
    assert found[0] is False


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=a)", "look-around"),
        (r"(a)\1", "back-references"),
        ("(?<!a)b", "look-around"),
        ("(?P<n>a)", "groups"),
        ("é", "outside ASCII"),
        ("(", "too early"),
        ("a{3,2}", "smaller number first"),
        ("(" * 30 + "a" + ")" * 30, "deeper"),
        ("a" * 2000, "characters"),
        ("(?:(?:a{900}){900})", "parts"),
    ],
)
def test_what_is_not_taken_says_why(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        searcher(pattern)


def test_a_word_boundary_is_taken_where_re_may_match() -> None:
    with pytest.raises(ValueError, match="not taken"):
        searcher(r"(\ba+)+$")
