"""The latest trace in every bucket. In memory only: after a restart the next span brings one again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import SpanBatch
from sidecar.derive.families import Exemplar

_CELL = np.dtype([("trace", "V16"), ("span", "V8"), ("duration", "<u8"), ("end", "<u8")])


@dataclass(frozen=True, slots=True)
class LatestSpan:
    """A span that may stand for its bucket; times in nanoseconds."""

    trace_id: str
    span_id: str
    duration: int
    end: int

    def scaled(self, scale: int) -> Exemplar:
        """`scale` units a second."""
        return Exemplar(self.trace_id, self.span_id, self.duration * scale / 10**9, self.end / 10**9)


class ExemplarTable:
    """40 bytes a bucket of a series. Not thread-safe."""

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets
        self._cells = np.zeros((64, buckets), _CELL)

    def note(
        self,
        rows: npt.NDArray[np.intp],
        cell: npt.NDArray[np.intp],
        batch: SpanBatch,
        picked: npt.NDArray[np.intp] | None,
    ) -> None:
        """Keep the last span of each cell. `cell` = index into `rows` x buckets + bucket, for the spans at `picked`
        of the batch (None: all of them)."""
        last = np.full(len(rows) * self._buckets, -1, np.int64)
        last[cell] = np.arange(len(cell))
        touched = np.flatnonzero(last >= 0)
        spans = last[touched] if picked is None else picked[last[touched]]
        fresh = np.zeros(len(touched), _CELL)
        fresh["trace"] = np.frombuffer(batch.trace_ids, "V16")[spans]
        fresh["span"] = np.frombuffer(batch.span_ids, "V8")[spans]
        fresh["duration"] = batch.duration[spans]
        fresh["end"] = batch.start[spans] + batch.duration[spans]
        highest = int(rows.max(initial=0))
        while highest >= len(self._cells):
            self._cells = np.concatenate([self._cells, np.zeros_like(self._cells)])
        self._cells[rows[touched // self._buckets], touched % self._buckets] = fresh

    def forget(self, rows: list[int]) -> None:
        """These rows belong to nobody any more."""
        self._cells[[row for row in rows if row < len(self._cells)]] = np.zeros((), _CELL)

    def snapshot(self, rows: npt.NDArray[np.intp], counted: npt.NDArray[np.bool_]) -> dict[tuple[int, int], LatestSpan]:
        """(index into `rows`, bucket) -> latest span, for the buckets that are shown with a count."""
        there = rows < len(self._cells)
        cells = np.zeros((len(rows), self._buckets), _CELL)
        cells[there] = self._cells[rows[there]]
        out = {}
        for i, bucket in np.argwhere(counted & (cells["end"] > 0)).tolist():
            trace, span, duration, end = cells[i, bucket].tolist()
            out[i, bucket] = LatestSpan(trace.hex(), span.hex(), duration, end)
        return out
