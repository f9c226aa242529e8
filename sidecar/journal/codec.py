"""A payload as it is kept: compressed, with a checksum over it and over the figures beside it."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import zstandard

from sidecar.pipeline import Entry, Signal

SIGNALS: tuple[Signal, ...] = ("spans", "logs", "metrics")
"""A signal's code on disk is its place here."""

RAW, ZSTD = 0, 1
_LEVEL = -1
_SMALL = 128
_HEADER = struct.Struct("<qqBIIBI")
_PAGE = 8192
_ROW_OVERHEAD = 192
"""A row's columns, its share of inner pages and its digest; rounded up."""


@dataclass(frozen=True, slots=True)
class Row:
    """One entry as it is stored."""

    seq: int
    time_ns: int
    signal: int
    items: int
    events: int
    codec: int
    size: int
    """Bytes of the payload before compression."""
    crc: int
    blob: bytes

    def checksum(self) -> int:
        header = _HEADER.pack(
            self.seq, self.time_ns, self.signal, self.items, self.events, self.codec, self.size & 0xFFFFFFFF
        )
        return zlib.crc32(self.blob, zlib.crc32(header))

    def sealed(self) -> Row:
        """The same with its checksum."""
        return Row(
            self.seq,
            self.time_ns,
            self.signal,
            self.items,
            self.events,
            self.codec,
            self.size,
            self.checksum(),
            self.blob,
        )


class Damaged(Exception):
    """A stored row that is not what was written. Never leaves the journal."""


class Packer:
    """Compresses payloads. For one thread."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)

    def compress(self, payload: bytes) -> tuple[int, bytes]:
        """(codec, bytes). Small payloads and those that do not shrink are kept as they are."""
        if len(payload) >= _SMALL:
            packed = self._compressor.compress(payload)
            if len(packed) < len(payload):
                return ZSTD, packed
        return RAW, payload


class Unpacker:
    """Checks and decompresses rows. For one thread."""

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor()

    def entry(self, row: Row) -> Entry:
        """The entry of a row; `Damaged` if anything about it is not as it was written."""
        try:
            if row.checksum() != row.crc:
                raise Damaged(f"entry {row.seq}: checksum does not match")
            payload = row.blob
            if row.codec == ZSTD:
                payload = self._decompressor.decompress(row.blob, max_output_size=row.size)
            if len(payload) != row.size:
                raise Damaged(f"entry {row.seq}: {len(payload)} bytes, must be {row.size}")
            return Entry(row.seq, row.time_ns, SIGNALS[row.signal], row.items, row.events, payload)
        except (zstandard.ZstdError, struct.error, TypeError, IndexError) as error:
            raise Damaged(f"entry {row.seq}: {error}") from error


def charge(stored: int) -> int:
    """Bytes that a stored payload of this size takes on disk (whole overflow pages, as SQLite lays them out)."""
    if stored + _ROW_OVERHEAD <= _PAGE // 4:
        return stored + _ROW_OVERHEAD
    return (stored // (_PAGE - 4) + 1) * _PAGE + _ROW_OVERHEAD
