"""Between the worker and a sink: entries are redacted and filtered before the sink sees them.

What a filter leaves out is settled at once as (signal, "filtered", "filter"), so that the ledger adds up for every
sink by itself. What cannot be decoded never goes on: there is no knowing what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic

import structlog

from sidecar.decode.redaction.rules import Redactor, Rules
from sidecar.deliver.sink import ItemResult, P, PreparedBatch, SendResult, Sink
from sidecar.errors import DecodeError
from sidecar.pipeline import Entry, Signal, entry_counts, item_counts
from sidecar.telemetry import Telemetry

log = structlog.get_logger("deliver")

_LEAST_SHARE = 0.4
"""However little is left of payloads: at most 2.5 bytes of them are taken for one that the sink asks for."""


def changes_nothing(rules: Rules) -> bool:
    """Whether payloads pass such rules as they are."""
    return rules == Rules(hash_key=rules.hash_key)


class RedactingSink(Generic[P]):
    """A sink that gets what `redactor` leaves of each entry. Metrics pass as they are: rules concern spans and logs."""

    def __init__(
        self,
        inner: Sink[P],
        redactor: Redactor,
        telemetry: Telemetry,
        may_change: Callable[[bytes], bool] | None = None,
    ) -> None:
        """`may_change`: whether the rules may change a payload; what they cannot is not walked."""
        self._may_change = may_change
        self.inner, self.name, self.signals = inner, inner.name, inner.signals
        self._redactor, self._telemetry = redactor, telemetry
        self._share = 1.0
        """What is left of a byte of payload, as seen lately."""

    @property
    def target_batch_bytes(self) -> int:
        return int(self.inner.target_batch_bytes / max(_LEAST_SHARE, self._share))

    def prepare(self, entries: Sequence[Entry]) -> PreparedBatch[P]:
        left: list[Entry] = []
        early: list[ItemResult] = []
        for entry in entries:
            kept, settled = self._redact(entry)
            if kept is not None:
                left.append(kept)
            if settled is not None:
                early.append(settled)
        self._see(sum(len(entry.payload) for entry in entries), sum(len(entry.payload) for entry in left))
        prepared = self.inner.prepare(left)
        expected = dict(prepared.expected)
        for settled in early:
            expected[settled.seq] = expected.get(settled.seq, 0) + sum(settled.counts.values())
        return PreparedBatch(prepared.batches, expected, [*early, *prepared.settled])

    def send(self, batch: P) -> SendResult[P]:
        return self.inner.send(batch)

    def status(self) -> Mapping[str, Any]:
        return self.inner.status()

    def close(self) -> None:
        self.inner.close()

    def _see(self, before: int, left: int) -> None:
        if before:
            self._share += 0.3 * (left / before - self._share)

    def _redact(self, entry: Entry) -> tuple[Entry | None, ItemResult | None]:
        """What is left of an entry for the sink, and what has finished."""
        if entry.signal == "metrics" or not entry.items:
            return entry, None
        if self._may_change is not None and not self._may_change(entry.payload):
            return entry, None
        redact = self._redactor.spans if entry.signal == "spans" else self._redactor.logs
        try:
            redacted = redact(entry.payload)
        except DecodeError as error:
            log.error("delivery_entry_not_decodable", sink=self.name, seq=entry.seq, error=str(error))
            return None, ItemResult(entry.seq, entry_counts(entry, "dropped", "not_decodable"))
        if redacted.changed:
            self._telemetry.add("sidecar_redacted_values_total", redacted.changed, sink=self.name)
        items, events = max(0, entry.items - redacted.items), max(0, entry.events - redacted.events)
        settled = self._filtered(entry.seq, entry.signal, items, events)
        if not redacted.items:
            return None, settled
        if redacted.payload is entry.payload:
            return entry, settled
        kept = replace(
            entry, payload=redacted.payload, items=redacted.items, events=redacted.events, ordinals=redacted.ordinals
        )
        return kept, settled

    def _filtered(self, seq: int, signal: Signal, items: int, events: int) -> ItemResult | None:
        counts = item_counts(signal, items, events, "filtered", "filter")
        for (line, _, _), number in counts.items():
            self._telemetry.add("sidecar_filtered_items_total", number, sink=self.name, signal=line)
        return ItemResult(seq, counts) if counts else None
