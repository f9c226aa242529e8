"""The pure-Python decoder: the readable specification of the native one, and what runs where that is not at hand."""

from __future__ import annotations

from collections.abc import Sequence

import xxhash

from sidecar.decode.api import U32, U64, Check, Lines, LogBatch, PredictionBatch, SpanBatch, Transcoded
from sidecar.decode.documents import logstash_events, otel
from sidecar.decode.logs import json_record
from sidecar.decode.otlp import columns, records, terms
from sidecar.decode.predictions import event
from sidecar.decode.predictions.feature_counter import CategoryCells, NumberCells
from sidecar.decode.redaction.request_redactor import ReferenceRedactor
from sidecar.decode.redaction.rules import Redactor, Rules


class ReferenceDecoder:
    """See `batch.Decoder`."""

    name = "reference"

    def check_spans(self, payload: bytes) -> Check:
        return records.check_spans(payload)

    def check_logs(self, payload: bytes) -> Check:
        return records.check_logs(payload)

    def json_lines(self, body: bytes, observed: int, anonymous: bytes = b"") -> Transcoded:
        return json_record.json_lines(body, observed, anonymous)

    def spans(
        self,
        payloads: Sequence[bytes],
        dimensions: Sequence[str],
        numbers: Sequence[str] = (),
        measures: Sequence[str] = (),
    ) -> SpanBatch:
        return columns.span_batch(payloads, columns.Wanted(dimensions, numbers, frozenset(measures)))

    def logs(
        self,
        payloads: Sequence[bytes],
        dimensions: Sequence[str],
        numbers: Sequence[str] = (),
        measures: Sequence[str] = (),
    ) -> LogBatch:
        return columns.log_batch(payloads, columns.Wanted(dimensions, numbers, frozenset(measures)))

    def predictions(self, payloads: Sequence[bytes], features: bool = False) -> PredictionBatch:
        return event.prediction_batch(payloads, features)

    def logs_and_predictions(
        self, payloads: Sequence[bytes], features: bool = False
    ) -> tuple[LogBatch, PredictionBatch]:
        return self.logs(payloads, ()), self.predictions(payloads, features)

    def span_lines(self, payloads: Sequence[bytes], traces: bytes = b"") -> Lines:
        return otel.span_lines(payloads, traces)

    def log_lines(
        self,
        payloads: Sequence[bytes],
        id_prefixes: Sequence[str],
        ordinals: Sequence[U32 | None] = (),
        traces: bytes = b"",
    ) -> Lines:
        return otel.log_lines(payloads, id_prefixes, ordinals, traces)

    def data_frames(self, body: bytes, ends: U32) -> bytes:
        return logstash_events.data_frames(body, ends)

    def event_array(self, body: bytes, ends: U32) -> bytes:
        return logstash_events.event_array(body, ends)

    def feature_counter(self, columns: Sequence[NumberCells | CategoryCells]) -> None:
        return None

    def redactor(self, rules: Rules) -> Redactor:
        return ReferenceRedactor(rules)

    def contains_any(self, payload: bytes, literals: tuple[bytes, ...], fold: bool = False) -> bool:
        if fold:
            payload, literals = payload.lower(), tuple(needle.lower() for needle in literals)
        return any(needle in payload for needle in literals)

    def span_terms(self, payload: bytes) -> U64:
        return terms.span_terms(payload)

    def digest(self, payload: bytes, seed: int) -> bytes:
        return xxhash.xxh3_128_digest(payload, seed)
