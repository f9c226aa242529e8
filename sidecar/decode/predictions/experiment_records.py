"""Exposures to the variants of experiments, and conversions, from log records: events of the zero-code instrumentation,
feature flags, attributes of log records, JSON lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sidecar.decode.api import Decoder
from sidecar.decode.documents.text import label as as_label
from sidecar.decode.documents.text import number
from sidecar.decode.otlp import records
from sidecar.decode.otlp.limits import MAX_LABEL_CHARS
from sidecar.decode.otlp.message import Value, text
from sidecar.decode.otlp.positions import Range, accepted_records
from sidecar.decode.otlp.tags import (
    KEY,
    LOG_ATTRIBUTE,
    LOG_BODY,
    LOG_EVENT_NAME,
    RESOURCE_ATTRIBUTE,
    STRING,
    VALUE,
)
from sidecar.decode.otlp.wire import fields, put_bytes
from sidecar.decode.predictions.attribute_names import ALIASES, EVENT, LOADED
from sidecar.decode.predictions.experiment_names import (
    ASSIGNMENTS,
    CONVERSION_EVENTS,
    EXPOSURE_EVENTS,
    NAMED_BY,
    USERS,
    VALUES,
)
from sidecar.decode.predictions.label_record import MAX_ID_CHARS, MAX_ROW
from sidecar.decode.predictions.prediction_rows import (
    TRACE_ID,
    Answer,
    PredictedRows,
    PredictionRowReader,
    attribute_rows,
    event_members,
    event_rows,
    is_label,
)
from sidecar.decode.predictions.serving.any_values import read_attributes, read_value

_NO_ROWS = PredictedRows("", "", "", 0, ())


@dataclass(frozen=True, slots=True)
class Exposure:
    """A variant was shown."""

    experiment: str
    variant: str
    prediction: str
    """Id of the prediction, else of the trace in hexadecimal digits; empty without either."""
    user: str
    """Empty where it is not known."""
    rows: int = 1
    """Predicted rows; 1 where it is no prediction."""
    predicted: PredictedRows = field(default=_NO_ROWS)
    """What was predicted, as far as it is given row by row."""
    is_call: bool = False
    """It is the call of a model, not only the choice of a variant."""
    failed: bool = False
    seconds: float = math.nan
    """That the call took; NaN where it is not known."""

    @property
    def answers(self) -> Sequence[Answer]:
        return self.predicted.answers


@dataclass(frozen=True, slots=True)
class Conversion:
    """A variant had success."""

    experiment: str
    """Empty where it is that, or those, of its prediction or user."""
    variant: str
    prediction: str
    user: str
    by_trace: bool = False
    """`prediction` is only the trace in which it was logged."""
    row: int | None = None
    value: float | None = None
    """None where it has none; NaN where that is no finite number."""


@dataclass(frozen=True, slots=True)
class _Record:
    event: str
    trace: str
    attributes: Mapping[str, Value]
    body: Range


class ExperimentReader:
    """Reads logs requests. Holds no state beyond its names."""

    def __init__(self, ids: Sequence[str] = (), users: Sequence[str] = (), conversions: Sequence[str] = ()) -> None:
        """Further names of attributes that say a prediction's id or a user, and of events that are conversions."""
        self._ids = PredictionRowReader(ids)
        self._users = tuple(dict.fromkeys([*users, *USERS]))
        self._conversions = frozenset([*CONVERSION_EVENTS, *conversions])
        self._pairs = [[(_on_wire(name),) for name in pair] for pair in ASSIGNMENTS]
        self._marks = tuple(bytes((len(name.encode()),)) + name.encode() for name in sorted(self._conversions))
        """Texts on the wire that are the name of a conversion."""

    def may_read(self, decoder: Decoder, payload: bytes) -> bool:
        """Whether there may be something in a logs request. Cheap."""
        return decoder.contains_any(payload, self._marks) or any(
            all(decoder.contains_any(payload, mark) for mark in pair) for pair in self._pairs
        )

    def read(self, payload: bytes, accepted: int) -> Iterator[Exposure | Conversion]:
        """What a logs request says, of which `accepted` records were accepted. Raises DecodeError."""
        for scope in accepted_records(payload, accepted, records.log_records):
            shared: Mapping[str, Value] = (
                read_attributes(payload, *scope.resource, RESOURCE_ATTRIBUTE) if scope.resource else {}
            )
            everywhere = bool(_assignment(shared)[0])
            for place in scope.records:
                if everywhere or self._concerns(payload, place):
                    found = self._record(payload, place, shared)
                    if found is not None:
                        yield found

    def _concerns(self, payload: bytes, place: Range) -> bool:
        return any(payload.find(mark, *place) >= 0 for mark in self._marks) or any(
            all(payload.find(mark[0], *place) >= 0 for mark in pair) for pair in self._pairs
        )

    def _record(self, payload: bytes, place: Range, shared: Mapping[str, Value]) -> Exposure | Conversion | None:
        record = _opened(payload, place)
        if record.event in self._conversions:
            return self._conversion(record, shared)
        experiment, variant = _assignment(record.attributes)
        if not experiment:
            experiment, variant = _assignment(shared)
        if not experiment or is_label(record.event, record.attributes, payload, record.body):
            return None
        ids = self._ids.id_of(record.attributes) or record.trace, self._user(record.attributes)
        if record.event in EXPOSURE_EVENTS:
            return Exposure(experiment, variant, *ids)
        call = _call(payload, record)
        if call is None:
            return None
        rows, predicted, failed = call
        return Exposure(experiment, variant, *ids, rows, predicted, True, failed, _seconds(record.attributes))

    def _conversion(self, record: _Record, shared: Mapping[str, Value]) -> Conversion:
        experiment, variant = _assignment(record.attributes)
        if not experiment and not (experiment := _experiment(record.attributes)):
            experiment, variant = _assignment(shared)
        own = self._ids.id_of(record.attributes)
        row = record.attributes.get("ml.label.row", record.attributes.get("row"))
        return Conversion(
            experiment,
            variant,
            own or record.trace,
            self._user(record.attributes),
            by_trace=not own,
            row=row if isinstance(row, int) and not isinstance(row, bool) and 0 <= row <= MAX_ROW else None,
            value=_value(record.attributes),
        )

    def _user(self, attributes: Mapping[str, Value]) -> str:
        for name in self._users:
            value = attributes.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                found = str(value)
                return found if len(found) <= MAX_ID_CHARS else ""
        return ""


def _opened(payload: bytes, place: Range) -> _Record:
    event, trace, body = "", b"", (0, 0)
    for key, a, b, _, _ in fields(payload, *place):
        if key == LOG_EVENT_NAME:
            event = text(payload[a:b])
        elif key == TRACE_ID:
            trace = payload[a:b]
        elif key == LOG_BODY:
            body = a, b
    attributes = read_attributes(payload, *place, LOG_ATTRIBUTE)
    named = event or next((name for key in NAMED_BY if isinstance(name := attributes.get(key), str) and name), "")
    if not named and body[1] > body[0] and payload[body[0]] == STRING:
        named = str(read_value(payload, *body))
    return _Record(named, trace.hex() if any(trace) else "", attributes, body)


def _call(payload: bytes, record: _Record) -> tuple[int, PredictedRows, bool] | None:
    """(rows, what is given of them, whether it failed) of a prediction; None of another record."""
    attributes = record.attributes
    failed = any(attributes.get(name) for name in ALIASES["error"])
    if record.event == EVENT:
        body = event_members(payload, *record.body)
        predicted = _NO_ROWS if failed else event_rows("", attributes, body, 0)
        count = attributes.get("ml.prediction.count")
        rows = body.get("rows") if failed else 0 if predicted.repeats else count
        return _whole(rows, 1 if failed else len(predicted.answers)), predicted, failed
    if record.event == LOADED:
        return None
    if failed and any(attributes.get(name) for name in ALIASES["model"]):
        return 1, _NO_ROWS, True
    found = attribute_rows("", attributes, 0)
    if found is None:
        return None
    rows = next((attributes[name] for name in ALIASES["rows"] if name in attributes), None)
    return _whole(rows, max(1, len(found.answers))), found, False


def _whole(value: Value, default: int) -> int:
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_ROW
    return int(value) if usable and isinstance(value, int) else default


def _assignment(attributes: Mapping[str, Value]) -> tuple[str, str]:
    """(experiment, variant); empty where they do not name both."""
    for names in ASSIGNMENTS:
        experiment, variant = (as_label(attributes.get(name))[:MAX_LABEL_CHARS] for name in names)
        if experiment and variant:
            return experiment, variant
    return "", ""


def _experiment(attributes: Mapping[str, Value]) -> str:
    """The experiment that a conversion names without a variant; empty without one."""
    named = (as_label(attributes.get(name))[:MAX_LABEL_CHARS] for name, _ in ASSIGNMENTS)
    return next((name for name in named if name), "")


def _seconds(attributes: Mapping[str, Value]) -> float:
    for concept, scale in (("seconds", 1.0), ("milliseconds", 1e-3)):
        for name in ALIASES[concept]:
            if name in attributes and 0 <= (found := number(attributes[name]) * scale) < math.inf:
                return found
    return math.nan


def _value(attributes: Mapping[str, Value]) -> float | None:
    for name in VALUES:
        given = attributes.get(name)
        if given is None or given == "":
            continue
        found = math.nan if isinstance(given, bool) else number(given)
        return found if math.isfinite(found) else math.nan
    return None


def _on_wire(name: str) -> bytes:
    """A KeyValue's key, with the tag of the value behind it."""
    return put_bytes(KEY >> 3, name.encode()) + bytes((VALUE,))
