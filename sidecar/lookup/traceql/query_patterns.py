"""Regular expressions of queries, matched in time linear in the text: whoever may ask must not be able to stop the
program with a pattern."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from sidecar.decode.redaction.automaton import Automaton
from sidecar.decode.redaction.patterns import Assertion, Chars, Node, Sequential, compile_pattern
from sidecar.lookup.store import Pieces

_LITERAL = re.compile(r"[^\\.\[\]{}()*+?^$|]+")


def check_pattern(text: str) -> None:
    """Raises ValueError for a pattern that is not taken, which says why."""
    _compiled(text)


@functools.lru_cache(maxsize=256)
def _compiled(text: str) -> Automaton:
    return Automaton(_tree(text))


def _tree(text: str) -> Node:
    return compile_pattern(_as_bytes(text), any_byte=True, may_be_empty=True).tree


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches (TraceQL's patterns are anchored at both ends)."""
    return _compiled(pattern).matches(text.encode("utf-8", "replace"))


def literals(pattern: str) -> tuple[str, ...]:
    """The texts that the pattern stands for where it is some literals with `|` between them; () where it is more."""
    parts = pattern.removeprefix("^").removesuffix("$")
    parts = parts[1:-1] if parts.startswith("(") and parts.endswith(")") else parts
    plain = [re.sub(r"\\([^\w\s])", r"\1", part) for part in parts.split("|")]
    raw = [re.sub(r"\\[^\w\s]", "", part) for part in parts.split("|")]
    return tuple(plain) if plain and all(_LITERAL.fullmatch(part) or part == "" for part in raw) else ()


def pieces(pattern: str) -> Pieces:
    """What every text that matches has: the characters that are in the pattern as they are, with gaps for the rest."""
    found = [b""]
    for node in _parts(_tree(pattern)):
        if isinstance(node, Chars) and len(node.bytes) == 1:
            found[-1] += bytes(node.bytes)
        elif len(found) == 1 or found[-1]:
            found.append(b"")
    return Pieces(tuple(map(_text, found))) if len(found) > 1 or _text(found[0]) else Pieces(("", ""))


def _parts(node: Node) -> Iterator[Node]:
    if isinstance(node, Sequential):
        for part in node.parts:
            yield from _parts(part)
    elif not isinstance(node, Assertion):
        yield node


def _text(piece: bytes) -> str:
    """Empty for a part of a character."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return ""


def _as_bytes(text: str) -> str:
    """Characters outside ASCII as groups of their bytes, which is what patterns see."""
    return "".join(c if c < "\x80" else "(?:" + "".join(f"\\x{b:02x}" for b in c.encode()) + ")" for c in text)
