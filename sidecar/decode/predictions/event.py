"""The events `ml.prediction` and `ml.model.loaded` of the zero-code instrumentation, read from log requests.

An event's columns are arrays of one length; what each means stands with the instrumentation
(`model_sidecar_instrumentation.event`). A member of an unexpected type counts as absent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sidecar.decode.api import FeatureColumns, PredictionBatch
from sidecar.decode.documents.text import label
from sidecar.decode.otlp import records
from sidecar.decode.otlp.columns import service_name
from sidecar.decode.otlp.limits import MAX_LABEL_CHARS
from sidecar.decode.predictions.attribute_names import EVENT, LOADED
from sidecar.decode.predictions.feature_columns import FeatureCollector

MAX_ROWS = 1 << 40
"""A count of so many rows or more is none."""
GROUP_TEXTS = ("ml.model.name", "ml.model.version", "error.type", "ml.stage")
"""Attributes that make an event's group, between the event's name and its service."""


@dataclass(frozen=True, slots=True)
class _Event:
    payload: int
    record: int
    time: int
    group: tuple[str, ...]
    count: int
    rows: int
    one_in: int
    counted: bool
    seconds: float
    classes: dict[str, int]
    scores: list[float]
    values: list[float]
    features: Any
    left_out: int


def prediction_batch(payloads: Sequence[bytes], features: bool = False) -> PredictionBatch:
    """See `api.PredictionBatch`. Raises DecodeError."""
    read = [[placed for placed in records.log_records(payload) if not placed.rejection] for payload in payloads]
    found = list(_events(read))
    groups: dict[tuple[str, ...], int] = {}
    names: dict[str, int] = {}
    group = [groups.setdefault(event.group, len(groups)) for event in found]
    classes = [(at, name, rows) for at, event in enumerate(found) for name, rows in event.classes.items()]
    scores = [(at, score) for at, event in enumerate(found) for score in event.scores]
    values = [(at, value) for at, event in enumerate(found) for value in event.values]
    return PredictionBatch(
        payload=np.array([event.payload for event in found], np.uint32),
        record=np.array([event.record for event in found], np.uint32),
        ends=np.cumsum([len(own) for own in read], dtype=np.uint32),
        time=np.array([event.time for event in found], np.uint64),
        group=np.array(group, np.uint32),
        groups=list(groups),
        count=np.array([event.count for event in found], np.uint64),
        rows=np.array([event.rows for event in found], np.uint64),
        one_in=np.array([event.one_in for event in found], np.uint64),
        counted=np.array([event.counted for event in found], np.uint8),
        seconds=np.array([event.seconds for event in found], np.float64),
        class_event=np.array([at for at, _, _ in classes], np.uint32),
        class_name=np.array([names.setdefault(name, len(names)) for _, name, _ in classes], np.uint32),
        class_names=list(names),
        class_rows=np.array([rows for _, _, rows in classes], np.uint64),
        score_event=np.array([at for at, _ in scores], np.uint32),
        score=np.array([score for _, score in scores], np.float64),
        value_event=np.array([at for at, _ in values], np.uint32),
        value=np.array([value for _, value in values], np.float64),
        features=_features(found) if features else None,
    )


def _features(found: Sequence[_Event]) -> FeatureColumns:
    collector = FeatureCollector()
    for event in found:
        collector.add(event.features, event.left_out)
    return collector.columns()


def _events(read: Sequence[Sequence[records.RecordContext]]) -> Iterator[_Event]:
    """`read`: the accepted records of each payload."""
    accepted = ((number, placed) for number, own in enumerate(read) for placed in own)
    for place, (number, placed) in enumerate(accepted):
        record = placed.record
        assert isinstance(record, records.LogRecord)
        if record.event_name in (EVENT, LOADED):
            yield _event(number, place, record, service_name(placed.resource.attributes))


def _event(number: int, place: int, record: records.LogRecord, service: str) -> _Event:
    own = record.attributes.values
    body = record.body if isinstance(record.body, dict) else {}
    names = GROUP_TEXTS
    count = _whole(own.get("ml.prediction.count"))
    return _Event(
        payload=number,
        record=place,
        time=record.time,
        group=(record.event_name, *(label(own.get(name)) for name in names), service),
        count=count,
        rows=_whole(body.get("rows")),
        one_in=max(1, _whole(body.get("one_in"))),
        counted=body.get("counted") is not False,
        seconds=_seconds(own.get("ml.prediction.duration")),
        classes=_classes(body.get("class_counts"), count),
        scores=_numbers(body.get("score")),
        values=_numbers(body.get("value")),
        features=body.get("features"),
        left_out=_whole(body.get("features_left_out")),
    )


def _whole(value: Any) -> int:
    """A count; a double counts as one where it is a whole number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_ROWS:
        return 0
    return int(value) if value == int(value) else 0


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        return math.nan
    return float(value)


def _classes(value: Any, count: int) -> dict[str, int]:
    """Rows of each class, `count` in all at most."""
    classes: dict[str, int] = {}
    for name, rows in value.items() if isinstance(value, dict) else ():
        taken = min(_whole(rows), count)
        if taken:
            classes[name[:MAX_LABEL_CHARS]] = classes.get(name[:MAX_LABEL_CHARS], 0) + taken
            count -= taken
    return classes


def _numbers(value: Any) -> list[float]:
    """The finite numbers of a column."""
    found = (
        [v for v in value if isinstance(v, int | float) and not isinstance(v, bool)] if isinstance(value, list) else []
    )
    return [float(v) for v in found if math.isfinite(v)]
