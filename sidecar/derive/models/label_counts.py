"""How many labels came in: the truth of predictions, known later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.label_event import LabelEvent, label_events
from sidecar.decode.predictions.label_names import MARK
from sidecar.derive.deriver import Deriver, DeriverContext, table_bytes
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.scrapes import View
from sidecar.derive.series import Arrival, Budget, Labels
from sidecar.derive.tables import CounterTable
from sidecar.options import Section
from sidecar.pipeline import Signal

Counts = dict[Labels, int]
"""(model, version, status) -> labels."""


class LabelOptions(Section):
    """Counters of labels."""

    enabled: bool = Field(default=True, description="Derive model_labels_received_total from labels of predictions.")


class LabelDeriver:
    """Logs in, one counter family out. The caller guards it with a lock."""

    signal: Signal = "logs"

    def __init__(self, budget: Budget) -> None:
        self.received = CounterTable("model_labels_received_total", ("model", "version", "status"), budget)
        self.kept = (self.received,)

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> list[Counts]:
        """The labels of each payload. Raises DecodeError."""
        return [_counts(decoder, payload) if decoder.contains_any(payload, MARK) else {} for payload in payloads]

    def apply(self, batch: Sequence[Counts], arrival: Arrival) -> None:
        """Add what payloads hold."""
        keys = [key for counts in batch for key in counts]
        numbers = [n for counts in batch for n in counts.values()]
        if keys:
            ends = np.cumsum([sum(counts.values()) for counts in batch])
            self.received.count(keys, np.repeat(np.arange(len(keys)), numbers), replace(arrival, ends=ends))

    def expire(self, now: int, ttl: int) -> None:
        """Take away series idle for longer than `ttl` ns at `now` (Unix ns)."""
        self.received.expire(now, ttl)

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        about = "Labels received, by the model that they name and whether they can be used (ok, invalid)."
        yield self.received.snapshot(view, about)


def build(options: LabelOptions, context: DeriverContext) -> Sequence[Deriver[Sequence[Counts]]]:
    """The deriver, unless it is off."""
    return [LabelDeriver(context.budget)] if options.enabled else []


def memory(options: LabelOptions, budget: Budget) -> int:
    """Bytes of its table, at most, about."""
    return table_bytes(budget, 1)


def _counts(decoder: Decoder, payload: bytes) -> Counts:
    return dict(Counter(map(_key, label_events(payload, decoder.check_logs(payload).items))))


def _key(event: LabelEvent) -> Labels:
    return event.model, event.version, "invalid" if event.label is None else "ok"
