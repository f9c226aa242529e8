"""How many log records and exceptions each service writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sidecar.decode.api import Decoder, LogBatch
from sidecar.derive.deriver import Deriver, DeriverContext, table_bytes
from sidecar.derive.families import FamilySnapshot, Points
from sidecar.derive.scrapes import View
from sidecar.derive.series import Arrival, Budget, Labels, SeriesTable, add_saturating, whole
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

    def __init__(self, budget: Budget, targets: Targets, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self.records = SeriesTable("log_records_total", ("service", "severity"), 1, budget)
        self.exceptions = SeriesTable("log_exceptions_total", ("service", "type"), 1, budget)
        self.kept = (self.records, self.exceptions)
        self._targets = targets

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> LogBatch:
        """The columns that `apply` needs. Raises DecodeError."""
        return decoder.logs(payloads, ())

    def apply(self, batch: LogBatch, arrival: Arrival) -> None:
        """Add a batch of records."""
        if batch.repaired:
            self._telemetry.add("sidecar_invalid_utf8_total", batch.repaired, signal="logs")
        if not len(batch):
            return
        self._targets.see(batch.resources, arrival.now)
        _count(self.records, [(g[0], g[1]) for g in batch.groups], batch.group, np.arange(len(batch)), arrival)
        thrown = np.array([bool(g[2]) for g in batch.groups])[batch.group]
        if thrown.any():
            _count(self.exceptions, [(g[0], g[2]) for g in batch.groups], batch.group, np.flatnonzero(thrown), arrival)

    def expire(self, before: int) -> None:
        """Take away series idle since before this time (Unix ns)."""
        self.records.expire(before)
        self.exceptions.expire(before)

    def collect(self, view: View | None = None) -> Iterable[FamilySnapshot]:
        """The families, both of one moment."""
        yield _family(self.records, view, "log_records", "Log records by service and severity.")
        yield _family(self.exceptions, view, "log_exceptions", "Log records that carry an exception, by its type.")


def build(options: LogOptions, context: DeriverContext) -> Sequence[Deriver[LogBatch]]:
    """The deriver, unless it is off."""
    return [LogDeriver(context.budget, context.targets, context.telemetry)] if options.enabled else []


def memory(options: LogOptions, budget: Budget) -> int:
    """Bytes of its tables, at most, about."""
    return table_bytes(budget, 2)


def _count(
    table: SeriesTable,
    keys: list[Labels],
    group: npt.NDArray[np.uint32],
    picked: npt.NDArray[np.intp],
    arrival: Arrival,
) -> None:
    """Add one for each record at `picked`."""
    codes, present = group[picked], np.zeros(len(keys), np.bool_)
    present[codes] = True
    dense = np.cumsum(present, dtype=np.uint32) - 1
    ends = np.searchsorted(picked, arrival.ends)
    found = table.rows(
        [key for key, there in zip(keys, present.tolist(), strict=True) if there],
        dense[codes].astype(np.uint32),
        Arrival(ends, arrival.times, arrival.now),
    )
    rows, inverse = np.unique(found, return_inverse=True)
    counts = np.bincount(inverse[dense[codes]], minlength=len(rows)).astype(np.int64)
    add_saturating(table.values, rows, counts[:, None] << 20)
    table.touch(rows, arrival.now)


def _family(table: SeriesTable, view: View | None, name: str, text: str) -> FamilySnapshot:
    keys, _, values, created = table.show(view)
    texts = table.texts(table.labels)
    return FamilySnapshot(
        name, "counter", text, "", (Points([texts[key] for key in keys], whole(values[:, 0]), created),)
    )
