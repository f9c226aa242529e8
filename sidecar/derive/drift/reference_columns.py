"""A reference read column by column: all columns as objects at once take several times as much memory as what is kept
of them, and leave most of that behind, in holes between what is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from sidecar.derive.drift.reference import FORMAT, MAX_COLUMNS, VERSION, Column, Reference

_COLUMNS = "columns"
_SPACE = re.compile(r"[ \t\n\r]*")


def by_column(data: bytes) -> tuple[Reference, Iterator[Column]]:
    """A reference without its columns, and these one by one. Either raises ValueError or RecursionError for what is no
    reference in UTF-8 with one list of columns: what is wrong with it, `reference.parse` says."""
    text = data.decode()
    head = {name: value for name, value in _members(text) if name != _COLUMNS}
    if (head.get("format"), head.get("version")) != (FORMAT, VERSION):
        raise ValueError("no reference of this version")
    return Reference.model_validate(head | {_COLUMNS: ()}), _columns(text)


def _columns(text: str) -> Iterator[Column]:
    adapter: TypeAdapter[Column] = TypeAdapter(Column)
    keys: set[tuple[str, str]] = set()
    for name, element in _members(text):
        if name != _COLUMNS:
            continue
        column = adapter.validate_python(element)
        key = column.role, column.name if column.role == "feature" else ""
        if key in keys or len(keys) == MAX_COLUMNS:
            raise ValueError("columns must be distinct, and not too many")
        keys.add(key)
        yield column


def _members(text: str) -> Iterator[tuple[str, Any]]:
    """Members of a JSON object; of its columns each as a member."""
    scanner, lists = _Scanner(text), 0
    scanner.expect("{")
    while True:
        name = scanner.value()
        scanner.expect(":")
        if name == _COLUMNS:
            lists += 1
            yield from ((_COLUMNS, element) for element in scanner.elements())
        elif isinstance(name, str):
            yield name, scanner.value()
        else:
            raise ValueError("a name is no text")
        if not scanner.takes(","):
            break
    scanner.expect("}")
    if lists != 1 or not scanner.ended:
        raise ValueError("not one list of columns, or something behind the object")


class _Scanner:
    """Reads JSON text from its beginning. Raises ValueError where it is something else."""

    def __init__(self, text: str) -> None:
        self._text, self._place = text, 0
        self._read = json.JSONDecoder().raw_decode

    @property
    def ended(self) -> bool:
        self._skip_space()
        return self._place == len(self._text)

    def value(self) -> Any:
        self._skip_space()
        found, self._place = self._read(self._text, self._place)
        return found

    def elements(self) -> Iterator[Any]:
        """Those of an array."""
        self.expect("[")
        if self.takes("]"):
            return
        while True:
            yield self.value()
            if not self.takes(","):
                break
        self.expect("]")

    def takes(self, mark: str) -> bool:
        """Whether it stands next; then what is behind it is next."""
        self._skip_space()
        found = self._text.startswith(mark, self._place)
        self._place += len(mark) * found
        return found

    def expect(self, mark: str) -> None:
        if not self.takes(mark):
            raise ValueError(f"no {mark} at {self._place}")

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._place)
        self._place = found.end() if found else self._place
