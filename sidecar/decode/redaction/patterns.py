"""The regular expressions of value rules: one syntax, two engines, the same matches.

A pattern is read here and rewritten for Python's `re` (the reference decoder) and for Rust's `regex` (the native
core), as classes of bytes without flags, so that neither engine's own idea of a class, a fold or an end of text counts.
Patterns see bytes: a character outside ASCII is two to four of them, which `.`, a negated class, `\\W`, `\\D` and `\\S`
match and nothing else does.

Taken: ASCII characters; `.` (all but a newline); `[...]`, `[^...]`; `\\d \\w \\s \\D \\W \\S`; `\\n \\r \\t \\f \\v`,
`\\xHH` below 80; an escaped punctuation mark; `( )`, `(?: )`; `|`; `* + ? {n} {n,} {n,m}`, each with `?` behind it
for the shortest match; `^` and `$` (begin and end of the text), `\\b`; `(?i)` at the very beginning.

Refused, since the engines differ, since they have no bound on time, or since they make no sense here: look-around,
back-references, possessive repeats, flags in the middle, patterns that match nothing at all, a repeat of what may be
empty, and a repeat without upper bound inside a repeat.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeAlias

MAX_PATTERN_CHARS = 1000
MAX_REPEAT = 1000
MAX_PATTERN_SIZE = 4000
"""Classes of a pattern with its bounded repeats written out."""
_MAX_NESTING = 20


@dataclass(frozen=True, slots=True)
class Chars:
    bytes: frozenset[int]


@dataclass(frozen=True, slots=True)
class Sequential:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    part: Node
    low: int
    high: int | None
    shortest: bool


@dataclass(frozen=True, slots=True)
class Assertion:
    kind: Literal["begin", "end", "word"]


Node: TypeAlias = Chars | Sequential | Choice | Repeat | Assertion


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern in the words of each engine."""

    python: re.Pattern[bytes]
    native: str
    """For Rust `regex` without Unicode."""
    loose: str
    """The same without `^`, `$` and `\\b`: it matches in any bytes that contain a text which the pattern matches."""
    tree: Node


@dataclass(frozen=True, slots=True)
class Alphabet:
    """What stands for a class of characters."""

    digits: frozenset[int]
    word: frozenset[int]
    space: frozenset[int]


_ALL = frozenset(range(256))
_DIGITS = frozenset(b"0123456789")
_WORD = frozenset((string.ascii_letters + string.digits + "_").encode())
_SPACE = frozenset(b" \t\n\r\f\v")
BYTES = Alphabet(_DIGITS, _WORD, _SPACE)
ANYTHING = Chars(_ALL)
_CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11}
_REPEATS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_COUNTS = re.compile(r"\{(\d{1,4})(?:(,)(\d{0,4}))?\}")


def compile_pattern(text: str, any_byte: bool = False, may_be_empty: bool = False) -> Pattern:
    """`any_byte`: `\\xHH` goes up to ff, for patterns that ship. `may_be_empty`: it may match the empty text. Raises
    ValueError, which says what is wrong and at which character."""
    if len(text) > MAX_PATTERN_CHARS:
        raise ValueError(f"{len(text)} characters, at most {MAX_PATTERN_CHARS}")
    node = _Parser(text, 0xFF if any_byte else 0x7F).parse()
    if least(node) == 0 and not may_be_empty:
        raise ValueError("the pattern may match the empty text")
    if (size := _size(node)) > MAX_PATTERN_SIZE:
        raise ValueError(f"with its repeats written out it has {size} parts, at most {MAX_PATTERN_SIZE}")
    python = _write(node, {"begin": r"\A", "end": r"\Z", "word": r"\b"}.__getitem__)
    native = _write(node, {"begin": r"\A", "end": r"\z", "word": r"\b"}.__getitem__)
    return Pattern(re.compile(python.encode()), native, _write(node, lambda _: "(?:)"), node)


def parse_linear(text: str, alphabet: Alphabet) -> Node:
    """The tree of a pattern for `automaton`, for which a repeat inside a repeat takes no longer: these are taken, and
    what may be empty, too. `alphabet`: `\\d`, `\\w` and `\\s`, with bytes from 80 on that stand for what the caller
    says. Raises ValueError as `compile_pattern` does."""
    if len(text) > MAX_PATTERN_CHARS:
        raise ValueError(f"{len(text)} characters, at most {MAX_PATTERN_CHARS}")
    node = _Parser(text, 0x7F, alphabet, nested=True).parse()
    if (size := _size(node)) > MAX_PATTERN_SIZE:
        raise ValueError(f"with its repeats written out it has {size} parts, at most {MAX_PATTERN_SIZE}")
    return node


class _Parser:
    """Recursive descent; the place is the index of the next character."""

    def __init__(self, text: str, highest: int, alphabet: Alphabet = BYTES, nested: bool = False) -> None:
        self._text = text
        self._highest = highest
        self._nested = nested
        a = alphabet
        self._classes = {"d": a.digits, "w": a.word, "s": a.space}
        self._classes |= {"D": _ALL - a.digits, "W": _ALL - a.word, "S": _ALL - a.space}
        self._fold = text.startswith("(?i)")
        self._place = 4 if self._fold else 0
        self._nesting = 0

    def parse(self) -> Node:
        node = self._choice()
        if self._place < len(self._text):
            self._refuse("a closing parenthesis without an opening one")
        return node

    def _refuse(self, why: str) -> NoReturn:
        raise ValueError(f"{why} (at character {self._place + 1} of {self._text!r})")

    def _peek(self) -> str:
        return self._text[self._place] if self._place < len(self._text) else ""

    def _take(self) -> str:
        character = self._peek()
        if not character:
            self._refuse("the pattern ends too early")
        if not character.isascii():
            self._refuse("characters outside ASCII are not taken")
        self._place += 1
        return character

    def _choice(self) -> Node:
        parts = [self._sequence()]
        while self._peek() == "|":
            self._place += 1
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return Sequential(tuple(parts))

    def _repeated(self, node: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return node
        low, high = bounds
        shortest = self._peek() == "?"
        self._place += shortest
        if self._bounds() is not None:
            self._refuse("two repeats in a row; possessive repeats are not taken")
        if least(node) == 0 and not self._nested:
            self._refuse("what is repeated may be empty")
        if (high is None or high > 1) and _is_unbounded(node) and not self._nested:
            self._refuse("a repeat without upper bound inside a repeat; give the inner one a bound, as in {1,100}")
        return Repeat(node, low, high, shortest)

    def _bounds(self) -> tuple[int, int | None] | None:
        character = self._peek()
        if character in _REPEATS:
            self._place += 1
            return _REPEATS[character]
        if character != "{":
            return None
        found = _COUNTS.match(self._text, self._place)
        if found is None:
            self._refuse("a brace that is no repeat; write \\{ for the character")
        self._place = found.end()
        low = int(found[1])
        high = int(found[3]) if found[3] else (None if found[2] else low)
        if max(low, high or 0) > MAX_REPEAT or (high is not None and not low <= high) or high == 0:
            self._refuse(f"repeats go from 0 to {MAX_REPEAT}, the smaller number first")
        return low, high

    def _atom(self) -> Node:
        match self._take():
            case "(":
                return self._group()
            case "[":
                return Chars(self._folded(self._class()))
            case ".":
                return Chars(_ALL - {10})
            case "^":
                return Assertion("begin")
            case "$":
                return Assertion("end")
            case "\\" if self._peek() == "b":
                self._place += 1
                return Assertion("word")
            case "\\":
                return Chars(self._folded(self._escape()))
            case "*" | "+" | "?" | "{" | "}" | "]" as mark:
                self._place -= 1
                self._refuse(f"{mark} has nothing to work on; write \\{mark} for the character")
            case character:
                return Chars(self._folded(frozenset(character.encode())))

    def _group(self) -> Node:
        if self._peek() == "?":
            if not self._text.startswith("?:", self._place):
                self._refuse("of groups only ( ) and (?: ) are taken; look-around and flags inside are not")
            self._place += 2
        self._nesting += 1
        if self._nesting > _MAX_NESTING:
            self._refuse(f"groups nested deeper than {_MAX_NESTING}")
        node = self._choice()
        self._nesting -= 1
        if self._take() != ")":
            self._refuse("a group is not closed")
        return node

    def _escape(self) -> frozenset[int]:
        letter = self._take()
        if letter in self._classes:
            return self._classes[letter]
        if letter in _CONTROLS:
            return frozenset({_CONTROLS[letter]})
        if letter == "x":
            digits = self._take() + self._take()
            if not set(digits) <= set(string.hexdigits) or int(digits, 16) > self._highest:
                self._refuse(f"\\x takes two hexadecimal digits, up to {self._highest:x}")
            return frozenset({int(digits, 16)})
        if letter.isalnum():
            self._refuse(f"\\{letter} is not taken; back-references are not either")
        return frozenset(letter.encode())

    def _class(self) -> frozenset[int]:
        negated = self._peek() == "^"
        self._place += negated
        found: set[int] = set()
        first = True
        while first or self._peek() != "]":
            first = False
            low = self._class_member()
            if self._peek() == "-" and self._text[self._place + 1 : self._place + 2] not in ("", "]"):
                self._place += 1
                high = self._class_member()
                if len(low) != 1 or len(high) != 1 or min(low) > min(high):
                    self._refuse("a range goes from a smaller character to a larger one")
                found.update(range(min(low), min(high) + 1))
            else:
                found |= low
        self._place += 1
        # Case is folded before the class is turned round: [^a] in a pattern without case leaves out A as well.
        return _ALL - self._folded(frozenset(found)) if negated else frozenset(found)

    def _class_member(self) -> frozenset[int]:
        match self._take():
            case "\\":
                return self._escape()
            case "[":
                self._place -= 1
                self._refuse("write \\[ inside a class")
            case character:
                return frozenset(character.encode())

    def _folded(self, found: frozenset[int]) -> frozenset[int]:
        if not self._fold:
            return found
        letters = bytes(sorted(found & _WORD))
        return found | frozenset(letters.lower()) | frozenset(letters.upper())


def least(node: Node) -> int:
    """Bytes of the shortest match."""
    match node:
        case Chars():
            return 1
        case Sequential(parts):
            return sum(map(least, parts))
        case Choice(parts):
            return min(map(least, parts))
        case Repeat(part, low, _, _):
            return low * least(part)
        case Assertion():
            return 0


def _size(node: Node) -> int:
    match node:
        case Sequential(parts) | Choice(parts):
            return 1 + sum(map(_size, parts))
        case Repeat(part, low, high, _):
            return max(low, high or 1) * _size(part)
        case _:
            return 1


def _is_unbounded(node: Node) -> bool:
    match node:
        case Sequential(parts) | Choice(parts):
            return any(map(_is_unbounded, parts))
        case Repeat(part, _, high, _):
            return high is None or _is_unbounded(part)
        case _:
            return False


def _write(node: Node, assertion: Callable[[str], str]) -> str:
    match node:
        case Chars(found):
            return _write_class(sorted(found))
        case Sequential(parts):
            return "".join(_write(part, assertion) for part in parts)
        case Choice(parts):
            return f"(?:{'|'.join(_write(part, assertion) for part in parts)})"
        case Repeat(part, low, high, shortest):
            bounds = f"{{{low},{'' if high is None else high}}}"
            return f"(?:{_write(part, assertion)}){bounds}{'?' if shortest else ''}"
        case Assertion(kind):
            return assertion(kind)


def _write_class(found: Sequence[int]) -> str:
    if not found:
        raise ValueError("a class that no character is in")
    ranges: list[tuple[int, int]] = []
    for byte in found:
        if ranges and ranges[-1][1] == byte - 1:
            ranges[-1] = ranges[-1][0], byte
        else:
            ranges.append((byte, byte))
    if len(found) == 1:
        return f"\\x{found[0]:02x}"
    members = "".join(f"\\x{low:02x}-\\x{high:02x}" for low, high in ranges)
    return f"[{members}]"
