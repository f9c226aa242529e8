"""Counts of cells and bins in few bytes: in memory, and as they are kept."""

from __future__ import annotations

import zlib

import numpy as np

from sidecar.derive.series import I64, LIMIT

TAILS = 2
"""Sums that are kept besides those of bins: of the values of the first and of the last cell. They stand at the end."""
_SIZES = {"<u1": 0xFF, "<u2": 0xFFFF, "<u4": 0xFFFFFFFF}


def saturating(values: I64, delta: I64) -> None:
    """values += delta, stopping at the limits of 62 bits."""
    values += delta
    np.minimum(values, LIMIT, out=values)
    np.maximum(values, -LIMIT, out=values)


def small(counts: I64) -> I64:
    """In as few bytes each as the largest needs. Reckon with it as int64 only."""
    found: I64 = counts.astype(_size(counts))
    return found


def packed(counts: I64) -> bytes:
    """Whole numbers in as few bytes each as the largest needs, but for the tails, which are larger."""
    head = counts[:-TAILS]
    size = _size(head)
    data = head.astype(size).tobytes()
    return size[1:].encode() + zlib.compress(data + counts[-TAILS:].astype("<i8").tobytes(), 1)


def unpacked(found: bytes, length: int) -> I64:
    """What `packed` was given. Raises ValueError for what is not so many whole numbers."""
    size = "<" + found[:2].decode("ascii", "replace")
    if size not in (*_SIZES, "<i8"):
        raise ValueError("not packed counts")
    split = (length - TAILS) * int(size[2])
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(found[2:], split + 8 * TAILS + 1)
    except zlib.error as error:
        raise ValueError("not packed counts") from error
    if len(data) != split + 8 * TAILS:
        raise ValueError("another number of counts")
    return np.concatenate([np.frombuffer(data[:split], size), np.frombuffer(data[split:], "<i8")]).astype(np.int64)


def _size(counts: I64) -> str:
    low, high = int(counts.min(initial=0)), int(counts.max(initial=0))
    return next((code for code, limit in _SIZES.items() if high <= limit and low >= 0), "<i8")
