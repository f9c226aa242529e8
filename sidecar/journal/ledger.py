"""The conservation ledger as values: received = what became of it at each consumer + what waits there, exactly."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from sidecar.pipeline import SPAN_EVENTS, Counts, Outcome


@dataclass(frozen=True, slots=True)
class ConsumerLedger:
    """One consumer's side of the ledger. Mappings are by signal where not said otherwise."""

    name: str
    signals: tuple[str, ...]
    """The signals that it reads, with `span_events` where it reads spans."""
    base: Mapping[str, int]
    """Items received before this consumer began."""
    counts: Counts
    """(signal, outcome, reason) -> items finished, committed."""
    waiting: Mapping[str, int]
    """Items of stored entries beyond its low-water mark: added up from the entries, not a difference of the others."""
    low_water_mark: int = 0
    """Every entry up to this number is finished, or of other signals; committed."""

    def finished(self, signal: str) -> int:
        return sum(n for (s, _, _), n in self.counts.items() if s == signal)

    def outcome(self, outcome: Outcome, signal: str | None = None) -> int:
        """Items with this outcome, of one signal or of all."""
        return sum(n for (s, o, _), n in self.counts.items() if o == outcome and signal in (None, s))


@dataclass(frozen=True, slots=True)
class Ledger:
    """A consistent snapshot, all as of the last commit."""

    received: Mapping[str, int]
    """signal (and `span_events`) -> items stored since the journal was made."""
    rejected: Mapping[str, int]
    """signal -> items refused at ingest as invalid."""
    duplicates: Mapping[str, int]
    """signal -> items of payloads recognised as resends; no part of `received`."""
    consumers: tuple[ConsumerLedger, ...] = ()

    def balance(self) -> list[str]:
        """One line for every line that does not add up; empty when all is accounted for."""
        problems = []
        for consumer in self.consumers:
            for signal in consumer.signals:
                due = self.received.get(signal, 0) - consumer.base.get(signal, 0)
                finished, waiting = consumer.finished(signal), consumer.waiting.get(signal, 0)
                if due != finished + waiting:
                    problems.append(
                        f"{consumer.name}/{signal}: received {due} since it began, "
                        f"but finished {finished} + waiting {waiting} = {finished + waiting}"
                    )
            problems += [
                f"{consumer.name}/{s}: {o} {r} is negative ({n})" for (s, o, r), n in consumer.counts.items() if n < 0
            ]
        return problems


@dataclass(slots=True)
class IngestCounts:
    """Counters of one signal at ingest."""

    received: int = 0
    rejected: int = 0
    duplicates: int = 0

    def add(self, other: IngestCounts, sign: int = 1) -> None:
        self.received += sign * other.received
        self.rejected += sign * other.rejected
        self.duplicates += sign * other.duplicates


@dataclass(slots=True)
class IngestTotals:
    """Counters of all signals at ingest."""

    by_signal: dict[str, IngestCounts] = field(default_factory=dict)

    def of(self, signal: str) -> IngestCounts:
        return self.by_signal.setdefault(signal, IngestCounts())

    def add(self, other: IngestTotals) -> None:
        for signal, counts in other.by_signal.items():
            self.of(signal).add(counts)


def line_names(signals: Set[str]) -> tuple[str, ...]:
    """The ledger's lines for a consumer of these signals."""
    return tuple(sorted({*signals} | ({SPAN_EVENTS} if "spans" in signals else set())))
