"""Rows of calls in payloads of serving protocols, with the id by which a label may name them.

A `Call` has its classes counted: which row has which is known only where all have the same one. BentoML's monitors are
left out: their lines can be read only beside a schema that came earlier.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from sidecar.decode.api import Decoder
from sidecar.decode.predictions.label_record import MAX_ID_CHARS
from sidecar.decode.predictions.prediction_rows import (
    MAX_ROWS,
    Answer,
    PredictedRows,
    PredictionRowReader,
    class_text,
    id_text,
)
from sidecar.decode.predictions.serving import candidates, protocols
from sidecar.decode.predictions.serving.bento_schemas import Schemas
from sidecar.decode.predictions.serving.call import Call
from sidecar.decode.predictions.serving.exchange import RESPONSE, Record, members


def read_calls(
    decoder: Decoder, payload: bytes, accepted: int, attributes: PredictionRowReader
) -> Iterator[PredictedRows]:
    """The calls with an id in a logs request of which `accepted` records were accepted. Records of which `attributes`
    reads a prediction are left to it. Raises DecodeError."""
    schemas = Schemas()
    for record in candidates.records(payload, lambda: protocols.MARKS, accepted):
        if attributes.reads(record.attributes):
            continue
        call = protocols.read(record, schemas)
        if call is None or call.failed or call.part == "request" or call.protocol == "bento":
            continue
        id_ = attributes.id_of(record.attributes) or id_text(call.id or _response_id(record))
        if id_ and len(id_) <= MAX_ID_CHARS:
            yield _rows(call, id_)


def _response_id(record: Record) -> str:
    """The `id` of a response of Open Inference, which is that of its request."""
    places = (record.attributes, members(record.body), *(members(record.attributes.get(name)) for name in RESPONSE))
    return next((found for place in places if isinstance(found := place.get("id"), str)), "")


def _rows(call: Call, id_: str) -> PredictedRows:
    rows = call.rows or max(sum(call.classes.values()), len(call.values))
    answers: list[Answer] = []
    if len(call.classes) == 1 and sum(call.classes.values()) == rows:
        (name,) = call.classes
        scores = call.scores if len(call.scores) == rows else [math.nan] * rows
        answers = [Answer(class_text(name), score) for score in scores[:MAX_ROWS]]
    elif not call.classes and len(call.values) == rows:
        answers = [Answer(value=value) for value in call.values[:MAX_ROWS]]
    return PredictedRows(
        id_, call.model or "unknown", call.version, call.time, answers, left_out=max(0, rows - len(answers))
    )
