"""Entries into the embedded store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import structlog
from isal import isal_zlib

from sidecar.decode.api import LogBatch, SpanBatch
from sidecar.deliver.common.directory import check_directory
from sidecar.deliver.sink import Finding, ItemResult, PreparedBatch, Retry, SendResult, SinkContext
from sidecar.deliver.store.block_summary import Summary, summarise
from sidecar.deliver.store.log_reader import StoredLogs
from sidecar.deliver.store.options import StoreOptions
from sidecar.deliver.store.span_store import Block, Store, StoreUnavailable
from sidecar.deliver.store.trace_key import keys_of
from sidecar.deliver.store.trace_reader import StoredTraces
from sidecar.errors import DecodeError
from sidecar.pipeline import Counts, Entry, Signal

TARGET_BATCH_BYTES = 4 << 20
"""Payload bytes of one transaction, about."""
_ID_BYTES = 16

Content: TypeAlias = tuple[bytes, Summary | None]
"""Keys of the traces in a payload, 8 bytes each, and its summary where it has spans."""
_UNKNOWN: Content = (b"", None)

log = structlog.get_logger("deliver.store")
Batch = tuple[tuple[Block, int], ...]
"""Blocks of one transaction, each with its number of span events."""


class StoreSink:
    """Compresses payloads, finds the traces in them, and has the store keep them."""

    signals: frozenset[Signal] = frozenset(("spans", "logs"))

    def __init__(self, name: str, store: Store, context: SinkContext) -> None:
        self.name = name
        self.store = store
        self.traces = StoredTraces(store, context.decoder)
        self.logs = StoredLogs(store, context.decoder)
        self._decoder, self._journal_id = context.decoder, context.journal_id

    @property
    def target_batch_bytes(self) -> int:
        return TARGET_BATCH_BYTES

    def prepare(self, entries: Sequence[Entry]) -> PreparedBatch[Batch]:
        contents = self._contents(entries)
        batch = tuple((self._block(e, contents.get(e.seq, _UNKNOWN)), e.events) for e in entries if e.items)
        expected = {e.seq: e.items + e.events if e.items else 0 for e in entries}
        return PreparedBatch([batch] if batch else [], expected)

    @staticmethod
    def _block(entry: Entry, content: Content) -> Block:
        packed = isal_zlib.compress(entry.payload, 1)
        return Block(entry.seq, entry.signal, entry.time_ns, entry.items, packed, *content)

    def send(self, batch: Batch) -> SendResult[Batch]:
        try:
            there = self.store.add(self._journal_id, [block for block, _ in batch])
        except StoreUnavailable as error:
            return SendResult(retry=Retry([batch], "store_unavailable", error.reason, level="error"))
        return SendResult([ItemResult(b.seq, _counts(b, events, b.seq in there)) for b, events in batch])

    def status(self) -> Mapping[str, Any]:
        return {"bytes": self.store.size, "spans": self.store.spans}

    def close(self) -> None:
        self.store.close()

    def _contents(self, entries: Sequence[Entry]) -> dict[int, Content]:
        """Sequence number -> what can be found in the payload."""
        found: dict[int, Content] = {}
        for signal in sorted(self.signals):
            own = [e for e in entries if e.signal == signal]
            batch = self._decoded(signal, own)
            if batch is None or len(batch) != sum(e.items for e in own):
                # One of them cannot be decoded, or not whole: each by itself. It is kept all the same.
                parts = [(e, one) for e in own if (one := self._decoded(signal, [e])) is not None]
                found.update({e.seq: self._content(e, one, 0, len(one)) for e, one in parts})
                continue
            begin = 0
            for entry in own:
                found[entry.seq] = self._content(entry, batch, begin, begin + entry.items)
                begin += entry.items
        return found

    def _content(self, entry: Entry, batch: SpanBatch | LogBatch, begin: int, end: int) -> Content:
        keys = keys_of(batch.trace_ids[begin * _ID_BYTES : end * _ID_BYTES])
        if not isinstance(batch, SpanBatch) or begin == end:
            return keys, None
        terms = self._decoder.span_terms(entry.payload)
        return keys, summarise(batch, begin, end, terms, len(entry.payload))

    def _decoded(self, signal: Signal, entries: Sequence[Entry]) -> SpanBatch | LogBatch | None:
        payloads = [e.payload for e in entries]
        try:
            return self._decoder.spans(payloads, ()) if signal == "spans" else self._decoder.logs(payloads, ())
        except DecodeError as error:
            if len(entries) == 1:
                log.error("store_entry_not_decodable", seq=entries[0].seq, error=str(error))
            return None


def _counts(block: Block, events: int, there: bool) -> Counts:
    outcome = "already_there" if there else "delivered"
    counts: dict[tuple[str, str, str], int] = {(block.signal, outcome, ""): block.items}
    if events:
        counts["span_events", outcome, ""] = events
    return counts


def build(name: str, options: StoreOptions, context: SinkContext) -> StoreSink:
    """The sink with its file, which is opened. Raises `StoreUnavailable`."""
    store = Store(options, options.directory or context.directory, context.clock)
    store.watch(context.telemetry)
    return StoreSink(name, store, context)


def trace_store(sink: StoreSink) -> StoredTraces:
    """Where its traces are looked up."""
    return sink.traces


def log_store(sink: StoreSink) -> StoredLogs:
    """Where its log records are read."""
    return sink.logs


def health_check(options: StoreOptions) -> Finding:
    """Whether the directory can be written and has room. Next to the journal it is looked at as the journal's."""
    if options.directory is None:
        return Finding("ok", "next to the journal")
    return check_directory(options.directory, options.max_bytes, "SIDECAR_DELIVER__STORE__DIRECTORY", "store.db*")
