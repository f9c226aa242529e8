"""Marks on the records of outliers, as attributes, before they are delivered: values do not leave the pod, the mark
does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sidecar.decode.api import Decoder, FarValues
from sidecar.decode.otlp import records
from sidecar.decode.otlp.additions import added_to
from sidecar.decode.otlp.encode import key_value
from sidecar.decode.otlp.positions import accepted_records
from sidecar.decode.otlp.tags import LOG_ATTRIBUTE
from sidecar.decode.predictions.serving.any_values import read_attributes
from sidecar.derive.drift.observations import Model, ObservationReader, Observations
from sidecar.derive.drift.outliers import RowLimits, outliers

MARK = "ml.outlier"
ROWS, FEATURES = f"{MARK}_rows", f"{MARK}_features"
"""Not with a point: a field that has a value cannot hold others in an index that keeps attributes as objects."""
MAX_NAMES = 10
"""Features that a mark names."""


class OutlierMarker:
    """For one sink: it remembers the schemas of monitors that went by."""

    def __init__(self, limits: Callable[[Model], RowLimits | None], payloads: bool, attributes: bool) -> None:
        """`limits`: of a model, asked from the sink's thread. `payloads`, `attributes`: as `ObservationReader`."""
        self._limits = limits
        self._reader = ObservationReader(payloads, attributes)

    def may_annotate(self, decoder: Decoder, payload: bytes) -> bool:
        """Whether there may be something to mark in a logs request. Cheap."""
        return self._reader.may_read(decoder, payload)

    def annotate(self, decoder: Decoder, payload: bytes) -> bytes:
        """A logs request with marks; the very same object where nothing is an outlier. Raises DecodeError."""
        marks: dict[int, bytes] = {}
        for found in self._reader.read(decoder, [payload]):
            given = enumerate(found.models)
            limits = {code: own for code, model in given if (own := self._limits(model)) is not None and own.bounds}
            if limits:
                marks |= _marks(found, outliers(found, limits))
        if not marks:
            return payload
        accepted = decoder.check_logs(payload).items
        scopes = accepted_records(payload, accepted, records.log_records)
        ranges = [place for scope in scopes for place in scope.records]
        added = {ranges[at][0]: mark for at, mark in marks.items() if not _is_marked(payload, *ranges[at])}
        return added_to(payload, added) if added else payload


def _is_marked(payload: bytes, begin: int, end: int) -> bool:
    """Whether the app says itself whether the record is an outlier."""
    return MARK in read_attributes(payload, begin, end, LOG_ATTRIBUTE)


def _marks(found: Observations, far: FarValues) -> dict[int, bytes]:
    """Place of a record among the accepted ones -> attributes."""
    own, begins = np.unique(far.event, return_index=True)
    ends = np.append(begins[1:], len(far.event))
    marks = {}
    for record, begin, end in zip(own.tolist(), begins.tolist(), ends.tolist(), strict=False):
        names = dict.fromkeys(found.features.names[at] for at in far.name[begin:end].tolist())
        marks[int(found.record[record])] = b"".join(
            (
                key_value(LOG_ATTRIBUTE >> 3, MARK, True),
                key_value(LOG_ATTRIBUTE >> 3, ROWS, len(set(far.row[begin:end].tolist()))),
                key_value(LOG_ATTRIBUTE >> 3, FEATURES, list(names)[:MAX_NAMES]),
            )
        )
    return marks
