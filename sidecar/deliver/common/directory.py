"""Whether a directory can be written and has room."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sidecar.deliver.sink import Finding


def check_directory(path: Path, wanted: int, variable: str, files: str) -> Finding:
    """Whether files can be made in `path` (or in what is there of it), those that match `files` can be written, and
    `wanted` bytes are free. `variable`: of the environment, which sets the directory."""
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            free = os.statvfs(there)
    except OSError as error:
        detail = f"{there} cannot be written: {error.strerror}; set {variable} to a directory that can"
        return Finding("failed", detail)
    for file in sorted(path.glob(files)):
        if not os.access(file, os.R_OK | os.W_OK):
            detail = f"{file} cannot be written: it is of user {file.stat().st_uid}, this is user {os.geteuid()}"
            return Finding("failed", f"{detail}; change its owner, or run as that user")
    room = free.f_bavail * free.f_frsize
    return Finding(
        "ok" if room >= wanted else "warning", f"{path}: {room >> 20} MiB free, up to {wanted >> 20} MiB are used"
    )
