"""Files that are mounted: one, or those of a directory, which may change at any time."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from sidecar.errors import SidecarError

MAX_FILES = 1000
Signature = tuple[int, ...]
T = TypeVar("T")


class InvalidFile(SidecarError):
    """A file is not what it should be; the message says why."""


class Content(Protocol):
    """What is read from a file."""

    @property
    def label(self) -> str:
        """It differs where the content does."""
        ...


Read = TypeVar("Read", bound=Content)


def load(path: Path, kind: str, max_bytes: int, parse: Callable[[bytes], T]) -> T:
    """What `parse` makes of a file; `kind` is what the file should be, for messages. Raises InvalidFile."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InvalidFile(f"invalid {kind} {path}: cannot be read: {error.strerror or error}") from None
    if len(data) > max_bytes:
        raise InvalidFile(f"invalid {kind} {path}: longer than {max_bytes >> 20} MiB")
    try:
        return parse(data)
    except InvalidFile as error:
        raise InvalidFile(f"invalid {kind} {path}: {error}") from None


def parse_json(data: bytes, expected: str) -> Any:
    """JSON text. `expected`: which file it should be, for messages. Raises InvalidFile."""
    try:
        return json.loads(data)
    except RecursionError:
        raise InvalidFile(f"nested too deeply; {expected}") from None
    except ValueError as error:
        raise InvalidFile(f"not JSON ({error}): cut off? {expected}") from None


class MountedFiles(ABC, Generic[Read]):
    """The contents of the files. Not thread-safe."""

    def __init__(self, path: Path | None) -> None:
        """`path`: a file, or a directory with files."""
        self._path = path
        self.files: dict[Path, Read] = {}
        self.invalid: dict[Path, str] = {}
        """File -> what is wrong with it."""
        self._seen: dict[Path, Signature] | None = None

    @abstractmethod
    def load(self, path: Path, former: Read | None) -> Read:
        """The content of a file, which may be the former one. Raises InvalidFile."""

    @abstractmethod
    def log_invalid(self, error: str, former_stays: bool) -> None:
        """A file is not what it should be."""

    @abstractmethod
    def log_missing(self, path: Path) -> None:
        """There is no file."""

    def read(self, again: bool = False) -> bool:
        """Read the files if they have changed, or `again` whether or not; whether something is other than before. Of a
        file that has become invalid the former content stays in force."""
        seen = dict(_signatures(self._path))
        if seen == self._seen and not again:
            return False
        self._seen = seen
        before, self.files, self.invalid = self.files, {}, {}
        for path in seen:
            former = before.get(path)
            try:
                self.files[path] = self.load(path, former)
            except InvalidFile as error:
                self.invalid[path] = str(error)
                self.log_invalid(str(error), former is not None)
                if former is not None:
                    self.files[path] = former
        if self._path is not None and not seen:
            self.log_missing(self._path)
        return _labels(self.files) != _labels(before)


def paths(path: Path) -> list[Path]:
    """The file, or each `*.json` of the directory by name; none where there is nothing."""
    return [file for file, _ in _signatures(path)]


def _labels(files: Mapping[Path, Content]) -> dict[Path, str]:
    return {path: content.label for path, content in files.items()}


def _signatures(path: Path | None) -> Iterator[tuple[Path, Signature]]:
    """The file, or each `*.json` of the directory by name, with what changes when its content does. What cannot be read
    is left out."""
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
