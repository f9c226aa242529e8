"""Entries to documents, for sinks that deliver documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from sidecar.decode.api import Decoder, Lines
from sidecar.deliver.common.documents import Documents, collect
from sidecar.deliver.sink import ItemResult
from sidecar.errors import DecodeError
from sidecar.pipeline import Entry

log = structlog.get_logger("deliver")


@dataclass(slots=True)
class Rendered:
    """What became of some entries."""

    documents: list[Documents] = field(default_factory=list)
    expected: dict[int, int] = field(default_factory=dict)
    """Sequence number -> documents that have to be settled; every entry is named."""
    settled: list[ItemResult] = field(default_factory=list)
    """What could not be rendered, as dropped."""
    payload_bytes: int = 0
    document_bytes: int = 0


class Renderer:
    """Renders entries with a decoder."""

    def __init__(
        self, sink: str, decoder: Decoder, journal_id: str, retarget: Callable[[Lines], Lines] | None = None
    ) -> None:
        """`journal_id`: the beginning of every log record's `_id`. `retarget`: gives documents another index."""
        self._sink, self._decoder, self._journal_id, self._retarget = sink, decoder, journal_id, retarget
        self._expansion = 2.5
        """Bytes of documents for a byte of payload, as seen lately."""

    def payload_bytes(self, document_bytes: int) -> int:
        """Payload bytes that make about one request of so many bytes of documents: a little less than what would just
        fit, so that a request is seldom split with a small rest."""
        return max(1, int(0.95 * document_bytes / self._expansion))

    def render(self, entries: Sequence[Entry]) -> Rendered:
        """The documents of the entries, signal by signal. Raises nothing: what cannot be decoded is dropped, counted
        and logged."""
        rendered = Rendered()
        for signal in sorted({e.signal for e in entries}):
            self._render([e for e in entries if e.signal == signal], rendered)
        if rendered.payload_bytes:
            seen = max(0.1, rendered.document_bytes / rendered.payload_bytes)
            self._expansion += 0.3 * (seen - self._expansion)
        return rendered

    def _render(self, entries: list[Entry], into: Rendered) -> None:
        try:
            lines = self._lines(entries)
        except DecodeError as error:
            if len(entries) > 1:
                for entry in entries:
                    self._render([entry], into)
            else:
                self._drop(entries[0], error, into)
            return
        for entry, documents in zip(entries, lines.docs, strict=True):
            missing = entry.items + entry.events - documents
            into.expected[entry.seq] = documents + max(0, missing)
            if missing:
                log.error("delivery_documents_differ", sink=self._sink, seq=entry.seq, missing=missing)
            if missing > 0:
                into.settled.append(ItemResult(entry.seq, {(entry.signal, "dropped", "not_rendered"): missing}))
        into.payload_bytes += sum(len(e.payload) for e in entries)
        into.document_bytes += len(lines.body)
        if len(lines):
            into.documents.append(collect(lines, entries))

    def _lines(self, entries: list[Entry]) -> Lines:
        payloads = [e.payload for e in entries]
        if entries[0].signal == "spans":
            lines = self._decoder.span_lines(payloads)
        else:
            prefixes = [f"{self._journal_id}-{e.seq}" for e in entries]
            lines = self._decoder.log_lines(payloads, prefixes, [e.ordinals for e in entries])
        return self._retarget(lines) if self._retarget else lines

    def _drop(self, entry: Entry, error: DecodeError, into: Rendered) -> None:
        log.error("delivery_entry_not_decodable", sink=self._sink, seq=entry.seq, error=str(error))
        counts: dict[tuple[str, str, str], int] = {}
        if entry.items:
            counts[entry.signal, "dropped", "not_decodable"] = entry.items
        if entry.events:
            counts["span_events", "dropped", "not_decodable"] = entry.events
        into.expected[entry.seq] = entry.items + entry.events
        if counts:
            into.settled.append(ItemResult(entry.seq, counts))
