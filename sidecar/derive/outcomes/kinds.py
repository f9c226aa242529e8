"""What rows of predictions have in common, as small numbers: model, version, and the class that was predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sidecar.derive.series import pack_labels, unpack_labels

MAX_KINDS = 20_000
_PREFIX = b"outcomes/k/"
_NUMBER, _CLASS, _SET = "number", "class", "set"


class Kind(NamedTuple):
    """One kind of predicted row."""

    model: str
    version: str
    name: str | None
    """Class; None for a predicted number and for a set."""
    classes: tuple[str, ...] | None = None
    """Set of classes."""


class Kinds:
    """Numbers kinds from 0, and forgets those of which no row is left. Not thread-safe."""

    def __init__(self) -> None:
        self._codes: dict[Kind, int] = {}
        self._kinds: list[Kind | None] = []
        self._rows: list[int] = []
        self._free: list[int] = []
        self._changed: set[int] = set()

    def __getitem__(self, code: int) -> Kind:
        kind = self._kinds[code]
        assert kind is not None
        return kind

    def has_room(self, kinds: set[Kind]) -> bool:
        """Whether all of these can be numbered."""
        new = len(kinds - self._codes.keys())
        return not new or len(self._codes) + new <= MAX_KINDS

    def take(self, kind: Kind) -> int:
        """The number of a kind of which there is one row more."""
        code = self._codes.get(kind, -1)
        if code < 0:
            code = self._place()
            self._codes[kind] = code
            self._kinds[code] = kind
            self._changed.add(code)
        self._rows[code] += 1
        return code

    def give_back(self, code: int, rows: int) -> None:
        """So many rows of it are gone."""
        self._rows[code] -= rows
        if not self._rows[code]:
            del self._codes[self[code]]
            self._kinds[code] = None
            self._free.append(code)
            self._changed.add(code)

    def _place(self) -> int:
        if self._free:
            return self._free.pop()
        self._kinds.append(None)
        self._rows.append(0)
        return len(self._kinds) - 1

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        for code in sorted(self._changed):
            kind = self._kinds[code]
            yield _PREFIX + code.to_bytes(4, "big"), None if kind is None else _packed(kind)
        self._changed.clear()

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what `checkpoint` gave, without rows; the keys that were of use."""
        found = {}
        for key, value in state.items():
            if key.startswith(_PREFIX) and len(key) == len(_PREFIX) + 4 and (kind := _unpacked(value)) is not None:
                found[int.from_bytes(key[-4:], "big")] = kind
        size = max(found, default=-1) + 1
        if size > MAX_KINDS:
            return set()
        self._kinds = [found.get(code) for code in range(size)]
        self._codes = {kind: code for code, kind in found.items()}
        self._rows = [0] * size
        self._free = [code for code in range(size) if code not in found]
        return {_PREFIX + code.to_bytes(4, "big") for code in found}

    def add_rows(self, code: int, rows: int) -> bool:
        """There are so many rows of this number; False where it stands for no kind."""
        if code >= len(self._kinds) or self._kinds[code] is None:
            return False
        self._rows[code] += rows
        return True

    def forget_unused(self) -> None:
        """After rows were added again: what none of them is of."""
        for code, kind in enumerate(self._kinds):
            if kind is not None and not self._rows[code]:
                self.give_back(code, 0)


def _packed(kind: Kind) -> bytes:
    if kind.classes is not None:
        return pack_labels((kind.model, kind.version, _SET, *kind.classes))
    return pack_labels((kind.model, kind.version, _NUMBER if kind.name is None else _CLASS, kind.name or ""))


def _unpacked(value: bytes) -> Kind | None:
    found = unpack_labels(value)
    if found is not None and len(found) >= 3 and found[2] == _SET:
        return Kind(found[0], found[1], None, tuple(found[3:]))
    if found is None or len(found) != 4 or found[2] not in (_NUMBER, _CLASS):
        return None
    return Kind(found[0], found[1], found[3] if found[2] == _CLASS else None)
