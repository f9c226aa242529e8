"""Regular expressions of a suite, whose time is bounded whatever the pattern and the text.

A pattern that Python's `re` tries in few ways is given to it. Any other one is matched by an automaton, in time linear
in the text. Both needs a tree of the pattern: look-around, back-references and flags in the middle are not taken.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from sidecar.decode.otlp.limits import MAX_FEATURE_CHARS
from sidecar.decode.redaction.automaton import Automaton
from sidecar.decode.redaction.patterns import (
    ANYTHING,
    BYTES,
    Alphabet,
    Assertion,
    Chars,
    Choice,
    Node,
    Repeat,
    Sequential,
    parse_linear,
)

MAX_WAYS = 20_000
"""Ways in which `re` may try a pattern at most: about a millisecond of the longest text."""
MAX_TEXTS = 4096
"""Texts whose answer is remembered, for each pattern."""
_OTHER, _LETTER, _DIGIT, _SPACE = range(0x80, 0x84)
_ALPHABET = Alphabet(BYTES.digits | {_DIGIT}, BYTES.word | {_LETTER, _DIGIT}, BYTES.space | {_SPACE})
"""One byte for each character outside ASCII, by its class, so that patterns count characters as Python's do."""


def searcher(pattern: str) -> Callable[[str], bool]:
    """Whether the pattern is found anywhere in a text of at most MAX_FEATURE_CHARS characters, as `re.search` says.
    Raises ValueError for a pattern that is not taken, which says why."""
    tree = parse_linear(pattern, _ALPHABET)
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"invalid pattern {pattern[:80]!r}: {error}") from None
    if _ways(tree) * (1 if _is_anchored(tree) else MAX_FEATURE_CHARS) <= MAX_WAYS:
        return functools.lru_cache(MAX_TEXTS)(lambda text: compiled.search(text) is not None)
    whole = Sequential((Repeat(ANYTHING, 0, None, False), tree, Repeat(ANYTHING, 0, None, False)))
    automaton = Automaton(whole)
    return functools.lru_cache(MAX_TEXTS)(functools.partial(_search, automaton))


def _search(automaton: Automaton, text: str) -> bool:
    coded = text.encode("ascii") if text.isascii() else bytes(map(_byte, text))
    # To `re` the end is before a newline at the end, too.
    return automaton.matches(coded) or (text.endswith("\n") and automaton.matches(coded[:-1]))


def _byte(character: str) -> int:
    if character.isascii():
        return ord(character)
    if character.isdecimal():
        return _DIGIT
    if character.isalnum():
        return _LETTER
    return _SPACE if character.isspace() else _OTHER


def _ways(node: Node) -> float:
    """In how many ways a backtracking engine may try a node from one place on, at most."""
    match node:
        case Sequential(parts):
            ways = 1.0
            for part in parts:
                ways *= _ways(part)
            return ways
        case Choice(parts):
            return sum(map(_ways, parts))
        case Repeat(part, low, high, _):
            most = MAX_FEATURE_CHARS if high is None else min(high, MAX_FEATURE_CHARS)
            inner = _ways(part)
            if inner > 1:  # One way more for each time: 2^64 is beyond any bound.
                return inner ** min(most, 64) if inner < MAX_WAYS else inner
            return max(1.0, most - min(low, most) + 1.0)
        case Chars() | Assertion():
            return 1.0
    raise AssertionError(node)


def _is_anchored(node: Node) -> bool:
    match node:
        case Assertion("begin"):
            return True
        case Sequential(parts):
            return bool(parts) and _is_anchored(parts[0])
        case Choice(parts):
            return all(map(_is_anchored, parts))
        case _:
            return False
