"""Spans that are predictions with their features in their attributes, read as log records are (`attribute_features`).

Left out are spans of the zero-code instrumentation, whose event says the same; failed ones; and those of generative
models, whose attributes are messages and settings. Span events are not read, here as for all that is derived of
predictions.
"""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.decode.api import STATUS_CODES
from sidecar.decode.otlp import records
from sidecar.decode.otlp.message import Value
from sidecar.decode.otlp.positions import Range, accepted_records
from sidecar.decode.otlp.tags import (
    RESOURCE_ATTRIBUTE,
    SPAN_ATTRIBUTE,
    SPAN_END_TIME,
    SPAN_STATUS,
    STATUS_CODE,
)
from sidecar.decode.otlp.wire import fields
from sidecar.decode.predictions import attribute_features
from sidecar.decode.predictions.attribute_names import FRAMEWORK
from sidecar.decode.predictions.serving.any_values import read_attributes
from sidecar.decode.predictions.serving.call import Call
from sidecar.decode.predictions.serving.exchange import Record

GENERATIVE = ("gen_ai.", "llm.", "openinference.", "traceloop.")
"""Beginnings of attributes of which one stands in every span of a generative model, or around one."""
_ERROR = STATUS_CODES.index("STATUS_CODE_ERROR")


def read(payload: bytes, accepted: int) -> Iterator[tuple[int, Call]]:
    """(place among the accepted spans, prediction) in a trace request of which `accepted` spans were accepted. Raises
    DecodeError."""
    under: Range | None = None
    about: dict[str, Value] | None = None
    number = -1
    for scope in accepted_records(payload, accepted, records.spans):
        if scope.resource != under:
            under, about = scope.resource, None
        for begin, end in scope.records:
            number += 1
            if not any(payload.find(mark, begin, end) >= 0 for mark in attribute_features.MARKS):
                continue
            if about is None:
                about = {} if under is None else read_attributes(payload, *under, RESOURCE_ATTRIBUTE)
            call = _call(payload, begin, end, about, number)
            if call is not None:
                yield number, call


def _call(payload: bytes, begin: int, end: int, resource: dict[str, Value], number: int) -> Call | None:
    """The prediction of a Span in `payload[begin:end]`."""
    time = status = 0
    for tag, a, b, _, _ in fields(payload, begin, end):
        if tag == SPAN_END_TIME:
            time = a
        elif tag == SPAN_STATUS:
            status = next(
                (code for inner, code, *_ in reversed(list(fields(payload, a, b))) if inner == STATUS_CODE), 0
            )
    attributes = read_attributes(payload, begin, end, SPAN_ATTRIBUTE)
    if status == _ERROR or attributes.get(FRAMEWORK) or resource.get(FRAMEWORK):
        return None
    if any(key.startswith(GENERATIVE) for key in attributes):
        return None
    return attribute_features.read(Record("", time, attributes, None, resource, number))
