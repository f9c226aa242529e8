"""One sidecar per directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sidecar.errors import ConfigError

LOCK_FILE = "journal.lock"


class DirectoryLock:
    """An exclusive lock that the kernel gives up when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        """Raises `ConfigError` if another process holds it."""
        path = directory / LOCK_FILE
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise ConfigError(
                [
                    f"journal.path: {directory} is in use by another sidecar (process {holder or 'unknown'}); "
                    "stop it, or give this one a directory of its own"
                ]
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
