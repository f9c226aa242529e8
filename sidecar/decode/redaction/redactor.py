"""Key and value rules applied to single texts and keys; `engine` applies them to requests."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sidecar.decode.documents.text import double_text
from sidecar.decode.redaction.rules import CUT, HASH_DIGITS, MAX_SEARCHES, Action, KeyRule, Rules, ValueRule

_DIGITS = frozenset(b"0123456789")
_HEX = frozenset(b"0123456789abcdefABCDEF")
_DIGIT_VALUES = {
    chr(zero + value).encode(): value for zero in (ord("0"), 0xFF10, 0x0660, 0x06F0) for value in range(10)
}
"""ASCII, full-width, Arabic and Persian."""
_EXPONENT = re.compile(rb"([0-9]\.)([0-9]{8,})[eE]\+?(1[2-8])")
_SHORTEST_CARD, _LONGEST_CARD = 13, 19
_SMALLEST_CARD = 10 ** (_SHORTEST_CARD - 1)
_CARDS_END = 10**_LONGEST_CARD


class Globs:
    """`*` is any run of bytes; ASCII letters of either case are the same."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._globs = [glob.encode().lower().split(b"*") for glob in globs]

    def match(self, name: bytes) -> bool:
        """Whether one of the globs is the whole name; False where there are none."""
        lower = name.lower()
        return any(_matches(parts, lower) for parts in self._globs)


def _matches(parts: Sequence[bytes], name: bytes) -> bool:
    """Whether the parts stand in the name in this order, the first at its begin and the last at its end."""
    first, *inner, last = parts if len(parts) > 1 else (parts[0], b"")
    if len(parts) == 1:
        return name == first
    place, stop = len(first), len(name) - len(last)
    if place > stop or not name.startswith(first) or not name.endswith(last):
        return False
    for part in inner:
        at = name.find(part, place, stop)
        if at < 0:
            return False
        place = at + len(part)
    return True


@dataclass(frozen=True, slots=True)
class _Value:
    rule: ValueRule
    pattern: re.Pattern[bytes]


@dataclass(frozen=True, slots=True)
class AttributeEntry:
    """What key rules see of an attribute or an entry of a map."""

    key: bytes
    path: bytes
    """The key behind those above it."""
    nested: bool
    """Its value is an array or a map."""
    json_text: bool
    """Its value is a text that begins as one of them in JSON."""
    keys: Callable[[], frozenset[bytes]]
    """Keys of the map that it stands in, or of the same attributes."""

    def stands_beside(self, names: Sequence[str]) -> bool:
        return not self.keys().isdisjoint(name.encode() for name in names)


class Redaction:
    """The rules made ready."""

    def __init__(self, rules: Rules) -> None:
        self._keys: list[tuple[KeyRule, Globs]] = [(rule, Globs(rule.keys)) for rule in rules.keys]
        self._values = [_Value(rule, rule.compiled().python) for rule in rules.values]
        self._hash_key = rules.hash_key
        self._limit = rules.max_field_bytes

    def key_action(self, entry: AttributeEntry, event: str | None) -> Action | None:
        """What the first rule for this entry says. `event`: name of the log record or span event around it, None where
        there is none."""
        for rule, globs in self._keys:
            concerned = not rule.events or (event is not None and event in rule.events)
            if not concerned or not (globs.match(entry.key) or globs.match(entry.path)):
                continue
            fits = not rule.nested or entry.nested or (rule.json_texts and entry.json_text)
            if fits and (not rule.beside or entry.stands_beside(rule.beside)):
                return rule.action
        return None

    def digest(self, value: bytes) -> bytes:
        """What stands for a hashed value."""
        return hmac.new(self._hash_key, value, hashlib.sha256).hexdigest()[:HASH_DIGITS].encode()

    def text(self, raw: bytes) -> bytes | None:
        """A text or bytes value as it may leave; None where it may not."""
        for value in self._values:
            replaced = self._replace(value, raw)
            if replaced is None:
                return None
            raw = replaced
        return raw if not self._limit or len(raw) <= self._limit else raw[: self._border(raw)] + CUT

    def number(self, number: int | float) -> bytes | None:
        """Empty where a number may stay; else what the rules for card numbers leave of its decimal digits, None where
        that may not leave."""
        if not _SMALLEST_CARD <= abs(number) < _CARDS_END:
            return b""
        raw = digits = (double_text(number) if isinstance(number, float) else str(number)).encode()
        for value in self._values:
            replaced = self._replace(value, raw) if value.rule.luhn else raw
            if replaced is None:
                return None
            raw = replaced
        return b"" if raw == digits else raw

    def _border(self, raw: bytes) -> int:
        """Where to cut: what is left and the mark behind it fit the limit, and no character is cut through."""
        end = self._limit - len(CUT)
        return end - _continued(raw, end, -1, end)

    def _replace(self, value: _Value, raw: bytes) -> bytes | None:
        pieces: list[bytes] = []
        copied = place = 0
        for _ in range(MAX_SEARCHES):
            found = value.pattern.search(raw, place)
            if found is None:
                break
            begin, end = found.span()
            if value.rule.luhn and not (end := card_end(raw, begin, end)):
                place = _behind_digits(raw, begin)
                continue
            if value.rule.action == "drop":
                return None
            # A match of single bytes may begin or end inside a character, half of which would not be text any more.
            begin -= _continued(raw, begin, -1, begin - copied)
            end += _continued(raw, end, 1, len(raw) - end)
            pieces += raw[copied:begin], self._instead(value.rule, raw[begin:end])
            copied = place = end
        else:
            if copied < len(raw):
                if value.rule.action == "drop":
                    return None
                pieces.append(self._instead(value.rule, raw[copied:]))
                copied = len(raw)
        return b"".join(pieces) + raw[copied:] if pieces else raw

    def _instead(self, rule: ValueRule, match: bytes) -> bytes:
        digest = b":" + self.digest(match) if rule.action == "hash" else b""
        return b"[%b%b]" % (rule.name.encode(), digest)


def card_end(raw: bytes, begin: int, end: int) -> int:
    """Where the payment card's number that begins at `begin` ends, at `end` or before; 0 if there is none.

    Its digits (ASCII, full-width or Arabic) are 13 to 19, and their Luhn sum is a multiple of ten (ISO/IEC 7812-1). No
    digit stands beside it but zeros in front, nor is it the fraction of a number. Without the last group of digits it
    may be one where the whole is not, as in `4111 1111 1111 1111 123`. Of a number with an exponent the whole part
    counts.
    """
    if _is_inside_number(raw, begin):
        return 0
    if exponent := _EXPONENT.fullmatch(raw, begin, end):
        whole = (exponent[1] + exponent[2].ljust(int(exponent[3]), b"0")[: int(exponent[3])]).translate(None, b".")
        return end if _digit_at(raw, end) is None and _luhn([byte - 48 for byte in whole]) else 0
    digits, groups = _read_digits(raw, begin, end)
    for count, last in reversed(groups):
        if count < _SHORTEST_CARD:
            return 0
        if count <= _LONGEST_CARD and _digit_at(raw, last) is None and _luhn(digits[:count]):
            return last
    return 0


def _is_inside_number(raw: bytes, begin: int) -> bool:
    """Whether what is before `begin` belongs to the number that begins there. `%20` and its like are no digits."""
    before = begin
    while before > 0 and raw[before - 1] == ord("0"):
        before -= 1
    if _ends_with_escape(raw, begin):
        return False
    if any(raw[before - length : before] in _DIGIT_VALUES for length in (1, 2, 3) if length <= before):
        return True
    return before > 1 and raw[before - 1] == ord(".") and raw[before - 2] in _DIGITS


def _ends_with_escape(raw: bytes, end: int) -> bool:
    return 2 < end <= len(raw) and raw[end - 3] == ord("%") and raw[end - 2] in _HEX and raw[end - 1] in _HEX


def _read_digits(raw: bytes, begin: int, end: int) -> tuple[list[int], list[tuple[int, int]]]:
    """The digits, and for each group of them how many there are up to its end, and where that is."""
    digits: list[int] = []
    groups: list[tuple[int, int]] = []
    place = begin
    while place < end:
        found = _digit_at(raw, place)
        if found is None:
            place += 3 if raw[place] == ord("%") else 1
            continue
        value, length = found
        digits.append(value)
        if groups and groups[-1][1] == place:
            groups.pop()
        place += length
        groups.append((len(digits), place))
    return digits, groups


def _digit_at(raw: bytes, place: int) -> tuple[int, int] | None:
    """Value and length in bytes of the digit at a place."""
    for length in (1, 2, 3):
        if (value := _DIGIT_VALUES.get(raw[place : place + length])) is not None:
            return value, length
    return None


def _luhn(digits: Sequence[int]) -> bool:
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _behind_digits(raw: bytes, begin: int) -> int:
    """The next place at which a number may begin: behind the digits at `begin`, at least one byte on. Digits of an
    escape such as `%20` are skipped alone."""
    if _ends_with_escape(raw, begin + 2):
        return begin + 2
    end = begin
    while found := _digit_at(raw, end):
        end += found[1]
    return max(end, begin + 1)


def _continued(raw: bytes, place: int, step: int, room: int) -> int:
    """How many steps it is from `place` to where a character begins: at most three, and at most `room`."""
    for steps in range(min(3, room) + 1):
        here = place + step * steps
        if here >= len(raw) or raw[here] & 0xC0 != 0x80:
            return steps
    return min(3, room)
