"""Between the worker and a sink: entries are shaped and filtered before the sink sees them.

What a filter leaves out is settled at once as (signal, "filtered", "filter"), so that the ledger adds up for every
sink by itself. What cannot be decoded never goes on: there is no knowing what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic

import structlog

from sidecar.decode.redaction.rules import Rules, Shaper
from sidecar.deliver.sink import ItemResult, P, PreparedBatch, SendResult, Sink
from sidecar.errors import DecodeError
from sidecar.pipeline import Entry, Signal, entry_counts, item_counts
from sidecar.telemetry import Telemetry

log = structlog.get_logger("deliver")


def changes_nothing(rules: Rules) -> bool:
    """Whether payloads pass such rules as they are."""
    return rules == Rules(hash_key=rules.hash_key)


class RedactingSink(Generic[P]):
    """A sink that gets what `shaper` leaves of each entry. Metrics pass as they are: rules are about spans and logs."""

    def __init__(
        self, inner: Sink[P], shaper: Shaper, telemetry: Telemetry, concerned: Callable[[bytes], bool] | None = None
    ) -> None:
        """`concerned`: whether the rules may change a payload; what they cannot is not walked."""
        self._concerned = concerned
        self.inner, self.name, self.signals = inner, inner.name, inner.signals
        self._shaper, self._telemetry = shaper, telemetry

    @property
    def target_batch_bytes(self) -> int:
        return self.inner.target_batch_bytes

    def prepare(self, entries: Sequence[Entry]) -> PreparedBatch[P]:
        left: list[Entry] = []
        early: list[ItemResult] = []
        for entry in entries:
            kept, settled = self._shape(entry)
            if kept is not None:
                left.append(kept)
            if settled is not None:
                early.append(settled)
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

    def _shape(self, entry: Entry) -> tuple[Entry | None, ItemResult | None]:
        """What is left of an entry for the sink, and what has come to an end."""
        if entry.signal == "metrics" or not entry.items:
            return entry, None
        if self._concerned is not None and not self._concerned(entry.payload):
            return entry, None
        shape = self._shaper.spans if entry.signal == "spans" else self._shaper.logs
        try:
            shaped = shape(entry.payload)
        except DecodeError as error:
            log.error("delivery_entry_not_decodable", sink=self.name, seq=entry.seq, error=str(error))
            return None, ItemResult(entry.seq, entry_counts(entry, "dropped", "not_decodable"))
        if shaped.changed:
            self._telemetry.add("sidecar_redacted_values_total", shaped.changed, sink=self.name)
        items, events = max(0, entry.items - shaped.items), max(0, entry.events - shaped.events)
        settled = self._filtered(entry.seq, entry.signal, items, events)
        if not shaped.items:
            return None, settled
        if shaped.payload is entry.payload:
            return entry, settled
        kept = replace(
            entry, payload=shaped.payload, items=shaped.items, events=shaped.events, ordinals=shaped.ordinals
        )
        return kept, settled

    def _filtered(self, seq: int, signal: Signal, items: int, events: int) -> ItemResult | None:
        counts = item_counts(signal, items, events, "filtered", "filter")
        for (line, _, _), number in counts.items():
            self._telemetry.add("sidecar_filtered_items_total", number, sink=self.name, signal=line)
        return ItemResult(seq, counts) if counts else None
