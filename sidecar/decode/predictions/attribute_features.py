"""Predictions with their features in plain attributes of log records and spans: `features` (a map, a row or rows, or
such in a text of JSON) or `ml.features.<name>`, beside a model's name and an answer.

`attribute_names` says what names a model and an answer, and `prediction_rows` reads those.
"""

from __future__ import annotations

import math
from collections import Counter

from sidecar.decode.api import Decoder
from sidecar.decode.otlp.message import Value
from sidecar.decode.predictions import json_features
from sidecar.decode.predictions.attribute_names import ALIASES, EVENT, LOADED
from sidecar.decode.predictions.feature_names import FEATURES
from sidecar.decode.predictions.label_names import EVENT as LABEL
from sidecar.decode.predictions.label_names import NAMED_BY
from sidecar.decode.predictions.prediction_rows import ANSWERING, Answer, attribute_rows
from sidecar.decode.predictions.serving.bento_schemas import key_mark
from sidecar.decode.predictions.serving.call import Call, Columns, CutColumns
from sidecar.decode.predictions.serving.exchange import Record, members
from sidecar.decode.predictions.serving.feature_tables import of_columns, of_rows

NAME = "attributes"
PREFIX = "ml.features."
MARKS = (key_mark(FEATURES), PREFIX.encode())
"""One of these stands in each record that can be read."""
_ANSWERS = tuple(key_mark(name) for concept in ANSWERING for name in ALIASES[concept])


def may_read(decoder: Decoder, payload: bytes) -> bool:
    """Whether there may be something to read in a logs or trace request. Cheap. Events of the instrumentation have
    features, but none of the attributes that answer."""
    return decoder.contains_any(payload, MARKS) and decoder.contains_any(payload, _ANSWERS)


def read(record: Record) -> Call | None:
    """The prediction that a record holds with its features, be they left out; None where there are none, or no
    prediction."""
    columns = features_of(record)
    if not (columns or isinstance(columns, CutColumns)) or record.event in (EVENT, LOADED):
        return None
    own = {**record.resource, **_members(record)}
    if LABEL in (record.event, record.body, *(own.get(name) for name in NAMED_BY)):
        return None
    found = attribute_rows("", own, record.time)
    if found is None:
        return None
    return Call(
        NAME,
        "both",
        model=found.model,
        version=found.version,
        time=found.time,
        rows=max(1, len(found.answers) + found.left_out),
        classes=Counter(name for answer in found.answers for name in _classes(answer)),
        values=[answer.value for answer in found.answers if math.isfinite(answer.value)],
        scores=[answer.score for answer in found.answers if math.isfinite(answer.score)],
        table=lambda: columns,
    )


def features_of(record: Record) -> Columns:
    """The features that a record has, whatever it is: column -> its values by row. An array of scalars is one row, with
    the columns `f0`, `f1`, …"""
    own = _members(record)
    flat = {name.removeprefix(PREFIX): value for name, value in own.items() if name.startswith(PREFIX)}
    given = own.get(FEATURES)
    unread = False
    if isinstance(given, str) and json_features.is_json(given):
        given = json_features.read(given)
        unread = given is None
    if isinstance(given, list) and given:
        if not flat:
            return of_rows(given if isinstance(given[0], list | dict) else [given])
        unread = True
    columns = of_columns({name: _column(value) for name, value in {**members(given), **flat}.items()})
    return _without_one_more(columns) if unread else columns


def _without_one_more(columns: Columns) -> CutColumns:
    """Where `features` cannot be read, or not beside others: it counts as a column that was left out."""
    left, names = (columns.left_out, columns.names_left_out) if isinstance(columns, CutColumns) else (0, ())
    return CutColumns(columns, left + 1, [FEATURES, *names])


def _members(record: Record) -> dict[str, Value]:
    return {**members(record.body), **record.attributes}


def _column(value: Value) -> Value:
    return value if isinstance(value, list) else [value]


def _classes(answer: Answer) -> tuple[str, ...]:
    if answer.classes is not None:
        return answer.classes
    # The text of an object names no class, as the object itself does not.
    return () if answer.name is None or json_features.is_json(answer.name) else (answer.name,)
