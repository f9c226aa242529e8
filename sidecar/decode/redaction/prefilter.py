"""What must stand in a text for a pattern to match it: a few literals, or a run of certain bytes.

The native core looks for these in a whole record at once, at a fraction of what a regular expression costs, and looks
further only where it finds one. They decide nothing else: a text is what the pattern says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from sidecar.decode.redaction.patterns import Chars, Choice, Node, Repeat, Sequential, least

_LONGEST = 4
_MOST_OF_ONE = 16
_MOST = 32
_RARE = frozenset(b"@#$^~|`<>*\\")
"""Bytes seldom enough in records to be worth looking for alone."""
_RUN_BYTES = 80
_RUN_LENGTH = 6


@dataclass(frozen=True, slots=True)
class Prefilter:
    """Every match holds one of the literals, or a run of `length` bytes that are in `run`. Both may be empty: then
    nothing is known."""

    literals: tuple[bytes, ...] = ()
    run: bytes = b""
    length: int = 0


def prefilter(node: Node) -> Prefilter:
    """The best that can be said of a pattern."""
    literals = _literals(node)
    if literals:
        return Prefilter(literals=literals)
    run, length = frozenset().union(*_chars(node)), least(node)
    if len(run) <= _RUN_BYTES and length >= _RUN_LENGTH:
        return Prefilter(run=bytes(sorted(run)), length=length)
    return Prefilter()


def _literals(node: Node) -> tuple[bytes, ...]:
    """Literals of which every match of the node holds one; none where there is no telling, or too many."""
    match node:
        case Chars():
            return _best([_window([node.bytes])])
        case Sequential(parts):
            return _best(list(_candidates(parts)))
        case Choice(parts):
            found = [_literals(part) for part in parts]
            together = tuple(dict.fromkeys(literal for literals in found for literal in literals))
            return together if all(found) and len(together) <= _MOST else ()
        case Repeat(part, low, _, _) if low:
            return _literals(part)
        case _:
            return ()


def _candidates(parts: Sequence[Node]) -> Iterator[tuple[bytes, ...]]:
    side_by_side: list[frozenset[int]] = []
    for part in parts:
        if isinstance(part, Chars):
            side_by_side.append(part.bytes)
            continue
        yield _window(side_by_side)
        side_by_side = []
        yield _literals(part)
    yield _window(side_by_side)


def _window(sets: Sequence[frozenset[int]]) -> tuple[bytes, ...]:
    """The best literals among classes that stand side by side."""
    windows = (sets[a : a + length] for length in range(1, _LONGEST + 1) for a in range(len(sets) - length + 1))
    small = (window for window in windows if prod(map(len, window)) <= _MOST_OF_ONE and _is_telling(window))
    return _best([tuple(bytes(letters) for letters in product(*map(sorted, window))) for window in small])


def _is_telling(window: Sequence[frozenset[int]]) -> bool:
    return len(window) > 1 or window[0] <= _RARE


def _best(candidates: Sequence[tuple[bytes, ...]]) -> tuple[bytes, ...]:
    """The longest, of those the most varied, of those the fewest."""
    return max(candidates, key=_worth, default=())


def _worth(literals: tuple[bytes, ...]) -> tuple[int, int, int]:
    if not literals:
        return 0, 0, 0
    return min(map(len, literals)), min(len(set(literal)) for literal in literals), -len(literals)


def _chars(node: Node) -> Iterator[frozenset[int]]:
    match node:
        case Chars(found):
            yield found
        case Sequential(parts) | Choice(parts):
            for part in parts:
                yield from _chars(part)
        case Repeat(part, _, _, _):
            yield from _chars(part)
        case _:
            return
