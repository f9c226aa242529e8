"""Items that came before what they are joined with, in order of arrival, bounded by number and time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar


class Arrived(Protocol):
    """An item that can wait."""

    @property
    def key(self) -> int:
        """What it is joined by."""

    @property
    def received(self) -> int:
        """Unix ns."""


Item = TypeVar("Item", bound=Arrived)


@dataclass(frozen=True, slots=True)
class Stored(Generic[Item]):
    """How items are kept in a checkpoint."""

    prefix: bytes
    """Of the keys, which end with a number of eight bytes."""
    pack: Callable[[Item], Any]
    """What JSON can write."""
    unpack: Callable[[Any], Item]
    """Of what `pack` gave; raises TypeError or ValueError of anything else."""

    def key(self, number: int) -> bytes:
        return self.prefix + number.to_bytes(8, "big")


class Waiting(Generic[Item]):
    """Not thread-safe."""

    def __init__(self, stored: Stored[Item], most: int, ttl: float) -> None:
        """`ttl`: seconds that an item waits."""
        self._stored, self._most = stored, most
        self._ttl = int(ttl * 1e9)
        self._items: dict[int, Item] = {}
        """By number, in order of arrival."""
        self._by_key: dict[int, dict[int, None]] = {}
        self._next = 0
        self._new: set[int] = set()
        self._gone: set[int] = set()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item) -> Iterator[Item]:
        """Let an item wait; those that have to go for it."""
        self._take(self._next, item)
        self._new.add(self._next)
        self._next += 1
        while len(self._items) > self._most:
            yield self._pop(next(iter(self._items)))

    def of(self, key: int) -> list[tuple[int, Item]]:
        """(number, item) of those with this key, in order of arrival."""
        return [(number, self._items[number]) for number in self._by_key.get(key, ())]

    def remove(self, number: int) -> None:
        """It has been joined."""
        self._pop(number)

    def expired(self, now: int) -> Iterator[Item]:
        """Take away those that have waited for too long at `now` (Unix ns)."""
        while self._items:
            number, item = next(iter(self._items.items()))
            if now - item.received < self._ttl:
                return
            yield self._pop(number)

    def _take(self, number: int, item: Item) -> None:
        self._items[number] = item
        self._by_key.setdefault(item.key, {})[number] = None

    def _pop(self, number: int) -> Item:
        item = self._items.pop(number)
        own = self._by_key[item.key]
        del own[number]
        if not own:
            del self._by_key[item.key]
        if number in self._new:
            self._new.discard(number)
        else:
            self._gone.add(number)
        return item

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        yield from ((self._stored.key(number), None) for number in sorted(self._gone))
        for number in sorted(self._new):
            yield self._stored.key(number), json.dumps(self._stored.pack(self._items[number])).encode()
        self._gone.clear()
        self._new.clear()

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what was kept; the keys that were of use."""
        used = set()
        prefix = self._stored.prefix
        for key in sorted(key for key in state if key.startswith(prefix)):
            try:
                item = self._stored.unpack(json.loads(state[key]))
            except (TypeError, ValueError):
                continue
            number = int.from_bytes(key[len(prefix) :], "big")
            self._take(number, item)
            self._next = max(self._next, number + 1)
            used.add(key)
        return used
