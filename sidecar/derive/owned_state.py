"""Keys of state that models own: a prefix, the labels of the owner with their length, and the owner's own key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, Protocol

from sidecar.derive.series import Labels, pack_labels, unpack_labels

_LENGTH = 4


class StateOwner(Protocol):
    """What has state, of which it knows the keys."""

    def state_keys(self) -> Iterator[bytes]:
        """All keys that it may have committed."""
        ...

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        ...


class OwnedState:
    """The keys below one prefix. Not thread-safe."""

    def __init__(self, prefix: bytes, labels: int, order: Literal["little", "big"]) -> None:
        """`labels`: how many an owner has. `order`: that of the bytes of their length."""
        self._prefix, self._labels = prefix, labels
        self._order: Literal["little", "big"] = order
        self._deleted: set[bytes] = set()

    def begin(self, labels: Labels, owner: StateOwner) -> None:
        """There is an owner with these labels: what was to be deleted is its own now."""
        self._deleted -= self._keys(labels, owner)

    def drop(self, labels: Labels, owner: StateOwner) -> None:
        """An owner is gone: its state is deleted with the next checkpoint."""
        self._deleted |= self._keys(labels, owner)

    def checkpoint(self, owners: Iterable[tuple[Labels, StateOwner]]) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        yield from ((key, None) for key in sorted(self._deleted))
        self._deleted.clear()
        for labels, owner in owners:
            base = self._base(labels)
            yield from ((base + key, value) for key, value in owner.checkpoint())

    def owners(self, state: Mapping[bytes, bytes]) -> Iterator[tuple[Labels, bytes, dict[bytes, bytes]]]:
        """Each owner in what was kept: its labels, what its keys begin with, and its state by its own keys."""
        start = len(self._prefix) + _LENGTH
        by_base: dict[bytes, dict[bytes, bytes]] = {}
        for key, value in state.items():
            if key.startswith(self._prefix):
                end = start + int.from_bytes(key[len(self._prefix) : start], self._order)
                by_base.setdefault(key[:end], {})[key[end:]] = value
        for base, own in by_base.items():
            labels = unpack_labels(base[start:])
            if labels is not None and len(labels) == self._labels:
                yield labels, base, own

    def _keys(self, labels: Labels, owner: StateOwner) -> set[bytes]:
        base = self._base(labels)
        return {base + key for key in owner.state_keys()}

    def _base(self, labels: Labels) -> bytes:
        packed = pack_labels(labels)
        return self._prefix + len(packed).to_bytes(_LENGTH, self._order) + packed
