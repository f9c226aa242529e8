"""Documents or OTLP/JSON requests as lines of a file or on standard output: to look at, and for shippers that people
already run."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import structlog

from sidecar.deliver.common.documents import Documents
from sidecar.deliver.common.otlp_json import json_line
from sidecar.deliver.common.otlp_records import without_rejected
from sidecar.deliver.common.rendering import Renderer
from sidecar.deliver.file.options import FileOptions
from sidecar.deliver.file.rotation import Rotation
from sidecar.deliver.file.writer import Block, FileWriter, Locked, StreamWriter
from sidecar.deliver.sink import Finding, ItemResult, PreparedBatch, Retry, SendResult, SinkContext
from sidecar.errors import DecodeError, Permanent
from sidecar.pipeline import Entry, Signal, entry_counts, item_counts

TARGET_BATCH_BYTES = 1 << 20
"""Payload bytes of one append, about."""
_ID = b'"_id":'
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

log = structlog.get_logger("deliver.file")


class Writer(Protocol):
    """See `file_writer.FileWriter` and `file_writer.StreamWriter`."""

    @property
    def size(self) -> int: ...

    def append(self, blocks: Sequence[Block]) -> frozenset[int]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry, ready to be written."""

    block: Block
    signal: Signal
    items: int
    events: int


Batch = tuple[Piece, ...]


class FileSink:
    """Renders entries one by one, so that what is written for one is always the same, and appends them in order."""

    signals: frozenset[Signal] = FileOptions.supported_signals

    def __init__(self, name: str, options: FileOptions, context: SinkContext, writer: Writer) -> None:
        self.name = name
        self._options, self._decoder, self._writer = options, context.decoder, writer
        self._renderer = Renderer(name, context.decoder, context.journal_id)

    @property
    def target_batch_bytes(self) -> int:
        return TARGET_BATCH_BYTES

    def prepare(self, entries: Sequence[Entry]) -> PreparedBatch[Batch]:
        pieces: list[Piece] = []
        expected: dict[int, int] = {}
        settled: list[ItemResult] = []
        for entry in entries:
            expected[entry.seq] = 0
            if not entry.items:
                continue
            if entry.signal not in self._options.selected_signals:
                expected[entry.seq] = entry.items + entry.events
                settled.append(ItemResult(entry.seq, entry_counts(entry, "filtered", "format")))
            elif self._options.format == "otlp_json":
                self._request(entry, pieces, expected, settled)
            else:
                self._documents(entry, pieces, expected, settled)
        return PreparedBatch([tuple(pieces)] if pieces else [], expected, settled)

    def send(self, batch: Batch) -> SendResult[Batch]:
        try:
            there = self._writer.append([piece.block for piece in batch])
        except Locked as error:
            return SendResult(retry=Retry([batch], "locked", str(error), level="error"))
        except OSError as error:
            reason = "disk_full" if error.errno in _FULL else "unwritable"
            return SendResult(retry=Retry([batch], reason, str(error), level="error"))
        return SendResult(
            [_settle(piece, "already_there" if piece.block.seq in there else "delivered") for piece in batch]
        )

    def status(self) -> Mapping[str, Any]:
        return {"path": self._options.path, "format": self._options.format, "bytes": self._writer.size}

    def close(self) -> None:
        self._writer.close()

    def _documents(
        self, entry: Entry, pieces: list[Piece], expected: dict[int, int], settled: list[ItemResult]
    ) -> None:
        rendered = self._renderer.render([entry])
        expected |= rendered.expected
        settled += rendered.settled
        for documents in rendered.documents:
            events = int(documents.event.sum())
            lines = (
                bytes(documents.body) if self._options.format == "bulk" else _lines(documents, self._options.id_field)
            )
            pieces.append(Piece(Block(entry.seq, lines), entry.signal, len(documents) - events, events))

    def _request(self, entry: Entry, pieces: list[Piece], expected: dict[int, int], settled: list[ItemResult]) -> None:
        expected[entry.seq] = entry.items + entry.events
        try:
            lines = json_line(entry.signal, self._accepted(entry))
        except DecodeError as error:
            log.error("delivery_entry_not_decodable", sink=self.name, seq=entry.seq, error=str(error))
            settled.append(ItemResult(entry.seq, entry_counts(entry, "dropped", "not_decodable")))
            return
        pieces.append(Piece(Block(entry.seq, lines), entry.signal, entry.items, entry.events))

    def _accepted(self, entry: Entry) -> bytes:
        """The payload without the records that were rejected when they came in."""
        if entry.signal == "metrics":
            return entry.payload
        check = self._decoder.check_spans if entry.signal == "spans" else self._decoder.check_logs
        if not check(entry.payload).rejected:
            return entry.payload
        return without_rejected(entry.signal, entry.payload) or b""


def _lines(documents: Documents, id_field: str) -> bytes:
    """The sources of the documents, each with its id as the first member."""
    body, parts, begin = bytes(documents.body), list[bytes](), 0
    name = b"{" + json.dumps(id_field).encode() + b":"
    for end in documents.ends.tolist():
        # `{"create":{"_index":"...","_id":"..."}}`, of which no value needs an escape: see `decode.documents.otel`.
        source = body.index(b"\n", begin) + 1
        if id_field:
            parts += (name, body[body.index(_ID, begin) + len(_ID) : source - 3], b",", body[source + 1 : end])
        else:
            parts.append(body[source:end])
        begin = end
    return b"".join(parts)


def _settle(piece: Piece, outcome: Literal["delivered", "already_there"]) -> ItemResult:
    return ItemResult(piece.block.seq, item_counts(piece.signal, piece.items, piece.events, outcome, ""))


def build(name: str, options: FileOptions, context: SinkContext) -> FileSink:
    """The sink; no file is opened yet."""
    writer: Writer
    if options.stdout or options.path is None:
        writer = StreamWriter()
    else:
        rotation = Rotation(options.max_bytes, options.max_age, options.max_files, options.compress)
        writer = FileWriter(Path(options.path), context.journal_id, rotation, context.clock, options.fsync)
    return FileSink(name, options, context, writer)


def health_check(options: FileOptions) -> Finding:
    """Whether the file can be written. Changes nothing. Raises `Permanent` where it cannot."""
    if options.stdout or options.path is None:
        return Finding("ok", "standard output")
    path = Path(options.path).absolute()
    try:
        there = next(p for p in (path, *path.parents) if p.exists())
    except OSError as error:
        raise Permanent(f"{path}: {error.strerror}") from error
    if path.is_dir():
        raise Permanent(f"{path} is a directory")
    if there != path and not there.is_dir():
        raise Permanent(f"{there} is no directory")
    if not os.access(there, os.W_OK):
        raise Permanent(f"{there} cannot be written")
    return Finding("ok", str(path))
