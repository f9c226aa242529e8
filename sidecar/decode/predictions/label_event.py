"""The labels in a logs request, however they came: over `POST /v1/labels`, as OTLP log events, as JSON log lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sidecar.decode.documents.text import label as as_label
from sidecar.decode.otlp import records
from sidecar.decode.otlp.message import Value, read
from sidecar.decode.otlp.positions import accepted_records
from sidecar.decode.predictions.label_names import ALIASES, EVENT, MARK, NAMED_BY
from sidecar.decode.predictions.label_record import InvalidLabel, Label, find, read_label

NAMES: dict[Any, tuple[str, ...]] = {**ALIASES, "trace_id": (), "span_id": ()}
"""Attributes of a log record. The ids of the trace are the log record's."""


@dataclass(frozen=True, slots=True)
class LabelEvent:
    """A log record that says that it is a label."""

    model: str
    version: str
    label: Label | None
    """None where it has no id of a prediction, no truth, or either is not what it should be."""


def label_events(payload: bytes, accepted: int) -> Iterator[LabelEvent]:
    """The labels in a logs request of which `accepted` records were accepted. Raises DecodeError."""
    for _, record in _found(payload, accepted):
        yield _event(record)


def label_indices(payload: bytes, accepted: int) -> list[int]:
    """Which of the accepted records (from 0, `accepted` in all) of a logs request are labels. Raises DecodeError."""
    return [index for index, _ in _found(payload, accepted)]


def _found(payload: bytes, accepted: int) -> Iterator[tuple[int, records.LogRecord]]:
    scopes = accepted_records(payload, accepted, records.log_records)
    for index, (a, b) in enumerate(place for scope in scopes for place in scope.records):
        if payload.find(MARK[0], a, b) < 0:  # Most records of a mixed payload are none: not worth reading.
            continue
        record, _ = records.build_log_record(read(payload, a, b, "LogRecord"), "")
        if _is_label(record):
            yield index, record


def _is_label(record: records.LogRecord) -> bool:
    return is_label(record.event_name, record.body, record.attributes.values)


def is_label(event: str, body: Value, attributes: Mapping[str, Value]) -> bool:
    """Whether a log record says that it is a label."""
    return EVENT in (event, body, *(attributes.get(name) for name in NAMED_BY))


def _event(record: records.LogRecord) -> LabelEvent:
    attributes = record.attributes.values
    model, version = (_text(find(attributes, ALIASES[concept])[1]) for concept in ("model", "version"))
    try:
        label = read_label(attributes, written=False, names=NAMES)
    except InvalidLabel:
        return LabelEvent(model, version, None)
    found = replace(label, time=label.time or record.time, trace_id=record.trace_id, span_id=record.span_id)
    return LabelEvent(model, version, found)


def _text(value: Value) -> str:
    return as_label(value)
