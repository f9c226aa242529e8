"""Where downloads and builds are kept between runs: outside the tree, one directory an entry, made once and then moved
into place, so that an entry is either whole or absent. Two runs that want the same entry wait for each other."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
"""The project's own tree."""


class EngineUnavailable(Exception):
    """An engine cannot be had on this machine; the message says what is missing. A test that needs it is skipped
    (failed where `CI` is `true`): see `tests/conftest.py`."""


def cache_dir() -> Path:
    """`SIDECAR_TEST_CACHE`, else `model-sidecar-tests` in the user's cache directory."""
    named = os.environ.get("SIDECAR_TEST_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(named) if named else base / "model-sidecar-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def need(tool: str, purpose: str = "") -> str:
    """The path of a program that must be installed; raises `EngineUnavailable` where it is not."""
    found = shutil.which(tool)
    if found is None:
        raise EngineUnavailable(f"{tool} is not installed" + (f" (needed for {purpose})" if purpose else ""))
    return found


def entry(name: str, make: Callable[[Path], None]) -> Path:
    """The directory `name` of the cache; `make` fills an empty one the first time. Another run that is at it is
    waited for."""
    final = cache_dir() / name
    if final.is_dir():
        return final
    with lock(name):
        if final.is_dir():
            return final
        partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache_dir()))
        try:
            make(partial)
            partial.chmod(0o755)
            partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return final


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Held by one process at a time, and by one thread of it. Those of entries have the entries' names."""
    with (cache_dir() / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def command(
    arguments: Sequence[str | Path],
    what: str,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a downloading or building command to its end; a failure raises `EngineUnavailable` with its last words."""
    try:
        done = subprocess.run(
            [str(a) for a in arguments],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineUnavailable(f"{what}: not done after {timeout:.0f} s: {Path(arguments[0]).name}") from error
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        words = " | ".join(line.strip() for line in text.splitlines() if line.strip())[-600:]
        raise EngineUnavailable(f"{what}: {Path(arguments[0]).name} ended with {done.returncode}: {words}")
    return text


def check_sha256(file: Path, expected: str) -> None:
    """Raises `EngineUnavailable` if the file is not the one that was looked at when its checksum was written down."""
    with file.open("rb") as stream:
        actual = hashlib.file_digest(stream, "sha256").hexdigest()
    if actual != expected:
        raise EngineUnavailable(f"{file.name}: sha256 is {actual}, must be {expected}")


def content_key(*paths: Path) -> str:
    """Twelve hex characters that change when any of the files (or files below the directories) changes."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(p for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file()):
            digest.update(f"{file.relative_to(path.parent)}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def safe_name(text: str) -> str:
    """A module path or coordinate as one file name."""
    return re.sub(r"[^A-Za-z0-9._@-]+", "_", text).strip("_")
