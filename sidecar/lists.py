"""Lists and mappings as text: elements with commas between them, and braces that stand for several texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

MAX_EXPANDED = 1000
"""Texts that one text with braces may stand for."""
_CLOSING = {"{": "}", "[": "]"}
_QUOTED = re.compile(r'\s*(?:"([^"]*)"|\'([^\']*)\')\s*(?:,|$)')


def split(text: str) -> list[str]:
    """The elements, without blanks around them; empty ones are left out.

    A comma inside `{...}` or `[...]` belongs to its element, and so does everything in an element that is in quotes as
    a whole, which are taken off. A bracket that is not closed is a character like others.
    """
    found: list[str] = []
    place = 0
    while place < len(text):
        if quoted := _QUOTED.match(text, place):
            found.append(quoted[1] if quoted[1] is not None else quoted[2])
            place = quoted.end()
            continue
        end = _end_of_element(text, place)
        found.append(text[place:end].strip())
        place = end + 1
    return [element for element in found if element]


def _end_of_element(text: str, place: int) -> int:
    while place < len(text) and text[place] != ",":
        place = (closing(text, place) or place) + 1
    return place


def mapping(value: Any) -> Any:
    """`name=value,name=value`, or a list of `name=value`, as a mapping; anything else as it is. ValueError for an
    element without `=`."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list):
        return value
    parts = [str(pair).partition("=") for pair in value if str(pair).strip()]
    if not all(sep for _, sep, _ in parts):
        raise ValueError("write them as name=value,name=value")
    return {name.strip(): text.strip() for name, _, text in parts}


def closing(text: str, place: int) -> int | None:
    """Where the bracket at `place` is closed; None where there is none or it is not closed. In `[...]` nothing else
    counts: it is a set of characters."""
    close = _CLOSING.get(text[place])
    if close is None:
        return None
    if close == "]":
        end = text.find("]", place + (3 if text[place + 1 : place + 2] == "!" else 2))
        return end if end >= 0 else None
    depth = 0
    for at in range(place, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if not depth:
            return at
    return None


def expand_braces(text: str) -> list[str]:
    """`a{b,c}` as `ab` and `ac`, as shells do, nested too. Braces without a comma stay as they are. ValueError for what
    stands for more than MAX_EXPANDED texts."""
    done: list[str] = []
    todo = [text]
    while todo:
        if len(done) + len(todo) > MAX_EXPANDED:
            raise ValueError(f"invalid pattern: {text}: stands for more than {MAX_EXPANDED} patterns; expected fewer")
        pattern = todo.pop()
        found = next(_choices(pattern), None)
        if found is None:
            done.append(pattern)
            continue
        begin, end, choices = found
        todo += [pattern[:begin] + choice + pattern[end + 1 :] for choice in reversed(choices)]
    return list(dict.fromkeys(done))


def _choices(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """(begin, end, alternatives) of the braces that have a comma of their own."""
    place = 0
    while place < len(text):
        end = closing(text, place)
        if end is not None and text[place] == "{":
            if len(choices := _alternatives(text[place + 1 : end])) > 1:
                yield place, end, choices
            end = None
        place = (end or place) + 1


def _alternatives(inner: str) -> list[str]:
    """The parts between the commas that are in no braces of their own; they may be empty."""
    parts, begin, place = [], 0, 0
    while place < len(inner):
        if inner[place] == ",":
            parts.append(inner[begin:place])
            begin = place + 1
        place = (closing(inner, place) or place) + 1
    return [*parts, inner[begin:]]
