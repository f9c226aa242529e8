"""`_bulk` line pairs to Logstash events: the same documents, with what Logstash needs to put them where they belong.

An event is the document with two changes:

- `@metadata` has the document's `_id` and `_index`, the `action`, and the three fields that pipelines written for beats
  ask for. Logstash keeps it beside the event and does not deliver it.
- `@timestamp` is ISO 8601 with nanoseconds. Logstash's `Event` takes nothing else there: it would tag the document
  `_timestampparsefailure` and give it the present time. (Version 8 keeps nanoseconds, 7 cuts them to milliseconds.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import sidecar
from sidecar.decode.api import U32
from sidecar.decode.protocols.lumberjack import data_frame

BEGIN = b'{"@metadata":{'
"""Behind it come the members of the document's address."""
MIDDLE = (
    f',"action":"create","beat":"model-sidecar","type":"_doc","version":"{sidecar.__version__}"}},"@timestamp":"'
).encode()
"""Behind it come the time and the rest of the document."""

# The time is in milliseconds, of which the latest (`limits.MAX_TIME_NS`) has 13 digits, and the digits below them.
_PAIR = re.compile(rb'\{"create":\{([^\n]*)\}\}\n\{"@timestamp":"(\d{1,13})\.(\d{6})("[^\n]*)\n')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def data_frames(body: bytes, ends: U32) -> bytes:
    """The events as lumberjack data frames (version 2), numbered from 1. Raises ValueError for what is no line pair."""
    return b"".join(data_frame(number, event) for number, event in enumerate(_events(body, ends), 1))


def event_array(body: bytes, ends: U32) -> bytes:
    """The events as one JSON array, as Logstash's http input takes them. Raises as `data_frames` does."""
    return b"[" + b",".join(_events(body, ends)) + b"]"


def _events(body: bytes, ends: U32) -> Iterator[bytes]:
    begin = 0
    for index, end in enumerate(ends.tolist()):
        match = _PAIR.fullmatch(body[begin:end])
        if match is None or end > len(body):
            raise ValueError(f"document {index} is not a line pair")
        action, milliseconds, below, rest = match.groups()
        second, millisecond = divmod(int(milliseconds), 1000)
        yield b"%b%b%b%b%03d%bZ%b" % (BEGIN, action, MIDDLE, _iso(second), millisecond, below, rest)
        begin = end


def _iso(second: int) -> bytes:
    """Unix seconds as ISO 8601, up to the point before the fraction."""
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.").encode()
