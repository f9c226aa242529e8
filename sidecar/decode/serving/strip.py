"""Feature values taken out of payloads of serving protocols, on the wire of a logs request, before it is delivered.

Of a record's attributes and structured body, at any depth, these are left out:

- `inputs`, `instances`, `dataframe_split` and `dataframe_records` that are arrays or maps (a number so named stays);
- `features` that is an array or map and stands beside something that tells of a prediction;
- columns of role `feature` of BentoML's monitors, by the record's own schema or the one that was told of before; of a
  record of a monitor (its scope or its file says so) whose schema is not known, every column;
- the data of a request of KServe's logger, whatever it is, where the event came as a JSON log line. (Where it came as
  an event, key rules of `deliver.shape_options` do that.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sidecar.decode.prediction_names import ALIASES
from sidecar.decode.serving import bento, kserve
from sidecar.decode.serving.exchange import Members, Record, opened
from sidecar.decode.serving.records import read_record
from sidecar.decode.serving.schemas import Schemas
from sidecar.decode.serving.values import read_pair
from sidecar.decode.wire import fields, put_bytes, whole_fields

INPUTS = frozenset({b"inputs", b"instances", b"dataframe_split", b"dataframe_records"})
FEATURES = b"features"
_TELLING = frozenset(
    name.encode()
    for name in (
        *(name for concept in ("model", "class", "score", "value", "prediction") for name in ALIASES[concept]),
        "outputs",
    )
)
_MONITORS = (bento.FILE_MARK, b"bentoml_monitor_data")
"""A monitor's file, and the scope of its records over OTLP."""
_KEPT = ("request_id", "log.", "code.", "k8s.", "container.")
"""Beginnings of attributes of a monitor's record that are no columns."""

_STRUCTURED = "specversion"
"""Stands in each CloudEvent that came as a JSON log line."""
_WHOLE = tuple(put_bytes(1, name.encode()) for name in (*bento.KEYS, _STRUCTURED))
"""What the record is decides about its keys where one of these stands in it."""
_NAMES = (*(name.decode() for name in sorted(INPUTS)), FEATURES.decode())
_NAME_MARKS = tuple(put_bytes(1, name.encode()) for name in _NAMES)
"""Without the tag of the value behind it: nobody has to write the key first."""
NEEDLES = (*_NAME_MARKS, *_WHOLE, *_MONITORS)
"""A request in which none of these stands has nothing to leave out, but perhaps lines of a monitor whose schema is
known (`Schemas.marks`)."""

_RESOURCE, _CHILDREN, _BODY, _ATTRIBUTE = 0x0A, 0x12, 0x2A, 0x32
_KEY, _VALUE, _ARRAY, _MAP = 0x0A, 0x12, 0x2A, 0x32
_NOTHING: frozenset[bytes] = frozenset()

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
        return self._children(data, 0, len(data), _RESOURCE, self._of_resource)

    def _of_resource(self, data: bytes, a: int, b: int) -> bytes:
        about: Members = {}
        for tag, c, d in fields(data, a, b):
            if tag == _RESOURCE:
                about = dict(read_pair(data, e, f) for inner, e, f in fields(data, c, d) if inner == _RESOURCE)
        of_monitor = any(data.find(name, a, b) >= 0 for name in _MONITORS)

        def of_scope(data: bytes, c: int, d: int) -> bytes:
            def of_record(data: bytes, e: int, f: int) -> bytes:
                if not of_monitor and not any(data.find(one, e, f) >= 0 for one in NEEDLES + self.schemas.marks):
                    return data[e:f]
                return self._record(data, e, f, about, of_monitor)

            return self._children(data, c, d, _CHILDREN, of_record)

        return self._children(data, a, b, _CHILDREN, of_scope)

    @staticmethod
    def _children(data: bytes, a: int, b: int, wanted: int, rewrite: Rewrite) -> bytes:
        parts = []
        for tag, c, d, begin, end in whole_fields(data, a, b):
            parts.append(_again(data, begin, end, c, d, rewrite(data, c, d)) if tag == wanted else data[begin:end])
        return b"".join(parts)

    def _record(self, data: bytes, a: int, b: int, resource: Members, of_monitor: bool) -> bytes:
        columns = _NOTHING
        if of_monitor or any(data.find(mark, a, b) >= 0 for mark in _WHOLE + self.schemas.marks):
            columns = _columns(read_record(data, a, b, resource), self.schemas, of_monitor)
        top = [(c, d) for tag, c, d in fields(data, a, b) if tag == _ATTRIBUTE]
        beside = _keys(data, top)
        parts = []
        for tag, c, d, begin, end in whole_fields(data, a, b):
            if tag == _ATTRIBUTE:
                parts.append(_again(data, begin, end, c, d, self._pair(data, c, d, beside, columns)))
            elif tag == _BODY:
                parts.append(_again(data, begin, end, c, d, self._any(data, c, d, columns)))
            else:
                parts.append(data[begin:end])
        return b"".join(parts)

    def _pair(self, data: bytes, a: int, b: int, beside: frozenset[bytes], columns: frozenset[bytes]) -> bytes | None:
        """A KeyValue; None where it is left out. `beside`: keys of its map."""
        key, place = _key_and_value(data, a, b)
        if key in columns or (place and _is_nested(data, *place) and _is_features(key, beside)):
            self.count += 1
            return None
        parts = []
        for tag, c, d, begin, end in whole_fields(data, a, b):
            again = _again(data, begin, end, c, d, self._any(data, c, d)) if tag == _VALUE else data[begin:end]
            parts.append(again)
        return b"".join(parts)

    def _any(self, data: bytes, a: int, b: int, columns: frozenset[bytes] = _NOTHING) -> bytes:
        """An AnyValue."""
        if not columns and not any(data.find(mark, a, b) >= 0 for mark in _NAME_MARKS):
            return data[a:b]
        parts = []
        for tag, c, d, begin, end in whole_fields(data, a, b):
            if tag == _MAP:
                parts.append(_again(data, begin, end, c, d, self._map(data, c, d, columns)))
            elif tag == _ARRAY and _holds_maps(data, c, d):
                rewritten = self._children(data, c, d, _KEY, self._any)
                parts.append(_again(data, begin, end, c, d, rewritten))
            else:
                parts.append(data[begin:end])
        return b"".join(parts)

    def _map(self, data: bytes, a: int, b: int, columns: frozenset[bytes]) -> bytes:
        beside = _keys(data, ((c, d) for tag, c, d in fields(data, a, b) if tag == _KEY))
        parts = []
        for tag, c, d, begin, end in whole_fields(data, a, b):
            if tag == _KEY:
                parts.append(_again(data, begin, end, c, d, self._pair(data, c, d, beside, columns)))
            else:
                parts.append(data[begin:end])
        return b"".join(parts)


def strip(payload: bytes, schemas: Schemas) -> Stripped:
    """A logs request without feature values. Schemas that it tells of go into `schemas`. Raises DecodeError."""
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


def _is_features(key: bytes, beside: frozenset[bytes]) -> bool:
    return key in INPUTS or (key == FEATURES and not beside.isdisjoint(_TELLING))


def _keys(data: bytes, pairs: Iterable[tuple[int, int]]) -> frozenset[bytes]:
    return frozenset(_key_and_value(data, a, b)[0] for a, b in pairs)


def _key_and_value(data: bytes, a: int, b: int) -> tuple[bytes, tuple[int, int] | None]:
    """A KeyValue's key and the place of its value; the last of either counts."""
    key, place = b"", None
    for tag, c, d in fields(data, a, b):
        if tag == _KEY:
            key = data[c:d]
        elif tag == _VALUE:
            place = c, d
    return key, place


def _is_nested(data: bytes, a: int, b: int) -> bool:
    return any(tag in (_ARRAY, _MAP) for tag, _, _ in fields(data, a, b))


def _holds_maps(data: bytes, a: int, b: int) -> bool:
    """Whether there is an array or a map in an array; most hold numbers."""
    return any(_is_nested(data, c, d) for tag, c, d in fields(data, a, b) if tag == _KEY)


def _again(data: bytes, begin: int, end: int, a: int, b: int, content: bytes | None) -> bytes:
    """The field `data[begin:end]` of the content `data[a:b]` with another content; nothing where there is none."""
    if content is None:
        return b""
    if len(content) == b - a and content == data[a:b]:
        return data[begin:end]
    return put_bytes(next(fields(data, begin, end))[0] >> 3, content)
