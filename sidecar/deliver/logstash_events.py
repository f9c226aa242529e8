"""`_bulk` line pairs to Logstash events: the same documents, with what Logstash needs to put them where they belong.

An event is the document with two changes:

- `@metadata` has the document's `_id` and `_index`, the `action`, and the three fields that pipelines written for beats
  ask for. Logstash keeps it beside the event and does not deliver it.
- `@timestamp` is ISO 8601 with nanoseconds. Logstash's `Event` takes nothing else there: it would tag the document
  `_timestampparsefailure` and give it the present time. (Version 8 keeps nanoseconds, 7 cuts them to milliseconds.)

Every document passes through here in Python, so the loop works on slices of the whole body: 0.7 µs a document.
"""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime, timedelta

import sidecar
from sidecar.deliver.bulk import Documents

_BEGIN = b'{"@metadata":{'
_MIDDLE = (
    f',"action":"create","beat":"model-sidecar","type":"_doc","version":"{sidecar.__version__}"}},"@timestamp":"'
).encode()
_HEADER = struct.Struct(">2sII")
_HEADER_AND_BEGIN = struct.Struct(f">2sII{len(_BEGIN)}s")
_KIND = b"2J"

# A line pair is `{"create":{ACTION}}` newline `{"@timestamp":"SECONDSmmm.ffffffREST` newline.
_ACTION_AT = len(b'{"create":{')
_TIME_AT = len(b'\n{"@timestamp":"')
_ACTION_ENDS = _TIME_AT + len(b"}}")
"""From the end of the action's members to the time."""
_DOT = ord(".")
_TIME_BYTES = len("1700000000123.456789")
_LEFT_OUT = _ACTION_AT + _ACTION_ENDS + _TIME_BYTES + len(b"\n")
_PUT_IN = len(_BEGIN) + len(_MIDDLE) + len("2023-11-14T22:13:20.123456789Z")
_PAIR = re.compile(rb'\{"create":\{([^\n]*)\}\}\n\{"@timestamp":"(\d+)\.(\d{6})("[^\n]*)\n')

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def data_frames(documents: Documents) -> bytes:
    """The events as lumberjack data frames (version 2), numbered from 1."""
    return b"".join(_pieces(documents, framed=True))


def json_array(documents: Documents) -> bytes:
    """The events as one JSON array, as Logstash's http input takes them with the codec `json`."""
    return b"[" + b"".join(_pieces(documents, framed=False))[1:] + b"]"


def _pieces(documents: Documents, framed: bool) -> list[bytes | memoryview]:
    """What makes up the events, each behind its frame header, or behind a comma."""
    body = bytes(documents.body)
    view = memoryview(body)
    pieces: list[bytes | memoryview] = []
    seconds: dict[bytes, bytes] = {}
    known, pack, find = seconds.get, _HEADER_AND_BEGIN.pack, body.find
    lead, begin = b"," + _BEGIN, 0
    for number, end in enumerate(documents.ends.tolist(), 1):
        at = find(b"\n", begin) + _TIME_AT
        if body[at + 13] == _DOT:  # Any time from 2001 on. It has 13 digits at most: see MAX_TIME_NS.
            second = body[at : at + 10]
            pieces += (
                pack(_KIND, number, end - begin - _LEFT_OUT + _PUT_IN, _BEGIN) if framed else lead,
                body[begin + _ACTION_AT : at - _ACTION_ENDS],
                known(second) or seconds.setdefault(second, _MIDDLE + _iso(int(second))),
                body[at + 10 : at + 13],
                body[at + 14 : at + 20],
                b"Z",
                view[at + 20 : end - 1],
            )
        else:
            event = _event(body[begin:end])
            pieces += (_HEADER.pack(_KIND, number, len(event)) if framed else b",", event)
        begin = end
    return pieces


def _event(pair: bytes) -> bytes:
    """One event, whatever its time."""
    match = _PAIR.fullmatch(pair)
    if match is None:
        raise ValueError(f"not a line pair of the decoder: {pair[:200]!r}")
    action, millis, below, rest = match.groups()
    second, millisecond = divmod(int(millis), 1000)
    return b"%b%b%b%b%03d%bZ%b" % (_BEGIN, action, _MIDDLE, _iso(second), millisecond, below, rest)


def _iso(second: int) -> bytes:
    """Unix seconds as ISO 8601, up to the point before the fraction."""
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.").encode()
