"""Entries into the embedded store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog
from isal import isal_zlib

from sidecar.deliver.common.directory import check_directory
from sidecar.deliver.sink import Finding, ItemResult, PreparedBatch, Retry, SendResult, SinkContext
from sidecar.deliver.store.options import StoreOptions
from sidecar.deliver.store.span_store import Block, Store, StoreUnavailable
from sidecar.deliver.store.trace_key import keys_of
from sidecar.errors import DecodeError
from sidecar.pipeline import Counts, Entry, Signal

TARGET_BATCH_BYTES = 4 << 20
"""Payload bytes of one transaction, about."""
_ID_BYTES = 16

if TYPE_CHECKING:
    from fastapi import APIRouter

log = structlog.get_logger("deliver.store")
Batch = tuple[tuple[Block, int], ...]
"""Blocks of one transaction, each with its number of span events."""


class StoreSink:
    """Compresses payloads, finds the traces in them, and has the store keep them."""

    signals: frozenset[Signal] = frozenset(("spans", "logs"))

    def __init__(self, name: str, store: Store, context: SinkContext) -> None:
        self.name = name
        self.store = store
        self._decoder, self._journal_id = context.decoder, context.journal_id

    @property
    def target_batch_bytes(self) -> int:
        return TARGET_BATCH_BYTES

    def prepare(self, entries: Sequence[Entry]) -> PreparedBatch[Batch]:
        keys = self._keys(entries)
        batch = tuple(
            (Block(e.seq, e.signal, e.time_ns, e.items, isal_zlib.compress(e.payload, 1), keys[e.seq]), e.events)
            for e in entries
            if e.items
        )
        expected = {e.seq: e.items + e.events if e.items else 0 for e in entries}
        return PreparedBatch([batch] if batch else [], expected)

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

    def _keys(self, entries: Sequence[Entry]) -> dict[int, bytes]:
        """Sequence number -> keys of the traces in the payload."""
        keys: dict[int, bytes] = {}
        for signal in sorted(self.signals):
            own = [e for e in entries if e.signal == signal]
            ids = self._trace_ids(signal, own)
            if len(ids) != _ID_BYTES * sum(e.items for e in own):
                for entry in own:
                    keys[entry.seq] = keys_of(self._trace_ids(signal, [entry]))
                continue
            begin = 0
            for entry in own:
                end = begin + _ID_BYTES * entry.items
                keys[entry.seq] = keys_of(ids[begin:end])
                begin = end
        return keys

    def _trace_ids(self, signal: Signal, entries: Sequence[Entry]) -> bytes:
        """16 bytes for each record; nothing where the payloads cannot be decoded (they are kept all the same)."""
        if not entries:
            return b""
        payloads = [e.payload for e in entries]
        try:
            batch = self._decoder.spans(payloads, ()) if signal == "spans" else self._decoder.logs(payloads, ())
        except DecodeError as error:
            if len(entries) == 1:
                log.error("store_entry_not_decodable", seq=entries[0].seq, error=str(error))
            return b""
        return batch.trace_ids


def _counts(block: Block, events: int, there: bool) -> Counts:
    outcome = "already_there" if there else "delivered"
    counts: dict[tuple[str, str, str], int] = {(block.signal, outcome, ""): block.items}
    if events:
        counts["span_events", outcome, ""] = events
    return counts


def build(name: str, options: StoreOptions, context: SinkContext) -> StoreSink:
    """The sink with its file, which is opened. Raises `StoreUnavailable`."""
    store = Store(options, options.directory or context.directory, context.decoder, context.clock)
    store.watch(context.telemetry)
    return StoreSink(name, store, context)


def routers(sink: StoreSink) -> Sequence[APIRouter]:
    """The routes of trace look-ups."""
    from sidecar.deliver.store.http_api import traces_router

    return [traces_router(sink.store)]


def health_check(options: StoreOptions) -> Finding:
    """Whether the directory can be written and has room. Next to the journal it is looked at as the journal's."""
    if options.directory is None:
        return Finding("ok", "next to the journal")
    return check_directory(options.directory, options.max_bytes, "SIDECAR_DELIVER__STORE__DIRECTORY")
