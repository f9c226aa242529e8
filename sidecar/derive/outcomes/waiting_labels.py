"""Labels that came before their predictions, in order of arrival, bounded by number and time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass

from sidecar.decode.predictions.label_record import Truth

LABEL_BYTES = 1_000
"""What a label takes, about; texts of labels are cut at 1,024 characters, most have ten."""
_PREFIX = b"outcomes/l/"


@dataclass(frozen=True, slots=True)
class WaitingLabel:
    """A label, as far as it is needed to join it."""

    key: int
    """Of its id (`joiner.key_of`)."""
    row: int | None
    model: str
    version: str
    value: Truth
    received: int
    """Unix ns."""


class WaitingLabels:
    """Not thread-safe."""

    def __init__(self, most: int, ttl: float) -> None:
        """`ttl`: seconds that a label waits."""
        self._most = most
        self._ttl = int(ttl * 1e9)
        self._labels: dict[int, WaitingLabel] = {}
        """By number, in order of arrival."""
        self._by_key: dict[int, dict[int, WaitingLabel]] = {}
        self._next = 0
        self._new: set[int] = set()
        self._gone: set[int] = set()

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, label: WaitingLabel) -> Iterator[WaitingLabel]:
        """Let a label wait; those that have to go for it."""
        self._take(self._next, label)
        self._new.add(self._next)
        self._next += 1
        while len(self._labels) > self._most:
            yield self._pop(next(iter(self._labels)))

    def of(self, key: int) -> list[WaitingLabel]:
        """The labels with this key, in order of arrival."""
        return list(self._by_key.get(key, {}).values())

    def remove(self, label: WaitingLabel) -> None:
        """It has been joined."""
        numbers = self._by_key[label.key]
        self._pop(next(number for number, known in numbers.items() if known is label))

    def expired(self, now: int) -> Iterator[WaitingLabel]:
        """Take away those that have waited for too long at `now` (Unix ns)."""
        while self._labels:
            number, label = next(iter(self._labels.items()))
            if now - label.received < self._ttl:
                return
            yield self._pop(number)

    def _take(self, number: int, label: WaitingLabel) -> None:
        self._labels[number] = label
        self._by_key.setdefault(label.key, {})[number] = label

    def _pop(self, number: int) -> WaitingLabel:
        label = self._labels.pop(number)
        own = self._by_key[label.key]
        del own[number]
        if not own:
            del self._by_key[label.key]
        if number in self._new:
            self._new.discard(number)
        else:
            self._gone.add(number)
        return label

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        for number in sorted(self._gone):
            yield _key(number), None
        for number in sorted(self._new):
            yield _key(number), json.dumps(astuple(self._labels[number])).encode()
        self._gone.clear()
        self._new.clear()

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what was kept; the keys that were of use."""
        used = set()
        for key in sorted(key for key in state if key.startswith(_PREFIX)):
            try:
                label = WaitingLabel(*json.loads(state[key]))
            except (TypeError, ValueError):
                continue
            number = int.from_bytes(key[len(_PREFIX) :], "big")
            self._take(number, label)
            self._next = max(self._next, number + 1)
            used.add(key)
        return used


def _key(number: int) -> bytes:
    return _PREFIX + number.to_bytes(8, "big")
