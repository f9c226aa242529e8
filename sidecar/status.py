"""The journal's figures for people and for Prometheus: the ledger as JSON, as lines of text, and as metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from sidecar.journal.ledger import ConsumerLedger, Ledger
from sidecar.telemetry import Telemetry

Observed = Iterator[tuple[float, Mapping[str, str]]]


class Journal(Protocol):
    """What is asked of a log for its figures."""

    @property
    def quota(self) -> int: ...
    def ledger(self) -> Ledger: ...
    def lags(self) -> dict[str, float]: ...
    def kept_bytes(self) -> int: ...
    def kept_entries(self) -> int: ...
    def dead_letters(self) -> dict[str, int]: ...
    def drain_rate(self) -> float: ...
    def writing(self) -> bool: ...
    def head(self) -> int: ...


def journal_view(journal: Journal) -> dict[str, Any]:
    """Size, head, lags and dead letters."""
    return {
        "head": journal.head(),
        "entries": journal.kept_entries(),
        "bytes": journal.kept_bytes(),
        "quota_bytes": journal.quota,
        "drain_bytes_per_second": round(journal.drain_rate()),
        "writing": journal.writing(),
        "lag_seconds": {name: round(lag, 3) for name, lag in sorted(journal.lags().items())},
        "dead_letters": journal.dead_letters(),
    }


def ledger_view(ledger: Ledger) -> dict[str, Any]:
    """The ledger as JSON; `problems` is empty when it balances, `lines` says it in words."""
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
    """`store/spans: received 12 = delivered 12 + waiting 0`, a line for each consumer and signal that has figures."""
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


def watch(telemetry: Telemetry, journal: Journal) -> None:
    """Have the journal's figures on every scrape."""
    telemetry.watch("sidecar_received_items_total", lambda: _by_signal(journal.ledger().received))
    telemetry.watch("sidecar_rejected_items_total", lambda: _by_signal(journal.ledger().rejected))
    telemetry.watch("sidecar_duplicate_items_total", lambda: _by_signal(journal.ledger().duplicates))
    telemetry.watch("sidecar_finished_items_total", lambda: _finished(journal.ledger()))
    telemetry.watch("sidecar_dropped_items_total", lambda: _dropped(journal.ledger()))
    telemetry.watch("sidecar_waiting_items", lambda: _waiting(journal.ledger()))
    telemetry.watch("sidecar_consumer_lag_seconds", lambda: [(v, {"consumer": k}) for k, v in journal.lags().items()])
    telemetry.watch(
        "sidecar_journal_bytes", lambda: [(journal.kept_bytes(), {"kind": "kept"}), (journal.quota, {"kind": "quota"})]
    )
    telemetry.watch("sidecar_dead_letters", lambda: [(v, {"sink": k}) for k, v in journal.dead_letters().items()])


def _by_signal(figures: Mapping[str, int]) -> Observed:
    return ((value, {"signal": signal}) for signal, value in figures.items())


def _finished(ledger: Ledger) -> Observed:
    for consumer in ledger.consumers:
        for (signal, outcome, reason), items in consumer.counts.items():
            yield items, {"consumer": consumer.name, "signal": signal, "outcome": outcome, "reason": reason}


def _dropped(ledger: Ledger) -> Observed:
    lost: dict[tuple[str, str], int] = {}
    for consumer in ledger.consumers:
        for (_, outcome, reason), items in consumer.counts.items():
            if outcome == "dropped":
                lost[consumer.name, reason] = lost.get((consumer.name, reason), 0) + items
    return ((items, {"stage": stage, "reason": reason}) for (stage, reason), items in lost.items())


def _waiting(ledger: Ledger) -> Observed:
    for consumer in ledger.consumers:
        for signal, items in consumer.waiting.items():
            yield items, {"consumer": consumer.name, "signal": signal}
