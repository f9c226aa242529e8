"""NULs in a file: a hole where it was cut under a writer that went on at its old place, or space after a crash.

They are no text, whatever their number. Those at the end of a file are left where they are: a writer may have set the
space aside, and fill it.
"""

from __future__ import annotations

from sidecar.receive.file_tail.source import Source

STEP_BYTES = 64 << 20
"""Looked through at a time where the file system knows of no hole."""
_READ_BYTES = 1 << 20
_RUN = b"\0" * 8
"""So many NULs in a line are the end of it. Fewer may be meant."""


def begin_in(data: bytes) -> int:
    """Where in lines NULs begin that are not part of one; -1 where there are none."""
    if b"\0" not in data:
        return -1
    found = [place for place in (data.find(b"\n\0") + 1, data.find(_RUN)) if place > 0]
    return min(found, default=-1)


def text_after(source: Source, place: int) -> tuple[int, bool]:
    """(the first byte from `place` on that is no NUL, True), or (how far there are only NULs, False)."""
    left = STEP_BYTES
    place = source.data_from(place)
    while left > 0 and (data := source.pread(place, _READ_BYTES)):
        text = data.lstrip(b"\0")
        place += len(data) - len(text)
        if text:
            return place, True
        left -= len(data)
        place = source.data_from(place)
    return place, False
