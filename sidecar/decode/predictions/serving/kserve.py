"""CloudEvents of KServe's inference logger (kserve 0.21, `pkg/logger/worker.go`): one with the request's body and one
with the response's, of equal `id`. What the bodies are is for the other protocols to say.

The receiver `cloudevents` makes log records of them whose event name is the event's type; a structured event that came
as a JSON log line has `type`, `id` and `data` as its attributes.
"""

from __future__ import annotations

from sidecar.decode.otlp.message import Value
from sidecar.decode.predictions.failures import all_errors, is_empty, is_error
from sidecar.decode.predictions.serving.bento_schemas import Schemas
from sidecar.decode.predictions.serving.call import Answers, Asked, Call
from sidecar.decode.predictions.serving.exchange import Exchange, Members, Record, call, first, members

NAME = "kserve"
KEYS = ()
REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"
EVENTS = (REQUEST, RESPONSE)
MARK = b"org.kubeflow.serving.inference.re"
"""In both."""
SERVICE = "inferenceservicename"

ERROR = "error.type"
"""An attribute of events whose data is no answer but a page for a browser, or an error in words (`text_error`)."""
DATA_BYTES = "cloudevents.data_bytes"
"""Size of data that is left out."""
DATA = "data"
"""Member of the body in which the event's data is."""
EVENT_ID, EVENT_SOURCE, EVENT_TYPE = "cloudevents.event_id", "cloudevents.event_source", "cloudevents.event_type"
"""Attributes by OpenTelemetry's semantic conventions."""


def opened(record: Record) -> Exchange | None:
    """The event of the logger that this record is; None where it is none."""
    own = record.attributes
    if record.event in EVENTS:
        return _exchange(record, record.event, own, (EVENT_ID, EVENT_SOURCE), members(record.body).get(DATA))
    if own.get("type") in EVENTS and "specversion" in own:
        return _exchange(record, str(own["type"]), own, ("id", "source"), own.get(DATA))
    return None


def _exchange(record: Record, kind: str, own: Members, names: tuple[str, str], data: Value) -> Exchange:
    about = {key: value for key, value in own.items() if key != DATA}
    event_id = first(own, names[:1])
    return Exchange(
        about,
        data if kind == REQUEST else None,
        data if kind == RESPONSE else None,
        record,
        apart=kind == RESPONSE,
        model=first(own, (SERVICE,)),
        id=event_id,
        exchange=f"{first(own, (SERVICE,))}\n{first(own, names[1:])}\n{event_id}" if event_id else "",
    )


def _failed(exchange: Exchange) -> bool:
    """Whether a response is an error, or is empty although nothing of it was left out."""
    own, answered = exchange.own, exchange.answered
    failed = bool(own.get(ERROR)) or is_error(answered) or all_errors(members(answered).get("predictions"))
    return failed or (is_empty(answered) and not own.get(DATA_BYTES))


def read(exchange: Exchange, schemas: Schemas) -> Call | None:
    """An event whose data no other protocol knows: a call, and no more. Asked last."""
    del schemas
    if not exchange.exchange:
        return None
    if exchange.apart:
        return call(NAME, exchange, None, Answers(0), failed=_failed(exchange))
    return call(NAME, exchange, Asked(0), None)
