"""The log for those who have no disk: the same journal, stored in memory. What it holds is lost with the process."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence

from sidecar.journal.journal import Journal
from sidecar.journal.options import JournalOptions
from sidecar.journal.rows import IndexRow, StoredRow
from sidecar.journal.state import JournalState
from sidecar.journal.transaction import Loaded, Transaction
from sidecar.pipeline import Clock, DeadLetter
from sidecar.telemetry import Telemetry


class MemoryStore:
    """Compressed payloads, states and dead letters in dictionaries. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[int, StoredRow] = {}
        self._state: dict[str, dict[bytes, bytes]] = {}
        self._dead: dict[tuple[str, str], DeadLetter] = {}
        self._bytes = 0

    def load(self) -> Loaded:
        return Loaded(secrets.token_hex(8))

    def index_rows(self) -> Iterator[IndexRow]:
        return iter(())

    def commit(self, tx: Transaction) -> None:
        with self._lock:
            for row in tx.rows:
                self._rows[row.seq] = row
                self._bytes += len(row.blob)
            if tx.trim is not None:
                for seq in range(tx.trim[0], tx.trim[1] + 1):
                    gone = self._rows.pop(seq, None)
                    self._bytes -= len(gone.blob) if gone is not None else 0
            for name, delta in tx.deltas.items():
                state = self._state.setdefault(name, {})
                for key, value in delta.state.items():
                    if value is None:
                        state.pop(key, None)
                    else:
                        state[key] = value
                for dead_letter in delta.dead:
                    self._dead.setdefault((name, dead_letter.doc_id), dead_letter)
            for name in tx.prune:
                self._state.pop(name, None)

    def reader(self) -> MemoryStore:
        return self

    def rows(self, seqs: Sequence[int]) -> dict[int, StoredRow]:
        with self._lock:
            return {seq: self._rows[seq] for seq in seqs if seq in self._rows}

    def state(self, consumer: str) -> Iterator[tuple[bytes, bytes]]:
        with self._lock:
            return iter(sorted(self._state.get(consumer, {}).items()))

    def dead_letters(self) -> dict[str, int]:
        with self._lock:
            counts: dict[str, int] = {}
            for consumer, _ in self._dead:
                counts[consumer] = counts.get(consumer, 0) + 1
            return counts

    def all_dead_letters(self) -> list[DeadLetter]:
        """The dead letters, oldest first."""
        with self._lock:
            return list(self._dead.values())

    def expire_dead_letters(self, before_ns: int, most: int) -> tuple[int, int]:
        with self._lock:
            before = len(self._dead)
            fresh = [item for item in self._dead.items() if item[1].time_ns >= before_ns]
            self._dead = dict(fresh[max(0, len(fresh) - most) :])
            left = sum(len(dead_letter.document) + len(dead_letter.reason) for dead_letter in self._dead.values())
            return before - len(self._dead), left

    def bytes_on_disk(self) -> int:
        return self._bytes

    def checkpoint_wal(self) -> None: ...

    def vacuum(self) -> bool:
        return False

    def close(self) -> None:
        """What is stored goes with the object."""


class MemoryJournal(Journal):
    """A journal without a disk. Bounded by `JournalOptions.memory_bytes`."""

    def __init__(self, options: JournalOptions, clock: Clock, telemetry: Telemetry | None = None) -> None:
        store = MemoryStore()
        quota = min(options.memory_bytes, options.quota_bytes)
        super().__init__(store, JournalState(options, quota, store.load()), clock, telemetry)
