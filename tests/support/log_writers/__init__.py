"""Loggers of several languages, each made to write the same two lines."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from support.engines.cache import command, entry, need
from support.engines.toolchains import npm_project
from support.environments import python_with

HERE = Path(__file__).parent
PINNED = ("loguru==0.7.3", "python-json-logger==4.0.0", "structlog==25.5.0")
NODE = {"pino": "9.14.0", "winston": "3.18.3"}


def loggers_python() -> Path:
    """A Python with the loggers."""
    return python_with("loggers", PINNED)


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
