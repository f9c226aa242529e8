"""Payloads and their spans as one batch, with what only the payloads themselves say of a span."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sidecar.decode.api import Decoder, SpanBatch
from sidecar.decode.otlp.span_relations import SpanRelations

Indexes = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans of some payloads."""

    payloads: Sequence[bytes]
    batch: SpanBatch
    payload: Indexes
    """Index of the payload of each span."""
    begins: Sequence[int]
    """Index of the first span of each payload."""
    _links: dict[int, SpanRelations] = field(default_factory=dict)

    def id(self, span: int) -> bytes:
        """Trace id and span id."""
        return self.batch.trace_ids[16 * span : 16 * span + 16] + self.batch.span_ids[8 * span : 8 * span + 8]

    def parent(self, span: int) -> bytes:
        """8 bytes, empty for a root."""
        return self._of(span).parent(span - self._begin(span))

    def scope(self, span: int) -> bytes:
        """Name of the instrumentation that made it."""
        return self._of(span).scope(span - self._begin(span))

    def first(self, span: int, events: Sequence[str]) -> int:
        """Unix ns of the earliest of the events of these names; 0 where it has none."""
        return self._of(span).first(span - self._begin(span), events)

    def _begin(self, span: int) -> int:
        return self.begins[int(self.payload[span])]

    def _of(self, span: int) -> SpanRelations:
        # Read when they are first asked for: most payloads need none.
        payload = int(self.payload[span])
        found = self._links.get(payload)
        if found is None:
            ends = [*self.begins[1:], len(self.batch)]
            found = self._links[payload] = SpanRelations(self.payloads[payload], ends[payload] - self.begins[payload])
        return found


def spans(decoder: Decoder, payloads: Sequence[bytes], texts: Sequence[str], numbers: Sequence[str]) -> Spans:
    """The spans with these columns. Raises DecodeError."""
    batch = decoder.spans(payloads, texts, numbers)
    sizes = [len(batch)] if len(payloads) == 1 else [decoder.check_spans(payload).items for payload in payloads]
    begins = [0, *itertools.accumulate(sizes[:-1])]
    return Spans(payloads, batch, np.repeat(np.arange(len(payloads)), sizes), begins)
