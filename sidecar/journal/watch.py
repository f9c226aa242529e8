"""The journal's counters as the program's own metrics, read at every scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sidecar.journal.journal import Journal
from sidecar.journal.ledger import Ledger
from sidecar.telemetry import Telemetry

_Samples = Iterator[tuple[float, Mapping[str, str]]]


def watch(journal: Journal, telemetry: Telemetry) -> None:
    """Have telemetry read the ledger, the lags and the sizes of this journal."""
    telemetry.watch("sidecar_received_items_total", lambda: _by_signal(journal.ledger().received))
    telemetry.watch("sidecar_rejected_items_total", lambda: _by_signal(journal.ledger().rejected))
    telemetry.watch("sidecar_duplicate_items_total", lambda: _by_signal(journal.ledger().duplicates))
    telemetry.watch("sidecar_finished_items_total", lambda: _finished(journal.ledger()))
    telemetry.watch("sidecar_dropped_items_total", lambda: _dropped(journal.ledger()))
    telemetry.watch("sidecar_waiting_items", lambda: _waiting(journal.ledger()))
    telemetry.watch(
        "sidecar_consumer_lag_seconds", lambda: [(lag, {"consumer": name}) for name, lag in journal.lags().items()]
    )
    telemetry.watch(
        "sidecar_journal_bytes",
        lambda: [(journal.stored_bytes(), {"kind": "stored"}), (journal.quota, {"kind": "quota"})],
    )
    telemetry.watch("sidecar_dead_letters", lambda: [(n, {"sink": name}) for name, n in journal.dead_letters().items()])


def _by_signal(counts: Mapping[str, int]) -> _Samples:
    for signal, items in counts.items():
        yield items, {"signal": signal}


def _finished(ledger: Ledger) -> _Samples:
    for consumer in ledger.consumers:
        for (signal, outcome, reason), items in consumer.counts.items():
            yield items, {"consumer": consumer.name, "signal": signal, "outcome": outcome, "reason": reason}


def _dropped(ledger: Ledger) -> _Samples:
    for consumer in ledger.consumers:
        by_reason: dict[str, int] = {}
        for (_, outcome, reason), items in consumer.counts.items():
            if outcome == "dropped":
                by_reason[reason] = by_reason.get(reason, 0) + items
        for reason, items in by_reason.items():
            yield items, {"stage": consumer.name, "reason": reason}


def _waiting(ledger: Ledger) -> _Samples:
    for consumer in ledger.consumers:
        for signal in consumer.signals:
            yield consumer.waiting.get(signal, 0), {"consumer": consumer.name, "signal": signal}
