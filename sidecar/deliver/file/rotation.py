"""When a file is moved away, under what name, and what becomes of those that were.

`spans.ndjson` becomes `spans-20260102T030405.678901Z.ndjson`: the time in UTC at which it was moved, so that names sort
by age. It is renamed, so that a reader that holds it open, or knows it by its inode, reads it to its end.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from isal import igzip

_CHUNK = 1 << 20
_LEVEL = 2

log = structlog.get_logger("deliver.file")


@dataclass(frozen=True, slots=True)
class Rotation:
    """The rules of one file."""

    max_bytes: int
    """0 for no limit."""
    max_seconds: float
    """0 for no limit."""
    keep: int
    """How many files that were moved away are kept."""
    compress: bool
    """All of those but the newest, which readers may still be at."""

    def due(self, size: int, more: int, born: float, now: float) -> bool:
        """Whether a file of `size` bytes, begun at `born` (Unix seconds), is to be moved away before `more` is
        written."""
        if not size:
            return False
        return (0 < self.max_bytes < size + more) or (0 < self.max_seconds <= now - born)

    def move_away(self, path: Path, now: float) -> None:
        """Rename the file. Raises OSError."""
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        writer = path.with_name(f"{path.stem}-{stamp}{path.suffix}")
        number = 0
        while writer.exists() or writer.with_name(f"{writer.name}.gz").exists():
            number += 1
            writer = path.with_name(f"{path.stem}-{stamp}.{number}{path.suffix}")
        path.rename(writer)

    def tidy(self, path: Path) -> None:
        """Compress and remove what is due. A failure is logged and tried again next time."""
        try:
            old = self.moved(path)
            for file in old[: max(0, len(old) - self.keep)]:
                file.unlink()
            if self.compress:
                for file in old[max(0, len(old) - self.keep) : -1]:
                    if file.suffix != ".gz":
                        _compress(file)
        except OSError as error:
            log.warning("rotated_files_not_deleted", path=str(path), error=str(error))

    def moved(self, path: Path) -> list[Path]:
        """The files that were moved away, the oldest first."""
        name = re.compile(
            rf"{re.escape(path.stem)}-(\d{{8}}T\d{{6}}\.\d{{6}}Z)(?:\.(\d+))?{re.escape(path.suffix)}(?:\.gz)?"
        )
        found = []
        for file in path.parent.iterdir():
            match = name.fullmatch(file.name)
            if match:
                found.append(((match[1], int(match[2] or 0), file.name), file))
        return [file for _, file in sorted(found)]


def _compress(file: Path) -> None:
    """The file becomes one with `.gz` behind its name; at no time is neither of them whole."""
    partial, whole = file.with_name(f".{file.name}.gz.part"), file.with_name(f"{file.name}.gz")
    with file.open("rb") as source, igzip.IGzipFile(partial, "wb", _LEVEL) as writer:  # type: ignore[no-untyped-call]
        shutil.copyfileobj(source, writer, _CHUNK)
    partial.rename(whole)
    file.unlink()
