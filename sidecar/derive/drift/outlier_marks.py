"""Marks on the records of outliers, as attributes, before they are delivered: values do not leave the pod, the mark
does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sidecar.decode.api import Decoder, FarValues
from sidecar.decode.otlp import records
from sidecar.decode.otlp.additions import added_to
from sidecar.decode.otlp.encode import key_value
from sidecar.decode.otlp.limits import MAX_ATTRIBUTES
from sidecar.decode.otlp.positions import accepted_records
from sidecar.decode.otlp.tags import LOG_ATTRIBUTE, SPAN_ATTRIBUTE
from sidecar.decode.otlp.wire import messages
from sidecar.decode.predictions.serving.any_values import read_attributes
from sidecar.derive.drift.observations import Model, ObservationReader, Observations, of_spans
from sidecar.derive.drift.outliers import RowLimits, outliers
from sidecar.pipeline import Signal

MARK = "ml.outlier"
ROWS, FEATURES = f"{MARK}_rows", f"{MARK}_features"
"""Not with a point: a field that has a value cannot hold others in an index that keeps attributes as objects."""
_ADDED = 3
"""Attributes of a mark."""
MAX_NAMES = 10
"""Features that a mark names."""


class OutlierMarker:
    """For one sink: it remembers the schemas of monitors that went by."""

    def __init__(self, limits: Callable[[Model], RowLimits | None], payloads: bool, attributes: bool) -> None:
        """`limits`: of a model, asked from the sink's thread. `payloads`, `attributes`: as `ObservationReader`."""
        self._limits = limits
        self._attributes = attributes
        self._reader = ObservationReader(payloads, attributes)

    @property
    def signals(self) -> frozenset[Signal]:
        """Those of which records are marked."""
        return frozenset(("logs", "spans") if self._attributes else ("logs",))

    def may_annotate(self, decoder: Decoder, payload: bytes) -> bool:
        """Whether there may be something to mark in a request. Cheap."""
        return self._reader.may_read(decoder, payload)

    def annotate(self, decoder: Decoder, payload: bytes, signal: Signal) -> bytes:
        """A request with marks; the very same object where nothing is an outlier. Raises DecodeError."""
        spans = signal == "spans"
        tag = SPAN_ATTRIBUTE if spans else LOG_ATTRIBUTE
        marks: dict[int, bytes] = {}
        for found in of_spans(decoder, [payload]) if spans else self._reader.read(decoder, [payload]):
            given = enumerate(found.models)
            limits = {code: own for code, model in given if (own := self._limits(model)) is not None and own.bounds}
            if limits:
                marks |= _marks(found, outliers(found, limits), tag)
        if not marks:
            return payload
        check, read = (decoder.check_spans, records.spans) if spans else (decoder.check_logs, records.log_records)
        scopes = accepted_records(payload, check(payload).items, read)
        ranges = [place for scope in scopes for place in scope.records]
        added = {ranges[at][0]: mark for at, mark in marks.items() if _has_room(payload, *ranges[at], tag)}
        return added_to(payload, added) if added else payload


def _has_room(payload: bytes, begin: int, end: int, tag: int) -> bool:
    """Whether the app does not say itself whether the record is an outlier, and it can take a mark."""
    attributes = list(messages(payload, begin, end, tag))
    return len(attributes) <= MAX_ATTRIBUTES - _ADDED and MARK not in read_attributes(payload, begin, end, tag)


def _marks(found: Observations, far: FarValues, tag: int) -> dict[int, bytes]:
    """Place of a record among the accepted ones -> attributes. `tag`: of these on the wire."""
    own, begins = np.unique(far.event, return_index=True)
    ends = np.append(begins[1:], len(far.event))
    marks = {}
    for record, begin, end in zip(own.tolist(), begins.tolist(), ends.tolist(), strict=False):
        names = dict.fromkeys(found.features.names[at] for at in far.name[begin:end].tolist())
        marks[int(found.record[record])] = b"".join(
            (
                key_value(tag >> 3, MARK, True),
                key_value(tag >> 3, ROWS, len(set(far.row[begin:end].tolist()))),
                key_value(tag >> 3, FEATURES, list(names)[:MAX_NAMES]),
            )
        )
    return marks
