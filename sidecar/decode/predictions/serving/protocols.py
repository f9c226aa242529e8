"""The serving protocols that are understood. A new one is a file, a test and a line in `PROTOCOLS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sidecar.decode.api import Decoder
from sidecar.decode.otlp.tags import LOG_EVENT_NAME, STRING, VALUE
from sidecar.decode.otlp.wire import put_bytes
from sidecar.decode.predictions.attribute_names import EVENT, FRAMEWORK, LOADED
from sidecar.decode.predictions.serving import bento, kserve, mlflow, open_inference, tensorflow, torchserve
from sidecar.decode.predictions.serving.bento_schemas import Schemas, key_mark
from sidecar.decode.predictions.serving.call import Call
from sidecar.decode.predictions.serving.exchange import Record, opened


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol."""

    name: str
    keys: tuple[str, ...]
    """Members of which one stands in every record that the protocol can read."""
    read: Callable[..., Call | None]
    """(exchange, schemas) -> the call, None where the record is none of this protocol. Never raises."""


PROTOCOLS: tuple[Protocol, ...] = (
    Protocol(bento.NAME, bento.KEYS, bento.read),
    Protocol(open_inference.NAME, open_inference.KEYS, open_inference.read),
    Protocol(mlflow.NAME, mlflow.KEYS, mlflow.read),
    Protocol(tensorflow.NAME, tensorflow.KEYS, tensorflow.read),
    Protocol(torchserve.NAME, torchserve.KEYS, torchserve.read),
    Protocol(kserve.NAME, kserve.KEYS, kserve.read),
)
"""The first that knows a record counts."""

KEYS = tuple(dict.fromkeys(key for protocol in PROTOCOLS for key in protocol.keys))


GATE = (*(name.encode() + bytes((VALUE,)) for name in KEYS), kserve.MARK)
"""Ends of keys and a part of event names. A logs request in which none of these stands has no payload of these
protocols, but perhaps lines of a monitor whose schema is known (`Schemas.marks`)."""
MARKS = (
    *map(key_mark, KEYS),
    *(put_bytes(LOG_EVENT_NAME >> 3, name.encode()) for name in kserve.EVENTS),
    *(put_bytes(STRING >> 3, name.encode()) for name in kserve.EVENTS),
)
"""One of these stands in each record with such a payload. The events by LogRecord.event_name, and as the text of an
attribute."""


def contains_any(decoder: Decoder, payload: bytes, texts: tuple[bytes, ...], schemas: Schemas) -> bool:
    """Whether one of a few texts that never change, or a mark of a schema, stands in a payload."""
    return decoder.contains_any(payload, texts) or schemas.marked(payload)


def read(record: Record, schemas: Schemas) -> Call | None:
    """What a record says by the first protocol that knows it. A schema in it goes into `schemas`."""
    if record.event in (EVENT, LOADED) or FRAMEWORK in record.attributes:
        return None
    exchange = kserve.opened(record) or opened(record)
    bento.learn(record, exchange.own, schemas)
    return next((found for one in PROTOCOLS if (found := one.read(exchange, schemas)) is not None), None)
