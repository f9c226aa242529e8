"""Feature values taken out of a logs request before it is delivered, where no key says what they are.

Of a record's attributes and of the members of its body these are left out:

- columns of role `feature` of BentoML's monitors, by the record's own schema or the one that was seen before; of a
  record of a monitor (its scope or its file says so) whose schema is not known, every column;
- the data of a request of KServe's logger, whatever it is, where the event came as a JSON log line.

What stands under keys that always hold features, key rules of `deliver.shape_options` leave out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sidecar.decode.otlp.tags import (
    CHILDREN,
    ELEMENT,
    HEAD,
    KEY,
    LOG_ATTRIBUTE,
    LOG_BODY,
    MAP,
    RESOURCE_ATTRIBUTE,
    RESOURCES,
)
from sidecar.decode.otlp.wire import fields, messages, put_again, put_bytes
from sidecar.decode.predictions.serving import bento, kserve
from sidecar.decode.predictions.serving.any_values import read_attributes
from sidecar.decode.predictions.serving.bento_schemas import Schemas
from sidecar.decode.predictions.serving.candidates import read_record
from sidecar.decode.predictions.serving.exchange import Members, Record, opened

_MONITORS = (bento.FILE_MARK, b"bentoml_monitor_data")
"""A monitor's file, and the scope of its records over OTLP."""
_KEPT = ("request_id", "log.", "code.", "k8s.", "container.")
"""Beginnings of attributes of a monitor's record that are no columns."""

_STRUCTURED = "specversion"
"""Stands in each CloudEvent that came as a JSON log line."""
LITERALS = (*(put_bytes(1, name.encode()) for name in (*bento.KEYS, _STRUCTURED)), *_MONITORS)
"""A request in which none of these stands has nothing to leave out, but perhaps lines of a monitor whose schema is
known (`Schemas.marks`)."""

_NOTHING: frozenset[bytes] = frozenset()

Place = tuple[int, int]
Rewrite = Callable[[bytes, int, int], bytes]


@dataclass(frozen=True, slots=True)
class Stripped:
    """What is left."""

    payload: bytes
    """The very same object where nothing was left out."""
    count: int
    """Entries left out."""


@dataclass
class _Stripping:
    schemas: Schemas
    count: int = 0

    def request(self, data: bytes) -> bytes:
        return self._children(data, 0, len(data), RESOURCES, self._of_resource)

    def _of_resource(self, data: bytes, a: int, b: int) -> bytes:
        about: Members = {}
        for c, d in messages(data, a, b, HEAD):
            about = read_attributes(data, c, d, RESOURCE_ATTRIBUTE)
        of_monitor = any(data.find(name, a, b) >= 0 for name in _MONITORS)

        def of_scope(data: bytes, c: int, d: int) -> bytes:
            def of_record(data: bytes, e: int, f: int) -> bytes:
                if not of_monitor and not any(data.find(one, e, f) >= 0 for one in LITERALS + self.schemas.marks):
                    return data[e:f]
                return self._record(data, e, f, about, of_monitor)

            return self._children(data, c, d, CHILDREN, of_record)

        return self._children(data, a, b, CHILDREN, of_scope)

    @staticmethod
    def _children(data: bytes, a: int, b: int, wanted: int, rewrite: Rewrite) -> bytes:
        parts = []
        for field in fields(data, a, b):
            tag, c, d, begin, end = field
            parts.append(put_again(data, field, rewrite(data, c, d)) if tag == wanted else data[begin:end])
        return b"".join(parts)

    def _record(self, data: bytes, a: int, b: int, resource: Members, of_monitor: bool) -> bytes:
        columns = _columns(read_record(data, a, b, resource), self.schemas, of_monitor)
        if not columns:
            return data[a:b]
        parts = []
        for tag, c, d, begin, end in fields(data, a, b):
            if tag == LOG_ATTRIBUTE:
                parts.append(self._pair(data, (begin, end), (c, d), columns))
            elif tag == LOG_BODY:
                parts.append(put_again(data, (tag, c, d, begin, end), self._body(data, c, d, columns)))
            else:
                parts.append(data[begin:end])
        return b"".join(parts)

    def _pair(self, data: bytes, whole: Place, content: Place, columns: frozenset[bytes]) -> bytes:
        """A field with a KeyValue; nothing where that is left out."""
        if _key(data, *content) not in columns:
            return data[slice(*whole)]
        self.count += 1
        return b""

    def _body(self, data: bytes, a: int, b: int, columns: frozenset[bytes]) -> bytes:
        """An AnyValue, which may be a map."""
        parts = []
        for tag, c, d, begin, end in fields(data, a, b):
            if tag == MAP:
                pairs = (
                    self._pair(data, (first, last), (e, f), columns) if inner == ELEMENT else data[first:last]
                    for inner, e, f, first, last in fields(data, c, d)
                )
                parts.append(put_again(data, (tag, c, d, begin, end), b"".join(pairs)))
            else:
                parts.append(data[begin:end])
        return b"".join(parts)


def strip(payload: bytes, schemas: Schemas) -> Stripped:
    """A logs request without feature values. Schemas in it go into `schemas`. Raises DecodeError."""
    stripping = _Stripping(schemas)
    stripped = stripping.request(payload)
    return Stripped(stripped if stripping.count else payload, stripping.count)


def _columns(record: Record, schemas: Schemas, of_monitor: bool) -> frozenset[bytes]:
    """Keys of the record that hold features by what the record is. `of_monitor`: it may be one of a monitor."""
    own = opened(record).own
    bento.learn(record, own, schemas)
    schema = schemas.find(bento.source(record), own)
    if schema is not None:
        return frozenset(column.name.encode() for column in schema.columns if column.role == "feature")
    if of_monitor and not bento.schema_in(record, own):
        return frozenset(key.encode() for key in own if not key.startswith(_KEPT))
    if own.get("type") == kserve.REQUEST and _STRUCTURED in own:
        return frozenset({kserve.DATA.encode(), b"data_base64"})
    return _NOTHING


def _key(data: bytes, a: int, b: int) -> bytes:
    """A KeyValue's key; the last one counts."""
    key = b""
    for tag, c, d, _, _ in fields(data, a, b):
        if tag == KEY:
            key = data[c:d]
    return key
