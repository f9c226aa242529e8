"""Digests of the payloads of the last minutes that may be sent again. Bounded by time and by number."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_BYTES_EACH = 200
"""Memory of one remembered digest: its bytes, the number, their places in the dict."""
_PARTS = 8


@dataclass(slots=True)
class _Part:
    since_ns: int
    last_ns: int
    seqs: dict[bytes, int] = field(default_factory=dict)


class Digests:
    """digest -> sequence number, forgotten in parts of an eighth of the window, oldest first."""

    def __init__(self, window: float, max_bytes: int) -> None:
        self._window_ns = int(window * 1e9)
        self._most = max(max_bytes // _BYTES_EACH, _PARTS)
        self._parts: deque[_Part] = deque()
        self._count = 0

    @property
    def on(self) -> bool:
        return self._window_ns > 0

    def __len__(self) -> int:
        return self._count

    def add(self, digest: bytes, seq: int, time_ns: int) -> None:
        newest = self._parts[-1] if self._parts else None
        if (
            newest is None
            or time_ns - newest.since_ns >= self._window_ns // _PARTS
            or len(newest.seqs) >= self._most // _PARTS
        ):
            newest = _Part(time_ns, time_ns)
            self._parts.append(newest)
        newest.last_ns = max(newest.last_ns, time_ns)
        if digest not in newest.seqs:
            self._count += 1
        newest.seqs[digest] = seq

    def find(self, digest: bytes, now_ns: int) -> int | None:
        """The number under which a payload with this digest was stored, within the window."""
        for part in reversed(self._parts):
            if now_ns - part.last_ns > self._window_ns:
                return None
            seq = part.seqs.get(digest)
            if seq is not None:
                return seq
        return None

    def forget(self, digest: bytes) -> None:
        """As if it had never been added."""
        for part in self._parts:
            if part.seqs.pop(digest, None) is not None:
                self._count -= 1

    def expire(self, now_ns: int) -> int:
        """Forget what is too old or too much; gives the highest number forgotten, 0 if none was."""
        upto = 0
        while self._parts and (now_ns - self._parts[0].last_ns > self._window_ns or self._count > self._most):
            part = self._parts.popleft()
            self._count -= len(part.seqs)
            upto = max(upto, max(part.seqs.values(), default=0))
        return upto
