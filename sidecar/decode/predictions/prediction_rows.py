"""Predictions by row, with the id by which a label may name them later: from the events of the zero-code
instrumentation, and from attributes of log records that say an id.

`api.PredictionBatch` has what is counted; here is what is joined: of each row its class, score or value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sidecar.decode.api import Decoder
from sidecar.decode.documents.text import label as as_label
from sidecar.decode.otlp import records
from sidecar.decode.otlp.limits import MAX_LABEL_CHARS
from sidecar.decode.otlp.message import Value, text
from sidecar.decode.otlp.positions import Range, accepted_records
from sidecar.decode.otlp.schema import tag
from sidecar.decode.otlp.tags import (
    ELEMENT,
    KEY,
    LOG_ATTRIBUTE,
    LOG_BODY,
    LOG_EVENT_NAME,
    LOG_OBSERVED_TIME,
    LOG_TIME,
    MAP,
    VALUE,
)
from sidecar.decode.otlp.wire import fields, put_bytes
from sidecar.decode.predictions.attribute_names import ALIASES, EVENT, EVENT_MARKS, LOADED
from sidecar.decode.predictions.label_names import EVENT as LABEL
from sidecar.decode.predictions.label_names import NAMED_BY
from sidecar.decode.predictions.label_record import MAX_ID_CHARS, MAX_SET
from sidecar.decode.predictions.serving.any_values import read_attributes, read_value
from sidecar.decode.predictions.serving.exchange import IDS

MAX_ROWS = 10_000
"""Rows that are read of one record."""
MAX_CLASS_CHARS = 256
MEMBERS = frozenset({"rows", "class", "score", "value", "first", "one_in", "counted"})
"""Members of an event's body that are joined."""
ANSWERING = ("class", "score", "value", "prediction")
_EVENT_MARK = EVENT_MARKS[:1]
TRACE_ID = tag("LogRecord", "trace_id")
_WHOLE = re.compile(r"-?[0-9]+\.0+")
_HEX_ID = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said of one row: a class with or without its probability, a set of classes, or a number."""

    name: str | None = None
    """The class as `class_text` has it."""
    score: float = math.nan
    """Probability of the class, 0 to 1; NaN where it is not known."""
    value: float = math.nan
    classes: tuple[str, ...] | None = None
    """Classes as `class_text` has them, in order, each once."""


@dataclass(frozen=True, slots=True)
class PredictedRows:
    """The rows of one record. Row i of `answers` is row `first + i * step` of the call."""

    id: str
    """As `id_text` has it; the trace id in hexadecimal digits where the record says no id."""
    model: str
    version: str
    time: int
    """Unix ns; time, else observed time, else 0."""
    answers: Sequence[Answer]
    first: int = 0
    step: int = 1
    left_out: int = 0
    """Rows beyond `MAX_ROWS`."""
    repeats: bool = False
    """It completes another record about the same rows."""


def id_text(value: str) -> str:
    """An id as it is compared: a trace id in lower case."""
    return value.lower() if _HEX_ID.fullmatch(value) else value


def class_text(value: Value) -> str:
    """A class as it is compared, so that `1`, `1.0` and "1" are one class, and `True`, true and "true" too."""
    found = as_label(value)[:MAX_CLASS_CHARS]
    if _WHOLE.fullmatch(found):
        return found.partition(".")[0]
    return found.lower() if found in ("True", "False") else found


class PredictionRowReader:
    """Reads the predictions of logs requests that have an id. Holds no state beyond its names."""

    def __init__(self, further: Sequence[str] = ()) -> None:
        """`further`: attributes of the user's that say the id; they go before `exchange.IDS`.
        `id` is left to labels: too many records have one that is of something else."""
        self._ids = tuple(dict.fromkeys([*further, *IDS]))
        self._gates = tuple(
            tuple(put_bytes(KEY >> 3, name.encode()) + bytes((VALUE,)) for name in names)
            for names in (self._ids, ALIASES["model"], [name for concept in ANSWERING for name in ALIASES[concept]])
        )
        """Keys on the wire of which a record that is no event has one of each: many lines say a request's id."""

    def may_read(self, decoder: Decoder, payload: bytes) -> bool:
        """Whether there may be a prediction in a logs request. Cheap."""
        return decoder.contains_any(payload, _EVENT_MARK) or all(
            decoder.contains_any(payload, gate) for gate in self._gates
        )

    def read(self, payload: bytes, accepted: int) -> Iterator[PredictedRows]:
        """The predictions of a logs request of which `accepted` records were accepted. Raises DecodeError."""
        for scope in accepted_records(payload, accepted, records.log_records):
            for place in scope.records:
                if self._passes(payload, place):
                    found = self._record(payload, place)
                    if found is not None and found.answers:
                        yield found

    def _passes(self, payload: bytes, place: Range) -> bool:
        return payload.find(_EVENT_MARK[0], *place) >= 0 or all(
            any(payload.find(mark, *place) >= 0 for mark in gate) for gate in self._gates
        )

    def _record(self, payload: bytes, place: Range) -> PredictedRows | None:
        time = observed = 0
        event, trace, body = "", b"", (0, 0)
        for key, a, b, _, _ in fields(payload, *place):
            if key == LOG_TIME:
                time = a
            elif key == LOG_OBSERVED_TIME:
                observed = a
            elif key == LOG_EVENT_NAME:
                event = text(payload[a:b])
            elif key == TRACE_ID:
                trace = payload[a:b]
            elif key == LOG_BODY:
                body = a, b
        attributes = read_attributes(payload, *place, LOG_ATTRIBUTE)
        if event not in (EVENT, LOADED) and is_label(event, attributes, payload, body):
            return None
        members = event_members(payload, *body) if event == EVENT else {}
        return self.rows_of(event, attributes, members, trace.hex() if any(trace) else "", time or observed)

    def rows_of(
        self, event: str, attributes: Mapping[str, Value], members: Mapping[str, Value], trace_id: str, time: int
    ) -> PredictedRows | None:
        """The prediction of a log record that is no label. `members`: of an event's body, see `event_members`.
        `trace_id`: hexadecimal digits; empty without one. `time`: Unix ns."""
        if event == LOADED or (event == EVENT and attributes.get("error.type")):
            return None
        own = self.id_of(attributes)
        if event == EVENT:
            id_ = own or trace_id
            return event_rows(id_, attributes, members, time) if id_ else None
        return attribute_rows(own, attributes, time) if own else None

    @property
    def ids(self) -> Sequence[str]:
        """Attributes that say the id; the first that does counts."""
        return self._ids

    def reads(self, attributes: Mapping[str, Value]) -> bool:
        """Whether a prediction is read from a log record with these attributes."""
        own = self.id_of(attributes)
        return bool(own) and attribute_rows(own, attributes, 0) is not None

    def id_of(self, attributes: Mapping[str, Value]) -> str:
        """The id that these attributes say; empty without one."""
        for name in self._ids:
            value = attributes.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                found = str(value)
                return id_text(found) if len(found) <= MAX_ID_CHARS else ""
        return ""


def is_label(event: str, attributes: Mapping[str, Value], payload: bytes, body: Range) -> bool:
    """Whether a log record is a label, which names a model and a class as a prediction does."""
    named = (event, *(attributes.get(name) for name in NAMED_BY))
    return LABEL in named or (body[1] > body[0] and read_value(payload, *body) == LABEL)


def event_members(payload: bytes, begin: int, end: int) -> dict[str, Value]:
    """Those members of an event's body that are joined; features, by far the most of it, are stepped over."""
    found: dict[str, Value] = {}
    for outer, a, b, _, _ in fields(payload, begin, end):
        for inner, c, d, _, _ in fields(payload, a, b) if outer == MAP else ():
            if inner != ELEMENT:
                continue
            name, value = "", (0, 0)
            for part, e, f, _, _ in fields(payload, c, d):
                if part == KEY:
                    name = text(payload[e:f])
                elif part == VALUE:
                    value = e, f
            if name in MEMBERS and name not in found:
                found[name] = read_value(payload, *value)
    return found


def event_rows(id_: str, attributes: Mapping[str, Value], body: Mapping[str, Value], time: int) -> PredictedRows:
    """The rows of an event, of whose body `event_members` are given."""
    classes, scores, values = (_column(body.get(name)) for name in ("class", "score", "value"))
    rows = len(classes) or len(values)
    scores = scores if len(scores) == len(classes) else [None] * rows
    if classes:
        pairs = zip(classes[:MAX_ROWS], scores[:MAX_ROWS], strict=True)
        answers = [_classified(name, score) for name, score in pairs]
    else:
        answers = [Answer(value=_number(value)) for value in values[:MAX_ROWS]]
    model, version = (as_label(attributes.get(name)) for name in ("ml.model.name", "ml.model.version"))
    first, step = _whole(body.get("first"), 0), max(1, _whole(body.get("one_in"), 1))
    return PredictedRows(
        id_,
        model or "unknown",
        version,
        time,
        answers,
        first,
        step,
        left_out=max(0, rows - MAX_ROWS),
        repeats=body.get("counted") is False,
    )


def attribute_rows(id_: str, attributes: Mapping[str, Value], time: int) -> PredictedRows | None:
    """A record that names no model is no prediction."""
    found = {concept: _first(attributes, names) for concept, names in ALIASES.items()}
    model = as_label(found["model"])
    if not model or found["error"] or all(found[concept] is None for concept in ANSWERING):
        return None
    answers: Sequence[Answer] = ()
    if found["class"] is not None:
        answers = [_classified(found["class"], found["score"])]
    elif isinstance(found["value"], int | float):
        answers = [Answer(value=_number(found["value"]))]
    elif found["prediction"] is not None:
        answers = _of_prediction(found["prediction"], found["score"])
    left_out = len(answers) - MAX_ROWS
    return PredictedRows(id_, model, as_label(found["version"]), time, answers[:MAX_ROWS], left_out=max(0, left_out))


def _of_prediction(value: Value, score: Value) -> list[Answer]:
    """By its type: text and whole numbers are classes, of numbers with a point all are values; an array is a batch."""
    if not isinstance(value, list):
        return [Answer(value=_number(value))] if isinstance(value, float) else [_classified(value, score)]
    if any(isinstance(element, float) for element in value):
        return [Answer(value=_number(element)) for element in value]
    return [_batch_row(element) for element in value]


def _batch_row(value: Value) -> Answer:
    """Of an array of arrays those of texts are sets: numbers may be probabilities, or say of each class whether it
    applies."""
    numbers = isinstance(value, list) and not all(isinstance(element, str) for element in value)
    return Answer() if numbers else _classified(value, None)


def _first(attributes: Mapping[str, Value], names: Sequence[str]) -> Value:
    return next((attributes[name] for name in names if attributes.get(name) not in (None, "")), None)


def _column(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []


def class_set(values: Iterable[Value]) -> tuple[str, ...]:
    """A set of classes as it is compared."""
    return tuple(sorted({class_text(value) for value in values}))


def _set(values: list[Value]) -> Answer:
    """No answer where it is no set of classes (numbers with a point are probabilities, say), or one larger than a label
    may be."""
    if len(values) > MAX_SET or not all(isinstance(value, str | int) for value in values):
        return Answer()
    found = class_set(values)
    return Answer(classes=found) if len(",".join(found)) <= MAX_LABEL_CHARS else Answer()


def _classified(name: Value, score: Value) -> Answer:
    if isinstance(name, list):
        return _set(name)
    if not isinstance(name, str | int | float):
        return Answer()
    probability = _number(score)
    return Answer(class_text(name), probability if 0 <= probability <= 1 else math.nan)


def _number(value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if math.isfinite(value) else math.nan


def _whole(value: Value, default: int) -> int:
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31
    return int(value) if usable and isinstance(value, int) else default
