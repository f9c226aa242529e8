"""Encodings of request bodies: how each becomes OTLP protobuf, what that costs, and when an equal body is a resend.

A receiver that takes a body in another encoding makes an `Encoding` of its own; those that several take are here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sidecar.decode.api import Check, Decoder, Transcoded
from sidecar.decode.logs.byte_order import is_utf16
from sidecar.decode.logs.json_bodies import as_lines
from sidecar.decode.otlp import json as otlp_json
from sidecar.decode.otlp import metrics
from sidecar.errors import DecodeError
from sidecar.pipeline import Signal

PYTHON_INLINE_BYTES = 64 << 10
"""Larger bodies whose decoder is written in Python are checked in a thread, so that the event loop stays responsive
(about a millisecond of work)."""
NATIVE_INLINE_BYTES = 2 << 20
"""The same for the native core (about a millisecond of work too)."""

Anonymous = Callable[[], bytes]
"""Gives the content of the Resource of records that name none."""
Transcode = Callable[[Decoder, Signal, bytes, int, Anonymous], Transcoded]
"""(decoder, signal, body, Unix ns, `Anonymous`) -> OTLP protobuf and its check. Raises DecodeError or TooLarge."""
Dedupe = Literal["never", "unacknowledged", "always"]
"""When an equal body is a resend. `never`: its client gets no replies, and so sends nothing again. `unacknowledged`:
where an earlier one's acknowledgement may not have arrived. `always`: its records say by their ids what they are."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """One encoding of request bodies."""

    name: str
    """Part of the digests that the journal stores: one that is changed makes resends over that change new payloads."""
    transcode: Transcode
    dedupe: Dedupe = "unacknowledged"
    """For logs. Spans have ids of their own and a series has one point at a time: they are always recognised."""
    heavy: bool = True
    """The decoder is written in Python, whatever the core."""

    def inline_bytes(self, signal: Signal, decoder: Decoder) -> int:
        """The largest body that is checked in the event loop."""
        native = decoder.name == "native" and signal != "metrics" and not self.heavy
        return NATIVE_INLINE_BYTES if native else PYTHON_INLINE_BYTES

    def recognised(self, signal: Signal) -> bool:
        """Whether equal bodies are always one."""
        return signal != "logs" or self.dedupe == "always"


def check(decoder: Decoder, signal: Signal, body: bytes) -> Check:
    """The check of an OTLP protobuf request. Raises DecodeError."""
    if signal == "spans":
        return decoder.check_spans(body)
    if signal == "logs":
        return decoder.check_logs(body)
    return metrics.check_metrics(body)


def _protobuf(decoder: Decoder, signal: Signal, body: bytes, now: int, anonymous: Anonymous) -> Transcoded:
    return Transcoded(body, check(decoder, signal, body))


def _otlp_json(decoder: Decoder, signal: Signal, body: bytes, now: int, anonymous: Anonymous) -> Transcoded:
    return otlp_json.TRANSCODERS[signal](body, now)


def _lines(decoder: Decoder, signal: Signal, body: bytes, now: int, anonymous: Anonymous) -> Transcoded:
    return decoder.json_lines(body, now, anonymous())


def _utf8_lines(decoder: Decoder, signal: Signal, body: bytes, now: int, anonymous: Anonymous) -> Transcoded:
    _refuse_utf16(body)
    return decoder.json_lines(body, now, anonymous())


def _documents(decoder: Decoder, signal: Signal, body: bytes, now: int, anonymous: Anonymous) -> Transcoded:
    _refuse_utf16(body)
    return decoder.json_lines(as_lines(body), now, anonymous())


def _refuse_utf16(body: bytes) -> None:
    if is_utf16(body):
        raise DecodeError("invalid encoding: UTF-16; expected UTF-8", 0)


PROTOBUF = Encoding("protobuf", _protobuf, heavy=False)
OTLP_JSON = Encoding("otlp_json", _otlp_json)
NDJSON = Encoding("ndjson", _utf8_lines, heavy=False)
"""JSON records, one a line."""
JSON = Encoding("json", _documents)
"""JSON records: an array, or one object."""
LINES = Encoding("lines", _lines, dedupe="never", heavy=False)
"""As NDJSON, from a client that gets no replies: a line in another encoding is stored as text."""
