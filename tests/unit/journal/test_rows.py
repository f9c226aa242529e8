"""Rows of the journal."""

from __future__ import annotations

import struct
import zlib

import pytest

from sidecar.journal.rows import StoredRow


@pytest.mark.parametrize("blob", [b"", b"a", bytes(range(256)) * 41])
def test_the_checksum_is_that_of_zlib(blob: bytes) -> None:
    """Journals are read by versions that reckon it with another library."""
    row = StoredRow(7, -8, 1, 3, 0, 2**32 + 5, 0, 1, 0, blob)
    header = struct.pack("<qqBIIBI", 7, -8, 1, 3, 0, 1, 5)
    assert row.checksum() == zlib.crc32(header + blob)
