"""Text of the operating system, which may be of any bytes."""

from __future__ import annotations


def repaired(text: str) -> str:
    """The same with U+FFFD for what is no UTF-8: bytes that Python took into names of files and variables as halves of
    surrogate pairs. Whatever is sent on as text must be so."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
