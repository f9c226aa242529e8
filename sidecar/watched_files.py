"""What is made of files, made again when they change: mounted secrets are exchanged without a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

POLL_SECONDS = 1.0

_logger = structlog.get_logger("sidecar.credentials")
T = TypeVar("T")


class WatchedFiles(Generic[T]):
    """Looks at the files when they are used (at most once a second). Files that cannot be used any more leave the last
    good content in force, and are logged as an error. Thread-safe: handshakes come from several threads."""

    def __init__(self, files: Sequence[Path], load: Callable[[], T], clock: Callable[[], float]) -> None:
        """Raises OSError or ValueError where `load` does."""
        self._files = tuple(files)
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._look_again = clock() + POLL_SECONDS
        self._state = _state(self._files)
        self._failed_state: object = None
        self._value = load()

    def get(self) -> T:
        """What the files are good for now."""
        now = self._clock()
        if not self._files or now < self._look_again:
            return self._value
        with self._lock:
            self._look_again = now + POLL_SECONDS
            state = _state(self._files)
            if state != self._state:
                self._reload(state)
            return self._value

    def _reload(self, state: object) -> None:
        files = [str(file) for file in self._files]
        try:
            self._value = self._load()
        except (OSError, ValueError) as error:
            # Tried again at every look, said once: files of a pair may be replaced one after the other.
            if state != self._failed_state:
                self._failed_state = state
                _logger.error("credentials_not_reloaded", files=files, error=str(error))
            return
        self._state = state
        self._failed_state = None
        _logger.info("credentials_reloaded", files=files)


def _state(files: Sequence[Path]) -> object:
    """Changes when a file is written or replaced, symbolic links (as in a mounted secret) followed."""
    state: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            state.append(None)
        else:
            state.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return state
