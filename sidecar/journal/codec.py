"""A payload as it is stored: compressed, and checked when it is read back."""

from __future__ import annotations

import struct

import zstandard

from sidecar.journal.rows import SIGNALS, StoredRow
from sidecar.pipeline import Entry

RAW, ZSTD = 0, 1
_LEVEL = -1
_SMALL = 128


class CorruptRow(Exception):
    """A stored row that is not what was written. Never leaves the journal."""


class Compressor:
    """Compresses payloads. For one thread."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)

    def compress(self, payload: bytes) -> tuple[int, bytes]:
        """(codec, bytes). Small payloads and those that do not shrink are stored as they are."""
        if len(payload) >= _SMALL:
            compressed = self._compressor.compress(payload)
            if len(compressed) < len(payload):
                return ZSTD, compressed
        return RAW, payload


class Decompressor:
    """Checks and decompresses rows. For one thread."""

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor()

    def entry(self, row: StoredRow) -> Entry:
        """The entry of a row; `CorruptRow` if anything about it is not as it was written."""
        try:
            if row.checksum() != row.crc:
                raise CorruptRow(f"entry {row.seq}: checksum does not match")
            payload = row.blob
            if row.codec == ZSTD:
                payload = self._decompressor.decompress(row.blob, max_output_size=row.size)
            if len(payload) != row.size:
                raise CorruptRow(f"entry {row.seq}: {len(payload)} bytes, must be {row.size}")
            return Entry(row.seq, row.time_ns, SIGNALS[row.signal], row.items, row.events, payload)
        except (zstandard.ZstdError, struct.error, TypeError, IndexError) as error:
            raise CorruptRow(f"entry {row.seq}: {error}") from error
