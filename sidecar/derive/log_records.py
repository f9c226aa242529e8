"""How many log records and exceptions each service writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import Field

from sidecar.decode.api import Decoder, LogBatch
from sidecar.derive.deriver import Deriver, DeriverContext, table_bytes
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.prediction_events import PredictionEvents
from sidecar.derive.scrapes import View
from sidecar.derive.series import Arrival, Budget
from sidecar.derive.tables import CounterTable
from sidecar.derive.target_info import Targets
from sidecar.options import Section
from sidecar.pipeline import Signal
from sidecar.telemetry import Telemetry


class LogOptions(Section):
    """Counters from log records."""

    enabled: bool = Field(
        default=True, description="Derive log_records_total and log_exceptions_total from log records."
    )


class LogDeriver:
    """Log records in, two counter families out. The caller guards it with a lock."""

    signal: Signal = "logs"

    def __init__(
        self, budget: Budget, targets: Targets, telemetry: Telemetry, events: PredictionEvents | None = None
    ) -> None:
        """`events`: what reads predictions in the same payloads."""
        self._telemetry = telemetry
        self._events = events or PredictionEvents()
        self.records = CounterTable("log_records_total", ("service", "severity"), budget)
        self.exceptions = CounterTable("log_exceptions_total", ("service", "type"), budget)
        self.kept = (self.records, self.exceptions)
        self._targets = targets

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> LogBatch:
        """The columns that `apply` needs. Raises DecodeError."""
        return self._events.logs(decoder, payloads)

    def apply(self, batch: LogBatch, arrival: Arrival) -> None:
        """Add a batch of records."""
        if batch.repaired:
            self._telemetry.add("sidecar_invalid_utf8_total", batch.repaired, signal="logs")
        if not len(batch):
            return
        self._targets.see(batch.resources, arrival.now)
        self.records.count([(g[0], g[1]) for g in batch.groups], batch.group, arrival)
        thrown = np.array([bool(g[2]) for g in batch.groups])[batch.group]
        if thrown.any():
            picked = np.flatnonzero(thrown)
            keys = [(g[0], g[2]) for g in batch.groups]
            self.exceptions.count(keys, batch.group[picked], arrival.of(picked))

    def expire(self, now: int, ttl: int) -> None:
        """Take away series idle for longer than `ttl` ns at `now` (Unix ns)."""
        self.records.expire(now, ttl)
        self.exceptions.expire(now, ttl)

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        """The families, both of one moment."""
        yield self.records.snapshot(view, "Log records by service and severity.")
        yield self.exceptions.snapshot(view, "Log records that carry an exception, by its type.")


def build(options: LogOptions, context: DeriverContext) -> Sequence[Deriver[LogBatch]]:
    """The deriver, unless it is off."""
    if not options.enabled:
        return []
    return [LogDeriver(context.budget, context.targets, context.telemetry, context.events)]


def memory(options: LogOptions, budget: Budget) -> int:
    """Bytes of its tables, at most, about."""
    return table_bytes(budget, 2)
