"""What the file of a model says of it: a name by its path, a version by its path or content."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

from model_sidecar_instrumentation.identity import Known, file_stem

_GENERIC = (
    "app application artifact artifacts best bin checkpoint checkpoints classifier clf code data estimator "
    "file files final home latest lib ml mnt model models opt output pipeline predictor pytorch_model "
    "regressor root saved saved_model saved_models src srv snapshots state_dict tmp usr var weights work "
    "workspace"
)
GENERIC = frozenset(re.findall(r"\w+", _GENERIC))
"""Names of files and folders that say nothing: the folder above is asked."""
_RANDOM = re.compile(r"tmp\w{6,}|(m-)?[0-9a-f]{16,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(r"v?\d+(\.\d+)*")
_DEPTH = 4
_WHOLE, _PART = 16 << 20, 1 << 20
"""Files of at most so many bytes are hashed whole; of larger ones the size and so many bytes at start, middle, end."""


def of_file(source: Any) -> Known:
    """`source`: a path, or an open file that has one. Without a path nothing is known."""
    path = _path(source)
    if not path:
        return Known()
    name, version = _named(path)
    return Known(name, version or digest(path))


def _path(source: Any) -> str:
    for found in (source, getattr(source, "name", None)):
        if isinstance(found, (str, os.PathLike)):
            given = os.fspath(found)
            return given if isinstance(given, str) and "\n" not in given and len(given) < 4096 else ""
    return ""


def _named(path: str) -> tuple[str, str]:
    """`/models/fraud/3/model.pkl` is version 3 of fraud, `/models/fraud.pkl` is fraud."""
    parts = os.path.abspath(path).rstrip(os.sep).split(os.sep)
    version = ""
    for number, part in enumerate(reversed(parts[-_DEPTH:])):
        name = file_stem(part) if number == 0 else part
        if name.startswith("models--"):
            return name.rpartition("--")[2], version
        if number and not version and _NUMBER.fullmatch(name):
            version = name
        elif name and name.lower() not in GENERIC and not _RANDOM.fullmatch(name) and not _NUMBER.fullmatch(name):
            return name, version
    return "", version


def digest(path: str) -> str:
    """Twelve hexadecimal digits of the content; empty for what is no readable file."""
    try:
        size = os.path.getsize(path)
        if not os.path.isfile(path):
            return ""
        with open(path, "rb") as file:
            if size <= _WHOLE:
                return hashlib.sha256(file.read()).hexdigest()[:12]
            found = hashlib.sha256(str(size).encode())
            for place in (0, size // 2, size - _PART):
                file.seek(place)
                found.update(file.read(_PART))
            return found.hexdigest()[:12]
    except OSError:
        return ""


def digest_of_bytes(content: bytes) -> str:
    return hashlib.sha256(content[:_WHOLE]).hexdigest()[:12]
