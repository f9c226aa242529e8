"""What the byte order mark at the beginning of a text says of its encoding."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE

_FOREIGN = (BOM_UTF16_LE, BOM_UTF16_BE)


def is_utf16(text: bytes) -> bool:
    """Whether a text that begins so is UTF-16 (or UTF-32, whose mark begins alike in one byte order). No UTF-8 does."""
    return text.startswith(_FOREIGN)
