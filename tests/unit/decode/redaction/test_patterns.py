"""The pattern syntax: what it takes, what it matches, and what it refuses."""

from __future__ import annotations

import pytest

from sidecar.decode.redaction.patterns import MAX_PATTERN_CHARS, compile_pattern
from sidecar.decode.redaction.prefilter import prefilter
from sidecar.decode.redaction.rules import VALUE_PATTERNS, KeyRule, Rules, ValueRule, named_rule


@pytest.mark.parametrize(
    ("pattern", "text", "match"),
    [
        ("abc", b"xabcx", b"abc"),
        ("a.c", "aéc".encode(), None),
        ("a..c", "aéc".encode(), "aéc".encode()),
        ("(?i)abc", b"aBc", b"aBc"),
        ("(?i)[^a]", b"Aab", b"b"),
        ("[a-c]+?", b"zabc", b"a"),
        ("[]a]+", b"x]a]", b"]a]"),
        ("[^]a]+", b"]xy", b"xy"),
        ("[a-]+", b"b-a", b"-a"),
        ("\\d{2,3}", "٣٣ 1234".encode(), b"123"),
        ("\\w+", "éa_1".encode(), b"a_1"),
        ("\\bab\\b", b"cab ab", b"ab"),
        ("^a|b$", b"ca b", b"b"),
        ("a$", b"a\n", None),
        ("\\x40\\.", b"@.", b"@."),
        ("(?:a|ab)c?", b"abc", b"a"),
        ("x{0,2}y", b"xxxy", b"xxy"),
        ("\\{a\\}", b"{a}", b"{a}"),
    ],
)
def test_matches(pattern: str, text: bytes, match: bytes | None) -> None:
    found = compile_pattern(pattern).python.search(text)
    assert (found and found.group()) == match


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("", "empty text"),
        ("a*", "empty text"),
        ("a|", "empty text"),
        ("^", "empty text"),
        ("(?=a)b", "look-around"),
        ("(?<!a)b", "look-around"),
        ("(a)\\1", "back-references"),
        ("(?P<n>a)", "look-around"),
        ("a(?i)b", "look-around"),
        ("a*+b", "possessive"),
        ("a{2}{3}b", "two repeats"),
        ("(a*)*b", "may be empty"),
        ("(?:a|)+b", "may be empty"),
        ("(?:\\b)+b", "may be empty"),
        ("(?:a+)+b", "inside a repeat"),
        ("(?:[ab]*c){2,}", "inside a repeat"),
        ("é", "outside ASCII"),
        ("[é]", "outside ASCII"),
        ("\\xe9", "up to 7f"),
        ("\\B", "not taken"),
        ("\\p{L}", "not taken"),
        ("[[a]]", "inside a class"),
        ("[z-a]", "smaller character"),
        ("[\\d-z]", "smaller character"),
        ("[^\\d\\D]", "no character"),
        ("[a", "too early"),
        ("(a", "too early"),
        ("a)", "without an opening"),
        ("a\\", "too early"),
        ("*a", "nothing to work on"),
        ("a{2,1}", "smaller number first"),
        ("a{1001}", "0 to 1000"),
        ("a{,3}", "a brace"),
        ("(?:a{1000}b){5}", "parts, at most"),
        ("(" * 30 + "a" + ")" * 30, "nested deeper"),
        ("a" * (MAX_PATTERN_CHARS + 1), "characters, at most"),
    ],
)
def test_refuses(pattern: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "literals", "run"),
    [
        ("password=\\S+", 1, 0),
        ("(?i)bearer .", 16, 0),
        ("[^@]+@x", 1, 0),
        ("(?:AKIA|ASIA)\\d", 2, 0),
        ("\\d{3}-\\d{2}-\\d{4}", 0, 11),
        ("\\w+\\.\\w+", 0, 0),
        ("(?:ab)?c", 0, 0),
    ],
)
def test_gates(pattern: str, literals: int, run: int) -> None:
    found = prefilter(compile_pattern(pattern).tree)
    assert (len(found.literals), found.length) == (literals, run)


def test_what_ships_is_taken_and_has_a_gate() -> None:
    for name in VALUE_PATTERNS:
        found = prefilter(named_rule(name, "mask").compiled().tree)
        assert found.literals or found.length, name


def test_rules_are_checked_where_they_are_made() -> None:
    for make, complaint in (
        (lambda: named_rule("e-mail", "mask"), "there are email, card"),
        (lambda: ValueRule("a b", "x", "mask"), "name 'a b'"),
        (lambda: ValueRule("a", "(?=x)", "mask"), "pattern of a"),
        (lambda: ValueRule("a", "x", "forget"), "drop, hash or mask"),  # type: ignore[arg-type]
        (lambda: KeyRule((), "drop"), "without keys"),
        (lambda: Rules(keys=(KeyRule(("k",), "hash"),)), "no hash key"),
        (lambda: Rules(max_field_bytes=10), "at least 64"),
        (lambda: Rules(add=(("a", "1"), ("a", "2"))), "given twice"),
        (lambda: Rules(values=(ValueRule("a", "x", "mask"),) * 101), "at most 100"),
    ):
        with pytest.raises(ValueError, match=complaint):
            make()
