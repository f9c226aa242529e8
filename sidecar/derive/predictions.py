"""Metrics of models, from predictions that are told of in log records and spans.

Three ways in: the event `ml.prediction` of the zero-code instrumentation (columns of many rows), attributes of a log
record (JSON lines too), attributes of a span. A span of the instrumentation is left out, since its event says the same.
What a record says is brought into one `Facts`, whose figures are whole numbers of fixed point: exact, in any order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sidecar.decode.batch import Decoder, LogBatch, Signal
from sidecar.decode.prediction_event import PredictionEvent, events
from sidecar.decode.prediction_names import ALIASES, EVENT, EVENT_MARKS, LOADED, MARKS, SPAN_MARKS, STAGES
from sidecar.derive.amounts import NOT_NUMBER, number
from sidecar.derive.families import FamilySnapshot
from sidecar.derive.model_tables import ModelTables, Said
from sidecar.derive.series import MAX_WEIGHT, Arrival

MAX_BATCH = 10_000
"""Elements that are read of an attribute with an array of predictions."""
_FRAMEWORK = "ml.framework"
"""Only the zero-code instrumentation sets it."""
_DIMENSIONS = (*(name for names in ALIASES.values() for name in names), _FRAMEWORK)
_ERRORS = frozenset({"ERROR", "FATAL"})
_INTEGER_CHARS = frozenset("0123456789-")


class PredictionOptions(BaseModel):
    """Metrics of models."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="Derive model_* metrics from predictions in logs and spans.")
    attributes: bool = Field(
        default=False,
        description="Look for predictions in the attributes of all log records and spans too, not only in the events "
        "of the zero-code instrumentation. Costs some 20 s of CPU for a million records that tell of one.",
    )
    latency_buckets: tuple[float, ...] = Field(
        default=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        min_length=1,
        max_length=100,
        description="Upper bounds of model_inference_latency_seconds, ascending.",
    )


class PredictionDeriver:
    """One signal's predictions into the tables. The deriver of the logs keeps the tables, that of the spans adds to
    them. The caller guards both with one lock."""

    def __init__(self, signal: Signal, tables: ModelTables, attributes: bool = True) -> None:
        """`attributes`: read those of all records, not only the events."""
        self.signal: Signal = signal
        self._marks = (SPAN_MARKS if signal == "spans" else MARKS) if attributes else EVENT_MARKS
        self._attributes = attributes
        self._tables = tables
        self.kept = tables.kept if signal == "logs" else ()

    def decode(self, decoder: Decoder, payloads: Sequence[bytes]) -> list[list[Said]]:
        """What each payload says. Raises DecodeError."""
        return [list(self._read(decoder, p)) if decoder.mentions(p, self._marks) else [] for p in payloads]

    def _read(self, decoder: Decoder, payload: bytes) -> Iterator[Said]:
        if self.signal == "spans":
            return _spans(decoder, payload)
        return _logs(decoder, payload) if self._attributes else _events(decoder, payload)

    def apply(self, batch: Sequence[Sequence[Said]], arrival: Arrival) -> None:
        """Add what payloads say."""
        for said, time in zip(batch, arrival.times.tolist(), strict=True):
            if said:
                self._tables.add(said, time, arrival.now)

    def expire(self, before: int) -> None:
        """Take away series idle since before this time (Unix ns)."""
        if self.kept:
            self._tables.expire(before)

    def collect(self) -> Iterable[FamilySnapshot]:
        return self._tables.collect() if self.kept else ()


def _events(decoder: Decoder, payload: bytes) -> Iterator[Said]:
    return map(_of_event, events(payload, len(decoder.logs([payload], ()))))


def _logs(decoder: Decoder, payload: bytes) -> Iterator[Said]:
    batch = decoder.logs([payload], _DIMENSIONS)
    if EVENT.encode() in payload or LOADED.encode() in payload:
        yield from map(_of_event, events(payload, len(batch)))
    for group, count in _counted(batch):
        own = dict(zip(_DIMENSIONS, group[3:], strict=True))
        if own[_FRAMEWORK]:  # The event's own record: its body was read above.
            continue
        said = _of_attributes(own, failed=group[1] in _ERRORS or bool(group[2]))
        if said is not None:
            said.weight = count
            said.time = int(batch.time.max(initial=0))
            yield said


def _spans(decoder: Decoder, payload: bytes) -> Iterator[Said]:
    batch = decoder.spans([payload], _DIMENSIONS)
    said_by = [_of_span(group) for group in batch.groups]
    telling = np.flatnonzero(np.array([said is not None for said in said_by], np.bool_)[batch.group])
    for i in telling.tolist():
        said = said_by[batch.group[i]]
        assert said is not None
        start, duration, weight = int(batch.start[i]), int(batch.duration[i]), float(batch.weight[i])
        seconds = said.seconds if said.seconds is not None else duration / 1e9 if start else None
        yield replace(said, seconds=seconds, time=start + duration, weight=min(max(weight, 0.0), MAX_WEIGHT))


def _of_span(group: tuple[str, ...]) -> Said | None:
    """What a span's attributes say; a stage of a named model counts even if it says nothing of a prediction."""
    own = dict(zip(_DIMENSIONS, group[4:], strict=True))
    if own[_FRAMEWORK]:
        return None
    name = group[1]
    stage = _first(own, "stage") or (name if name in STAGES else "")
    said = _of_attributes(own, failed=group[3] == "STATUS_CODE_ERROR")
    if said is None and stage in STAGES and _first(own, "model"):
        said = Said(_first(own, "model"), _first(own, "version"), 0)
    if said is not None:
        said.stage = stage or said.stage
    return said


def _counted(batch: LogBatch) -> Iterator[tuple[tuple[str, ...], int]]:
    """Groups with how many records each has."""
    return zip(batch.groups, np.bincount(batch.group, minlength=len(batch.groups)).tolist(), strict=True)


def _of_event(event: PredictionEvent) -> Said:
    model, version = event.model or "unknown", event.version
    if event.loaded:
        return Said(model, version, event.time, loaded=True)
    failed = bool(event.error)
    rows = max(event.rows, 1) if failed else event.count
    classes = dict(event.classes)
    rest = event.count - sum(classes.values())
    if rest > 0 and classes:
        classes[""] = rest
    return Said(
        model,
        version,
        event.time,
        rows=rows if event.counted or failed else 0,
        status="error" if failed else "ok",
        classes=classes,
        seconds=event.seconds,
        stage=event.stage or "inference",
        batch=event.rows if event.counted and not failed else 0,
        scores=event.scores,
        values=event.values,
        row_weight=float(event.one_in),
    )


def _of_attributes(own: dict[str, str], failed: bool) -> Said | None:
    """What the attributes of one record say; None if that is no prediction of a named model."""
    model = _first(own, "model")
    classes, values = _answers(own)
    score = number(_first(own, "score"))
    if not model or not (classes or values or math.isfinite(score)):
        return None
    rows = number(_first(own, "rows"))
    count = int(rows) if 0 < rows < MAX_WEIGHT else max(len(classes), len(values), 1)
    counted: dict[str, int] = {}
    for name in classes:
        counted[name] = counted.get(name, 0) + 1
    return Said(
        model,
        _first(own, "version"),
        0,
        rows=count,
        status="error" if failed or _first(own, "error") else "ok",
        classes=counted,
        seconds=_seconds(own),
        stage=_first(own, "stage") or "inference",
        batch=count,
        scores=(score,) if math.isfinite(score) else (),
        values=values,
    )


def _first(own: dict[str, str], concept: str) -> str:
    return next((own[name] for name in ALIASES[concept] if own[name]), "")


def _answers(own: dict[str, str]) -> tuple[list[str], list[float]]:
    """(classes, values) of the rows."""
    name, value = _first(own, "class"), number(_first(own, "value"))
    if name or math.isfinite(value):
        return [name] if name else [], [value] if math.isfinite(value) else []
    text = _first(own, "prediction")
    elements = _elements(text)
    if all(isinstance(e, float) for e in elements):
        return [], [e for e in elements if isinstance(e, float)]
    return [str(e) for e in elements], []


def _elements(text: str) -> list[str | float]:
    """A prediction by its type: text and whole numbers are classes, other numbers are values, an array is a batch."""
    if not text:
        return []
    if text.startswith("["):
        try:
            found = json.loads(text)
        except ValueError:  # the text of a long array is cut
            return []
        flat = [e[0] if isinstance(e, list) and len(e) == 1 else e for e in found[:MAX_BATCH]]
        return [e for e in (_element(json.dumps(e) if not isinstance(e, str) else e) for e in flat) if e != ""]
    return [_element(text)]


def _element(text: str) -> str | float:
    if _INTEGER_CHARS.issuperset(text):
        return text
    value = number(text) if text not in ("true", "false") else NOT_NUMBER
    return value if math.isfinite(value) else text


def _seconds(own: dict[str, str]) -> float | None:
    seconds, milliseconds = number(_first(own, "seconds")), number(_first(own, "milliseconds"))
    found = seconds if math.isfinite(seconds) else milliseconds / 1000
    return found if 0 <= found < math.inf else None
