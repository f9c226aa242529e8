"""Conversions and labels that came before their exposure, in order of arrival, bounded by number and time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

EVENT_BYTES = 1_200
"""What one takes, about; most have short texts."""
_PREFIX = b"experiments/w/"


@dataclass(frozen=True, slots=True)
class Event:
    """A conversion, or a label, as far as it is needed to join it."""

    base: int
    """Of the id by which it names its unit."""
    received: int
    """Unix ns."""
    is_label: bool = False
    experiment: str = ""
    """Empty for all."""
    row: int | None = None
    value: float | None = None
    """Of a conversion."""
    name: int = 0
    """Of a label: its class."""
    model: int = 0
    """Of a label: the model that it names; 0 where it names none."""
    converts: bool = False
    """Of a label: it is a conversion too."""


class WaitingEvents:
    """Not thread-safe."""

    def __init__(self, most: int, ttl: float) -> None:
        """`ttl`: seconds that an event waits."""
        self._most = most
        self._ttl = int(ttl * 1e9)
        self._events: dict[int, Event] = {}
        """By number, in order of arrival."""
        self._by_base: dict[int, dict[int, None]] = {}
        self._next = 0
        self._new: set[int] = set()
        self._gone: set[int] = set()

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Event) -> Iterator[Event]:
        """Let an event wait; those that have to go for it."""
        self._take(self._next, event)
        self._new.add(self._next)
        self._next += 1
        while len(self._events) > self._most:
            yield self._pop(next(iter(self._events)))

    def of(self, base: int) -> list[tuple[int, Event]]:
        """(number, event) of those that name this id, in order of arrival."""
        return [(number, self._events[number]) for number in self._by_base.get(base, ())]

    def remove(self, number: int) -> None:
        """It has been joined."""
        self._pop(number)

    def expired(self, now: int) -> Iterator[Event]:
        """Take away those that have waited for too long at `now` (Unix ns)."""
        while self._events:
            number, event = next(iter(self._events.items()))
            if now - event.received < self._ttl:
                return
            yield self._pop(number)

    def _take(self, number: int, event: Event) -> None:
        self._events[number] = event
        self._by_base.setdefault(event.base, {})[number] = None

    def _pop(self, number: int) -> Event:
        event = self._events.pop(number)
        own = self._by_base[event.base]
        del own[number]
        if not own:
            del self._by_base[event.base]
        if number in self._new:
            self._new.discard(number)
        else:
            self._gone.add(number)
        return event

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        yield from ((_key(number), None) for number in sorted(self._gone))
        yield from ((_key(n), json.dumps(asdict(self._events[n])).encode()) for n in sorted(self._new))
        self._gone.clear()
        self._new.clear()

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what was kept; the keys that were of use."""
        used = set()
        for key in sorted(key for key in state if key.startswith(_PREFIX)):
            try:
                event = Event(**json.loads(state[key]))
            except (TypeError, ValueError):
                continue
            number = int.from_bytes(key[len(_PREFIX) :], "big")
            self._take(number, event)
            self._next = max(self._next, number + 1)
            used.add(key)
        return used


def _key(number: int) -> bytes:
    return _PREFIX + number.to_bytes(8, "big")
