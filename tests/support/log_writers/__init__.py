"""Loggers of several languages, each made to write the same two lines."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from support.engines.cache import command, entry, need
from support.engines.toolchains import npm_project

HERE = Path(__file__).parent
PINNED = ("loguru==0.7.3", "python-json-logger==4.0.0", "structlog==25.5.0")
NODE = {"pino": "9.14.0", "winston": "3.18.3"}


def loggers_python() -> Path:
    """A Python with the loggers."""
    key = hashlib.sha256("\n".join((sys.version, *PINNED)).encode()).hexdigest()[:12]

    def make(folder: Path) -> None:
        # An environment knows its own path: it is made where it will be used, and the entry is a mark that it is whole.
        home = folder.parent / f"loggers-venv-{key}"
        shutil.rmtree(home, ignore_errors=True)
        command([sys.executable, "-m", "venv", home], "an environment for the loggers", 120)
        pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command([*pip, *PINNED], "pip install of the loggers", 300)

    return entry(f"loggers-{key}", make).parent / f"loggers-venv-{key}" / "bin" / "python"


def zapwriter_binary() -> Path:
    """A Go program that logs with zap."""
    source = HERE / "zapwriter"
    key = hashlib.sha256(b"".join(sorted(f.read_bytes() for f in source.iterdir()))).hexdigest()[:12]

    def make(directory: Path) -> None:
        built = directory / "zapwriter"
        command([need("go", "zapwriter"), "build", "-C", source, "-trimpath", "-o", built, "."], "build it", 300)

    return entry(f"zapwriter-{key}", make) / "zapwriter"


def write_all(directory: Path) -> None:
    """Have every logger write its lines into a file of `directory`. Raises `EngineUnavailable`."""
    subprocess.run([loggers_python(), HERE / "writers.py", directory], check=True, timeout=300)
    modules = npm_project(NODE)
    environment = {"NODE_PATH": str(modules), "PATH": "/usr/bin:/bin:/usr/local/bin"}
    subprocess.run([need("node", "pino"), HERE / "writers.js", directory], check=True, timeout=300, env=environment)
    lines = subprocess.run([zapwriter_binary()], check=True, timeout=300, capture_output=True).stdout
    (directory / "by_zap.log").write_bytes(lines)
