"""Compressed bodies, opened with a hard limit on what comes out: a few kilobytes can claim to be gigabytes."""

from __future__ import annotations

import io
from typing import Literal

from isal import igzip_lib, isal_zlib

from sidecar.errors import DecodeError, TooLarge

Coding = Literal["gzip", "deflate", "zstd"]
CODINGS: dict[str, Coding] = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "zstd": "zstd"}
"""Content codings by the names that clients use."""

_GZIP, _ZLIB, _RAW = 31, 15, -15
_ZSTD_WINDOW = 8 << 20
"""Largest window that the content coding allows (RFC 9659, section 3)."""
_ZSTD_END = b"end of body"


def inflate(body: bytes, coding: Coding, limit: int) -> bytes:
    """The decompressed body, at most `limit` bytes and never more memory than that. Raises `TooLarge` over it,
    `DecodeError` for data that is not of that coding, is damaged or ends early."""
    if not body:
        return b""
    if coding == "zstd":
        return _inflate_zstd(body, limit)
    if coding == "deflate" and not _has_zlib_header(body):
        # "deflate" is zlib (RFC 9110, 8.4.1.2), but some clients send the bare stream.
        return _inflate_members(body, _RAW, coding, limit)
    return _inflate_members(body, _GZIP if coding == "gzip" else _ZLIB, coding, limit)


def sniff(message: bytes) -> Coding | None:
    """The coding of a gRPC message as it came off the wire; None for plain protobuf.

    No OTLP message can be mistaken: 0x1f is a field with wire type 7, which does not exist, and a zlib header needs
    field 15 as the first field together with the header's checksum.
    """
    if message[:2] == b"\x1f\x8b":
        return "gzip"
    return "deflate" if _has_zlib_header(message) else None


def _has_zlib_header(body: bytes) -> bool:
    return len(body) >= 2 and body[0] & 0x0F == 8 and body[0] >> 4 <= 7 and (body[0] << 8 | body[1]) % 31 == 0


def _inflate_members(body: bytes, wbits: int, coding: Coding, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while body:
        member = isal_zlib.decompressobj(wbits)
        try:
            part = member.decompress(body, limit - size + 1)
        except igzip_lib.IsalError as error:  # type: ignore[misc]  # the stub takes the class for an instance
            raise DecodeError(f"body is not valid {coding}: {error}") from error
        size += len(part)
        if size > limit:
            raise TooLarge(f"body is over the limit of {limit} bytes after decompression")
        if not member.eof:
            raise DecodeError(f"{coding} body ends early")
        parts.append(part)
        body = member.unused_data
        if coding != "gzip" and body:
            raise DecodeError(f"{len(body)} bytes follow the end of the {coding} body")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _inflate_zstd(body: bytes, limit: int) -> bytes:
    # Imported at the first zstd body: few clients send it, and it costs every process some memory.
    import zstandard

    # The reader takes the end of its input for the end of the data, be a frame complete or not. A frame put behind the
    # body shows: after an incomplete one it is not read as a frame of its own, and its text is not what comes out last.
    end = zstandard.ZstdCompressor(write_checksum=True).compress(_ZSTD_END)
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    try:
        with decompressor.stream_reader(io.BytesIO(body + end), read_across_frames=True) as reader:
            out = reader.read(limit + len(_ZSTD_END) + 1)
    except zstandard.ZstdError as error:
        raise DecodeError(f"body is not valid zstd, or ends early: {error}") from error
    if len(out) > limit + len(_ZSTD_END):
        raise TooLarge(f"body is over the limit of {limit} bytes after decompression")
    if not out.endswith(_ZSTD_END):
        raise DecodeError("zstd body ends early")
    return out[: -len(_ZSTD_END)]
