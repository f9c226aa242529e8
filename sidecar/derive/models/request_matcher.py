"""Requests and responses that come in records of their own, brought together by what they have in common.

A bounded store of those that wait for the other. Times are passed in, so that the same records give the same counts
when they are read again; what waits is kept with the place in the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass

_PREFIX = b"serving/exchange/"


@dataclass(frozen=True, slots=True)
class Pending:
    """A request or a response that waits."""

    request: bool
    model: str
    version: str
    rows: int
    time: int
    """When it was, by its own clock; Unix ns, 0 where it does not say."""
    received: int
    """When it came; Unix ns."""
    service: str = ""


class RequestResponseMatcher:
    """At most `limit` requests and responses, each for at most `timeout` ns. Not thread-safe."""

    def __init__(self, limit: int, timeout: int) -> None:
        self._limit = limit
        self._timeout = timeout
        self._waiting: dict[str, Pending] = {}
        """In the order in which they came."""
        self._changed: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def match(self, key: str, pending: Pending) -> Pending | None:
        """The other one, which then waits no more; None where this one has to wait. Of two requests the later
        one counts, and of two responses."""
        other = self._waiting.pop(key, None)
        self._changed.add(key)
        if other is not None and other.request != pending.request:
            return other
        self._waiting[key] = pending
        return None

    def expire(self, now: int) -> list[Pending]:
        """Those that have waited too long at `now` (Unix ns), and the oldest over the limit; they wait no more."""
        gone: list[Pending] = []
        for key, pending in list(self._waiting.items()):
            if len(self._waiting) <= self._limit and now - pending.received < self._timeout:
                break
            gone.append(self._waiting.pop(key))
            self._changed.add(key)
        return gone

    def checkpoint(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, as (key, value); None deletes."""
        for key in self._changed:
            pending = self._waiting.get(key)
            yield _PREFIX + key.encode(), _packed(pending) if pending is not None else None
        self._changed.clear()

    def restore(self, state: Mapping[bytes, bytes]) -> set[bytes]:
        """Take over what waited; the keys that were of use."""
        found = {
            key: pending for key, value in state.items() if key.startswith(_PREFIX) and (pending := _unpacked(value))
        }
        for key, pending in sorted(found.items(), key=lambda pair: pair[1].received):
            self._waiting[key[len(_PREFIX) :].decode("utf-8", "replace")] = pending
        return set(found)


def _packed(pending: Pending) -> bytes:
    return json.dumps(astuple(pending)).encode()


def _unpacked(value: bytes) -> Pending | None:
    """None for what is not from here."""
    try:
        match json.loads(value):
            case [bool(request), str(model), str(version), int(rows), int(time), int(received), str(service)]:
                return Pending(request, model, version, rows, time, received, service)
    except ValueError:
        return None
    return None
