"""Files that are mounted: one, or those of a directory, which may change at any time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MAX_FILES = 1000
Signature = tuple[int, ...]


def signatures(path: Path | None) -> Iterator[tuple[Path, Signature]]:
    """The file, or each `*.json` of the directory, with what changes when its content does. What cannot be read is left
    out."""
    if path is None:
        return
    try:
        paths = sorted(path.glob("*.json"))[:MAX_FILES] if path.is_dir() else [path]
    except OSError:
        return
    for one in paths:
        try:
            found = os.stat(one)
        except OSError:
            continue
        yield one, (found.st_mtime_ns, found.st_size, found.st_ino)
