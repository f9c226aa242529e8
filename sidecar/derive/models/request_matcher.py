"""Requests and responses that come in records of their own, brought together by what they have in common.

A bounded store of halves that wait for the other. Times are passed in, so that the same records give the same figures
when they are read again; what waits is kept with the place in the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_PREFIX = b"serving/exchange/"


@dataclass(frozen=True, slots=True)
class Half:
    """A request or a response that waits."""

    request: bool
    model: str
    version: str
    rows: int
    time: int
    """When it was, by its own word; Unix ns, 0 where it does not say."""
    received: int
    """When it came; Unix ns."""
    service: str = ""


class Exchanges:
    """At most `limit` halves, each for at most `patience` ns. Not thread-safe."""

    def __init__(self, limit: int, patience: int) -> None:
        self._limit = limit
        self._patience = patience
        self._waiting: dict[str, Half] = {}
        """In the order in which they came."""
        self._changed: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def meet(self, key: str, half: Half) -> Half | None:
        """The other half, which then waits no more; None where this one has to wait. Of equal halves the later one
        counts."""
        other = self._waiting.pop(key, None)
        self._changed.add(key)
        if other is not None and other.request != half.request:
            return other
        self._waiting[key] = half
        return None

    def give_up(self, now: int) -> list[Half]:
        """Those that have waited too long at `now` (Unix ns), and the oldest over the limit; they wait no more."""
        gone: list[Half] = []
        for key, half in list(self._waiting.items()):
            if len(self._waiting) <= self._limit and now - half.received < self._patience:
                break
            gone.append(self._waiting.pop(key))
            self._changed.add(key)
        return gone

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        for key in self._changed:
            half = self._waiting.get(key)
            yield _PREFIX + key.encode(), _packed(half) if half is not None else None
        self._changed.clear()

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what waited; the keys that were of use."""
        found = {key: half for key, value in state.items() if key.startswith(_PREFIX) and (half := _unpacked(value))}
        for key, half in sorted(found.items(), key=lambda pair: pair[1].received):
            self._waiting[key[len(_PREFIX) :].decode("utf-8", "replace")] = half
        return set(found)


def _packed(half: Half) -> bytes:
    told = (half.request, half.model, half.version, half.rows, half.time, half.received, half.service)
    return json.dumps(told).encode()


def _unpacked(value: bytes) -> Half | None:
    """None for what is not from here."""
    try:
        match json.loads(value):
            case [bool(request), str(model), str(version), int(rows), int(time), int(received), str(service)]:
                return Half(request, model, version, rows, time, received, service)
    except ValueError:
        return None
    return None
