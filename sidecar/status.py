"""The journal's counters for people: the ledger as JSON and as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from sidecar.health import ComponentHealth
from sidecar.journal.ledger import ConsumerLedger, Ledger


class Journal(Protocol):
    """What is read of a journal."""

    @property
    def quota(self) -> int: ...
    def ledger(self) -> Ledger: ...
    def lags(self) -> dict[str, float]: ...
    def stored_bytes(self) -> int: ...
    def stored_entries(self) -> int: ...
    def dead_letters(self) -> dict[str, int]: ...
    def drain_rate(self) -> float: ...
    def writing(self) -> bool: ...
    def head(self) -> int: ...
    @property
    def failure(self) -> BaseException | None: ...


def journal_health(journal: Journal) -> ComponentHealth:
    """A writer that ended by a bug makes the pod not live, so that it is restarted. While the disk refuses, payloads
    are refused, and a restart would not help."""
    if journal.failure is not None:
        return ComponentHealth("failed", str(journal.failure))
    return ComponentHealth("ok") if journal.writing() else ComponentHealth("degraded", "it cannot be written")


def journal_view(journal: Journal) -> dict[str, Any]:
    """Size, head, lags and dead letters."""
    return {
        "head": journal.head(),
        "entries": journal.stored_entries(),
        "bytes": journal.stored_bytes(),
        "quota_bytes": journal.quota,
        "drain_bytes_per_second": round(journal.drain_rate()),
        "writing": journal.writing(),
        "lag_seconds": {name: round(lag, 3) for name, lag in sorted(journal.lags().items())},
        "dead_letters": journal.dead_letters(),
    }


def ledger_view(ledger: Ledger) -> dict[str, Any]:
    """The ledger as JSON; `problems` is empty when it balances; `lines` is for people."""
    return {
        "received": dict(ledger.received),
        "rejected": dict(ledger.rejected),
        "duplicates": dict(ledger.duplicates),
        "consumers": {c.name: _consumer_view(c) for c in ledger.consumers},
        "lines": list(ledger_lines(ledger)),
        "problems": ledger.balance(),
    }


def _consumer_view(consumer: ConsumerLedger) -> dict[str, Any]:
    return {
        "base": dict(consumer.base),
        "waiting": dict(consumer.waiting),
        "finished": [
            {"signal": signal, "outcome": outcome, "reason": reason, "items": items}
            for (signal, outcome, reason), items in sorted(consumer.counts.items())
        ],
    }


def ledger_lines(ledger: Ledger) -> Iterator[str]:
    """`store/spans: received 12 = delivered 12 + waiting 0`, a line for each consumer and signal with items."""
    for consumer in ledger.consumers:
        for signal in consumer.signals:
            received = ledger.received.get(signal, 0) - consumer.base.get(signal, 0)
            parts = [
                f"{outcome}{f' ({reason})' if reason else ''} {items}"
                for (s, outcome, reason), items in sorted(consumer.counts.items())
                if s == signal and items
            ]
            waiting = consumer.waiting.get(signal, 0)
            if received or parts or waiting:
                yield f"{consumer.name}/{signal}: received {received} = {' + '.join([*parts, f'waiting {waiting}'])}"
