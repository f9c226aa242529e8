"""Which entries are finished: the sum of what was settled in pieces, by several threads, in any order."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sidecar.deliver.sink import ItemResult
from sidecar.pipeline import Ack, DeadLetter


@dataclass(slots=True)
class _Open:
    left: int
    counts: dict[tuple[str, str, str], int] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)


class Progress:
    """Open entries by sequence number. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, _Open] = {}

    def expect(self, documents: Mapping[int, int]) -> list[Ack]:
        """Open entries with so many documents each. Those with none are done at once and returned."""
        with self._lock:
            self._open.update({seq: _Open(n) for seq, n in documents.items() if n})
        return [Ack(seq) for seq, n in documents.items() if not n]

    def settle(self, settled: Sequence[ItemResult]) -> list[Ack]:
        """Book what came to an end. Returns the entries that are finished by it, with all their counts."""
        finished = []
        with self._lock:
            for part in settled:
                entry = self._open[part.seq]
                for key, count in part.counts.items():
                    entry.counts[key] = entry.counts.get(key, 0) + count
                    entry.left -= count
                entry.dead += part.dead
                if entry.left < 0:
                    raise AssertionError(f"entry {part.seq}: more documents settled than it has")
                if entry.left == 0:
                    del self._open[part.seq]
                    finished.append(Ack(part.seq, entry.counts, entry.dead))
        return finished

    def __len__(self) -> int:
        return len(self._open)
