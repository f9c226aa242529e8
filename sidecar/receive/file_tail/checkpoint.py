"""How far a file was read, and how its content is recognised under another name or inode.

A file is known by device and inode. Both may be given to another file, and a copy has others: so a checkpoint also has
a digest of the content's beginning and one of what is before the offset.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import xxhash

PREFIX = b"file_tail/"
PATTERNS = PREFIX + b"include"
"""Key under which the include patterns are stored that were used before."""
HEAD_BYTES = 1024
TAIL_BYTES = 256

FLOAT_NS = 1_000
"""What a time may lose in a floating-point number of seconds."""

Key = tuple[int, int]
"""(device, inode)"""
Pread = Callable[[int, int], bytes]
"""(offset, size) -> bytes of the content, fewer at its end."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One file's position, as committed."""

    path: str
    """The real path it was last seen under."""
    base: str
    """The path of `include` that led to it; a rotated file has that of the file that it was."""
    offset: int = 0
    """Bytes of the content (unpacked) that are stored or need not be."""
    head_size: int = 0
    head: str = ""
    """Digest of the first `head_size` bytes."""
    tail: str = ""
    """Digest of the up to 256 bytes before the offset."""
    skipping: bool = False
    """The offset is inside a line that was too long; the rest of it is left out."""
    done: bool = False
    """A compressed file that was read to its end, or is not to be read."""
    birth: int = 0
    """When the file was made, in Unix ns; 0 where that is not known. Another file with its inode has another."""
    replaced: bool = False
    """The file has other content now, and what was lost by that is counted."""
    written: int = 0
    """Its time of change when it was read, in Unix ns; 0 where that is not known. What compresses a file gives the
    same to its output: it distinguishes files with the same content."""

    @property
    def waits(self) -> bool:
        """Nothing was read of it yet: it was seen, and may be a copy in the making."""
        return not self.offset and not self.head_size and not self.done

    def encode(self) -> bytes:
        fields = [
            self.path,
            self.base,
            self.offset,
            self.head_size,
            self.head,
            self.tail,
            int(self.skipping),
            int(self.done),
            self.birth,
            int(self.replaced),
            self.written,
        ]
        return json.dumps(fields, separators=(",", ":")).encode("utf-8", "surrogatepass")

    def matches(self, pread: Pread) -> bool:
        """Whether this content is the one that the checkpoint was made of, grown or not."""
        return self.head_matches(pread) and tail_of(pread, self.offset) == self.tail

    def head_matches(self, pread: Pread) -> bool:
        return not self.head_size or digest(pread(0, self.head_size)) == self.head


def decode(value: bytes) -> Checkpoint | None:
    """A checkpoint from its bytes; None for bytes of another version."""
    try:
        fields = json.loads(value)
        path, base, offset, head_size, head, tail, skipping, done, *more = fields
        birth = int(more[0]) if more else 0
        replaced = bool(more[1:] and more[1])
        written = int(more[2]) if more[2:] else 0
        return Checkpoint(
            path, base, int(offset), int(head_size), head, tail, bool(skipping), bool(done), birth, replaced, written
        )
    except (ValueError, TypeError):
        return None


def key_bytes(key: Key) -> bytes:
    return PREFIX + b"%x:%x" % key


def parse_key(data: bytes) -> Key | None:
    device, _, inode = data.removeprefix(PREFIX).partition(b":")
    try:
        return int(device, 16), int(inode, 16)
    except ValueError:
        return None


def same_time(one: int, other: int) -> bool:
    """Whether a time of change (Unix ns) is that of another file; one that was set by way of a floating-point number
    has lost less than a microsecond."""
    return abs(one - other) < FLOAT_NS


def any_same_time(times: Sequence[int], one: int) -> bool:
    """Whether it is one of these, which are in order."""
    place = bisect_left(times, one - FLOAT_NS + 1)
    return place < len(times) and times[place] < one + FLOAT_NS


def tail_of(pread: Pread, offset: int) -> str:
    """Digest of what is before the offset."""
    size = min(offset, TAIL_BYTES)
    return digest(pread(offset - size, size)) if size else ""


def digest(data: bytes) -> str:
    """16 hex characters."""
    return xxhash.xxh3_64_hexdigest(data)
