"""Labels as a body of JSON, lines of JSON, or CSV, to an OTLP logs request.

A record that is no label is refused alone, by its line or number; the rest is accepted.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import replace

from sidecar.decode.api import Check, Transcoded
from sidecar.decode.otlp.limits import MAX_ERRORS, MAX_EXPANDED_BYTES
from sidecar.decode.otlp.records import check_logs
from sidecar.decode.otlp.wire import put_bytes
from sidecar.decode.predictions.label_record import log_record
from sidecar.decode.predictions.label_rows import Row, csv_rows, documents, json_lines
from sidecar.errors import TooLarge

MAX_RECORDS = 100_000
"""Of one request."""

Transcode = Callable[[bytes, int, bytes], Transcoded]


def from_csv(body: bytes, observed: int, anonymous: bytes = b"") -> Transcoded:
    """CSV (RFC 4180) with a header. Raises DecodeError for a header that will not do. `observed` and `anonymous` as in
    `Decoder.json_lines`."""
    return _request(csv_rows(io.BytesIO(body).readline), observed, anonymous)


def from_json(body: bytes, observed: int, anonymous: bytes = b"") -> Transcoded:
    """One JSON object, several, or an array of them. Raises DecodeError for what is no JSON."""
    return _request(documents(io.BytesIO(body).read), observed, anonymous)


def from_lines(body: bytes, observed: int, anonymous: bytes = b"") -> Transcoded:
    """One JSON object a line."""
    return _request(json_lines(io.BytesIO(body).readline), observed, anonymous)


def _request(rows: Iterable[Row], observed: int, anonymous: bytes) -> Transcoded:
    records: list[bytes] = []
    errors: list[str] = []
    rejected, timed = 0, True
    for number, row in enumerate(rows):
        if number == MAX_RECORDS:
            raise TooLarge(f"more than {MAX_RECORDS} labels in one request; send them in several")
        if row.label is not None:
            records.append(put_bytes(2, log_record(row.label, observed)))
            timed = timed and row.label.time > 0
            continue
        rejected += 1
        if len(errors) < MAX_ERRORS:
            errors.append(f"{row.place}: {row.refusal}")
    if not records:
        return Transcoded(b"", Check(0, rejected=rejected, errors=tuple(errors)))
    resource = put_bytes(1, anonymous) if anonymous else b""
    payload = put_bytes(1, resource + put_bytes(2, b"".join(records)))
    check = Check(len(records), rejected=rejected, errors=tuple(errors), timed=timed)
    if len(payload) + len(records) * len(resource) <= MAX_EXPANDED_BYTES:
        return Transcoded(payload, check)
    # The rules of every later reader decide which records are too many.
    later = check_logs(payload)
    errors += later.errors[: MAX_ERRORS - len(errors)]
    return Transcoded(
        payload, replace(check, items=later.items, rejected=rejected + later.rejected, errors=tuple(errors))
    )
