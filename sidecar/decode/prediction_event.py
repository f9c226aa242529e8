"""The events `ml.prediction` and `ml.model.loaded` of the zero-code instrumentation, read from log requests.

Only what the metrics need is read: feature columns, which are most of an event, are stepped over. An event's columns
are arrays of one length; what each means stands with the instrumentation (`model_sidecar_instrumentation.event`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sidecar.decode import otlp
from sidecar.decode.batch import F64
from sidecar.decode.limits import MAX_LABEL_CHARS
from sidecar.decode.message import Value, read_pair, read_value
from sidecar.decode.prediction_names import EVENT, LOADED
from sidecar.decode.text import label
from sidecar.decode.wire import fields

NOTHING: F64 = np.zeros(0)

_DOUBLES = np.dtype([("head", "V3"), ("value", "<f8")])
_DOUBLE_HEAD = b"\x0a\x09\x21"
"""Field 1 of an ArrayValue, 9 bytes long: field 4 of an AnyValue, a double."""
_SMALL = frozenset({"rows", "kept", "one_in", "counted", "class_counts"})
_COLUMNS = frozenset({"score", "value"})


@dataclass(frozen=True, slots=True)
class PredictionEvent:
    """One call of a model, or its loading."""

    loaded: bool
    """It is `ml.model.loaded`: only `time`, `model` and `version` mean anything."""
    time: int
    """Unix ns."""
    model: str
    version: str
    error: str = ""
    """Class of the exception that the call raised."""
    count: int = 0
    """Rows to be counted: 0 for a call that raised, and for one that repeats another."""
    rows: int = 0
    """Rows given to the model; 0 where that is not known."""
    counted: bool = True
    seconds: float | None = None
    stage: str = ""
    one_in: int = 1
    classes: Mapping[str, int] = field(default_factory=dict)
    """Class -> rows; its sum may be below `count`, never above."""
    scores: F64 = field(default_factory=lambda: NOTHING)
    values: F64 = field(default_factory=lambda: NOTHING)


def events(payload: bytes, accepted: int) -> Iterator[PredictionEvent]:
    """The events in a logs request of which `accepted` records were accepted. Raises DecodeError."""
    records = list(_records(payload))
    if len(records) == accepted:
        for a, b in records:
            name = _event_name(payload, a, b)
            if name in (EVENT, LOADED):
                yield _event(name, _fields(payload, a, b))
        return
    for placed in otlp.log_records(payload):  # Refused ones among them: the whole rules decide.
        record = placed.record
        assert isinstance(record, otlp.LogRecord)
        if not placed.refusal and record.event_name in (EVENT, LOADED):
            body = record.body if isinstance(record.body, dict) else {}
            yield _event(record.event_name, (record.time, dict(record.attributes.values), body))


def _records(payload: bytes) -> Iterator[tuple[int, int]]:
    for tag, a, b in fields(payload, 0, len(payload)):
        if tag != 0x0A:
            continue
        for inner, c, d in fields(payload, a, b):
            if inner != 0x12:
                continue
            for leaf, e, f in fields(payload, c, d):
                if leaf == 0x12:
                    yield e, f


def _event_name(payload: bytes, a: int, b: int) -> str:
    # Most records of a mixed payload have none: not worth walking their fields.
    if payload.find(EVENT.encode(), a, b) < 0 and payload.find(LOADED.encode(), a, b) < 0:
        return ""
    name = b""
    for tag, start, end in fields(payload, a, b):
        if tag == 0x62:
            name = payload[start:end]
    return name.decode("utf-8", "replace")


def _fields(payload: bytes, a: int, b: int) -> tuple[int, dict[str, Value], dict[str, Any]]:
    """(time, attributes, the wanted members of the body)."""
    attributes: dict[str, Value] = {}
    body: dict[str, Any] = {}
    times = {0x09: 0, 0x59: 0}
    for tag, start, end in fields(payload, a, b):
        if tag == 0x32:
            key, value = read_pair(payload, start, end)
            attributes.setdefault(key, value)
        elif tag == 0x2A:
            body = _body(payload, start, end)
        elif tag in times:
            times[tag] = start
    return times[0x09] or times[0x59], attributes, body


def _body(payload: bytes, a: int, b: int) -> dict[str, Any]:
    """Members of an AnyValue that is a map; what is not wanted is left out."""
    members: dict[str, Any] = {}
    for tag, c, d in fields(payload, a, b):
        if tag != 0x32:
            continue
        for inner, e, f in fields(payload, c, d):
            if inner == 0x0A:
                _member(payload, e, f, members)
    return members


def _member(payload: bytes, a: int, b: int, members: dict[str, Any]) -> None:
    key, place = "", (0, 0)
    for tag, start, end in fields(payload, a, b):
        if tag == 0x0A:
            key = payload[start:end].decode("utf-8", "replace")
        elif tag == 0x12:
            place = (start, end)
    if key in _COLUMNS:
        members.setdefault(key, _column(payload, *place))
    elif key in _SMALL:
        members.setdefault(key, read_value(payload, *place))


def _column(payload: bytes, a: int, b: int) -> F64 | Value:
    """An array of doubles in one go, anything else as a value."""
    for tag, start, end in fields(payload, a, b):
        if tag == 0x2A and end > start and (end - start) % _DOUBLES.itemsize == 0:
            found = np.frombuffer(payload, _DOUBLES, (end - start) // _DOUBLES.itemsize, start)
            if (found["head"] == np.void(_DOUBLE_HEAD)).all():
                return found["value"].astype(np.float64)
    return read_value(payload, a, b)


def _event(name: str, found: tuple[int, Mapping[str, Value], Mapping[str, Any]]) -> PredictionEvent:
    time, attributes, body = found
    model, version = label(attributes.get("ml.model.name")), label(attributes.get("ml.model.version"))
    if name == LOADED:
        return PredictionEvent(True, time, model, version)
    count, seconds = _whole(attributes.get("ml.prediction.count")), attributes.get("ml.prediction.duration")
    return PredictionEvent(
        False,
        time,
        model,
        version,
        error=label(attributes.get("error.type")),
        count=count,
        rows=_whole(body.get("rows")),
        counted=body.get("counted") is not False,
        seconds=seconds if isinstance(seconds, float) and 0 <= seconds < math.inf else None,
        stage=label(attributes.get("ml.stage")),
        one_in=max(1, _whole(body.get("one_in"))),
        classes=_classes(body.get("class_counts"), count),
        scores=_numbers(body.get("score")),
        values=_numbers(body.get("value")),
    )


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else 0


def _classes(value: Any, count: int) -> dict[str, int]:
    """Rows of each class, `count` in all at most."""
    classes: dict[str, int] = {}
    for name, rows in value.items() if isinstance(value, dict) else ():
        taken = min(_whole(rows), count)
        if taken:
            classes[name[:MAX_LABEL_CHARS]] = classes.get(name[:MAX_LABEL_CHARS], 0) + taken
            count -= taken
    return classes


def _numbers(value: Any) -> F64:
    """The finite numbers of a column."""
    if isinstance(value, list):
        plain = [v for v in value if isinstance(v, int | float) and not isinstance(v, bool)]
        value = np.array(plain, np.float64)
    if not isinstance(value, np.ndarray):
        return NOTHING
    return value[np.isfinite(value)]
